// Verifies a part of a chain where it is kept, in steps. Beside what an export's verification finds, it finds columns that were changed: events
// would be found, or not found, by values that they don't have. (AU-3)
import type { Db } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import { ColumnsChanged, readTrail } from './trail-store.ts'
import type { TrailRange } from './trail-store.ts'
import { TrailVerifier } from './verify-trail.ts'
import type { TrailReport } from './verify-trail.ts'

export interface StoredReport {
  readonly report: TrailReport
  /** Sequence to go on with; undefined at the end of the chain, or at a fault. */
  readonly next: number | undefined
}

/** @throws NoSuchTrail */
export async function verifyStored(
  db: Db,
  organisation: OrganisationId,
  range: TrailRange,
  signal: AbortSignal,
): Promise<StoredReport> {
  const verifier = new TrailVerifier()
  try {
    for await (const record of readTrail(db, organisation, range, true)) {
      signal.throwIfAborted()
      if (!verifier.takeRecord(record)) break
    }
  } catch (error) {
    if (!(error instanceof ColumnsChanged)) throw error
    verifier.fail('changed', error.message, { event: error.sequence })
  }
  const report = verifier.report()
  return { report, next: report.holds && report.size === range.to ? report.size + 1 : undefined }
}
