// The simulated Microsoft 365 as a whole, over HTTP: tokens, tenants, contract checks, faults, control.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { CONTOSO, EXCHANGE_RESOURCE, FABRIKAM, SANDBOX_APP, testSandbox } from '../harness/sandbox.ts'
import type { TestSandbox, TestSandboxOptions } from '../harness/sandbox.ts'

const SELF_TEST = { isReported: false } as const

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Readonly<Record<string, unknown>>
}

async function get(sandbox: TestSandbox, path: string, token: string): Promise<Answer> {
  return answerOf(await fetch(`${sandbox.graphUrl}/v1.0${path}`, { headers: { authorization: `Bearer ${token}` } }))
}

async function invoke(sandbox: TestSandbox, cmdlet: string, token: string): Promise<Answer> {
  return answerOf(
    await fetch(`${sandbox.exchangeUrl}/adminapi/beta/${CONTOSO}/InvokeCommand`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json; charset=utf-8',
        'x-cmdletname': cmdlet,
        'x-anchormailbox': `APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@${CONTOSO}`,
      },
      body: JSON.stringify({ CmdletInput: { CmdletName: cmdlet, Parameters: {} } }),
    }),
  )
}

async function control(sandbox: TestSandbox, operation: string, fields: unknown, header = true): Promise<Answer> {
  return answerOf(
    await fetch(`${sandbox.controlUrl}/control/${operation}`, {
      method: 'POST',
      headers: header ? { 'x-sandbox-control': '1' } : {},
      body: typeof fields === 'string' ? fields : JSON.stringify(fields),
    }),
  )
}

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? (JSON.parse(text) as Record<string, unknown>) : { text },
  }
}

function itemsOf({ body }: Answer): Readonly<Record<string, unknown>>[] {
  return (body['value'] ?? []) as Readonly<Record<string, unknown>>[]
}

test('an application that a tenant consented to reads it, with its own token, and no other tenant with that', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const token = await sandbox.tokenFor(CONTOSO)
  const users = itemsOf(await get(sandbox, '/users?$select=id,userPrincipalName', token))
  const expected = [...(sandbox.tenants.get(CONTOSO)?.objects('user') ?? [])].map(({ id }) => id)
  assert.deepEqual(new Set(users.map(({ id }) => id)), new Set(expected))
  assert.equal(users.length, expected.length)
  const others = itemsOf(await get(sandbox, '/users?$select=id', await sandbox.tokenFor(FABRIKAM)))
  assert.equal(
    others.some(({ id }) => expected.includes(String(id))),
    false,
  )
  assert.deepEqual(
    sandbox.control.report().uses.map(({ name, tenantId }) => [name, tenantId]),
    [
      ['GET /users', CONTOSO],
      ['GET /users', FABRIKAM],
    ],
  )
})

test('tokens are good for their audience, until they expire by the sandbox’s clock, and while the consent stands', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const token = await sandbox.tokenFor(CONTOSO)
  const read = async (each: string) => (await get(sandbox, '/organization', each)).status
  assert.equal(await read(token), 200)
  assert.equal(await read(await sandbox.tokenFor(CONTOSO, EXCHANGE_RESOURCE)), 401)
  const [header = '', claims = '', signature = ''] = token.split('.')
  assert.equal(await read(`${header}.${claims}.${signature.slice(0, -4)}AAAA`), 401)
  const promoted = Buffer.from(claims, 'base64url')
    .toString()
    .replace('Organization.Read.All', 'Directory.ReadWrite.All')
  assert.equal(await read(`${header}.${Buffer.from(promoted).toString('base64url')}.${signature}`), 401)
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url')
  assert.equal(await read(`${unsigned}.${claims}.x`), 401)
  assert.equal(await read('x'), 401)
  // A token lives for an hour; the sandbox's clock goes on with the machine's meanwhile.
  sandbox.control.advanceClock(3_540_000)
  assert.equal(await read(token), 200)
  sandbox.control.advanceClock(61_000)
  assert.equal(await read(token), 401)
  const next = await sandbox.tokenFor(CONTOSO)
  assert.equal(await read(next), 200)
  sandbox.control.withdrawConsent(CONTOSO, SANDBOX_APP)
  assert.equal(await read(next), 401)
})

test('what was not consented to is refused with 403, which is no violation', async (t) => {
  const permissions = { 'https://graph.microsoft.com': ['Organization.Read.All'] }
  const sandbox = await testSandbox(t, { ...SELF_TEST, permissions })
  const token = await sandbox.tokenFor(CONTOSO)
  assert.equal((await get(sandbox, '/organization', token)).status, 200)
  assert.equal((await get(sandbox, '/users', token)).status, 403)
  assert.equal((await get(sandbox, '/groups/x/acceptedSenders', token)).status, 403)
})

