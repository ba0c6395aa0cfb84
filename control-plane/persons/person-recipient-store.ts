// A person as a recipient of notifications, whose addresses are sealed. (PR-6, KM-1)
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import { RECIPIENTS_COLUMN } from '../webhooks/notification.ts'
import { mentions } from './mention.ts'
import { spellingsOf } from './person.ts'
import { erasure } from './person-source.ts'
import type { PersonSource } from './person-source.ts'
import { allRows } from './person-table-store.ts'

const source: Pick<PersonSource, 'rows'> = {
  async *rows({ tx, sealer, place: { organisation, project } }, person) {
    const notifications = await rowsOf<{ id: string; project_id: string; events: string[]; recipients_sealed: Buffer }>(
      tx,
      sql`select id, project_id, events, recipients_sealed from notification
           where organisation_id = ${organisation} and project_id in ('', ${project}) order by id`,
    )
    const names = spellingsOf(person)
    for (const { recipients_sealed: sealed, ...row } of notifications) {
      const { purpose, context } = placeInRow(RECIPIENTS_COLUMN, [row.id])
      const plain = await sealer.open(tx, { organisation, project: undefined }, purpose, context, sealed)
      const own = (JSON.parse(plain.toString()) as string[]).filter((address) => mentions(address, names))
      if (own.length > 0) yield [{ ...row, recipients: own }]
    }
  },
}

export const notificationRecipients: PersonSource = {
  name: 'notification',
  tables: ['notification'],
  ...source,
  erase: async (at, person) => erasure(0, { 'in-force': (await allRows(at, source, person)).length }),
}
