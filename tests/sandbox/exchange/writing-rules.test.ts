// Mail flow rules: their order, what they name, and when they act. (microsoft-365.md §15; coexistence.md §2.1 rows 9–13)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RULE_PARAMETERS } from '../../../sandbox/exchange/rule-parameters.ts'
import { rulesInEffect } from '../../../sandbox/exchange/rule-propagation.ts'
import { isAction } from '../../../sandbox/mail-flow/rule-actions.ts'
import { isCondition } from '../../../sandbox/mail-flow/rule-conditions.ts'
import { exceptionOf } from './exchange-server.ts'
import type { ExchangeServer } from './exchange-server.ts'
import { OUTBOUND, attempt, only, readOne, startOrganisation } from './writes.ts'
import type { Attempt } from './writes.ts'

const EXISTS = 'ADObjectAlreadyExistsException'
const ABSENT = 'ManagementObjectNotFoundException'
const INVALID = 'DataValidationException'
const UNFIT = 'ParameterTransformationException'

const TAG = { SetHeaderName: 'X-Causeway-Project', SetHeaderValue: 'token' }
const ROUTE = {
  Name: 'Route',
  FromMemberOf: ['Presented'],
  SenderAddressLocation: 'HeaderOrEnvelope',
  SentToScope: 'NotInOrganization',
  RouteMessageOutboundConnector: 'Out',
  ...TAG,
  ExceptIfHeaderContainsMessageHeader: 'X-Causeway-Trace',
  ExceptIfHeaderContainsWords: ['one', 'two, three'],
  StopRuleProcessing: true,
  RuleErrorAction: 'Defer',
  Mode: 'Enforce',
  Enabled: false,
  Comments: 'causeway:prj:rule-20:00000000',
}
const GROUP: Attempt = ['New-DistributionGroup', { Name: 'Presented', Type: 'Security' }, undefined, 'a group']
const CONNECTOR: Attempt = ['New-OutboundConnector', OUTBOUND, undefined, 'a connector']

test('whatever a rule may say, mail flow judges or does', () => {
  const described = ['ActivationDate', 'Comments', 'ExpiryDate', 'Mode', 'RuleErrorAction', 'SenderAddressLocation']
  const unknown = RULE_PARAMETERS.filter((name) => !isCondition(name) && !isAction(name))
  assert.deepEqual(unknown, [...described, 'SetAuditSeverity'])
})

test('a rule is told as it was made, is off when it is made off, and goes on and off', async (t) => {
  const exchange = await startOrganisation(t)
  await attempt(exchange, [GROUP, CONNECTOR, ['New-TransportRule', ROUTE, undefined, 'the rule']])
  const read = () => readOne(exchange, 'Get-TransportRule', { Identity: 'Route' })
  const { Enabled: _, ...told } = ROUTE
  assert.deepEqual(only(await read(), [...Object.keys(told), 'State', 'Priority'].join(' ')), {
    ...told,
    State: 'Disabled',
    Priority: 0,
  })
  await attempt(exchange, [['Enable-TransportRule', { Identity: 'Route', Mode: 'Audit' }, undefined, 'on']])
  assert.deepEqual(only(await read(), 'State Mode'), { State: 'Enabled', Mode: 'Audit' })
  await attempt(exchange, [
    ['Disable-TransportRule', { Identity: 'Route', Confirm: false }, undefined, 'off'],
    ['Disable-TransportRule', { Identity: 'Route', Confirm: false }, undefined, 'off again'],
    ['Enable-TransportRule', { Identity: 'Nobody' }, ABSENT, 'there is no such rule'],
    [
      'Set-TransportRule',
      { Identity: 'Route', FromMemberOf: null, FromScope: 'inorganization', ExceptIfHeaderContainsWords: 'four, five' },
      undefined,
      'a condition goes, another comes; words may have commas',
    ],
  ])
  assert.deepEqual(only(await read(), 'State FromMemberOf FromScope ExceptIfHeaderContainsWords SetHeaderValue'), {
    State: 'Disabled',
    FromMemberOf: [],
    FromScope: 'InOrganization',
    ExceptIfHeaderContainsWords: ['four, five'],
    SetHeaderValue: 'token',
  })
})