test('cmdlets want Exchange.ManageAsApp and, beside it, a role that the tenant’s administrator gave', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const token = await sandbox.tokenFor(CONTOSO, EXCHANGE_RESOURCE)
  assert.equal((await invoke(sandbox, 'Get-AcceptedDomain', token)).status, 403)
  sandbox.control.grantExchangeRole(CONTOSO, SANDBOX_APP, 'View-Only Configuration')
  const domains = await invoke(sandbox, 'Get-AcceptedDomain', token)
  assert.equal(domains.status, 200, JSON.stringify(domains.body))
  assert.ok(itemsOf(domains).length > 0)
  sandbox.control.withdrawExchangeRole(CONTOSO, SANDBOX_APP, 'View-Only Configuration')
  assert.equal((await invoke(sandbox, 'Get-AcceptedDomain', token)).status, 403)
})

const VIOLATIONS: [why: string, path: string, status: number, rule: 'unknown-operation' | 'unknown-query-option'][] = [
  ['a path that nobody publishes', '/balloons', 400, 'unknown-operation'],
  ['an option that nobody publishes', '/users?$shuffle=1', 400, 'unknown-query-option'],
  ['a link of somebody else’s making', '/users?$skiptoken=abc', 400, 'unknown-query-option'],
]
for (const [why, path, status, rule] of VIOLATIONS) {
  test(`${why} is answered ${status} and recorded`, async (t) => {
    const sandbox = await testSandbox(t, { ...SELF_TEST, expectedViolations: [rule] })
    const answer = await get(sandbox, path, await sandbox.tokenFor(CONTOSO))
    assert.equal(answer.status, status)
    assert.deepEqual(
      sandbox.record.violations.map((violation) => violation.rule),
      [rule],
    )
  })
}

/** As a test that ends: what its hooks say. */
async function endOf(options: TestSandboxOptions, run: (sandbox: TestSandbox) => Promise<unknown>): Promise<unknown> {
  const hooks: (() => unknown)[] = []
  const t = { after: (hook: () => unknown) => void hooks.push(hook) } as unknown as Pick<TestContext, 'after'>
  await run(await testSandbox(t, { ...SELF_TEST, ...options }))
  try {
    for (const hook of hooks) await hook()
    return undefined
  } catch (error) {
    return error
  }
}

test('a test in which a contract is broken fails, unless it said so; and fails when it said so for nothing', async () => {
  const breaks = async (sandbox: TestSandbox) => get(sandbox, '/balloons', await sandbox.tokenFor(CONTOSO))
  const keeps = async (sandbox: TestSandbox) => get(sandbox, '/users', await sandbox.tokenFor(CONTOSO))
  assert.match(String(await endOf({}, breaks)), /published contracts were broken/)
  assert.equal(await endOf({ expectedViolations: ['unknown-operation'] }, breaks), undefined)
  assert.match(String(await endOf({ expectedViolations: ['wrong-type'] }, breaks)), /published contracts were broken/)
  assert.equal(await endOf({}, keeps), undefined)
  assert.match(String(await endOf({ expectedViolations: ['wrong-type'] }, keeps)), /nobody committed/)
})

test('faults hit what they name, over HTTP too', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const token = await sandbox.tokenFor(CONTOSO)
  const busy = { kind: 'status', status: 503, retryAfter: '7' }
  assert.equal(
    (await control(sandbox, 'add-fault', { operation: 'GET /users', nth: 2, when: 'before', effect: busy })).status,
    200,
  )
  assert.equal((await get(sandbox, '/users', token)).status, 200)
  const hit = await get(sandbox, '/users', token)
  assert.deepEqual([hit.status, hit.headers.get('retry-after')], [503, '7'])
  assert.equal((await get(sandbox, '/users', token)).status, 200)

  await control(sandbox, 'add-fault', { when: 'after', effect: { kind: 'reset' } })
  await assert.rejects(get(sandbox, '/groups', token), TypeError)
  await control(sandbox, 'add-fault', { when: 'after', effect: { kind: 'cut' } })
  await assert.rejects(get(sandbox, '/groups', token), TypeError)
  await control(sandbox, 'add-fault', { when: 'after', effect: { kind: 'twice' } })
  const twice = itemsOf(await get(sandbox, '/users', token))
  assert.equal(twice.length, 2 * new Set(twice.map(({ id }) => id)).size)
  await control(sandbox, 'add-fault', { when: 'before', times: 9, effect: { kind: 'wrong-body', body: '<html>' } })
  assert.equal(
    (await fetch(`${sandbox.graphUrl}/v1.0/users`, { headers: { authorization: `Bearer ${token}` } })).status,
    200,
  )
  await control(sandbox, 'clear-faults', {})
  assert.ok(itemsOf(await get(sandbox, '/users', token)).length > 0)
})

