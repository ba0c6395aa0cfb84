// Which tenants of a project are on which side.
import type { Tx } from '../db/database.ts'
import type { TenantId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import { listTenants } from '../tenants/tenant-store.ts'

export async function sidesOf(
  tx: Tx,
  place: Place,
): Promise<Readonly<Record<'source' | 'target', readonly TenantId[]>>> {
  const tenants = await listTenants(tx, place)
  const idsOf = (side: 'source' | 'target'): TenantId[] =>
    tenants.filter((one) => one.side === side).map(({ id }) => id)
  return { source: idsOf('source'), target: idsOf('target') }
}
