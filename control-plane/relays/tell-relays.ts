// What a project's relays are told beside the table has changed: they get it, and so do those who watch.
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import type { ProjectPlace } from './relay-secret-store.ts'

export async function tellRelays(tx: Tx, place: ProjectPlace): Promise<void> {
  const { settingsVersion } = await bumpSnapshot(tx, place.organisation, place.project, 'settings')
  await publishEvent(tx, place, 'relay-settings.changed', { version: settingsVersion })
}