test('an object that is changed by the control API is read as changed, and told by the next delta', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const token = await sandbox.tokenFor(CONTOSO)
  const follow = async (path: string) => {
    const items: Readonly<Record<string, unknown>>[] = []
    for (let next = path; ;) {
      const answer = await get(sandbox, next, token)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      items.push(...itemsOf(answer))
      const { '@odata.nextLink': more, '@odata.deltaLink': delta } = answer.body
      next = String(more ?? delta).replace('https://graph.sandbox.test/v1.0', '')
      if (more === undefined) return { items, next }
    }
  }
  const first = await follow('/users/delta?$select=displayName')
  const [one, two] = first.items.map(({ id }) => String(id))
  const properties = { displayName: 'Somebody else', jobTitle: null }
  assert.equal((await control(sandbox, 'change-object', { tenant: CONTOSO, id: one, properties })).status, 200)
  assert.equal((await control(sandbox, 'remove-object', { tenant: CONTOSO, id: two })).status, 200)
  const second = await follow(first.next)
  const told = second.items.map(({ id, displayName, '@removed': removed }) => ({
    id,
    displayName,
    isRemoved: removed !== undefined,
  }))
  assert.deepEqual(
    new Set(told),
    new Set([
      { id: one, displayName: 'Somebody else', isRemoved: false },
      { id: two, displayName: undefined, isRemoved: true },
    ]),
  )
  assert.equal((await control(sandbox, 'reset-deltas', { tenant: CONTOSO })).status, 200)
  assert.equal((await get(sandbox, second.next, token)).status, 410)
})

const PERSON = 'abababab-0000-4000-8000-000000000001'
const RECIPIENT = 'abababab-0000-4000-8000-000000000002'
const CONNECTOR = 'abababab-0000-4000-8000-000000000003'

test('objects of every kind are put, and stand in the state that the control API tells', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const put = (kind: string, object: object) => control(sandbox, 'put-object', { tenant: CONTOSO, kind, object })
  const { status } = await put('user', {
    id: PERSON,
    properties: { displayName: 'Pia', userPrincipalName: 'pia@contoso.com' },
  })
  assert.equal(status, 200)
  await put('recipient', {
    guid: RECIPIENT,
    recipientTypeDetails: 'UserMailbox',
    externalDirectoryObjectId: PERSON,
    properties: { Alias: 'pia' },
  })
  await put('exchange-object', { guid: CONNECTOR, noun: 'InboundConnector', properties: { Enabled: true } })
  await control(sandbox, 'change-object', { tenant: CONTOSO, id: RECIPIENT, properties: { Alias: 'p' } })
  await control(sandbox, 'change-object', { tenant: CONTOSO, id: CONNECTOR, properties: { Enabled: false } })
  await control(sandbox, 'change-object', { tenant: CONTOSO, id: PERSON, properties: {}, manager: PERSON })
  await control(sandbox, 'conceal-reports', { tenant: CONTOSO, isConcealed: true })
  const state = (await control(sandbox, 'state', { tenant: CONTOSO })).body as {
    objects: { id: string; manager?: string }[]
    recipients: { guid: string; properties: object }[]
    exchangeObjects: { guid: string; properties: object }[]
    reportsConcealNames: boolean
  }
  assert.equal(state.objects.find(({ id }) => id === PERSON)?.manager, PERSON)
  assert.deepEqual(state.recipients.find(({ guid }) => guid === RECIPIENT)?.properties, { Alias: 'p' })
  assert.deepEqual(state.exchangeObjects.find(({ guid }) => guid === CONNECTOR)?.properties, { Enabled: false })
  assert.equal(state.reportsConcealNames, true)
  for (const id of [PERSON, CONNECTOR]) {
    assert.equal((await control(sandbox, 'remove-object', { tenant: CONTOSO, id })).status, 200)
    assert.equal((await control(sandbox, 'remove-object', { tenant: CONTOSO, id })).status, 404)
  }
})

