// What the simulated Exchange refuses, in Exchange's own form, and what it tells the test run about it. (microsoft-365.md §2.4, §14.1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cmdlet } from '../../../sandbox/exchange/cmdlet.ts'
import { noRows } from '../../../sandbox/exchange/cmdlet.ts'
import { tableOf } from '../../../sandbox/exchange/cmdlets.ts'
import {
  requireAcceptedDomain,
  requireFreeName,
  requireHydrated,
  requireLength,
  requireRoomForRule,
} from '../../../sandbox/exchange/write-rules.ts'
import { TENANT, exceptionOf, guid, headersOf, inputOf, mailbox, startExchange } from './exchange-server.ts'

const INVOKE = `/adminapi/beta/${TENANT}/InvokeCommand`
const LONG = 'n'.repeat(64 * 1024)

test('an absent object is told in the envelope that the module takes apart', async (t) => {
  const exchange = await startExchange(t)
  const answer = await exchange.call('Get-Mailbox', { Identity: 'x' })
  const text =
    "The operation couldn't be performed because object 'x' couldn't be found on 'SANDBOXDC001.SANDBOX.PROD.OUTLOOK.COM'."
  const type = 'Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException'
  assert.equal(answer.status, 404)
  assert.deepEqual(answer.body, {
    error: {
      code: 'NotFound',
      message: 'Error executing cmdlet',
      details: [{ code: 'Client', target: '', message: `Ex6F9304|${type}|${text}` }],
      innererror: {
        message: 'Error executing cmdlet',
        type: 'Microsoft.Exchange.Admin.OData.Core.ODataServiceException',
        stacktrace: '',
        internalexception: { message: text, type, stacktrace: '' },
      },
    },
    'adminapi.warnings@odata.type': '#Collection(String)',
    '@adminapi.warnings': [],
  })
  exchange.behaviour.absentStatus = 500
  const older = await exchange.call('Get-Mailbox', { Identity: 'x' })
  assert.deepEqual([older.status, older.body.error?.code], [500, 'InternalServerError'], 'the status says nothing')
  assert.equal(exceptionOf(older), 'ManagementObjectNotFoundException')
  assert.deepEqual(exchange.services.record.violations, [], 'asking for what is not there breaks no contract')
})

test('a call that Microsoft does not publish is refused as Exchange refuses it, and recorded', async (t) => {
  const exchange = await startExchange(t, { recipients: [mailbox(1, 'adele')] })
  const examples: [
    cmdlet: string,
    parameters: Record<string, unknown>,
    exception: string,
    rule: string,
    why: string,
  ][] = [
    ['Get-Mailboxes', {}, 'CommandNotFoundException', 'unknown-cmdlet', 'no such cmdlet'],
    [LONG, {}, 'CommandNotFoundException', 'unknown-cmdlet', 'a name of 64 KiB'],
    [
      'Get-EXOMailbox',
      {},
      'CommandNotFoundException',
      'unknown-cmdlet',
      'of the module alone: no cmdlet to InvokeCommand',
    ],
    ['Get-Mailbox', { Bogus: 1 }, 'AmbiguousParameterSetException', 'unknown-parameter', 'no such parameter'],
    ['Get-Mailbox', { [LONG]: 1 }, 'AmbiguousParameterSetException', 'unknown-parameter', 'a parameter of 64 KiB'],
    [
      'Get-Mailbox',
      { Server: 'dc1' },
      'AmbiguousParameterSetException',
      'on-premises-only',
      'for Exchange Server only',
    ],
    [
      'Get-Mailbox',
      { Identity: 'a', Anr: 'a' },
      'AmbiguousParameterSetException',
      'no-parameter-set',
      'no set has both',
    ],
    ['Get-MailboxStatistics', {}, 'AmbiguousParameterSetException', 'no-parameter-set', 'Identity is mandatory'],
    ['Get-Mailbox', { Archive: 'yes' }, 'ParameterTransformationException', 'wrong-type', 'a switch is true or absent'],
  ]
  for (const [cmdlet, parameters, exception, rule, why] of examples) {
    const before = exchange.services.record.violations.length
    const answer = await exchange.call(cmdlet, parameters, cmdlet === LONG ? { headers: { 'x-cmdletname': 'x' } } : {})
    assert.equal(answer.status, 400, why)
    assert.equal(exceptionOf(answer), exception, why)
    const [violation, ...more] = exchange.services.record.violations.slice(before)
    assert.equal(violation?.rule, rule, why)
    assert.equal(more.length, 0, why)
    assert.ok((violation?.request.length ?? 0) <= 60, 'nothing long gets into the record')
  }
})

