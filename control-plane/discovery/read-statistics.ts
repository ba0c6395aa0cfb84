// Exact sizes of chosen mailboxes: a call each, so for few, never for all. (microsoft-365.md §4)
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import type { ExchangeClient } from '../microsoft/clients.ts'
import type { DiscoveryRun } from './discovery-run.ts'
import { readStatistics } from './exchange-part.ts'
import type { ExchangeRow } from './exchange-part.ts'
import { mailboxesOf, putParts } from './part-store.ts'

const SELECT = ['TotalItemSize', 'ItemCount', 'TotalDeletedItemSize']

export async function readChosenStatistics(run: DiscoveryRun, exchange: ExchangeClient): Promise<void> {
  const { context, at, discovery } = run
  const mailboxes = await context.read((tx) => mailboxesOf(tx, at, discovery.statisticsFor))
  for (const { objectId, hasArchive } of mailboxes) {
    context.checkCancelled()
    const own = await statisticsOf(run, exchange, { Identity: objectId })
    if (own === undefined) continue
    const archive = hasArchive ? await statisticsOf(run, exchange, { Identity: objectId, Archive: true }) : undefined
    const part = readStatistics(own, archive)
    await run.change((tx) => putParts(tx, at, 'statistics', [{ objectId, part }], false))
    await run.progress('reading chosen mailboxes', 0)
  }
}

/** undefined: it has none, or is gone since. */
async function statisticsOf(
  { context }: DiscoveryRun,
  exchange: ExchangeClient,
  parameters: Readonly<Record<string, unknown>>,
): Promise<ExchangeRow | undefined> {
  try {
    const options = { select: SELECT, signal: context.signal }
    for await (const [row] of exchange.read<ExchangeRow>('Get-MailboxStatistics', parameters, options)) return row
    return undefined
  } catch (error) {
    if (error instanceof MicrosoftError && error.code === 'NOT_FOUND') return undefined
    throw error
  }
}
