// Batches, throttling, and faults in the way of calls. (microsoft-365.md §14.1, §20.13)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cmdlet } from '../../../sandbox/exchange/cmdlet.ts'
import { noRows } from '../../../sandbox/exchange/cmdlet.ts'
import { tableOf } from '../../../sandbox/exchange/cmdlets.ts'
import type { Fault, FaultEffect } from '../../../sandbox/faults/faults.ts'
import { TENANT, exceptionOf, headersOf, mailbox, names, startExchange } from './exchange-server.ts'
import type { Answer, ExchangeServer } from './exchange-server.ts'

const BATCH = `/adminapi/beta/${TENANT}/$batch`
const INVOKE = `https://outlook.sandbox.test/adminapi/beta/${TENANT}/InvokeCommand`
const PEOPLE = [mailbox(1, 'adele'), mailbox(2, 'lee')]

function member(id: unknown, cmdlet: string, parameters: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const headers = { 'X-CmdletName': cmdlet, 'X-AnchorMailbox': 'adele@contoso.com', Prefer: 'odata.maxpagesize=1' }
  return {
    id,
    method: 'POST',
    url: INVOKE,
    headers,
    body: { CmdletInput: { CmdletName: cmdlet, Parameters: parameters } },
    ...more,
  }
}

function batch(
  exchange: ExchangeServer,
  requests: unknown,
  prefer = 'odata.maxpagesize=1000;odata.continue-on-error',
): Promise<Answer> {
  return exchange.post(BATCH, JSON.stringify({ requests }), { ...headersOf('Get-Mailbox'), prefer })
}

test('members of a batch have their own outcomes, told apart by id, in another order than they were sent', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const answer = await batch(exchange, [
    member('1', 'Get-Mailbox', { Identity: 'adele' }),
    member('2', 'Get-Mailbox', { Identity: 'nobody' }),
    member('3', 'Get-Mailbox', {}),
    member('4', 'Get-Mailbox', { Identity: 'lee' }, { url: `${new URL(INVOKE).pathname}?$select=Name` }),
  ])
  assert.equal(answer.status, 200)
  const { responses = [] } = answer.body
  assert.deepEqual(
    responses.map(({ id, status }) => [id, status]),
    [
      ['4', 200],
      ['3', 200],
      ['2', 404],
      ['1', 200],
    ],
  )
  const bodyOf = (id: string) => responses.find((each) => each.id === id)?.body ?? {}
  assert.deepEqual(bodyOf('4').value, [{ Name: 'lee' }])
  assert.equal(exceptionOf({ body: bodyOf('2') }), 'ManagementObjectNotFoundException')
  const link = bodyOf('3')['@odata.nextLink'] ?? ''
  assert.deepEqual(names(await exchange.follow(link, 'Get-Mailbox', {})), ['lee'], 'its next page is fetched alone')
  assert.deepEqual(exchange.services.record.violations, [])
})

test('without continue-on-error nothing after a failed member is carried out', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const requests = [
    member('1', 'Get-Mailbox', {}),
    member('2', 'Get-Mailbox', { Identity: 'nobody' }),
    member('3', 'Get-Mailbox', {}),
  ]
  const answer = await batch(exchange, requests, 'odata.maxpagesize=1000')
  assert.deepEqual(
    answer.body.responses?.map(({ id }) => id),
    ['2', '1'],
  )
})

test('errors of a batch may lose their ids', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  exchange.behaviour.batchErrorsWithoutId = true
  const answer = await batch(exchange, [
    member('1', 'Get-Mailbox', { Identity: 'nobody' }),
    member('2', 'Get-Mailbox', {}),
  ])
  assert.deepEqual(
    answer.body.responses?.map(({ id, status }) => [id, status]),
    [
      ['2', 200],
      ['', 404],
    ],
  )
})

test('a batch that is none is refused whole; a member that goes elsewhere is refused alone', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const eleven = Array.from({ length: 11 }, (_, index) => member(String(index), 'Get-Mailbox', {}))
  const broken: [requests: unknown, why: string][] = [
    [undefined, 'no members'],
    [[], 'an empty list'],
    [eleven, 'more than ten'],
    [[member('1', 'Get-Mailbox', {}), member('1', 'Get-Mailbox', {})], 'one id twice'],
    [[member(1, 'Get-Mailbox', {})], 'an id that is no text'],
    [[null], 'a member that is nothing'],
  ]
  for (const [requests, why] of broken) assert.equal((await batch(exchange, requests)).status, 400, why)
  assert.equal((await exchange.post(BATCH, 'nonsense', headersOf('x'))).status, 400)
  const elsewhere: [more: Record<string, unknown>, why: string][] = [
    [{ method: 'GET' }, 'another method'],
    [{ url: INVOKE.replace(TENANT, 'contoso.com') }, 'another name of a tenant'],
    [{ url: 'https://evil.example/adminapi/beta/x/InvokeCommand' }, 'another host'],
    [{ url: 'http://[' }, 'no URL'],
    [{ headers: {} }, 'no headers of its own'],
    [{ body: undefined }, 'no body'],
  ]
  const before = exchange.services.record.violations.length
  const answer = await batch(
    exchange,
    elsewhere.map(([more], index) => member(String(index), 'Get-Mailbox', {}, more)),
  )
  assert.equal(answer.status, 200)
  for (const { id, status } of answer.body.responses ?? []) assert.ok(status >= 400, elsewhere[Number(id)]?.[1])
  assert.equal(answer.body.responses?.length, elsewhere.length)
  assert.ok(exchange.services.record.violations.length >= before + elsewhere.length)
})