test('a rule is refused when it names what is not there, says half of something, or does nothing', async (t) => {
  const exchange = await startOrganisation(t)
  await attempt(exchange, [
    GROUP,
    CONNECTOR,
    ['New-TransportRule', { ...ROUTE, FromMemberOf: ['Nobody'] }, ABSENT, 'a group that is not there'],
    ['New-TransportRule', { ...ROUTE, FromMemberOf: ['adele'] }, ABSENT, 'a mailbox is no group'],
    ['New-TransportRule', { ...ROUTE, ExceptIfSentToMemberOf: ['Nobody'] }, ABSENT, 'in an exception either'],
    ['New-TransportRule', { ...ROUTE, RouteMessageOutboundConnector: 'Nowhere' }, ABSENT, 'a connector'],
    ['New-TransportRule', { ...ROUTE, ExceptIfHeaderContainsWords: undefined }, INVALID, 'a field without words'],
    ['New-TransportRule', { ...ROUTE, SetHeaderValue: undefined }, INVALID, 'a field without a value'],
    ['New-TransportRule', { ...ROUTE, SetHeaderName: 'X Causeway' }, UNFIT, 'no name of a field'],
    ['New-TransportRule', { ...ROUTE, SetHeaderName: 'X'.repeat(65) }, UNFIT, 'a name of 65 characters'],
    ['New-TransportRule', { Name: 'Idle', FromScope: 'InOrganization' }, INVALID, 'no action'],
    ['New-TransportRule', { ...ROUTE, Comments: 'c'.repeat(1025) }, INVALID, 'comments of 1,025 characters'],
    ['New-TransportRule', { ...ROUTE, Priority: 1 }, INVALID, 'a gap'],
    ['New-TransportRule', { ...ROUTE, Priority: -1 }, INVALID, 'before the first'],
    ['New-TransportRule', ROUTE, undefined, 'as it should be'],
    ['New-TransportRule', { ...ROUTE, Name: 'ROUTE' }, EXISTS, 'its name is taken'],
    ['Set-TransportRule', { Identity: 'Route', SentToMemberOf: ['Nobody'] }, ABSENT, 'changes are held to the same'],
    ['Set-TransportRule', { Identity: 'Route', SetHeaderName: null }, INVALID, 'as a whole'],
    ['Remove-TransportRule', { Identity: 'Nobody', Confirm: false }, ABSENT, 'there is no such rule'],
  ])
})

test('a connector stays while a rule names it, and a rule goes along when what it names gets another name', async (t) => {
  const exchange = await startOrganisation(t)
  const connector = (await exchange.call('New-OutboundConnector', OUTBOUND)).body.value?.[0]?.['Guid']
  const bypass = { BypassSecurityGroupManagerCheck: true }
  await attempt(exchange, [
    GROUP,
    ['New-TransportRule', { ...ROUTE, RouteMessageOutboundConnector: connector }, undefined, 'by its Guid'],
    ['Remove-OutboundConnector', { Identity: 'Out', Confirm: false }, 'InvalidOperationException', 'it is in use'],
    ['Set-OutboundConnector', { Identity: 'Out', Name: 'Way out' }, undefined, 'another name'],
    ['Remove-OutboundConnector', { Identity: connector, Confirm: false }, 'InvalidOperationException', 'still in use'],
    ['Set-DistributionGroup', { Identity: 'Presented', Name: 'Shown', ...bypass }, undefined, 'the group, too'],
  ])
  const rule = await readOne(exchange, 'Get-TransportRule', { Identity: 'Route' })
  assert.deepEqual(only(rule, 'RouteMessageOutboundConnector FromMemberOf'), {
    RouteMessageOutboundConnector: 'Way out',
    FromMemberOf: ['Shown'],
  })
  await attempt(exchange, [
    ['Remove-TransportRule', { Identity: 'Route', Confirm: false }, undefined, 'the rule first'],
    ['Remove-OutboundConnector', { Identity: connector, Confirm: false }, undefined, 'then the connector'],
  ])
})

test('by a switch, a rule tells groups by their addresses', async (t) => {
  const exchange = await startOrganisation(t)
  exchange.behaviour.ruleGroups = 'addresses'
  await attempt(exchange, [GROUP, CONNECTOR, ['New-TransportRule', ROUTE, undefined, 'the rule']])
  const rule = await readOne(exchange, 'Get-TransportRule', { Identity: 'Route' })
  assert.deepEqual(rule['FromMemberOf'], ['Presented@contoso.com'])
})

test('priorities have no gap: who comes in, moves or goes shifts the others', async (t) => {
  const exchange = await startOrganisation(t)
  const rule = (Name: string, Priority?: number): Attempt => [
    'New-TransportRule',
    { Name, ...TAG, ...(Priority === undefined ? {} : { Priority }) },
    undefined,
    Name,
  ]
  const steps: readonly [attempt: Attempt, order: string, why: string][] = [
    [rule('a'), 'a', 'the first'],
    [rule('b'), 'ab', 'at the end, where nothing is said'],
    [rule('c', 0), 'cab', 'at the front'],
    [rule('d', 2), 'cadb', 'between'],
    [rule('e', 4), 'cadbe', 'at the end'],
    [['Set-TransportRule', { Identity: 'c', Priority: 4 }, undefined, ''], 'adbec', 'to the end'],
    [['Set-TransportRule', { Identity: 'e', Priority: 0 }, undefined, ''], 'eadbc', 'to the front'],
    [['Set-TransportRule', { Identity: 'e', Priority: 5 }, INVALID, ''], 'eadbc', 'no further than the end'],
    [['Set-TransportRule', { Identity: 'd', Priority: 2 }, undefined, ''], 'eadbc', 'where it is'],
    [['Remove-TransportRule', { Identity: 'a', Confirm: false }, undefined, ''], 'edbc', 'one goes'],
    [['Set-TransportRule', { Identity: 'd', Name: 'x' }, undefined, ''], 'exbc', 'a name moves nothing'],
  ]
  for (const [step, order, why] of steps) {
    await attempt(exchange, [step])
    assert.equal(await orderOf(exchange), order, why)
  }
})

