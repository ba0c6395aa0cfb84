// Cmdlets over HTTPS against a server that plays Exchange badly. (microsoft-365.md §14.1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../../harness/wait.ts'
import { collect, EXCHANGE_ORIGIN, json, scene, TENANT } from '../microsoft/scene.ts'

const COMMAND = `/adminapi/beta/${TENANT}/InvokeCommand`
const absent = {
  error: {
    details: [
      {
        code: 'Client',
        message: 'Ex6F9304|Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException|x',
      },
    ],
  },
}

test('a cmdlet is posted with what Exchange routes it by', async (t) => {
  const { exchange, asked } = await scene(t, (_, response) => json(response, { value: [{ Name: 'a' }] }))
  const parameters = { ResultSize: 'Unlimited', Identity: { '@odata.type': '#Exchange.GenericHashTable', add: ['x'] } }
  assert.deepEqual(await collect(exchange.read('Get-Mailbox', parameters, { select: ['Name', 'Guid'] })), [
    [{ Name: 'a' }],
  ])
  const [one] = asked
  assert.equal(one?.method, 'POST')
  assert.equal(one?.path, `${COMMAND}?$select=Name,Guid`)
  assert.deepEqual(JSON.parse(one?.body ?? ''), {
    CmdletInput: { CmdletName: 'Get-Mailbox', Parameters: parameters },
  })
  const { headers } = one ?? { headers: {} }
  assert.equal(headers['x-cmdletname'], 'Get-Mailbox')
  assert.equal(headers['x-anchormailbox'], `APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@${TENANT}`)
  assert.equal(headers['prefer'], 'odata.maxpagesize=1000')
  assert.equal(headers['parameter-based-routing'], 'true')
  assert.equal(headers['content-type'], 'application/json; charset=utf-8')
  assert.equal(headers['accept'], 'application/json; odata.metadata=minimal')
})

test('the next page is got by posting the same to the link', async (t) => {
  const { exchange, asked } = await scene(t, ({ path }, response) => {
    const at = Number(/skiptoken=(\d)/.exec(path)?.[1] ?? 0)
    json(response, {
      value: [at],
      ...(at < 2 ? { '@odata.nextLink': `${EXCHANGE_ORIGIN}:443${COMMAND}?%24skiptoken=${at + 1}` } : {}),
    })
  })
  assert.deepEqual(await collect(exchange.read('Get-Recipient', { ResultSize: 'Unlimited' })), [[0], [1], [2]])
  assert.equal(new Set(asked.map(({ body }) => body)).size, 1)
  assert.deepEqual(
    asked.map(({ path }) => path),
    [COMMAND, `${COMMAND}?%24skiptoken=1`, `${COMMAND}?%24skiptoken=2`],
  )
})

const hostile: [link: string, why: string][] = [
  [`https://attacker.example${COMMAND}`, 'another host'],
  [`https://graph.sandbox.test${COMMAND}`, 'another service'],
  [`${EXCHANGE_ORIGIN}/ews/exchange.asmx`, 'another door'],
  [`${EXCHANGE_ORIGIN}${COMMAND}`, 'where we were: round in circles'],
]
for (const [link, why] of hostile) {
  test(`a next page at ${link} is refused: ${why}`, async (t) => {
    const { exchange, asked } = await scene(t, (_, response) => json(response, { value: [1], '@odata.nextLink': link }))
    await assert.rejects(collect(exchange.read('Get-Mailbox', {})), { code: 'LINK_REFUSED', operation: 'Get-Mailbox' })
    assert.equal(asked.length, 1)
  })
}

test('nothing is a good answer of a cmdlet that changes something, and of one that finds none', async (t) => {
  for (const empty of ['nobody', 'empty list', '204'] as const) {
    const { exchange } = await scene(t, (_, response) => {
      if (empty === '204') response.writeHead(204).end()
      else if (empty === 'nobody') response.writeHead(200).end()
      else json(response, { value: [] })
    })
    assert.deepEqual(await exchange.invoke('Set-Mailbox', { Identity: 'x' }), [], empty)
    assert.deepEqual(await collect(exchange.read('Get-Mailbox', {})), [[]], empty)
  }
})