/** Counts how often it was carried out. */
function counting(): { cmdlet: Cmdlet; count: () => number } {
  let count = 0
  const cmdlet: Cmdlet = {
    name: 'New-RemoteDomain',
    isWrite: true,
    heeds: ['Name', 'DomainName'],
    run: () => {
      count++
      return { rows: noRows }
    },
  }
  return { cmdlet, count: () => count }
}

test('a fault hits before the effect or after it, and only the caller cannot tell which', async (t) => {
  const effects: [effect: FaultEffect, seen: (calling: Promise<Answer>) => Promise<void>][] = [
    [
      { kind: 'status', status: 503, retryAfter: '2.128' },
      async (calling) => {
        const answer = await calling
        assert.deepEqual(
          [answer.status, answer.headers.get('retry-after'), answer.body.error?.code],
          [503, '2.128', 'ServiceUnavailable'],
        )
      },
    ],
    [
      { kind: 'status', status: 502, body: '<html>bad gateway</html>' },
      async (calling) => assert.match((await calling).text, /^<html>/),
    ],
    [{ kind: 'reset' }, (calling) => assert.rejects(calling)],
    [{ kind: 'cut' }, (calling) => assert.rejects(calling)],
    [{ kind: 'wrong-body', body: '{"value":' }, async (calling) => assert.rejects(calling, SyntaxError)],
  ]
  for (const [effect, seen] of effects) {
    for (const when of ['before', 'after'] as const) {
      const { cmdlet, count } = counting()
      const exchange = await startExchange(t, { cmdlets: tableOf([cmdlet]) })
      exchange.services.faults.add({
        service: 'exchange',
        tenantId: TENANT,
        operation: 'New-RemoteDomain',
        when,
        effect,
      })
      const call = () => exchange.call('New-RemoteDomain', { Name: 'n', DomainName: 'd.example' })
      await seen(call())
      assert.equal(count(), when === 'before' ? 0 : 1, `${effect.kind} ${when}`)
      assert.equal((await call()).status, 200, 'the next call is past it')
    }
  }
})

test('a slow call is carried out all the same; a doubled answer has its rows twice', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const add = (effect: FaultEffect, when: Fault['when']) =>
    exchange.services.faults.add({ operation: 'Get-*', when, effect })
  for (const when of ['before', 'after'] as const) {
    add({ kind: 'slow', ms: 60 }, when)
    const begun = performance.now()
    assert.deepEqual(names(await exchange.call('Get-Mailbox')), ['adele', 'lee'])
    assert.ok(performance.now() - begun >= 50, when)
  }
  add({ kind: 'twice' }, 'after')
  assert.deepEqual(names(await exchange.call('Get-Mailbox')), ['adele', 'lee', 'adele', 'lee'])
})

test('faults hit single members of a batch, or the whole of it', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  exchange.services.faults.add({
    operation: 'Get-Mailbox',
    nth: 2,
    when: 'before',
    effect: { kind: 'status', status: 429 },
  })
  const requests = ['1', '2', '3'].map((id) => member(id, 'Get-Mailbox', {}))
  const answer = await batch(exchange, requests)
  assert.deepEqual(
    answer.body.responses?.map(({ status }) => status),
    [200, 429, 200],
  )
  exchange.services.faults.add({ operation: '$batch', when: 'before', effect: { kind: 'status', status: 500 } })
  assert.equal((await batch(exchange, requests)).status, 500)
  exchange.services.faults.add({ operation: 'Get-Mailbox', when: 'after', effect: { kind: 'reset' } })
  await assert.rejects(batch(exchange, requests), 'a connection has no members')
})

test('too many calls at a time are answered 429 without Retry-After, and those under way are not disturbed', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  exchange.behaviour.concurrency = 2
  exchange.behaviour.delayMs = 100
  const answers = await Promise.all([1, 2, 3, 4].map(() => exchange.call('Get-Mailbox')))
  assert.deepEqual(
    answers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 200, 429, 429],
  )
  const refused = answers.find(({ status }) => status === 429)
  assert.equal(refused?.headers.get('retry-after'), null)
  exchange.behaviour.delayMs = 0
  assert.equal((await exchange.call('Get-Mailbox')).status, 200, 'they are counted down again')
})

test('warnings are told with every answer, errors included', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  exchange.behaviour.warnings = ['This cmdlet will be retired.']
  for (const Identity of ['adele', 'nobody']) {
    const { body } = await exchange.call('Get-Mailbox', { Identity })
    assert.deepEqual(body['@adminapi.warnings'], ['This cmdlet will be retired.'])
  }
})

test('an answer is compressed for who accepts it', async (t) => {
  const exchange = await startExchange(t, { recipients: PEOPLE })
  const encodingFor = async (accepted: string) =>
    (await exchange.call('Get-Mailbox', {}, { headers: { 'accept-encoding': accepted } })).headers.get(
      'content-encoding',
    )
  assert.deepEqual([await encodingFor('gzip'), await encodingFor('identity')], ['gzip', null])
  exchange.behaviour.gzip = false
  assert.equal(await encodingFor('gzip'), null)
})
