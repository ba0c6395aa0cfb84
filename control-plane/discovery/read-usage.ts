// Sizes of all mailboxes and drives, from one report each. (microsoft-365.md §4)
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import type { DiscoveryRun } from './discovery-run.ts'
import { dropAllBut, putReported } from './part-store.ts'
import { readDriveUsage, readMailboxUsage } from './usage-report.ts'
import type { ReportedRow, ReportRow } from './usage-report.ts'

const ROWS_A_STEP = 1_000

const REPORTS: readonly {
  readonly source: 'mailbox-report' | 'drive-report'
  readonly name: string
  readonly step: string
  readonly read: (row: ReportRow) => ReportedRow<object> | undefined
}[] = [
  { source: 'mailbox-report', name: 'getMailboxUsageDetail', step: 'reading mailbox sizes', read: readMailboxUsage },
  { source: 'drive-report', name: 'getOneDriveUsageAccountDetail', step: 'reading drive sizes', read: readDriveUsage },
]

export async function readUsage(run: DiscoveryRun): Promise<void> {
  for (const report of REPORTS) await readReport(run, report)
}

async function readReport(run: DiscoveryRun, { source, name, step, read }: (typeof REPORTS)[number]): Promise<void> {
  const { context, at } = run
  const batches = await download(run, name, read)
  if (batches === undefined) {
    await run.gap('report-unavailable')
    return
  }
  const seen = new Set<string>()
  for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
    context.checkCancelled()
    const rows = JSON.parse(batch.toString('utf8')) as ReportedRow<object>[]
    for (const id of await run.change((tx) => putReported(tx, at, source, rows))) seen.add(id)
    await run.progress(step, 0)
  }
  await run.change((tx) => dropAllBut(tx, at, source, seen))
}

/**
 * All of it before anything is written: while we keep a download waiting its server takes the connection for idle, closes it, and what was on its way
 * is lost. As text some 100 octets a mailbox.
 * @returns undefined: there is no such report
 */
async function download(
  { context, graph }: DiscoveryRun,
  name: string,
  read: (typeof REPORTS)[number]['read'],
): Promise<Buffer[] | undefined> {
  const batches: Buffer[] = []
  let rows: ReportedRow<object>[] = []
  const pack = (): void => {
    if (rows.length > 0) batches.push(Buffer.from(JSON.stringify(rows)))
    rows = []
  }
  const operation = `GET /reports/${name}(period='{period}')`
  try {
    for await (const row of graph.report(`/reports/${name}(period='D7')`, { operation, signal: context.signal })) {
      const reported = read(row)
      if (reported !== undefined) rows.push(reported)
      if (rows.length === ROWS_A_STEP) pack()
    }
  } catch (error) {
    if (!(error instanceof MicrosoftError) || error.code !== 'NOT_FOUND') throw error
    return undefined
  }
  pack()
  return batches
}
