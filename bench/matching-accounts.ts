// Fills both sides of bench/matching.ts, in a process of its own: what making accounts costs must not count as memory of matching them.
// `node bench/matching-accounts.ts <JSON>`
import { openDatabase, withScope } from '../control-plane/db/database.ts'
import type { TenantId } from '../control-plane/ids.ts'
import type { Place } from '../control-plane/mapping/mapping.ts'
import { discover } from '../tests/control-plane/matching/matching-scene.ts'
import type { Told } from '../tests/control-plane/matching/matching-scene.ts'

export interface Filling {
  readonly connection: { readonly host: string; readonly user: string; readonly database: string }
  readonly place: Place
  readonly source: TenantId
  readonly target: TenantId
  readonly accounts: number
}

/** Of twenty people: 12 by number, 3 by address, 2 by user principal name, one by his name only, one of two candidates, one by nothing. */
function person(i: number, side: 'src' | 'tgt'): Told {
  const name = `person${String(i).padStart(6, '0')}`
  const domain = `${side}.example`
  const way = i % 20
  const isSource = side === 'src'
  const local = way < 12 || way >= 17 ? (isSource ? name : `n${name}`) : name
  const shared = way >= 12 && way < 15 ? [`${name}@both.example`] : []
  return {
    objectId: `${String(i).padStart(8, '0')}-0000-4000-8000-${isSource ? '000000000001' : '000000000002'}`,
    displayName: way === 19 && !isSource ? `Nobody ${i}` : `Person ${name}`,
    userPrincipalName: `${way >= 15 && way < 17 ? name : local}@${domain}`,
    mail: `${local}@${domain}`,
    addresses: [`${local}@${domain}`, `${local}.alias@${domain}`, ...shared],
    x500: [`/o=ExchangeLabs/ou=Exchange Administrative Group/cn=Recipients/cn=${side}-${name}`],
    attributes: {
      department: `Department ${i % 300}`,
      ...(way < 12 ? { employeeId: `E${i}` } : way === 18 ? { employeeId: `F${Math.floor(i / 40)}` } : {}),
    },
  }
}

const { connection, place, source, target, accounts } = JSON.parse(process.argv[2] ?? '') as Filling
const database = openDatabase({ connection, maxConnections: 1, statementTimeoutMs: 600_000, onIdleError: () => {} })
for (const [tenant, side] of [
  [source, 'src'],
  [target, 'tgt'],
] as const) {
  const told = Array.from({ length: accounts }, (_, i) => person(i, side))
  await withScope(database.db, { organisation: place.organisation }, (tx) => discover(tx, place, tenant, told))
}
await database.close()