test('whatever is done to rules, priorities stay gapless, and without a delay what is told is what acts', async (t) => {
  const exchange = await startOrganisation(t)
  const { tenant, services } = exchange
  const place = fc.nat({ max: 8 })
  const command = fc.oneof(
    fc.record({ kind: fc.constant('new' as const), priority: place }),
    fc.record({ kind: fc.constant('move' as const), which: place, priority: place }),
    fc.record({ kind: fc.constant('remove' as const), which: place }),
  )
  let made = 0
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 8 }), async (commands) => {
      for (const each of commands) {
        const rules = tenant.exchangeObjects('TransportRule')
        const { priority } = { priority: 0, ...each }
        const identity = 'which' in each ? rules[each.which]?.guid : undefined
        const answer =
          each.kind === 'new'
            ? await exchange.call('New-TransportRule', { Name: `rule ${(made += 1)}`, ...TAG, Priority: priority })
            : each.kind === 'move'
              ? await exchange.call('Set-TransportRule', { Identity: identity ?? 'nobody', Priority: priority })
              : await exchange.call('Remove-TransportRule', { Identity: identity ?? 'nobody', Confirm: false })
        assert.ok(answer.status === 200 || [INVALID, ABSENT].includes(exceptionOf(answer) ?? ''), answer.text)
        const inEffect = rulesInEffect(tenant, services.clock.nowMs())
        assert.deepEqual(
          inEffect.map(({ properties }) => properties['Priority']),
          inEffect.map((_, index) => index),
        )
        assert.deepEqual(new Set(inEffect), new Set(tenant.exchangeObjects('TransportRule')))
      }
    }),
    { numRuns: 15, seed: 6 },
  )
})

test('a change of a rule acts after its delay; what was before acts until then', async (t) => {
  const exchange = await startOrganisation(t)
  const { tenant, services, behaviour } = exchange
  const acting = () =>
    rulesInEffect(tenant, services.clock.nowMs())
      .map(({ properties }) => `${String(properties['Name'])}${properties['State'] === 'Enabled' ? '+' : '-'}`)
      .join(' ')
  const rule = (Name: string, more: Record<string, unknown> = {}): Attempt => [
    'New-TransportRule',
    { Name, ...TAG, ...more },
    undefined,
    Name,
  ]
  await attempt(exchange, [rule('a'), rule('b', { Enabled: false })])
  assert.equal(acting(), 'a+ b-', 'without a delay, at once')
  behaviour.rulePropagationMs = 30 * 60_000
  await attempt(exchange, [rule('c', { Priority: 0 }), ['Enable-TransportRule', { Identity: 'b' }, undefined, 'on']])
  assert.equal(await orderOf(exchange), 'cab', 'cmdlets tell it at once')
  assert.equal(acting(), 'a+ b-', 'and mail knows nothing of it')
  services.clock.advance(10 * 60_000)
  await attempt(exchange, [
    ['Disable-TransportRule', { Identity: 'b', Confirm: false }, undefined, 'off again'],
    ['Remove-TransportRule', { Identity: 'a', Confirm: false }, undefined, 'one goes'],
  ])
  services.clock.advance(20 * 60_000 - 1)
  assert.equal(acting(), 'a+ b-', 'a millisecond too early')
  services.clock.advance(1)
  assert.equal(acting(), 'c+ a+ b+', 'the first changes act, and those after them not yet')
  services.clock.advance(10 * 60_000)
  assert.equal(acting(), 'c+ b-', 'all of them')
  behaviour.rulePropagationMs = 60_000
  await attempt(exchange, [['Enable-TransportRule', { Identity: 'b' }, undefined, 'slowly']])
  behaviour.rulePropagationMs = 0
  await attempt(exchange, [['Disable-TransportRule', { Identity: 'b', Confirm: false }, undefined, 'overtaken']])
  services.clock.advance(60_000)
  assert.equal(acting(), 'c+ b-', 'an older change does not come back')
})

/** Their names, one letter each, and a check that priorities are their places. */
async function orderOf(exchange: ExchangeServer): Promise<string> {
  const rows = (await exchange.call('Get-TransportRule')).body.value ?? []
  assert.deepEqual(
    rows.map((row) => row['Priority']),
    rows.map((_, index) => index),
  )
  return rows.map((row) => String(row['Name'])).join('')
}
