// What the primary and its processes say to each other over their IPC channel. After an upgrade in place a primary speaks with workers of the next
// revision: what isn't understood is no message.

/** First message to a new process. */
export interface WorkerStart {
  readonly configFile: string
  /** Its text: a worker that is started again has the configuration the others have, whatever stands in the file by now. */
  readonly source: string
  readonly worker: number
  readonly spoolDirectory: string
  readonly takesMail: boolean
  readonly workers: number
  readonly processes: number
}

export const SUBJECTS = ['readiness', 'metrics', 'figures'] as const
export type Subject = (typeof SUBJECTS)[number]

export type ToWorker =
  | { readonly kind: 'start'; readonly start: WorkerStart }
  /** Comes with the client's socket. */
  | { readonly kind: 'client'; readonly client: number; readonly listener: number }
  | { readonly kind: 'reload' }
  | { readonly kind: 'stop'; readonly graceMs: number }
  | { readonly kind: 'ask'; readonly question: number; readonly subject: Subject }
  /** What changed the snapshot, in the frames it is kept in: judged, and on disk. */
  | { readonly kind: 'push'; readonly version: number; readonly push: Uint8Array }
  /** This version is on disk as a whole. */
  | { readonly kind: 'whole'; readonly version: number }
  /** The control plane had nothing newer at that time, ms since the epoch. */
  | { readonly kind: 'confirmed'; readonly at: number }
  | { readonly kind: 'revoked' }

export type FromWorker =
  | { readonly kind: 'started' }
  /** It ends now. `isUnusable`: the operator must mend something first. */
  | { readonly kind: 'failed'; readonly isUnusable: boolean; readonly text: string }
  /** The socket is in its hands: the sender may let go of its own copy. */
  | { readonly kind: 'took'; readonly client: number }
  | { readonly kind: 'left'; readonly client: number }
  /** It ends in order, with its last figures. `isDrained`: nothing to deliver is left in a spool that takes no mail. */
  | { readonly kind: 'ended'; readonly isDrained: boolean; readonly metrics: unknown }
  | { readonly kind: 'answer'; readonly question: number; readonly answer: unknown }
  /** The snapshot version that its messages begin with from now on. */
  | { readonly kind: 'active'; readonly version: number }
  /** For the control plane: lines of the journal, and of clients that were refused. */
  | { readonly kind: 'events'; readonly messages: readonly string[]; readonly audit: readonly string[] }

export function parseToWorker(message: unknown): ToWorker | undefined {
  const { kind, start, client, listener, graceMs, question, subject, version, push, at } = membersOf(message)
  switch (kind) {
    case 'start': {
      const parsed = parseStart(start)
      return parsed && { kind, start: parsed }
    }
    case 'client':
      return isCount(client) && isCount(listener) ? { kind, client, listener } : undefined
    case 'reload':
      return { kind }
    case 'stop':
      return isCount(graceMs) ? { kind, graceMs } : undefined
    case 'ask':
      return isCount(question) && isSubject(subject) ? { kind, question, subject } : undefined
    case 'push':
      return isCount(version) && push instanceof Uint8Array ? { kind, version, push } : undefined
    case 'whole':
      return isCount(version) ? { kind, version } : undefined
    case 'confirmed':
      return isCount(at) ? { kind, at } : undefined
    case 'revoked':
      return { kind }
    default:
      return undefined
  }
}

function parseStart(written: unknown): WorkerStart | undefined {
  const { configFile, source, worker, spoolDirectory, takesMail, workers, processes } = membersOf(written)
  if (typeof configFile !== 'string' || typeof source !== 'string' || typeof spoolDirectory !== 'string')
    return undefined
  if (!isCount(worker) || typeof takesMail !== 'boolean') return undefined
  if (!isCount(workers) || workers === 0 || !isCount(processes) || processes === 0) return undefined
  return { configFile, source, worker, spoolDirectory, takesMail, workers, processes }
}

export function parseFromWorker(message: unknown): FromWorker | undefined {
  const { kind, isUnusable, text, client, isDrained, metrics, question, answer, version, messages, audit } =
    membersOf(message)
  switch (kind) {
    case 'started':
      return { kind }
    case 'ended':
      return { kind, isDrained: isDrained === true, metrics }
    case 'failed':
      return typeof isUnusable === 'boolean' && typeof text === 'string' ? { kind, isUnusable, text } : undefined
    case 'took':
    case 'left':
      return isCount(client) ? { kind, client } : undefined
    case 'answer':
      return isCount(question) ? { kind, question, answer } : undefined
    case 'active':
      return isCount(version) ? { kind, version } : undefined
    case 'events':
      return isTexts(messages) && isTexts(audit) ? { kind, messages, audit } : undefined
    default:
      return undefined
  }
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

function isSubject(value: unknown): value is Subject {
  return SUBJECTS.some((subject) => subject === value)
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
