// Findings in a real database: who is related to whom, what a second run does, what is said of them, and who may see them.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { assessmentReportRoutes } from '../../../control-plane/findings/assessment-report.ts'
import { findingRoutes } from '../../../control-plane/findings/finding-routes.ts'
import { findingsReconciler, requestFindings } from '../../../control-plane/findings/finding-run-store.ts'
import { sweepResolved } from '../../../control-plane/findings/write-store.ts'
import { Draining } from '../../../control-plane/jobs/job.ts'
import { testApi } from '../../harness/api.ts'
import { findingProject } from './project.ts'
import type { Account, FindingProject } from './project.ts'
import { DAY_MS, GB } from './scene.ts'

const api = await testApi({ after }, ({ database }) => [
  ...findingRoutes(),
  ...assessmentReportRoutes({ db: database.db }),
])

const person = (objectId: string, domain: string, more: Partial<Account> = {}): Account => ({
  objectId,
  userPrincipalName: `${objectId}@${domain}`,
  mailNickname: objectId,
  addresses: [`${objectId}@${domain}`],
  x500: [`/cn=${objectId}`],
  ...more,
})
const none = { mailbox: undefined, drive: undefined, userPrincipalName: undefined } as unknown as Partial<Account>
const group = (objectId: string): Account => ({
  ...none,
  objectId,
  kind: 'security-group',
  mailNickname: objectId,
  addresses: [],
  x500: [],
  licences: [],
  group: { members: 3, owners: 1 },
})

const SOURCE: readonly Account[] = [
  person('ann', 'source.example', { addresses: ['ann@source.example', 'Ann.Shared@source.example'] }),
  person('bob', 'source.example', { userPrincipalName: 'ann.shared@source.example' }),
  person('cat', 'source.example', { displayName: 'Twin' }),
  person('dan', 'source.example', { displayName: 'TWIN' }),
  person('eve', 'source.example', {
    mailbox: {
      recipientTypeDetails: 'UserMailbox',
      grantSendOnBehalfTo: ['ann', 'Twin', 'nobody', 'dan@source.example'],
      forwardingAddress: 'lost',
    },
  }),
  person('fay', 'source.example', { x500: ['/cn=old'] }),
  person('gus', 'source.example', {
    ...none,
    kind: 'contact',
    addresses: ['ann@source.example'],
    licences: [],
    x500: [],
  }),
  ...['g1', 'g2', 'g3', 'g4'].map(group),
]
const TARGET: readonly Account[] = [
  person('ann2', 'target.example', { userPrincipalName: 'ann@target.example', mailNickname: 'ANN' }),
  person('bob2', 'target.example', {
    ...none,
    kind: 'contact',
    addresses: ['bob@source.example'],
    licences: [],
    x500: [],
  }),
  person('cat2', 'target.example', {
    ...none,
    kind: 'guest',
    addresses: ['cat@source.example'],
    licences: [],
    x500: [],
  }),
  person('dan2', 'target.example', { addresses: ['dan2@target.example', 'dan@source.example'] }),
  person('fay2', 'target.example', { x500: ['/CN=Old'] }),
]
const WANTED = [
  'address-claimed-twice: ann, gus',
  'address-in-two-tenants: dan, dan2',
  'address-outside-domains: dan2',
  'contact-of-other-tenant: bob, bob2',
  'display-name-double: cat, dan',
  'forwarding-set: eve',
  'forwarding-to-unknown: eve',
  'group-cycle: g2',
  'group-nested: g1',
  'group-nested: g2',
  'group-nested: g3',
  'guest-account: cat2',
  'guest-of-other-tenant: cat, cat2',
  'nickname-taken-in-target: ann, ann2',
  'send-on-behalf-unknown: eve',
  'terrl-forecast: source',
  'terrl-forecast: target',
  'upn-is-address-of-another: bob, ann',
  'upn-taken-in-target: ann, ann2',
  'x500-in-two-accounts: fay, fay2',
]

async function scene(accounts: readonly Account[] = SOURCE): Promise<FindingProject> {
  const project = await findingProject(api)
  await project.know()
  await project.discover(project.source, accounts)
  await project.discover(project.target, TARGET)
  await project.contain(project.source, [
    ['g1', 'g2'],
    ['g2', 'g3'],
    ['g3', 'g2'],
    ['g4', 'ann'],
  ])
  return project
}