test('consents, roles, time and throttling are controlled over HTTP', async (t) => {
  const sandbox = await testSandbox(t, { ...SELF_TEST, consents: [] })
  await assert.rejects(sandbox.tokenFor(CONTOSO), /AADSTS700016/)
  const about = { tenant: CONTOSO, clientId: SANDBOX_APP }
  assert.equal((await control(sandbox, 'grant-consent', about)).status, 200)
  const token = await sandbox.tokenFor(CONTOSO)
  assert.equal((await control(sandbox, 'grant-exchange-role', { ...about, role: 'Mail Recipients' })).status, 200)
  assert.deepEqual(sandbox.services.exchangeRoles(CONTOSO, SANDBOX_APP), ['Mail Recipients'])
  assert.equal((await control(sandbox, 'set-throttling', { isOn: true, scale: 0.0001 })).status, 200)
  const statuses = new Set<number>()
  for (let call = 0; call < 20; call++) statuses.add((await get(sandbox, '/users', token)).status)
  assert.ok(statuses.has(429), [...statuses].join(', '))
  assert.equal((await control(sandbox, 'set-throttling', { isOn: false })).status, 200)
  assert.equal((await get(sandbox, '/users', token)).status, 200)
  const before = sandbox.clock.nowMs()
  assert.equal((await control(sandbox, 'advance-clock', { ms: 7_200_000 })).status, 200)
  assert.ok(sandbox.clock.nowMs() >= before + 7_200_000)
  assert.equal((await get(sandbox, '/users', token)).status, 401)
  assert.equal((await control(sandbox, 'withdraw-consent', about)).status, 200)
  await assert.rejects(sandbox.tokenFor(CONTOSO), /AADSTS700016/)
  const { body } = await control(sandbox, 'report', {})
  assert.ok((body['uses'] as unknown[]).length > 0)
})

test('nonsense to the control API is told which field it is, and changes nothing', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const before = JSON.stringify(sandbox.control.state(CONTOSO))
  const effect = { kind: 'reset' }
  const rows: [operation: string, fields: unknown, status: number, told: RegExp][] = [
    ['explode', {}, 404, /no such operation/],
    ['__proto__', {}, 404, /no such operation/],
    ['constructor', {}, 404, /no such operation/],
    ['state', {}, 400, /tenant/],
    ['state', { tenant: 'x' }, 404, /no such tenant/],
    ['state', 'not json', 400, /JSON object/],
    ['state', [], 400, /JSON object/],
    ['add-fault', { effect }, 400, /when/],
    ['add-fault', { when: 'before' }, 400, /effect/],
    ['add-fault', { when: 'before', effect: { kind: 'fire' } }, 400, /kind/],
    ['add-fault', { when: 'before', effect: { kind: 'status', status: 99 } }, 400, /status/],
    ['add-fault', { when: 'before', effect, nth: 0 }, 400, /nth/],
    ['add-fault', { when: 'before', effect, service: 'entra' }, 400, /service/],
    ['advance-clock', { ms: -1 }, 400, /ms/],
    ['advance-clock', { ms: '5' }, 400, /ms/],
    ['set-throttling', { isOn: true, scale: 0 }, 400, /scale/],
    ['set-throttling', {}, 400, /isOn/],
    ['set-exchange-behaviour', { absentStatus: 410 }, 400, /absentStatus/],
    ['set-exchange-behaviour', { visibleAfterMs: -1 }, 400, /visibleAfterMs/],
    ['set-exchange-behaviour', { rulePropagationMs: '5' }, 400, /rulePropagationMs/],
    ['set-exchange-behaviour', { ruleGroups: 'guids' }, 400, /ruleGroups/],
    ['writes', {}, 400, /tenant/],
    ['writes', { tenant: 'x' }, 404, /no such tenant/],
    ['disorder-deltas', { shuffled: 'yes' }, 400, /shuffled/],
    ['change-object', { tenant: CONTOSO, id: 'x', properties: {} }, 404, /no such object/],
    ['change-object', { tenant: CONTOSO, id: 'x' }, 400, /properties/],
    ['put-object', { tenant: CONTOSO, kind: 'balloon', object: { properties: {} } }, 400, /kind/],
    ['put-object', { tenant: CONTOSO, kind: 'user', object: { properties: {} } }, 400, /id/],
    [
      'put-object',
      { tenant: CONTOSO, kind: 'group', object: { id: 'x', properties: {}, members: [1] } },
      400,
      /members/,
    ],
    ['remove-object', { tenant: CONTOSO, id: 'x' }, 404, /no such object/],
    ['grant-consent', { tenant: CONTOSO, clientId: 'x' }, 400, /Application was not found/],
    ['conceal-reports', { tenant: CONTOSO, isConcealed: 1 }, 400, /isConcealed/],
  ]
  for (const [operation, fields, status, told] of rows) {
    const answer = await control(sandbox, operation, fields)
    assert.equal(answer.status, status, `${operation} ${JSON.stringify(answer.body)}`)
    assert.match(String(answer.body['error']), told)
  }
  assert.equal((await control(sandbox, 'clear-faults', {}, false)).status, 403, 'without the header')
  const read = await fetch(`${sandbox.controlUrl}/control/state`, { headers: { 'x-sandbox-control': '1' } })
  assert.equal(read.status, 405)
  assert.equal(JSON.stringify(sandbox.control.state(CONTOSO)), before)
})

