// What is wrong with a request or an answer, judged by what Microsoft publishes; and what the service says to a request of that kind.

export const VIOLATION_RULES = [
  'unknown-operation',
  'refused-operation',
  'wrong-version',
  'unknown-query-option',
  'missing-query-option',
  'query-value',
  'unknown-member',
  'missing-member',
  'wrong-type',
  'unknown-enum-member',
  'body-not-taken',
  'unknown-type',
  'unknown-cmdlet',
  'unknown-parameter',
  'on-premises-only',
  'no-parameter-set',
  'value-not-allowed',
  'wrong-header',
  'wrong-link',
  /** The simulation's own limit: the contract allows it, and a test must not pass for it. */
  'not-simulated',
] as const
export type ViolationRule = (typeof VIOLATION_RULES)[number]

export interface Violation {
  readonly rule: ViolationRule
  /** A member's path (`owners[0].displayName`), a query option, a parameter, a cmdlet. Names only: values may be somebody's. */
  readonly where: string
  readonly message: string
  /** What the service answers. */
  readonly status: 400 | 404 | 405
}