/** Pairs of one tenant are told of whichever has the lower id, which is random. */
const unordered = (told: readonly string[]): string[] =>
  told
    .map((line) => {
      const [code = '', objects = ''] = line.split(': ')
      const isSymmetric = ['address-claimed-twice', 'display-name-double'].includes(code)
      return isSymmetric ? `${code}: ${objects.split(', ').toSorted().join(', ')}` : line
    })
    .toSorted()

const rows = ({ organisation, project }: FindingProject) =>
  withScope(api.database.db, { organisation }, (tx) =>
    rowsOf<{ id: string; version: number }>(
      tx,
      sql`select id, version from finding where project_id = ${project} order by id`,
    ),
  )

test('accounts that have something in common are told, in whatever order they came', async () => {
  const project = await scene()
  await project.judge()
  assert.deepEqual(unordered(await project.told()), WANTED)
  const reversed = await scene(SOURCE.toReversed())
  await reversed.judge({ sliceSize: 2 })
  assert.deepEqual(unordered(await reversed.told()), WANTED)
})

test('a second run of the same writes nothing', async () => {
  const project = await scene()
  await project.judge()
  const before = await rows(project)
  await project.judge({ sliceSize: 3 })
  assert.deepEqual(await rows(project), before)
  const events = await project.in((tx) =>
    rowsOf(tx, sql`select 1 from event where project_id = ${project.project} and type = 'finding.judged'`),
  )
  assert.equal(events.length, 1, 'nor is it news')
})

test('what is paired is in nobody’s way any more, and what is gone is resolved', async () => {
  const project = await scene()
  await project.judge()
  await project.pair('dan', 'dan2')
  await project.pair('ann', 'ann2')
  await project.discover(
    project.target,
    TARGET.filter(({ objectId }) => objectId !== 'cat2'),
  )
  await project.contain(project.source, [['g1', 'g2']])
  await project.judge()
  const gone = new Set([
    'address-in-two-tenants: dan, dan2',
    'nickname-taken-in-target: ann, ann2',
    'upn-taken-in-target: ann, ann2',
    'guest-account: cat2',
    'guest-of-other-tenant: cat, cat2',
    'group-cycle: g2',
    'group-nested: g2',
    'group-nested: g3',
  ])
  assert.deepEqual(
    unordered(await project.told()),
    WANTED.filter((line) => !gone.has(line)),
  )
  const resolved = await list(project, '?state=resolved&limit=1000')
  assert.equal(resolved.length, gone.size)
  for (const { state, resolvedAt, lastSeenAt } of resolved) {
    assert.equal(state, 'resolved')
    assert.ok(lastSeenAt < resolvedAt, 'it was seen before')
  }
})

test('a run that is interrupted anywhere comes to what an undisturbed one comes to', async () => {
  const project = await scene()
  await project.in((tx) => requestFindings(tx, project))
  let runs = 0
  for (let isDone = false; !isDone; runs++) {
    const stop = new AbortController()
    let steps = 0
    // Each attempt is stopped after a step or two: at the first look at the clock of the next.
    const now = () => {
      if (++steps > 2 && runs < 8) stop.abort(new Draining('stops'))
      return Date.now()
    }
    try {
      await project.goOn({ sliceSize: 3, now }, stop.signal)
      isDone = true
    } catch (error) {
      assert.ok(error instanceof Draining, String(error))
    }
  }
  assert.ok(runs > 2, `${runs} attempts`)
  assert.deepEqual(unordered(await project.told()), WANTED)
})

test('whoever asks while a run is under way is served by the next, and many who ask by one', async () => {
  const project = await scene()
  const jobs = () =>
    project.in((tx) =>
      rowsOf(
        tx,
        sql`select 1 from outbox where kind = 'findings.run' union all select 1 from job where kind = 'findings.run'`,
      ),
    )
  for (let n = 0; n < 3; n++) await project.in((tx) => requestFindings(tx, project))
  assert.equal((await jobs()).length, 1)
  await project.goOn()
  assert.equal((await jobs()).length, 0)
  // Asked for in the middle.
  await project.in((tx) => requestFindings(tx, project))
  let asked: Promise<void> | undefined
  await project.goOn({
    now: () => {
      asked ??= project.in((tx) => requestFindings(tx, project))
      return Date.now()
    },
  })
  await asked
  assert.equal((await jobs()).length, 1, 'another one was asked for')
  await project.goOn()
  assert.equal((await jobs()).length, 0)
})

