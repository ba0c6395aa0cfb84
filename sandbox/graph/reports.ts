// Usage reports: a redirect to a download that needs no token, and there CSV as Microsoft writes it ("reportRoot: getMailboxUsageDetail",
// "reportRoot: getOneDriveUsageAccountDetail" on Microsoft Learn).
import { createHash } from 'node:crypto'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { json, parameter } from './graph-call.ts'
import type { GraphAnswer, GraphCall, GraphHandler } from './graph-call.ts'
import { GraphFault, badRequest } from './graph-error.ts'
import { contextOf } from './listing.ts'
import { downloadLink } from './report-download.ts'
import type { ReportName } from './report-download.ts'
import { initialLabel, personalFolder } from './users.ts'

const PERIODS: readonly string[] = ['D7', 'D30', 'D90', 'D180']
/** Reports are as old as Microsoft says they may be. */
const REPORT_AGE_MS = 2 * 86_400_000

export const reportHandlers: Readonly<Record<string, GraphHandler>> = {
  "GET /reports/getMailboxUsageDetail(period='{period}')": (call) => redirect(call, 'mailboxes'),
  "GET /reports/getOneDriveUsageAccountDetail(period='{period}')": (call) => redirect(call, 'drives'),
  'GET /admin/reportSettings': (call) =>
    json({
      '@odata.context': contextOf(call, 'admin/reportSettings', undefined, '/$entity'),
      displayConcealedNames: call.tenant.data.reportsConcealNames,
    }),
}

function redirect(call: GraphCall, report: ReportName): GraphAnswer {
  // "This API is available in the following national cloud deployments": the global service alone. The code is from memory.
  if (call.tenant.data.cloud !== 'global') throw new GraphFault(404, 'ResourceNotFound', 'Resource not found.')
  const period = parameter(call, 'period')
  if (!PERIODS.includes(period))
    throw badRequest("Invalid period value specified. Supported values are 'D7,D30,D90,D180'.")
  const location = downloadLink({ tenantId: call.tenant.id, report, period, issuedMs: call.nowMs })
  return { status: 302, headers: { location }, content: { kind: 'none' } }
}

/** The file behind a download link. */
export function reportCsv(tenant: SimulatedTenant, report: ReportName, period: string, nowMs: number): string {
  const shared = { refreshed: day(nowMs - REPORT_AGE_MS), period: period.slice(1), tenant }
  const rows = report === 'mailboxes' ? mailboxRows(shared) : driveRows(shared)
  // A byte order mark, and lines that end as on Windows.
  return `\ufeff${rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('')}`
}

interface Shared {
  readonly refreshed: string
  /** Days. */
  readonly period: string
  readonly tenant: SimulatedTenant
}

type Row = readonly (string | number | boolean)[]

const MAILBOX_COLUMNS =
  'Report Refresh Date,User Principal Name,Display Name,Is Deleted,Deleted Date,Created Date,Last Activity Date,Item Count,Storage Used (Byte),Issue Warning Quota (Byte),Prohibit Send Quota (Byte),Prohibit Send/Receive Quota (Byte),Deleted Item Count,Deleted Item Size (Byte),Deleted Item Quota (Byte),Has Archive,Report Period'.split(
    ',',
  )
const MAILBOX_TYPES: ReadonlySet<string> = new Set(['UserMailbox', 'SharedMailbox', 'RoomMailbox', 'EquipmentMailbox'])
const GB = 2 ** 30
const AVERAGE_DELETED_BYTES = 50_000

function mailboxRows({ tenant, refreshed, period }: Shared): Row[] {
  const rows: Row[] = [MAILBOX_COLUMNS]
  for (const { recipientTypeDetails, externalDirectoryObjectId: id, statistics } of tenant.recipients()) {
    if (!MAILBOX_TYPES.has(recipientTypeDetails) || statistics === undefined || id === undefined) continue
    const user = tenant.object(id)
    if (user === undefined) continue
    const { userPrincipalName, displayName, createdDateTime } = user.properties
    const { items, bytes, deletedItemBytes, archiveItems } = statistics
    rows.push([
      refreshed,
      named(tenant, userPrincipalName),
      named(tenant, displayName),
      false,
      '',
      typeof createdDateTime === 'string' ? createdDateTime.slice(0, 10) : '',
      refreshed,
      items,
      bytes,
      98 * GB,
      99 * GB,
      100 * GB,
      Math.ceil(deletedItemBytes / AVERAGE_DELETED_BYTES),
      deletedItemBytes,
      30 * GB,
      archiveItems !== undefined,
      period,
    ])
  }
  return rows
}

const DRIVE_COLUMNS =
  'Report Refresh Date,Site URL,Owner Display Name,Is Deleted,Last Activity Date,File Count,Active File Count,Storage Used (Byte),Storage Allocated (Byte),Owner Principal Name,Report Period'.split(
    ',',
  )

function driveRows({ tenant, refreshed, period }: Shared): Row[] {
  const rows: Row[] = [DRIVE_COLUMNS]
  for (const [id, { usedBytes, files }] of Object.entries(tenant.data.drives)) {
    const owner = tenant.object(id)
    if (owner === undefined) continue
    const { userPrincipalName, displayName } = owner.properties
    const site = `https://${initialLabel({ tenant })}-my.sharepoint.com/personal/${personalFolder(userPrincipalName)}`
    rows.push([
      refreshed,
      tenant.data.reportsConcealNames ? '' : site,
      named(tenant, displayName),
      false,
      refreshed,
      files,
      Math.min(files, 10),
      usedBytes,
      1024 * GB,
      named(tenant, userPrincipalName),
      period,
    ])
  }
  return rows
}

/** Concealed, it is a hash: alike for alike, and nobody's. */
function named(tenant: SimulatedTenant, name: unknown): string {
  const text = typeof name === 'string' ? name : ''
  if (!tenant.data.reportsConcealNames) return text
  return createHash('md5').update(`${tenant.id} ${text}`).digest('hex').toUpperCase()
}

function cell(value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  const text = String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}
