// The log: one JSON object a line, an event name that doesn't change, then fields. Text is for people, fields are for machines.
// What a peer wrote can't forge a line or move an operator's cursor: every control character is escaped. (PR-3)

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
/** `error` wakes somebody, `warn` is read in the morning, `info` is the audit of work done. */
export type LogLevel = (typeof LOG_LEVELS)[number]

export type LogFields = Readonly<Record<string, unknown>>

/** Never throws, whatever the fields hold. Fields hold no addresses, subjects, names, bodies or secrets: see mta/privacy.ts. (PR-2) */
export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

export interface LogOptions {
  /** Takes one line, line feed included. */
  readonly write: (line: string) => void
  /** Events below it are dropped. */
  readonly level: LogLevel
  /** ms since the epoch */
  readonly now: () => number
  /** In every line; fields of the event come after them. */
  readonly fields?: LogFields
}

const MAX_STRING = 4_096
const MAX_DEPTH = 6
const MAX_ITEMS = 100
const MAX_FRAMES = 12
const RESERVED = new Set(['time', 'level', 'event'])

export function createLog({ write, level, now, fields: always }: LogOptions): Log {
  const lowest = LOG_LEVELS.indexOf(level)
  const complete =
    always === undefined ? (fields: LogFields) => fields : (fields: LogFields) => ({ ...always, ...fields })
  const at = (rank: LogLevel) => {
    if (LOG_LEVELS.indexOf(rank) < lowest) return () => {}
    return (event: string, fields: LogFields = {}) => write(`${logLine(now(), rank, event, complete(fields))}\n`)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Field names are ours, never a peer's. */
function logLine(nowMs: number, level: LogLevel, event: string, fields: LogFields): string {
  const line: Record<string, unknown> = { time: new Date(nowMs).toISOString(), level, event }
  for (const name of Object.keys(fields)) {
    if (!RESERVED.has(name)) line[name] = loggable(fields[name], 0, level === 'error')
  }
  return escapeControls(JSON.stringify(line))
}

/** JSON.stringify leaves DEL, C1 controls, line separators and bidirectional overrides as they are; terminals act on them. */
export function escapeControls(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** A value that JSON can hold: bounded in depth, length and width, so that one event can't fill the disk or loop for ever. */
function loggable(value: unknown, depth: number, withStack: boolean): unknown {
  if (typeof value === 'string') return value.length > MAX_STRING ? `${value.slice(0, MAX_STRING)}…` : value
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} octets]`
  if (depth >= MAX_DEPTH) return '[…]'
  if (value instanceof Error) return loggableError(value, depth, withStack)
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => loggable(item, depth + 1, withStack))
  if (value instanceof Set || value instanceof Map) return loggable([...value], depth, withStack)
  const entries = Object.entries(value)
  const isFigures = entries.length <= MAX_ITEMS && entries.every(([, item]) => typeof item === 'number')
  if (isFigures && Object.getPrototypeOf(value) === Object.prototype) return value
  return Object.fromEntries(
    entries.slice(0, MAX_ITEMS).map(([name, item]) => [name, loggable(item, depth + 1, withStack)]),
  )
}

/** The error with its chain of causes; stack frames only where somebody is woken and must find the line. */
function loggableError(error: Error, depth: number, withStack: boolean): Record<string, unknown> {
  const shape: Record<string, unknown> = { name: error.name, message: loggable(error.message, depth, false) }
  if ('code' in error) shape['code'] = loggable(error.code, depth + 1, false)
  if ('syscall' in error) shape['syscall'] = loggable(error.syscall, depth + 1, false)
  if (withStack) shape['stack'] = stackFrames(error)
  if (error instanceof AggregateError) shape['errors'] = loggable(error.errors, depth + 1, withStack)
  if (error.cause !== undefined) shape['cause'] = loggable(error.cause, depth + 1, withStack)
  return shape
}

/** Without the first lines: they repeat the message. */
function stackFrames(error: Error): string[] {
  const lines = typeof error.stack === 'string' ? error.stack.split('\n') : []
  const frames = lines.map((line) => line.trim()).filter((line) => line.startsWith('at '))
  return frames.slice(0, MAX_FRAMES)
}