test('an unfit value is told by the inner exception alone: there are no details', async (t) => {
  const exchange = await startExchange(t)
  for (const parameters of [
    { ResultSize: 'many' },
    { ResultSize: 0 },
    { Filter: 'Alias -resembles 5' },
    { Filter: `${'('.repeat(10_000)}a` },
  ]) {
    const answer = await exchange.call('Get-Mailbox', parameters)
    assert.equal(answer.status, 400)
    assert.equal(answer.body.error?.details, undefined)
    assert.equal(exceptionOf(answer), 'ParameterTransformationException')
  }
})

test('what the contract allows and the simulation does not do is refused as that, and fails the run', async (t) => {
  const exchange = await startExchange(t)
  for (const [cmdlet, parameters] of [
    ['Get-Mailbox', { Anr: 'a' }],
    ['Get-CASMailbox', {}],
  ] as const) {
    assert.equal((await exchange.call(cmdlet, parameters)).status, 501)
  }
  assert.deepEqual(
    exchange.services.record.violations.map(({ rule }) => rule),
    ['not-simulated', 'not-simulated'],
  )
  assert.equal(
    (await exchange.call('Get-Mailbox', { ErrorAction: 'Stop', SoftDeletedMailbox: false })).status,
    200,
    'that asks for nothing',
  )
})

test('a body that is no CmdletInput is refused and recorded', async (t) => {
  const exchange = await startExchange(t)
  const bodies: [body: string, why: string][] = [
    ['', 'nothing'],
    ['{', 'not JSON'],
    ['null', 'null'],
    ['[]', 'a list'],
    ['{"cmdletinput":{"CmdletName":"Get-Mailbox"}}', 'names of members have their case'],
    ['{"CmdletInput":{"cmdletName":"Get-Mailbox"}}', 'inside, too'],
    ['{"CmdletInput":{"CmdletName":5}}', 'a cmdlet that is no text'],
    ['{"CmdletInput":{"CmdletName":""}}', 'a cmdlet without a name'],
    ['{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":[]}}', 'parameters that are a list'],
    ['{"CmdletInput":{"CmdletName":"Get-Mailbox"},"Extra":1}', 'one member more'],
    ['['.repeat(200_000), 'deep nesting'],
  ]
  for (const [body, why] of bodies) {
    const answer = await exchange.post(INVOKE, body, headersOf('Get-Mailbox'))
    assert.equal(answer.status, 400, why)
    assert.equal(exceptionOf(answer), 'ODataException', why)
  }
  assert.equal(exchange.services.record.violations.length, bodies.length)
  const flood = await exchange.post(
    INVOKE,
    inputOf('Get-Mailbox', { Identity: 'x'.repeat(2 ** 21) }),
    headersOf('Get-Mailbox'),
  )
  assert.equal(flood.status, 413, 'a body without end is not read to its end')
  assert.equal(
    (await exchange.call('Get-Mailbox', { Identity: LONG })).status,
    404,
    '64 KiB is only somebody who is not there',
  )
  assert.equal(
    (await exchange.post(INVOKE, '{"CmdletInput":{"CmdletName":"get-mailbox"}}', headersOf('Get-Mailbox'))).status,
    200,
  )
})

test('headers that route a call have to be there and to name the same cmdlet', async (t) => {
  const exchange = await startExchange(t)
  const faulty: [headers: Record<string, string | undefined>, where: string][] = [
    [{ 'x-cmdletname': undefined }, 'X-CmdletName'],
    [{ 'x-cmdletname': 'Get-Recipient' }, 'X-CmdletName'],
    [{ 'x-anchormailbox': undefined }, 'X-AnchorMailbox'],
    [{ 'x-anchormailbox': 'somewhere' }, 'X-AnchorMailbox'],
    [{ 'content-type': 'text/plain' }, 'Content-Type'],
  ]
  for (const [headers] of faulty) assert.equal((await exchange.call('Get-Mailbox', {}, { headers })).status, 400)
  const { violations } = exchange.services.record
  assert.deepEqual(
    violations.map(({ rule, where }) => [rule, where]),
    faulty.map(([, where]) => ['wrong-header', where]),
  )
  for (const anchor of ['adele@contoso.com', 'UPN:adele@contoso.com']) {
    assert.equal((await exchange.call('Get-Mailbox', {}, { headers: { 'x-anchormailbox': anchor } })).status, 200)
  }
  assert.equal((await exchange.call('Get-Mailbox', {}, { path: `${INVOKE}?$top=5` })).status, 400)
  assert.equal(violations.at(-1)?.rule, 'unknown-query-option')
})

