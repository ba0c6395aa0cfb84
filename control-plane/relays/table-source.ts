// Tables and their differences as pushes take them: compiled by mapping/, with the digest that a relay has to come to. (RC-6)
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import type { CompiledTables } from '../mapping/compiled-tables.ts'
import { readDelta } from '../mapping/mapping-store.ts'
import type { TableSource } from './stream-snapshots.ts'

/** Entries and rules of a delta: it is applied in one go, while a relay's mail waits. */
const MAX_CHANGES = 10_000

export function createTableSource(db: Db, tables: Pick<CompiledTables, 'told'>): TableSource {
  return {
    told: (organisation, project) => tables.told(organisation, project),
    async delta(place, from, table, maxBytes) {
      const delta = await withScope(db, { organisation: place.organisation }, (tx) =>
        readDelta(tx, place, from, table.version, MAX_CHANGES),
      )
      if (delta === undefined) return undefined
      const bytes = Buffer.from(JSON.stringify({ ...delta, digest: table.digest }))
      return bytes.length > maxBytes ? undefined : bytes
    },
  }
}
