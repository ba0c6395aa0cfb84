// How long we wait for a next hop at each stage. The defaults are the least that RFC 5321 §4.5.3.2 allows a client, but for connecting:
// a host that is down must not hold a place for minutes.

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS

/** All in ms. */
export interface Timeouts {
  readonly connect: number
  readonly greeting: number
  readonly hello: number
  /** For the TLS handshake (PH-4). */
  readonly tls: number
  /** For each reply to MAIL, RCPT and RSET. */
  readonly command: number
  /** For the 354. */
  readonly data: number
  /** For the peer to take what we have written of the content. */
  readonly block: number
  /** For the reply to the final dot. */
  readonly finalDot: number
  /** From MAIL to the last reply, whatever the single waits are: a host that answers just in time each time gets no further. */
  readonly transaction: number
  readonly quit: number
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  connect: 30 * SECOND_MS,
  greeting: 5 * MINUTE_MS,
  hello: 5 * MINUTE_MS,
  tls: 30 * SECOND_MS,
  command: 5 * MINUTE_MS,
  data: 2 * MINUTE_MS,
  block: 3 * MINUTE_MS,
  finalDot: 10 * MINUTE_MS,
  transaction: 60 * MINUTE_MS,
  quit: 5 * SECOND_MS,
}