test('JQ-1: a run that got lost is asked for again, and one whose day is over', async () => {
  const project = await scene()
  const pending = () => project.in((tx) => rowsOf(tx, sql`select 1 from outbox where kind = 'findings.run'`))
  await project.in((tx) => requestFindings(tx, project))
  await project.in((tx) => sql`delete from outbox where kind = 'findings.run'`.execute(tx))
  await findingsReconciler({ lostMs: 3_600_000 }).reconcile(api.database.db)
  assert.equal((await pending()).length, 0, 'it may be on its way')
  await findingsReconciler({ lostMs: 0 }).reconcile(api.database.db)
  assert.equal((await pending()).length, 1)
  await project.goOn()
  await findingsReconciler({ dailyMs: DAY_MS }).reconcile(api.database.db)
  assert.equal((await pending()).length, 0)
  await findingsReconciler({ dailyMs: 0 }).reconcile(api.database.db)
  assert.equal((await pending()).length, 1)
})

// ── What is said of them ───────────────────────────────────────────────────────────────────────────────────────────

type Body = Record<string, any> // oxlint-disable-line typescript/no-explicit-any -- tests look into it

async function list({ path, key }: FindingProject, query = ''): Promise<Body[]> {
  const reply = await api.request('GET', `${path}/findings${query}`, undefined, { key })
  assert.equal(reply.status, 200, JSON.stringify(reply.body))
  return reply.body.items as Body[]
}

const acknowledge = ({ path, key }: FindingProject, id: string, body: object, headers: Record<string, string> = {}) =>
  api.request('PATCH', `${path}/findings/${id}`, body, { key, headers })

test('a finding stays acknowledged as long as it is there, and not when it comes again', async () => {
  const project = await findingProject(api)
  await project.know()
  const big = (gigabytes: number) => [
    person('ann', 'source.example', { mailbox: { recipientTypeDetails: 'UserMailbox', usedBytes: gigabytes * GB } }),
  ]
  await project.discover(project.source, big(60))
  await project.judge()
  const [found] = await list(project, '?code=mailbox-over-50-gb')
  assert.equal(found?.['state'], 'open')
  const id = found['id'] as string
  const { headers } = await api.request('GET', `${project.path}/findings/${id}`, undefined, { key: project.key })
  const stale = await acknowledge(project, id, { acknowledged: true }, { 'If-Match': '"77"' })
  assert.equal(stale.status, 412)
  const done = await acknowledge(
    project,
    id,
    { acknowledged: true, note: 'agreed' },
    { 'If-Match': headers.get('etag') ?? '' },
  )
  assert.equal(done.status, 200, JSON.stringify(done.body))
  assert.equal(done.body.state, 'acknowledged')

  await project.discover(project.source, big(70))
  await project.judge()
  const [grown] = await list(project, '?state=acknowledged')
  assert.equal(grown?.['id'], id)
  assert.equal(grown['note'], 'agreed')
  assert.equal(grown['details'].bytes, 70 * GB)

  await project.discover(project.source, big(1))
  await project.judge()
  assert.deepEqual(await list(project, '?code=mailbox-over-50-gb'), [])
  assert.equal((await acknowledge(project, id, { acknowledged: true })).status, 409, 'it is resolved')
  await project.discover(project.source, big(80))
  await project.judge()
  const [back] = await list(project, '?code=mailbox-over-50-gb')
  assert.deepEqual([back?.['id'], back?.['state'], back?.['note']], [id, 'open', undefined])

  await acknowledge(project, id, { acknowledged: true, note: 'again' })
  const taken = await acknowledge(project, id, { acknowledged: false })
  assert.deepEqual([taken.body.state, taken.body.note], ['open', undefined])
})