test('a path that is none, and a method that is not POST, are refused and recorded', async (t) => {
  const exchange = await startExchange(t)
  const paths = [
    '/adminapi/v3.0/x/InvokeCommand',
    `/adminapi/beta/${TENANT}/Mailbox`,
    '/',
    `/adminapi/beta/${TENANT}/InvokeCommand/`,
    '/adminapi/beta/%/$batch',
  ]
  for (const path of paths) assert.equal((await exchange.call('Get-Mailbox', {}, { path })).status, 404, path)
  assert.equal(exchange.services.record.violations.length, paths.length)
  for (const path of [
    `/adminapi/v1.0/${TENANT}/InvokeCommand`,
    '/adminapi/beta/contoso.onmicrosoft.com/invokecommand',
  ]) {
    assert.equal((await exchange.call('Get-Mailbox', {}, { path })).status, 200, path)
  }
})

test('the token decides who gets in', async (t) => {
  const exchange = await startExchange(t)
  const tokens: [authorization: string | undefined, path: string, status: number, why: string][] = [
    [undefined, INVOKE, 401, 'no token'],
    ['Bearer stale', INVOKE, 401, 'a token that does not count'],
    ['Bearer no-role', INVOKE, 403, 'without Exchange.ManageAsApp'],
    ['Bearer other', INVOKE, 403, 'of another tenant'],
    ['Bearer good', '/adminapi/beta/fabrikam.example/InvokeCommand', 403, 'for a tenant that is not there'],
    ['Bearer good', '/adminapi/beta/unproven.example/InvokeCommand', 403, 'by a domain that is not verified'],
  ]
  for (const [authorization, path, status, why] of tokens) {
    const answer = await exchange.call('Get-Mailbox', {}, { path, headers: { authorization } })
    assert.equal(answer.status, status, why)
    if (status === 401) assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/)
  }
})

test('behind the token, Exchange roles decide cmdlet by cmdlet', async (t) => {
  const exchange = await startExchange(t)
  const examples: [roles: string[], cmdlet: string, status: number, why: string][] = [
    [[], 'Get-OrganizationConfig', 403, 'Exchange.ManageAsApp alone opens nothing'],
    [['View-Only Configuration'], 'Get-OrganizationConfig', 200, 'configuration may be read'],
    [['View-Only Configuration'], 'Get-InboundConnector', 200, 'connectors are configuration'],
    [['View-Only Configuration'], 'Get-Mailbox', 403, 'mailboxes are not'],
    [['View-Only Recipients'], 'Get-Mailbox', 200, 'that is another role'],
    [['View-Only Recipients'], 'Get-TransportRule', 403, 'which does not show rules'],
    [['Global Reader'], 'Get-Mailbox', 200, 'a directory role for everything that is read'],
    [['Global Reader'], 'New-RemoteDomain', 403, 'and for nothing that is written'],
    [['View-Only Configuration'], 'New-RemoteDomain', 403, 'a reader makes nothing'],
    [['Exchange Administrator'], 'Get-Mailbox', 200, 'a directory role for everything'],
  ]
  for (const [roles, cmdlet, status, why] of examples) {
    exchange.roles.splice(0, exchange.roles.length, ...roles)
    const parameters = cmdlet === 'New-RemoteDomain' ? { Name: 'n', DomainName: 'd.example' } : {}
    const answer = await exchange.call(cmdlet, parameters)
    assert.equal(answer.status, status, why)
    if (status === 403)
      assert.match(
        answer.body.error?.message ?? '',
        roles.length === 0 ? /^The role assigned/ : /^User is not allowed to call/,
      )
  }
  assert.deepEqual(exchange.services.record.violations, [], 'a role that is missing is the administrator’s to give')
})

