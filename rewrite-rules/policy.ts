// The project's policy (rewriting.md §13): an object whose missing keys have the first value and whose unknown keys are errors.
import { normaliseDomain } from './addr-spec.ts'
import { FaultList, PolicyFault } from './input-fault.ts'

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

/**
 * Reads a parsed policy; missing keys take the value of `DEFAULT_POLICY`.
 *
 * @throws PolicyFault with everything that is wrong
 */
export function parsePolicy(json: unknown): Policy {
  const faults = new FaultList()
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    faults.add('', json, '§13', 'a policy is an object')
    throw new PolicyFault(faults.faults)
  }
  const given = new Map<string, unknown>(Object.entries(json))
  const policy: Policy = {
    inHeaders: choice('inHeaders', ['full', 'keep-dkim', 'envelope-only'], given, faults),
    displayNameAddress: choice('displayNameAddress', [true, false], given, faults),
    noExtensions: domains('noExtensions', given, faults),
    tnef: choice('tnef', ['pass', 'reject'], given, faults),
    signed: choice('signed', ['headers', 'bypass'], given, faults),
    route: choice('route', ['owner-tenant', 'return', 'mx'], given, faults),
    staleDkim: choice('staleDkim', ['keep', 'remove-own'], given, faults),
    arc: choice('arc', ['auto', 'on', 'off'], given, faults),
  }
  for (const [key, value] of given) if (!Object.hasOwn(policy, key)) faults.add(key, value, '§13', 'unknown key')
  if (faults.faults.length > 0) throw new PolicyFault(faults.faults)
  return policy
}

function choice<const T extends string | boolean>(
  key: string,
  values: readonly [T, ...T[]],
  given: ReadonlyMap<string, unknown>,
  faults: FaultList,
): T {
  if (!given.has(key)) return values[0]
  const found = values.find((value) => value === given.get(key))
  if (found === undefined) faults.add(key, given.get(key), '§13', `one of ${values.join(', ')}`)
  return found ?? values[0]
}

function domains(key: string, given: ReadonlyMap<string, unknown>, faults: FaultList): readonly string[] {
  const list = given.get(key) ?? []
  if (!Array.isArray(list)) {
    faults.add(key, list, '§13', 'a list of domains')
    return []
  }
  const found: string[] = []
  for (const [i, domain] of list.entries()) {
    if (typeof domain === 'string' && normaliseDomain(domain) !== undefined) found.push(domain)
    else faults.add(`${key}/${i}`, domain, 'R22', 'not a domain')
  }
  return found
}
