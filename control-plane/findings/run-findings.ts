// Job `findings.run`: judges a whole project. Accounts in slices, then groups within groups, then the tenants; each slice writes what is new and what is
// gone, and where the run goes on, in one transaction. Run again from anywhere it comes to the same. (JQ-2, JQ-5)
import { appendAudit } from '../audit/audit-store.ts'
import { publishEvent } from '../db/outbox.ts'
import type { AccountId, TenantId } from '../ids.ts'
import type { JobContext, JobHandler } from '../jobs/job.ts'
import { refreshStatistics } from '../mapping/change-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { Details, JudgedFinding, Said } from './finding.ts'
import { beginRun, endRun, savePlace } from './finding-run-store.ts'
import type { RunPlace } from './finding-run-store.ts'
import { countFindings } from './finding-store.ts'
import { judgeNesting } from './group-nesting.ts'
import { isMailboxOwner, judgeAccount } from './judge-account.ts'
import { judgeDomains } from './judge-domains.ts'
import { judgeLicences } from './judge-licences.ts'
import { judgeMailFlow } from './judge-mail-flow.ts'
import { judgeRelations, NO_RELATIONS } from './judge-relations.ts'
import type { Relations } from './judge-relations.ts'
import { judgeTenant } from './judge-tenant.ts'
import { findByObjectIds, readGroupsInGroups } from './nesting-store.ts'
import type { GroupMembership } from './nesting-store.ts'
import type { ProjectView, TenantView } from './project-view.ts'
import { readRelations, readSlice } from './relation-store.ts'
import type { SliceAccount } from './relation-store.ts'
import { readProjectView } from './view-store.ts'
import { writeFindings } from './write-store.ts'
import type { Written } from './write-store.ts'

export interface RunFindingsDeps {
  /** ms since the epoch */
  readonly now: () => number
  /** Of accounts; default 500. */
  readonly sliceSize?: number
  /** Of groups in groups that are looked through in a tenant: some 100 octets each. */
  readonly maxMemberships?: number
}

const SLICE = 500
const MAX_MEMBERSHIPS = 500_000
const MEMBERSHIPS_A_PAGE = 10_000
const FINDINGS_A_CHANGE = 2_000
const MAX_NAMED = 10
/** As the audit trail names what nobody asked for. */
const ACTOR = 'system:findings'

type Run = Pick<JobContext, 'read' | 'change' | 'signal'> & {
  readonly place: ProjectPlace
  readonly view: ProjectView
  readonly deps: RunFindingsDeps
}

export function runFindingsJob(deps: RunFindingsDeps): JobHandler {
  return {
    async run(job) {
      const { organisation, project, read, change, finish, signal } = job
      if (project === undefined) return
      const place = { organisation, project }
      let at = await change((tx) => beginRun(tx, place))
      if (at === undefined) return
      const view = await read((tx) => readProjectView(tx, place, deps.now()))
      const run: Run = { read, change, signal, place, view, deps }
      if (at.pass === 'accounts') at = await judgeAccounts(run, at)
      if (at.pass === 'nesting') at = await judgeGroups(run, at)
      const written = at
      const findings = view.tenants.flatMap((own) => judgeWhole(own, view, written))
      await finish(async (tx) => {
        const now = new Date(deps.now())
        const last = await writeFindings(tx, place, { pass: 'tenants' }, findings, now)
        const total = added(written, last)
        await endRun(tx, place, now)
        const { opened, changed, resolved } = total
        if (opened + changed + resolved === 0) return
        const severities = { blocker: 0, warning: 0, notice: 0 }
        for (const { severity, open } of await countFindings(tx, place)) severities[severity] += open
        await publishEvent(tx, place, 'finding.judged', { opened, changed, resolved, open: severities })
        await appendAudit(
          tx,
          organisation,
          {
            action: 'finding.judged',
            actor: ACTOR,
            project,
            object: project,
            result: 'done',
            payload: { opened, changed, resolved },
          },
          now.getTime(),
        )
      })
    },
  }
}

const added = (at: RunPlace, { opened, changed, resolved }: Written): RunPlace => ({
  ...at,
  opened: at.opened + opened,
  changed: at.changed + changed,
  resolved: at.resolved + resolved,
})

// ── Accounts ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function judgeAccounts({ read, change, signal, place, view, deps }: Run, from: RunPlace): Promise<RunPlace> {
  const { sliceSize = SLICE } = deps
  // A discovery has just filled the tables.
  await read((tx) => refreshStatistics(tx, Infinity))
  for (let at = from; ;) {
    signal.throwIfAborted()
    const { after } = at
    const [slice, relations] = await read(async (tx) => {
      const accounts = await readSlice(tx, place, after, sliceSize)
      return [accounts, await readRelations(tx, place, accounts, view)] as const
    })
    const isEnd = slice.length < sliceSize
    const upTo = isEnd ? undefined : slice.at(-1)?.id
    const findings = slice.flatMap((account) => judgeOne(account, relations.get(account.id) ?? NO_RELATIONS, view))
    const counts = counted(at.counts, slice, view)
    const before: RunPlace = { ...at, counts, after: upTo ?? '', pass: isEnd ? 'nesting' : 'accounts' }
    at = await change(async (tx) => {
      const then = added(
        before,
        await writeFindings(tx, place, { pass: 'accounts', after, upTo }, findings, new Date(deps.now())),
      )
      await savePlace(tx, place, then)
      return then
    })
    if (isEnd) return at
  }
}