test('lists are filtered, come in pages by key, and count what they list', async () => {
  const project = await scene()
  await project.judge()
  const all = await list(project, '?limit=1000')
  assert.equal(all.length, WANTED.length)
  const paged: Body[] = []
  for (let url: string | undefined = `${project.path}/findings?limit=3`; url !== undefined;) {
    const { body } = await api.request('GET', url, undefined, { key: project.key })
    paged.push(...(body.items as Body[]))
    url = (body.next as string | undefined)?.replace('/api/v1', '')
  }
  assert.deepEqual(paged, all)
  const order = { blocker: 0, warning: 1, notice: 2 } as Record<string, number>
  const ranks = all.map(({ severity }) => order[severity as string] ?? 9)
  assert.deepEqual(
    ranks,
    ranks.toSorted((a, b) => a - b),
    'the worst first',
  )

  const ann = await project.idOf('ann')
  const filters: readonly (readonly [query: string, test: (body: Body) => boolean])[] = [
    ['severity=warning', ({ severity }) => severity === 'warning'],
    ['code=group-nested', ({ code }) => code === 'group-nested'],
    [`tenant=${project.target}`, ({ tenant }) => tenant === project.target],
    [`account=${ann}`, ({ account, other }) => [account?.id, other?.id].includes(ann)],
    ['state=open&severity=notice', ({ severity }) => severity === 'notice'],
    ['state=acknowledged', () => false],
    ['account=nobody', () => false],
  ]
  for (const [query, isListed] of filters)
    assert.deepEqual(await list(project, `?limit=1000&${query}`), all.filter(isListed), query)
  for (const query of ['code=nothing', 'severity=bad', 'state=gone', 'cursor=x', 'offset=1'])
    assert.equal(
      (await api.request('GET', `${project.path}/findings?${query}`, undefined, { key: project.key })).status,
      400,
      query,
    )

  const { body: summary } = await api.request('GET', `${project.path}/findings/summary`, undefined, {
    key: project.key,
  })
  const kinds = summary.kinds as Body[]
  assert.equal(
    kinds.reduce((sum, { open, acknowledged }) => sum + (open as number) + (acknowledged as number), 0),
    all.length,
  )
  assert.equal(kinds.find(({ code }) => code === 'group-nested')?.['open'], 3)
  assert.equal(summary.isUnderWay, false)
})

test('TI-2: another organisation sees none of them, and who may only read can not acknowledge', async () => {
  const project = await scene()
  await project.judge()
  const [found] = await list(project)
  assert.ok(found)
  const stranger = await api.organisation('Fabrikam')
  const own = await api.project(stranger.id)
  for (const [method, path, body] of [
    ['GET', `${project.path}/findings`, undefined],
    ['GET', `${project.path}/findings/summary`, undefined],
    ['GET', `${project.path}/reports/assessment`, undefined],
    ['GET', `/projects/${own}/findings/${found['id']}`, undefined],
    ['PATCH', `/projects/${own}/findings/${found['id']}`, { acknowledged: true }],
  ] as const)
    assert.equal((await api.request(method, path, body, { key: stranger.key })).status, 404, path)
  const seen = await withScope(api.database.db, { organisation: stranger.id }, (tx) =>
    rowsOf(tx, sql`select 1 from finding`),
  )
  assert.equal(seen.length, 0)
  const { key } = await api.member(project.organisation, 'help-desk')
  assert.equal((await api.request('GET', `${project.path}/findings`, undefined, { key })).status, 200)
  assert.equal((await acknowledge({ ...project, key }, found['id'] as string, { acknowledged: true })).status, 403)
})

test('PR-4: what was resolved long ago goes, and nothing else', async () => {
  const project = await scene()
  await project.judge()
  await project.discover(project.target, [])
  await project.judge()
  const there = await project.told()
  const resolved = (await list(project, '?state=resolved&limit=1000')).length
  const sweep = (before: number) => project.in((tx) => sweepResolved(tx, project.organisation, new Date(before), 1_000))
  assert.equal(await sweep(Date.now() - DAY_MS), 0)
  assert.equal(await sweep(Date.now() + DAY_MS), resolved)
  assert.deepEqual(await project.told(), there)
})

// ── The report ─────────────────────────────────────────────────────────────────────────────────────────────────────

const HOSTILE = "<script>alert(1)</script>\u202e\"=cmd|' /C calc'!A0"

