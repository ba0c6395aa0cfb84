// What one relay lets its peers, its next hops and its own disk take: the table of reliability-security.md §4, with its defaults.
// The structural limits of a message (header block, fields, MIME depth) are the engine's own and stand in rewriting.md §12.

const KIB = 1024
const MIB = 1024 * KIB
const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS

export interface Limits {
  // ---- one message ----
  /** SIZE of EHLO; more: 552 5.3.4 at MAIL when declared, else after DATA. */
  readonly messageBytes: number
  /** More: 452 4.5.3 for the rest. Never below `MIN_RECIPIENTS_PER_MESSAGE`. */
  readonly recipientsPerMessage: number
  /** With its CR LF. Longer: 500; the third one closes. */
  readonly commandLineBytes: number

  // ---- connections; at each limit 421 4.3.2 ----
  readonly connections: number
  readonly connectionsPerAddress: number
  readonly newConnectionsPerSecondAndAddress: number
  /** Then 421 4.7.0. */
  readonly messagesPerConnection: number
  /** 5xx replies since the last accepted message; then 421 4.7.0. A 4xx is not the client's fault. */
  readonly errorsPerSession: number
  /** Commands that lead to no message (NOOP, RSET, another EHLO, unknown ones) since the last accepted one; then 421 4.7.0. */
  readonly junkCommandsPerSession: number

  // ---- time; at each limit 421 4.4.2 ----
  /** Between two commands. */
  readonly idleMs: number
  /** Without one octet of DATA. */
  readonly dataBlockMs: number
  /** From 354 to the final dot. */
  readonly dataMs: number
  readonly sessionMs: number
  /** Averaged over each `dataRateWindowMs` of DATA. */
  readonly minDataBytesPerSecond: number
  readonly dataRateWindowMs: number
  /** From the reply to STARTTLS to the end of the handshake; then the connection is gone (PH-4). */
  readonly tlsHandshakeMs: number
  /** From the final dot to the reply; then 451 4.3.0 and nothing is kept. */
  readonly dataProcessingMs: number

  // ---- stress mode: on at `stressOnRatio` of `connections`, off below `stressOffRatio` ----
  readonly stressOnRatio: number
  readonly stressOffRatio: number
  /** Takes the place of `idleMs`, `dataBlockMs` and `tlsHandshakeMs`. */
  readonly stressTimeoutMs: number
  /** Takes the place of `errorsPerSession`. */
  readonly stressErrorsPerSession: number

  // ---- memory ----
  /** Share of the process's memory limit (container limit, else the machine's memory); above it new connections get 421. */
  readonly memoryHighWaterRatio: number

  // ---- disk; at each limit 452 4.3.1 ----
  /** Free share of the volume kept back. */
  readonly freeSpaceRatio: number
  /** Or room for this many messages of `messageBytes`, whichever is more. */
  readonly freeSpaceMessages: number
  readonly freeInodeRatio: number
  readonly queuedMessages: number
  /** Share of the volume that queued mail may fill. */
  readonly queuedVolumeRatio: number

  // ---- calendar parts and reports that are read whole, off the SMTP event loop (BP-2, PS-8) ----
  /** Larger ones go to the worker thread. */
  readonly largePartBytes: number
  /** Waiting for the worker; more: 451. */
  readonly largePartsWaiting: number
  /** Work on one part; then the part stays as it is. */
  readonly largePartMs: number
  readonly largePartMemoryBytes: number

  // ---- next hops ----
  readonly nextHopConnections: number
  readonly nextHopConnectionsPerHost: number
  /** A longer line, or reply, counts as 4xx and closes. */
  readonly nextHopReplyLineBytes: number
  readonly nextHopReplyBytes: number

  // ---- table ----
  /** An older table is no table: 451 4.3.5. undefined: any age will do. */
  readonly maxTableAgeMs: number | undefined
}

/** RFC 5321 §4.5.3.1.8: what every server must take. */
export const MIN_RECIPIENTS_PER_MESSAGE = 100

export const DEFAULT_LIMITS: Limits = {
  messageBytes: 200 * MIB,
  recipientsPerMessage: 1000,
  commandLineBytes: 2048,

  connections: 500,
  connectionsPerAddress: 50,
  newConnectionsPerSecondAndAddress: 20,
  messagesPerConnection: 1000,
  errorsPerSession: 20,
  junkCommandsPerSession: 100,

  idleMs: 300 * SECOND_MS,
  dataBlockMs: 180 * SECOND_MS,
  dataMs: 1800 * SECOND_MS,
  sessionMs: 3600 * SECOND_MS,
  minDataBytesPerSecond: 500,
  dataRateWindowMs: 30 * SECOND_MS,
  tlsHandshakeMs: 30 * SECOND_MS,
  dataProcessingMs: MINUTE_MS,

  stressOnRatio: 0.9,
  stressOffRatio: 0.7,
  stressTimeoutMs: 10 * SECOND_MS,
  stressErrorsPerSession: 1,

  memoryHighWaterRatio: 0.75,

  freeSpaceRatio: 0.05,
  freeSpaceMessages: 2,
  freeInodeRatio: 0.05,
  queuedMessages: 200_000,
  queuedVolumeRatio: 0.8,

  largePartBytes: 256 * KIB,
  largePartsWaiting: 16,
  largePartMs: 10 * SECOND_MS,
  largePartMemoryBytes: 256 * MIB,

  nextHopConnections: 100,
  nextHopConnectionsPerHost: 20,
  nextHopReplyLineBytes: 2 * KIB,
  nextHopReplyBytes: 64 * KIB,

  maxTableAgeMs: undefined,
}