test('a missing role may also be told by NUL bytes, or by the 401 of old', async (t) => {
  const exchange = await startExchange(t, { roles: ['View-Only Configuration'] })
  exchange.behaviour.refusals = 'nul-bytes'
  const silent = await exchange.call('Get-Mailbox')
  assert.equal(silent.status, 403)
  assert.match(silent.text, /^\0+$/)
  exchange.behaviour.refusals = 'unauthorized'
  const old = await exchange.call('Get-Mailbox')
  assert.deepEqual(
    [old.status, old.body.error?.code, old.body.error?.message],
    [401, 'Unauthorized', 'User is not allowed to call Get-Mailbox'],
  )
})

test('a cmdlet that writes is refused by Exchange’s rules with their exceptions, and says nothing when it works', async (t) => {
  const rules = Array.from({ length: 300 }, (_, index) => ({
    guid: guid('5', index),
    noun: 'TransportRule',
    properties: { Name: `rule ${index}` },
  }))
  const remote = { guid: guid('6', 1), noun: 'RemoteDomain', properties: { Name: 'Taken' } }
  const dehydrated = { guid: guid('6', 2), noun: 'OrganizationConfig', properties: { Name: 'c', IsDehydrated: true } }
  const cmdlets = tableOf([
    write('New-RemoteDomain', ['Name', 'DomainName'], (call) => {
      const name = call.parameters.text('Name') ?? ''
      requireLength('Name', name)
      requireFreeName(call.tenant, 'RemoteDomain', name)
      call.tenant.putExchangeObject({ guid: guid('6', 3), noun: 'RemoteDomain', properties: { Name: name } })
    }),
    write('New-TransportRule', ['Name'], ({ tenant }) => requireRoomForRule(tenant)),
    write('New-OrganizationRelationship', ['Name', 'DomainNames'], ({ tenant }) => requireHydrated(tenant)),
    write('Set-Mailbox', ['Identity', 'EmailAddresses'], ({ tenant, parameters }) => {
      for (const address of parameters.list('EmailAddresses') ?? []) requireAcceptedDomain(tenant, address)
    }),
  ])
  const exchange = await startExchange(t, { cmdlets, exchangeObjects: [...rules, remote, dehydrated] })
  const examples: [cmdlet: string, parameters: Record<string, unknown>, exception: string | undefined, why: string][] =
    [
      [
        'New-RemoteDomain',
        { Name: 'n'.repeat(65), DomainName: 'a.example' },
        'DataValidationException',
        'a name of 65 characters',
      ],
      [
        'New-RemoteDomain',
        { Name: 'taken', DomainName: 'a.example' },
        'ADObjectAlreadyExistsException',
        'a name that is taken, in any case',
      ],
      ['New-RemoteDomain', { Name: 'n'.repeat(64), DomainName: 'a.example' }, undefined, 'a name of 64 characters'],
      ['New-TransportRule', { Name: 'one more' }, 'InvalidOperationException', 'a rule beyond the 300th'],
      [
        'New-OrganizationRelationship',
        { Name: 'r', DomainNames: ['a.example'] },
        'InvalidOperationInDehydratedContextException',
        'an organisation that is still as all new ones are',
      ],
      [
        'Set-Mailbox',
        { Identity: 'a', EmailAddresses: ['a@else.example'] },
        'NotAcceptedDomainException',
        'somebody else’s domain',
      ],
      [
        'Set-Mailbox',
        { Identity: 'a', EmailAddresses: ['a@unproven.example'] },
        'NotAcceptedDomainException',
        'a domain that is not verified',
      ],
      ['Set-Mailbox', { Identity: 'a', EmailAddresses: ['a@Contoso.com'] }, undefined, 'its own'],
    ]
  for (const [cmdlet, parameters, exception, why] of examples) {
    const answer = await exchange.call(cmdlet, parameters)
    assert.equal(exceptionOf(answer), exception, `${why}: ${answer.text.slice(0, 200)}`)
    assert.equal(answer.status, exception === undefined ? 200 : 400, why)
    if (exception === undefined) assert.deepEqual(answer.body.value, [], 'success says nothing')
    else assert.match(answer.body.error?.details?.[0]?.message ?? '', /^Ex[0-9A-F]{6}\|[\w.]+\|.+/)
  }
  const use = exchange.services.record.report().uses.find(({ name }) => name === 'Set-Mailbox')
  assert.equal(use?.isWrite, true)
})

function write(name: string, heeds: readonly string[], act: (call: Parameters<Cmdlet['run']>[0]) => void): Cmdlet {
  return {
    name,
    isWrite: true,
    heeds,
    run: (call) => {
      act(call)
      return { rows: noRows }
    },
  }
}