/** Everything that is said of one account. */
export function judgeOne(
  { id, tenant, sortKey, snapshot }: SliceAccount,
  relations: Relations,
  view: ProjectView,
): JudgedFinding[] {
  const own = view.byId.get(tenant)
  if (own === undefined) return []
  const about = { tenant, account: id, sortKey }
  return [
    ...judgeAccount(snapshot, own, view).map(({ code, details = {} }) => ({ ...about, code, details })),
    ...judgeRelations(snapshot, tenant, relations).map(({ code, other, details = {} }) => ({
      ...about,
      code,
      details,
      ...(other === undefined ? {} : { other }),
    })),
  ]
}

function counted(
  before: RunPlace['counts'],
  slice: readonly SliceAccount[],
  { byId }: ProjectView,
): RunPlace['counts'] {
  const counts = new Map(Object.entries(before))
  for (const { tenant, snapshot, pairedWith } of slice) {
    const own = byId.get(tenant)
    if (own === undefined || !isMailboxOwner(snapshot, own)) continue
    const { senders, licensedUnpaired } = counts.get(tenant) ?? { senders: 0, licensedUnpaired: 0 }
    const needsLicence = pairedWith === null && snapshot.licences.some((licence) => own.mailLicences.has(licence))
    counts.set(tenant, { senders: senders + 1, licensedUnpaired: licensedUnpaired + (needsLicence ? 1 : 0) })
  }
  return Object.fromEntries(counts)
}

// ── Groups within groups ───────────────────────────────────────────────────────────────────────────────────────────

/** From its beginning in each attempt: it takes seconds. */
async function judgeGroups(run: Run, from: RunPlace): Promise<RunPlace> {
  const { change, signal, place, view, deps } = run
  const findings: (JudgedFinding & { readonly account: AccountId })[] = []
  const unjudged: TenantId[] = []
  for (const { id } of view.tenants) {
    const found = await nestingFindings(run, id)
    if (found === undefined) unjudged.push(id)
    else findings.push(...found)
  }
  findings.sort((a, b) => (a.account < b.account ? -1 : a.account > b.account ? 1 : 0))
  let at: RunPlace = { ...from, unjudged }
  for (let done = 0, after = ''; ;) {
    signal.throwIfAborted()
    const last = findings[done + FINDINGS_A_CHANGE - 1]
    // Not in the middle of what is said of one group.
    let end = last === undefined ? findings.length : done + FINDINGS_A_CHANGE
    while (end < findings.length && findings[end]?.account === last?.account) end++
    const upTo = end === findings.length ? undefined : last?.account
    const before: RunPlace = { ...at, pass: upTo === undefined ? 'tenants' : 'nesting' }
    const scope = { pass: 'nesting' as const, after, upTo }
    const part = findings.slice(done, end)
    at = await change(async (tx) => {
      const then = added(before, await writeFindings(tx, place, scope, part, new Date(deps.now())))
      await savePlace(tx, place, then)
      return then
    })
    if (upTo === undefined) return at
    done = end
    after = upTo
  }
}

/** @returns undefined: there are too many to look through */
async function nestingFindings(
  { read, signal, place, deps }: Run,
  tenant: TenantId,
): Promise<(JudgedFinding & { readonly account: AccountId })[] | undefined> {
  const { maxMemberships = MAX_MEMBERSHIPS } = deps
  const memberships: (readonly [string, string])[] = []
  for (let after: GroupMembership | undefined; ;) {
    signal.throwIfAborted()
    const last = after
    const page = await read((tx) => readGroupsInGroups(tx, place, tenant, last, MEMBERSHIPS_A_PAGE))
    for (const { group, member } of page) memberships.push([group, member])
    if (memberships.length > maxMemberships) return undefined
    after = page.at(-1)
    if (page.length < MEMBERSHIPS_A_PAGE) break
  }
  const { nested, cycles } = judgeNesting(memberships)
  const wanted = [...new Set([...nested.keys(), ...cycles.flatMap(([first = '']) => [first])])]
  const groups = new Map<string, { readonly id: AccountId; readonly sortKey: string }>()
  for (let n = 0; n < wanted.length; n += FINDINGS_A_CHANGE) {
    const part = wanted.slice(n, n + FINDINGS_A_CHANGE)
    for (const { objectId, ...group } of await read((tx) => findByObjectIds(tx, place, tenant, part)))
      groups.set(objectId, group)
  }
  const about = (objectId: string, code: 'group-nested' | 'group-cycle', details: Details) => {
    const group = groups.get(objectId)
    return group === undefined ? [] : [{ code, tenant, account: group.id, details, sortKey: group.sortKey }]
  }
  return [
    ...[...nested].flatMap(([objectId, count]) => about(objectId, 'group-nested', { groups: count })),
    ...cycles.flatMap((cycle) =>
      about(cycle[0] ?? '', 'group-cycle', { groups: cycle.length, objectIds: cycle.slice(0, MAX_NAMED) }),
    ),
  ]
}

// ── Tenants ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Everything that is said of a tenant and its domains. */
export function judgeWhole(
  own: TenantView,
  view: ProjectView,
  { counts, unjudged }: Pick<RunPlace, 'counts' | 'unjudged'>,
): JudgedFinding[] {
  const said: Said[] = [
    ...judgeTenant(own, view),
    ...judgeMailFlow(own, view),
    ...judgeLicences(own, view, counts),
    ...(unjudged.includes(own.id) ? [{ code: 'nesting-unjudged' as const }] : []),
  ]
  return [
    ...said.map(({ code, details = {} }) => ({ code, tenant: own.id, details, sortKey: own.tenant.label })),
    ...judgeDomains(own, view).map(({ code, domain, details = {} }) => ({
      code,
      tenant: own.id,
      domain,
      details,
      sortKey: domain,
    })),
  ]
}
