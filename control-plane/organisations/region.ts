// The region label: organisations, storage and the processes that work on it have the same, or don't work together. (TI-5)
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import { labelStorage, lockOrganisation, regionsInUse } from './organisation-store.ts'

/** A process of one region was pointed at the data of another. */
export class RegionMismatch extends Error {
  override readonly name = 'RegionMismatch'
}

/**
 * At the start of each process: storage without organisations takes the label of whoever comes first, from then on it has to be the same.
 * @throws RegionMismatch in words for the operator
 */
export async function claimRegion(db: Db, region: string): Promise<void> {
  await withScope(db, { organisation: INSTALLATION, purpose: 'administration' }, async (tx) => {
    await lockOrganisation(tx, INSTALLATION)
    const { storage, organisations } = await regionsInUse(tx)
    const foreign = [...new Set([...(organisations.length === 0 ? [] : [storage]), ...organisations])].filter(
      (label) => label !== region,
    )
    if (foreign.length > 0)
      throw new RegionMismatch(
        `REGION is ${region}, but the database keeps data of ${foreign.toSorted().join(', ')}: set REGION to that, or DATABASE_URL to the database of ${region}`,
      )
    if (storage !== region) await labelStorage(tx, region)
  })
}
