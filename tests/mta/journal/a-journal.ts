// A journal in a directory of its own, with a clock that a test moves.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { emptyMetrics } from '../../../common/metrics.ts'
import type { DeliveryEvent } from '../../../mta/delivery-event.ts'
import { Journal } from '../../../mta/journal/journal.ts'
import type { JournalDeps } from '../../../mta/journal/journal.ts'
import type { JournalEntry } from '../../../mta/journal/journal-entry.ts'
import { readJournal } from '../../../mta/journal/read-journal.ts'
import { messageIdTag, recipientTag } from '../../../mta/privacy.ts'
import type { Privacy } from '../../../mta/privacy.ts'
import { FakeClock } from '../queue/world.ts'
import { recordingLog } from '../spool/spool-harness.ts'

export const T0 = Date.UTC(2026, 10, 22, 10, 0)
export const KEY = 'k'

export function spoolFolder(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-journal-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export function aJournal(
  spoolDirectory: string,
  { privacy = 'hashed', ...overrides }: Partial<JournalDeps> & { privacy?: Privacy } = {},
) {
  const clock = new FakeClock()
  clock.wallMs = T0
  const log = recordingLog()
  const metrics = emptyMetrics()
  const journal = new Journal({
    spoolDirectory,
    settings: { keepDays: 30, maxDayBytes: 1024 * 1024 * 1024 },
    reserve: { ratio: 0, bytes: 0 },
    tags: {
      address: (address) => recipientTag(address, privacy, KEY),
      messageId: (id) => messageIdTag(id, privacy, KEY),
    },
    log,
    metrics,
    now: () => clock.wallMs,
    timer: clock.timer,
    ...overrides,
  })
  const lost = async (loss: string) => {
    const { values } = (await metrics.getSingleMetric('causeway_journal_lost_lines_total')?.get()) ?? { values: [] }
    return values.find(({ labels }) => labels['loss'] === loss)?.value ?? 0
  }
  return { journal, clock, log, lost }
}

export function aDelivery(fields: Partial<DeliveryEvent['fields']> = {}): DeliveryEvent {
  return {
    event: 'delivery.delivered',
    level: 'info',
    fields: {
      queueId: '01JDA2B3C4XY5Z6Q',
      direction: 'out',
      route: 'owner-tenant',
      recipient: 'tag@example.net',
      recipientIndex: 0,
      attempt: 1,
      remote: 'mx.example:25',
      code: 250,
      status: '2.0.0',
      delaysMs: { intake: 1, queue: 2, connect: 3, send: 4 },
      ...fields,
    },
  }
}

export async function entriesIn(spoolDirectory: string): Promise<JournalEntry[]> {
  const entries: JournalEntry[] = []
  for await (const entry of readJournal(spoolDirectory, { filter: () => () => true })) entries.push(entry)
  return entries
}