test('switches of Exchange and of deltas go back to where they were when they are not named', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  await control(sandbox, 'set-exchange-behaviour', { sizes: 'de-DE', concurrency: 1 })
  assert.deepEqual([sandbox.exchangeBehaviour.sizes, sandbox.exchangeBehaviour.concurrency], ['de-DE', 1])
  await control(sandbox, 'set-exchange-behaviour', {})
  assert.deepEqual([sandbox.exchangeBehaviour.sizes, sandbox.exchangeBehaviour.concurrency], ['en-US', undefined])
  assert.equal((await control(sandbox, 'disorder-deltas', { duplicates: true })).status, 200)
})

test('what Exchange was told to change is read from its log', async (t) => {
  const sandbox = await testSandbox(t, SELF_TEST)
  const organisation = sandbox.tenants.get(CONTOSO)?.exchangeObjects('OrganizationConfig')[0]
  assert.ok(organisation)
  sandbox.control.changeObject(CONTOSO, organisation.guid, { IsDehydrated: true })
  sandbox.control.grantExchangeRole(CONTOSO, SANDBOX_APP, 'Organization Management')
  const token = await sandbox.tokenFor(CONTOSO, EXCHANGE_RESOURCE)
  assert.deepEqual((await control(sandbox, 'writes', { tenant: CONTOSO })).body, { writes: [] })
  const cmdlet = 'Enable-OrganizationCustomization'
  assert.equal((await invoke(sandbox, cmdlet, token)).status, 200)
  assert.equal((await invoke(sandbox, cmdlet, token)).status, 400, 'once is enough')
  const [write, ...more] = (await control(sandbox, 'writes', { tenant: CONTOSO })).body['writes'] as { atMs: number }[]
  assert.deepEqual(
    [write, more],
    [{ tenantId: CONTOSO, cmdlet, parameters: {}, atMs: write?.atMs, guid: organisation.guid }, []],
  )
})

test('with a directory, consents, roles, time and changes outlive a restart', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-sandbox-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const first = await testSandbox(t, { ...SELF_TEST, directory })
  const [user] = first.tenants.get(CONTOSO)?.objects('user') ?? []
  assert.ok(user !== undefined)
  first.control.changeObject(CONTOSO, user.id, { displayName: 'Somebody else' })
  first.control.grantExchangeRole(CONTOSO, SANDBOX_APP, 'Mail Recipients')
  first.control.advanceClock(86_400_000)
  await first.close()
  const second = await testSandbox(t, { ...SELF_TEST, directory, consents: [] })
  assert.equal(second.tenants.get(CONTOSO)?.object(user.id)?.properties['displayName'], 'Somebody else')
  assert.deepEqual(second.services.exchangeRoles(CONTOSO, SANDBOX_APP), ['Mail Recipients'])
  assert.ok(second.clock.nowMs() > Date.now() + 86_000_000)
  assert.equal(
    (await get(second, `/users/${user.id}`, await second.tokenFor(CONTOSO))).body['displayName'],
    'Somebody else',
  )
})

test('it listens on this machine only', async (t) => {
  await assert.rejects(testSandbox(t, { ...SELF_TEST, at: { address: '0.0.0.0' } }), /loopback/)
})

test('causeway sandbox tells where everything is, serves it, and ends on a signal', async (t) => {
  const program = join(import.meta.dirname, '..', '..', 'bin', 'causeway')
  const child = spawn(program, ['sandbox', '--people', '3'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  let told = ''
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    told += chunk.toString()
    if (/^application .+\n/m.test(told)) break
  }
  const at = (name: string) => new RegExp(`^${name} +(\\S+)$`, 'm').exec(told)?.[1] ?? ''
  const state = await fetch(`${at('control')}/control/state`, {
    method: 'POST',
    headers: { 'x-sandbox-control': '1' },
    body: JSON.stringify({ tenant: at('source tenant') }),
  })
  assert.equal(((await state.json()) as { id: string }).id, CONTOSO)
  assert.equal((await fetch(`${at('Graph')}/v1.0/users`)).status, 401)
  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  assert.equal(code, 0)
})