async function reported(): Promise<FindingProject> {
  const project = await findingProject(api)
  await project.know({ source: { completed: undefined } })
  await project.discover(project.source, [
    person('ann', 'source.example', { displayName: HOSTILE }),
    person('bob', 'source.example', { displayName: '=1+1', attributes: {} }),
    person('cat', 'source.example', { displayName: 'Line\r\nbreak, "quoted"', isSynced: true }),
  ])
  await project.judge()
  const [first] = await list(project, '?severity=warning')
  await acknowledge(project, first?.['id'] as string, { acknowledged: true, note: 'a <b> note' })
  return project
}

const report = ({ path, key }: FindingProject, format: string) =>
  api.request('GET', `${path}/reports/assessment?format=${format}`, undefined, { key })

test('the report is the same each time, and counts what it lists, in each form', async () => {
  const project = await reported()
  const { body: json, headers } = await report(project, 'json')
  assert.match(headers.get('content-disposition') ?? '', /assessment\.json/)
  const findings = json.findings as Body[]
  assert.ok(findings.length > 8)
  assert.deepEqual(findings, await list(project, '?limit=1000'))
  for (const { code, open, acknowledged } of json.summary.kinds as Body[]) {
    const lines = findings.filter((finding) => finding['code'] === code)
    assert.deepEqual(
      [open, acknowledged],
      ['open', 'acknowledged'].map((state) => lines.filter((line) => line['state'] === state).length),
      String(code),
    )
  }
  assert.deepEqual((await report(project, 'json')).body, json)

  const { body: csv } = await report(project, 'csv')
  assert.deepEqual((await report(project, 'csv')).body, csv)
  const records = parseCsv(csv as string)
  assert.deepEqual(
    records.map((record) => [record['id'], record['code'], record['explanation'], record['remedy']]),
    findings.map(({ id, code, explanation, remedy }) => [id, code, explanation, remedy]),
  )
  const { body: page } = await report(project, 'html')
  assert.equal([...(page as string).matchAll(/<tr><td>(?:source|target)<\/td>/g)].length, findings.length)
})

test('WS-3: names in the report are harmless to spreadsheets and browsers', async () => {
  const project = await reported()
  const { body: csv } = await report(project, 'csv')
  for (const record of parseCsv(csv as string))
    for (const [column, cell] of Object.entries(record)) assert.doesNotMatch(cell, /^[=+\-@\t\r]/, column)
  const { body, headers } = await report(project, 'html')
  const page = body as string
  assert.match(headers.get('content-type') ?? '', /^text\/html/)
  assert.doesNotMatch(page, /<script|\u202e|<b> note|javascript:|https?:\/\//)
  assert.match(page, /&lt;script&gt;alert\(1\)&lt;\/script&gt;\[U\+202E\]/)
  assert.match(page, /Line\[U\+000D\]\[U\+000A\]break/)
  const nonce = /<style nonce="([^"]+)">/.exec(page)?.[1]
  assert.ok(nonce)
  assert.ok(headers.get('content-security-policy')?.includes(`'nonce-${nonce}'`))
})

test('AU-1: who takes the report away is told in the audit trail', async () => {
  const project = await reported()
  await report(project, 'csv')
  const trail = await project.in((tx) =>
    rowsOf<{ payload: unknown }>(
      tx,
      sql`select payload from audit_event where project_id = ${project.project} and action = 'report.read'`,
    ),
  )
  assert.equal(trail.length, 1)
})

function parseCsv(text: string): Record<string, string>[] {
  const lines: string[][] = []
  let line: string[] = []
  let cell = ''
  let isQuoted = false
  for (let at = 1; at < text.length; at++) {
    const character = text[at] ?? ''
    if (character === '"') {
      if (isQuoted && text[at + 1] === '"') cell += text[at++] ?? ''
      else isQuoted = !isQuoted
    } else if (!isQuoted && (character === ',' || character === '\r')) {
      line.push(cell)
      cell = ''
      if (character === ',') continue
      lines.push(line)
      line = []
    } else if (isQuoted || character !== '\n') cell += character
  }
  const [header = [], ...records] = lines
  return records.map((record) => Object.fromEntries(header.map((name, n) => [name, record[n] ?? ''])))
}