test('a change is sent once; a read is repeated', async (t) => {
  const { exchange, asked } = await scene(t, (_, response, nth) =>
    nth <= 2 ? json(response, {}, 500) : json(response, { value: [nth] }),
  )
  await assert.rejects(exchange.invoke('New-MailContact', { Name: 'x' }), {
    code: 'TRANSIENT',
    operation: 'New-MailContact',
  })
  assert.equal(asked.length, 1)
  assert.deepEqual(await collect(exchange.read('Get-MailContact', {})), [[3]])
})

test('what the exception says is told by its code, and its text nowhere', async (t) => {
  const { exchange, logLines, asked } = await scene(t, (_, response) => json(response, absent, 500))
  await assert.rejects(collect(exchange.read('Get-Mailbox', { Identity: 'alice@contoso.com' })), {
    code: 'NOT_FOUND',
    serviceCode: 'ManagementObjectNotFoundException',
    status: 500,
  })
  assert.equal(asked.length, 1)
  assert.doesNotMatch(logLines.join(''), /alice|Ex6F9304/)
})

test('warnings are counted, not repeated', async (t) => {
  const { exchange, logLines } = await scene(t, (_, response) =>
    json(response, { value: [], '@adminapi.warnings': ['alice has none', 'bob has none'] }),
  )
  await exchange.invoke('Set-Mailbox', {})
  const line = JSON.parse(logLines.at(-1) ?? '{}') as Record<string, unknown>
  assert.deepEqual([line['warnings'], line['operation'], line['level']], [2, 'Set-Mailbox', 'info'])
  assert.doesNotMatch(logLines.join(''), /alice|bob/)
})

test('three reads at the same time and one change', async (t) => {
  const waiting: (() => void)[] = []
  let most = 0
  const arrived = Promise.withResolvers<undefined>()
  const { exchange, pace } = await scene(t, ({ headers }, response) => {
    const answer = () => json(response, { value: [] })
    if (headers['x-cmdletname'] === 'Set-Mailbox') {
      arrived.resolve(undefined)
      answer()
      return
    }
    waiting.push(answer)
    most = Math.max(most, waiting.length)
    if (isOpen) for (const go of waiting.splice(0)) go()
  })
  let isOpen = false
  pace.standsStill = true
  const reads = Array.from({ length: 5 }, () => collect(exchange.read('Get-Mailbox', {})))
  // A change is not kept by reads that wait.
  const changes = Promise.all([exchange.invoke('Set-Mailbox', {}), exchange.invoke('Set-Mailbox', {})])
  await arrived.promise
  await changes
  await eventually('three reads', () => (waiting.length === 3 ? true : undefined))
  isOpen = true
  for (const go of waiting.splice(0)) go()
  await Promise.all(reads)
  assert.equal(most, 3)
})

test('a throttled change makes reads wait too', async (t) => {
  const { exchange, pace } = await scene(t, (_, response, nth) =>
    nth === 1 ? json(response, {}, 429, { 'retry-after': '30' }) : json(response, { value: [] }),
  )
  await assert.rejects(exchange.invoke('Set-Mailbox', {}), { code: 'THROTTLED', waitMs: 30_000 })
  await collect(exchange.read('Get-Mailbox', {}))
  assert.equal(pace.monotonicMs(), 30_000)
})

test('what is no cmdlet that reads is not sent as one', async (t) => {
  const { exchange, asked } = await scene(t, (_, response) => json(response, { value: [] }))
  for (const cmdlet of ['Set-Mailbox', 'Get-Mailbox\r\nX: y', 'Get-', '', 'get-mailbox'])
    await assert.rejects(collect(exchange.read(cmdlet, {})), /unreachable/, cmdlet)
  await assert.rejects(collect(exchange.read('Get-Mailbox', {}, { select: ['Name&$filter=x'] })), /unreachable/)
  await assert.rejects(exchange.invoke('Set Mailbox', {}), /unreachable/)
  assert.equal(asked.length, 0)
})
