// What `doctor` says of one thing it looked at. Each check is a judgement over facts that somebody else observed: the same facts always
// give the same findings. (OP-5)

/** `fault`: mail doesn't flow, or isn't safe; `warning`: it will be so, or nobody can tell. */
export type Verdict = 'ok' | 'warning' | 'fault'

export interface Finding {
  readonly check: string
  readonly verdict: Verdict
  /** What is so. No secret, no mail address. */
  readonly says: string
  /** What to do; absent when all is well. */
  readonly todo?: string
}

export function ok(check: string, says: string): Finding {
  return { check, verdict: 'ok', says }
}

export function warning(check: string, says: string, todo: string): Finding {
  return { check, verdict: 'warning', says, todo }
}

export function fault(check: string, says: string, todo: string): Finding {
  return { check, verdict: 'fault', says, todo }
}

/** What the system calls an error: `ENOENT`, `ECONNREFUSED`. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

/** The same where an error's message may quote what must not be shown: its code, else the name of its kind. */
export function kindOf(error: unknown): string {
  return error instanceof Error ? ('code' in error ? String(error.code) : error.name) : typeof error
}
