// Recipients as Exchange knows them, whole each time: cmdlets have no delta. What is not there any more is told from what came. (microsoft-365.md §4)
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import type { ExchangeClient } from '../microsoft/clients.ts'
import type { DiscoveryRun } from './discovery-run.ts'
import { DYNAMIC_GROUP_SELECT, MAILBOX_SELECT, objectIdOf, readRecipient, RECIPIENT_SELECT } from './exchange-part.ts'
import type { ExchangeRow } from './exchange-part.ts'
import { dropAllBut, putParts } from './part-store.ts'

const KINDS: readonly {
  readonly cmdlet: string
  readonly select: readonly string[]
  readonly isMailbox: boolean
  readonly step: string
}[] = [
  { cmdlet: 'Get-Mailbox', select: MAILBOX_SELECT, isMailbox: true, step: 'reading mailboxes' },
  { cmdlet: 'Get-MailUser', select: RECIPIENT_SELECT, isMailbox: false, step: 'reading mail users' },
  { cmdlet: 'Get-MailContact', select: RECIPIENT_SELECT, isMailbox: false, step: 'reading mail contacts' },
  { cmdlet: 'Get-DistributionGroup', select: RECIPIENT_SELECT, isMailbox: false, step: 'reading distribution groups' },
  {
    cmdlet: 'Get-DynamicDistributionGroup',
    select: DYNAMIC_GROUP_SELECT,
    isMailbox: false,
    step: 'reading dynamic distribution groups',
  },
]

/** Some 100 octets an object: the one thing that grows with the tenant. */
export async function readExchange(run: DiscoveryRun, exchange: ExchangeClient): Promise<void> {
  const seen = new Set<string>()
  try {
    for (const kind of KINDS) await readKind(run, exchange, kind, seen)
  } catch (error) {
    // Exchange is optional: what it would have shown is a gap, and no reason to stop.
    if (!(error instanceof MicrosoftError) || error.code !== 'RBAC_MISSING') throw error
    await run.gap('exchange-role-missing')
    return
  }
  await run.change((tx) => dropAllBut(tx, run.at, 'exchange', seen))
}

async function readKind(
  run: DiscoveryRun,
  exchange: ExchangeClient,
  { cmdlet, select, isMailbox, step }: (typeof KINDS)[number],
  seen: Set<string>,
): Promise<void> {
  const { context, at } = run
  const pages = exchange.read<ExchangeRow>(cmdlet, { ResultSize: 'Unlimited' }, { select, signal: context.signal })
  for await (const rows of pages) {
    context.checkCancelled()
    const parts = rows.flatMap((row) => {
      const objectId = objectIdOf(row)
      return objectId === undefined ? [] : [{ objectId, part: readRecipient(row, isMailbox) }]
    })
    for (const { objectId } of parts) seen.add(objectId)
    await run.change((tx) => putParts(tx, at, 'exchange', parts, false))
    await run.progress(step, rows.length)
  }
}
