// The clients against the simulated Microsoft 365, which holds every request against Microsoft's published contracts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { parseBudgets } from '../../../control-plane/microsoft/budgets.ts'
import type { GraphPage, MicrosoftClients } from '../../../control-plane/microsoft/clients.ts'
import { createMicrosoft365 } from '../../../control-plane/microsoft/microsoft365.ts'
import { CONTOSO, testSandbox } from '../../harness/sandbox.ts'
import type { TestSandbox } from '../../harness/sandbox.ts'
import { collect, connectionOf } from './scene.ts'
import { VirtualPace } from './virtual-pace.ts'

function clientsAt(sandbox: TestSandbox, pace: VirtualPace, write: (line: string) => void): MicrosoftClients {
  const now = () => sandbox.clock.nowMs()
  const monotonicMs = () => pace.monotonicMs()
  const [entra, graph, exchange] = [sandbox.entra.url, sandbox.graphUrl, sandbox.exchangeUrl].map((url) => new URL(url))
  const microsoft = createMicrosoft365({
    settings: {
      mode: 'evaluation',
      microsoft: { budgets: parseBudgets('', assert.fail), sandbox: { entra, graph, exchange } },
    },
    log: createLog({ write, level: 'debug', now }),
    metrics: emptyMetrics(),
    now,
    monotonicMs,
    pace: { now, monotonicMs, random: () => 0.5, setTimer: (callback, ms) => pace.setTimer(callback, ms) },
  })
  return microsoft.clientsOf(connectionOf({ entraTenantId: CONTOSO, ...sandbox.app }))
}

test('discovery’s calls, from the tenant to its mailboxes, keep to the contracts', async (t) => {
  const sandbox = await testSandbox(t)
  for (const role of ['View-Only Recipients', 'View-Only Configuration'])
    sandbox.control.grantExchangeRole(CONTOSO, sandbox.app.clientId, role)
  const pace = new VirtualPace()
  const logLines: string[] = []
  const { graph, exchange } = clientsAt(sandbox, pace, (line) => logLines.push(line))

  const { items: organisations } = await graph.page<{ id: string }>(
    { path: '/organization' },
    { operation: 'GET /organization' },
  )
  assert.deepEqual(
    organisations.map(({ id }) => id),
    [CONTOSO],
  )

  const people: { id: string }[] = []
  const options = { operation: 'GET /users/delta()', headers: { Prefer: 'odata.maxpagesize=3' } }
  let page: GraphPage<{ id: string }> = await graph.page(
    { path: '/users/delta()' },
    { ...options, query: { $select: 'id,displayName,mail' } },
  )
  people.push(...page.items)
  let pages = 1
  for (; page.next !== undefined; pages++) {
    page = await graph.page({ link: page.next }, options)
    people.push(...page.items)
  }
  assert.ok(people.length >= 8 && pages > 1, `${people.length} people on ${pages} pages`)
  assert.ok(page.delta !== undefined)
  assert.deepEqual((await graph.page({ link: page.delta }, options)).items, [])

  const outcomes = await graph.batch(
    people.map(({ id }) => ({ id, method: 'GET', url: `/users/${id}/manager?$select=id` })),
    { operation: 'GET /users/{user-id}/manager' },
  )
  assert.deepEqual(
    outcomes.map(({ id }) => id),
    people.map(({ id }) => id),
  )
  assert.ok(outcomes.every((outcome) => outcome.kind === 'done' || outcome.error.code === 'NOT_FOUND'))

  const mailboxes = (
    await collect(
      exchange.read<{ ExchangeGuid: string }>(
        'Get-Mailbox',
        { ResultSize: 'Unlimited' },
        { select: ['ExchangeGuid', 'RecipientTypeDetails'] },
      ),
    )
  ).flat()
  assert.ok(mailboxes.length > 0)

  sandbox.faults.add({ service: 'graph', effect: { kind: 'status', status: 429, retryAfter: '2.5' }, when: 'before' })
  sandbox.faults.add({ service: 'graph', effect: { kind: 'cut' }, when: 'after', nth: 2 })
  const before = pace.monotonicMs()
  assert.equal((await graph.page({ path: '/domains' }, { operation: 'GET /domains' })).items.length > 0, true)
  assert.ok(pace.monotonicMs() - before >= 2_500)
  assert.doesNotMatch(logLines.join(''), /contoso\.|Bearer|eyJ/)
})

test('without the consent Graph’s report is refused as a missing consent, and with it its rows come', async (t) => {
  const withReports = { 'https://graph.microsoft.com': ['Reports.Read.All'] }
  const sandbox = await testSandbox(t, { permissions: withReports })
  const { graph, exchange } = clientsAt(sandbox, new VirtualPace(), () => {})
  const rows = await collect(
    graph.report("/reports/getMailboxUsageDetail(period='D7')", {
      operation: "GET /reports/getMailboxUsageDetail(period='{period}')",
    }),
  )
  assert.ok(rows.length > 0)
  assert.ok(rows.every((row) => row['Storage Used (Byte)'] !== undefined))
  await assert.rejects(graph.page({ path: '/domains' }, { operation: 'GET /domains' }), { code: 'CONSENT_MISSING' })
  await assert.rejects(collect(exchange.read('Get-Mailbox', {})), { code: 'RBAC_MISSING' })
})

test('a refusal whose reason is cut off passes by itself, where its status alone says nothing', async (t) => {
  const sandbox = await testSandbox(t)
  const { exchange } = clientsAt(sandbox, new VirtualPace(), () => {})
  for (const [tenantId, tenant] of sandbox.tenants) {
    sandbox.control.grantExchangeRole(tenantId, sandbox.app.clientId, 'Organization Management')
    const config = tenant.toData().exchangeObjects?.find(({ noun }) => noun === 'OrganizationConfig')
    assert.ok(config !== undefined)
    sandbox.control.changeObject(tenantId, config.guid, { IsDehydrated: true })
  }
  const make = () => exchange.invoke('New-RemoteDomain', { Name: 'X', DomainName: 'x.example' })
  await assert.rejects(make(), { code: 'UNEXPECTED', serviceCode: 'InvalidOperationInDehydratedContextException' })
  sandbox.faults.add({ service: 'exchange', effect: { kind: 'cut' }, when: 'after' })
  await assert.rejects(make(), { code: 'TRANSIENT', serviceCode: 'no-answer', status: 400 })
})
