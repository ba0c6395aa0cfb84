// Which application permission stands for which: `coverage` in permission-sets.json. A ReadWrite role includes its Read role, a Read role its
// ReadBasic role; the published lists often leave that out.
import type { GraphOperation } from './graph-paths.ts'

const REACH = ['ReadBasic', 'Read', 'ReadWrite']

/** `Mail.ReadBasic.All` by `Mail.Read`: over everybody's mailbox either way. */
export function isCoveredBy(wanted: string, held: string): boolean {
  if (wanted === held) return true
  const [subject, verb = '', scope = 'All'] = wanted.split('.')
  const [heldSubject, heldVerb = '', heldScope = 'All'] = held.split('.')
  const reach = REACH.indexOf(verb)
  return subject === heldSubject && scope === heldScope && reach !== -1 && REACH.indexOf(heldVerb) >= reach
}

/** Whether a token with these application roles may call it. */
export function isOpenTo(operation: GraphOperation, roles: readonly string[]): boolean {
  if (operation.status === 'delegated-only') return false
  if (operation.isOpenToAll) return true
  const { least, other, alsoRequires } = operation.permissions
  const holds = (wanted: string) => roles.some((role) => isCoveredBy(wanted, role))
  const companions = new Set(operation.isWrite ? Object.values(alsoRequires).flat() : [])
  return [...least, ...other].some((wanted) => {
    const others = alsoRequires[wanted]
    // Listed only because another one wants it: alone it opens no write.
    if (others === undefined) return !companions.has(wanted) && holds(wanted)
    return holds(wanted) && others.some(holds)
  })
}
