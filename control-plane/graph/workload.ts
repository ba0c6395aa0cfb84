// Which budgets a call of Graph takes from, and how much (microsoft-365.md §3, throttling budgets). By the path that is really asked, so that a link
// costs what its first page did. Pure.
import { directoryBudget } from '../microsoft/budgets.ts'
import type { Budgets } from '../microsoft/budgets.ts'
import type { Connection } from '../microsoft/clients.ts'
import type { Claim } from '../microsoft/governor.ts'

export type GraphMethod = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

/** Resource units of the directory that aren't 1, before `$select` and the like ("Microsoft Graph throttling limits", identity and access). */
const DIRECTORY_COSTS: readonly (readonly [method: GraphMethod, path: RegExp, units: number])[] = [
  ['GET', /^\/users(?:\/delta(?:\(\))?)?$/, 2],
  ['GET', /^\/groups\/[^/]+\/members$/, 3],
  ['GET', /^\/groups\/[^/]+\/transitivemembers$/, 5],
  ['GET', /^\/users\/[^/]+\/(?:licensedetails|memberof|ownedobjects|transitivememberof)$/, 2],
  ['GET', /^\/subscribedskus$/, 3],
  ['GET', /^\/domains\/[^/]+\/domainnamereferences$/, 4],
  ['GET', /^\/contracts$/, 3],
  ['GET', /^\/applications(?:\/[^/]+\/extensionproperties)?$/, 2],
  ['GET', /^\/oauth2permissiongrants(?:\/[^/]+)?$/, 2],
  ['GET', /^\/serviceprincipals\/[^/]+\/approleassignments$/, 2],
  ['POST', /^\/directoryobjects\/getbyids$/, 3],
  ['POST', /^\/users\/[^/]+\/(?:checkmembergroups|checkmemberobjects)$/, 4],
  ['POST', /^\/users\/[^/]+\/(?:getmembergroups|getmemberobjects)$/, 2],
]
/** Questions that are posted change nothing. */
const POSTED_READS = /\/(?:getbyids|checkmembergroups|checkmemberobjects|getmembergroups|getmemberobjects)$/
const REPORT = /^\/reports\/(get[a-z0-9]+)/
const MAILBOX =
  /^\/(?:users\/([^/]+)\/(?:messages|mailfolders|calendars?|calendargroups|calendarview|events|contacts|contactfolders|todo|outlook|mailboxsettings|inferenceclassification|sendmail)|admin\/exchange\/mailboxes\/([^/]+))(?:\/|$)/
const FILES = /^\/(?:drives|sites|shares)(?:\/|$)|^\/(?:users|groups)\/[^/]+\/drives?(?:\/|$)/

export interface Measured {
  readonly method: GraphMethod
  /** Path and query of the URL. */
  readonly url: URL
}

/** The first claim is on the workload's own budget. */
export function graphClaims(budgets: Budgets, connection: Connection, call: Measured): Claim[] {
  const { clientId, people } = connection
  const path = pathBelowVersion(call.url)
  const own = `${clientId} ${connection.entraTenantId}`
  const app: Claim = { bucket: `app ${clientId}`, limit: budgets.app, cost: 1 }
  const report = REPORT.exec(path)?.[1]
  if (report !== undefined) return [{ bucket: `report ${own} ${report}`, limit: budgets.reports, cost: 1 }, app]
  const mailbox = MAILBOX.exec(path)
  if (mailbox !== null) {
    const bucket = `${own} ${mailbox[1] ?? mailbox[2] ?? ''}`
    return [
      { bucket: `mailbox ${bucket}`, limit: budgets.mailbox, cost: 1 },
      { bucket: `mailbox-calls ${bucket}`, limit: budgets['mailbox-calls'], cost: 1 },
      app,
    ]
  }
  if (FILES.test(path)) return [{ bucket: `files ${own}`, limit: budgets.files, cost: filesCost(call, path) }, app]
  const directory: Claim = {
    bucket: `directory ${own}`,
    limit: directoryBudget(budgets, people),
    cost: directoryCost(call, path),
  }
  const writes: Claim[] =
    call.method === 'GET' || POSTED_READS.test(path)
      ? []
      : [{ bucket: `directory-writes ${own}`, limit: budgets['directory-writes'], cost: 1 }]
  if (path === '/invitations')
    return [{ bucket: `invitations ${own}`, limit: budgets.invitations, cost: 1 }, directory, ...writes, app]
  return [directory, ...writes, app]
}

/** What a batch takes: each member is charged by itself. */
export function sumClaims(lists: readonly (readonly Claim[])[]): Claim[] {
  const sums = new Map<string, Claim>()
  for (const claim of lists.flat()) {
    const before = sums.get(claim.bucket)
    // At the same time is the whole batch, or none of it: its members run inside.
    sums.set(claim.bucket, { ...claim, cost: claim.cost + (before?.cost ?? 0) })
  }
  return [...sums.values()]
}

function directoryCost({ method, url }: Measured, path: string): number {
  const known = DIRECTORY_COSTS.find(([each, pattern]) => each === method && pattern.test(path))
  const query = url.searchParams
  const top = query.get('$top')
  const cost =
    (known?.[2] ?? 1) -
    (query.has('$select') ? 1 : 0) +
    (query.has('$expand') ? 1 : 0) -
    (top !== null && Number(top) < 20 ? 1 : 0)
  return Math.max(1, cost)
}

function filesCost({ method, url }: Measured, path: string): number {
  if (/\/permissions(?:\/|$)|\/invite$/.test(path) || url.searchParams.get('$expand')?.includes('permissions') === true)
    return 5
  const isList =
    /\/(?:children|items|lists|drives)$/.test(path) || (/\/delta/.test(path) && !url.searchParams.has('token'))
  return method !== 'GET' || isList ? 2 : 1
}

const pathBelowVersion = (url: URL): string => url.pathname.toLowerCase().replace(/^\/(?:v1\.0|beta)/, '')
