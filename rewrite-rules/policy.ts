// The project's policy (rewriting.md §13): an object whose missing keys have the first value and whose unknown keys are errors.

export interface Policy {
  /** R35 */
  readonly inHeaders: 'full' | 'keep-dkim' | 'envelope-only'
  /** R43 */
  readonly displayNameAddress: boolean
  /** R22: domains (any spelling that maps to A-labels) whose local parts have no `+` extension */
  readonly noExtensions: readonly string[]
  /** R50 */
  readonly tnef: 'pass' | 'reject'
  /** R51 */
  readonly signed: 'headers' | 'bypass'
  readonly route: 'owner-tenant' | 'return' | 'mx'
  /** R82 */
  readonly staleDkim: 'keep' | 'remove-own'
  /** R83 */
  readonly arc: 'auto' | 'on' | 'off'
}

export const DEFAULT_POLICY: Policy = {
  inHeaders: 'full',
  displayNameAddress: true,
  noExtensions: [],
  tnef: 'pass',
  signed: 'headers',
  route: 'owner-tenant',
  staleDkim: 'keep',
  arc: 'auto',
}
