// Plans of coexistence, run on a model of both tenants: interrupted anywhere they are finished by the next, and off leaves nothing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nextState, type SwitchEvent, type SwitchState } from '../../../control-plane/coexistence/coexistence.ts'
import { desiredObjects } from '../../../control-plane/coexistence/desired.ts'
import { equalTenants } from '../../../control-plane/coexistence/equal-tenants.ts'
import { planChanges } from '../../../control-plane/coexistence/plan.ts'
import type { Plan, PlanOptions } from '../../../control-plane/coexistence/planning.ts'
import { undoOf, type Step } from '../../../control-plane/coexistence/step.ts'
import { judgeCmdlet } from '../../../sandbox/contract/cmdlet-call.ts'
import { loadContracts } from '../../../sandbox/contract/contracts.ts'
import { firstState, inputOf, S, TenantModel } from './tenant-model.ts'

const CONTRACTS = loadContracts('tests/contracts')
type Setting = Parameters<typeof inputOf>[1]

function plan(model: TenantModel, setting: Setting = {}, options: Partial<PlanOptions> = {}): Plan {
  return planChanges(desiredObjects(inputOf(model.objects, setting)), model.objects, model.ledger, {
    project: 'prj_1',
    route: setting?.route ?? 'owner-tenant',
    validationRecipients: {
      out: 'connector-validation-1@out.relay.example',
      elsewhere: 'connector-validation-1@in.relay.example',
    },
    now: new Date('2026-11-29T06:00:00Z'),
    isDriftConfirmed: false,
    ...options,
  })
}

/** Until a plan has no step: probes go in the run after that which enabled the rules. */
function settle(model: TenantModel, setting: Setting = {}): void {
  for (let run = 0; run < 4; run += 1) {
    const { steps, problems } = plan(model, setting)
    assert.deepEqual(problems, [])
    if (steps.length === 0) return
    for (const step of steps) model.run(step)
  }
  assert.deepEqual(plan(model, setting).steps, [])
}

const line = (step: Step): string =>
  step.kind === 'gate' ? `-- ${step.gate}` : `${step.tenant === S ? 'S' : 'T'} ${step.cmdlet} ${step.key}`

test('a rule is enabled only after groups, connectors, validation and probes; those of cleaning and of T come first', () => {
  const lines = plan(new TenantModel(firstState())).steps.map(line)
  const order = [
    '-- relays-ready',
    'S New-DistributionGroup group-presented',
    '-- table-before',
    'S Add-DistributionGroupMember group-presented',
    'S New-InboundConnector in',
    'S Set-ArcConfig arc',
    'S New-OutboundConnector out',
    '-- validated',
    'S New-TransportRule rule-20',
    'S Enable-TransportRule rule-10-out',
    '-- probes',
    'T Enable-TransportRule rule-90',
    'T Enable-TransportRule rule-40',
    'S Enable-TransportRule rule-20',
    'S Enable-TransportRule rule-22',
    '-- propagated',
  ]
  const places = order.map((each) => lines.indexOf(each))
  assert.ok(!places.includes(-1), lines.join('\n'))
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  )
})

test('off disables 20, 21, 22 and 40, holds, and removes rules before connectors before groups', () => {
  const model = new TenantModel(firstState())
  settle(model)
  const lines = plan(model, { state: 'off' }).steps.map(line)
  assert.deepEqual(lines.slice(0, 5), [
    'S Disable-TransportRule rule-20',
    'S Disable-TransportRule rule-21',
    'S Disable-TransportRule rule-22',
    'T Disable-TransportRule rule-40',
    '-- hold',
  ])
  const nouns = lines
    .slice(5)
    .filter((each) => each.includes('Remove-'))
    .map((each) => each.split(/[- ]/)[2])
  assert.deepEqual(
    [...new Set(nouns)],
    [
      'TransportRule',
      'OutboundConnector',
      'RemoteDomain',
      'OrganizationRelationship',
      'InboundConnector',
      'DistributionGroup',
    ],
  )
})

test('every cmdlet and parameter of a plan is published', () => {
  for (const setting of [{}, { route: 'return' }, { mode: 'all-outbound' }] as const) {
    const model = new TenantModel(firstState())
    const on = plan(model, setting).steps
    settle(model, setting)
    for (const step of [...on, ...plan(model, { state: 'off' }).steps]) {
      if (step.kind === 'gate') continue
      for (const { cmdlet, parameters } of [step, ...step.undo]) {
        const sent = { ...parameters, ...('SetHeaderValue' in parameters ? { SetHeaderValue: 'token' } : {}) }
        assert.deepEqual(judgeCmdlet(CONTRACTS, cmdlet, sent), { violations: [], warnings: [] }, cmdlet)
      }
    }
  }
})

test('interrupted anywhere, enable and disable are finished by the next run, and off restores both tenants', () => {
  const setting = fc.record({
    route: fc.constantFrom('owner-tenant', 'return'),
    mode: fc.constantFrom('member', 'all-outbound'),
  })
  fc.assert(
    fc.property(setting, fc.nat(60), fc.nat(60), fc.boolean(), (chosen, first, second, finishes) => {
      const model = new TenantModel(firstState())
      for (const step of plan(model, chosen).steps.slice(0, first)) model.run(step)
      if (finishes) {
        settle(model, chosen)
        const rules = model.objects.filter((each) => each.tenant === S && each.noun === 'TransportRule')
        assert.equal(rules.findIndex((each) => each.name === 'A') === 0, chosen.route === 'owner-tenant')
      }
      for (const step of plan(model, { state: 'off' }).steps.slice(0, second)) model.run(step)
      settle(model, { state: 'off' })
      assert.deepEqual(equalTenants(firstState(), model.objects), equalTenants(firstState(), firstState()))
    }),
    { numRuns: 60 },
  )
})

test('the undo of an enable takes everything back, and twice is harmless', () => {
  const model = new TenantModel(firstState())
  const { steps } = plan(model)
  for (const step of steps) model.run(step)
  for (let time = 0; time < 2; time += 1) {
    for (const call of undoOf(steps)) model.call(call.tenant, call)
    assert.deepEqual(equalTenants(firstState(), model.objects), equalTenants(firstState(), firstState()))
  }
})

test("somebody's change of ours is drift and stays until it is confirmed; somebody's object of our name is a conflict", () => {
  const model = new TenantModel(firstState())
  settle(model)
  model.call(S, {
    cmdlet: 'Set-OutboundConnector',
    parameters: { Identity: 'Causeway-abcd1234-Out', TlsDomain: 'evil.example' },
  })
  const found = plan(model)
  assert.deepEqual(
    found.problems.map(({ kind, key, properties }) => [kind, key, properties]),
    [['drift', 'out', ['TlsDomain']]],
  )
  assert.deepEqual(found.steps, [])
  const repaired = plan(model, {}, { isDriftConfirmed: true })
  assert.deepEqual(repaired.steps.map(line), ['-- relays-ready', 'S Set-OutboundConnector out'])

  const taken = new TenantModel([
    ...firstState(),
    { tenant: S, noun: 'InboundConnector', guid: 'x', name: 'Causeway-abcd1234-In', properties: {} },
  ])
  const { problems, steps } = plan(taken)
  assert.deepEqual(
    problems.map(({ kind, key }) => [kind, key]),
    [['conflict', 'in']],
  )
  assert.ok(!steps.map(line).includes('S Enable-TransportRule rule-20'))
})

/** By somebody with the tenant's own tools. */
const edit = (model: TenantModel, cmdlet: string, parameters: Record<string, string>): void =>
  model.call(S, { cmdlet, parameters })

test('off removes no connector and no group that a rule which stays still names (§2.2)', () => {
  const cases: [why: string, change: (model: TenantModel) => void, rule: string[]][] = [
    [
      'ours, edited',
      (model) => edit(model, 'Set-TransportRule', { Identity: 'Causeway-abcd1234-20-Route-Sender', Mode: 'Audit' }),
      ['drift rule-20'],
    ],
    [
      "somebody's own",
      (model) =>
        edit(model, 'New-TransportRule', {
          Name: 'C',
          FromMemberOf: 'Causeway-abcd1234-Presented',
          RouteMessageOutboundConnector: 'Causeway-abcd1234-Out',
        }),
      [],
    ],
  ]
  for (const [why, change, rule] of cases) {
    const model = new TenantModel(firstState())
    settle(model)
    change(model)
    const { steps, problems } = plan(model, { state: 'off' })
    const lines = steps.map(line)
    assert.ok(lines.includes('S Disable-TransportRule rule-20'), `${why}: mail stops entering all the same`)
    assert.ok(!lines.includes('S Remove-OutboundConnector out'), why)
    assert.ok(!lines.includes('S Remove-DistributionGroup group-presented'), why)
    assert.ok(lines.includes('T Remove-OutboundConnector elsewhere'), `${why}: the other tenant is not held up`)
    assert.deepEqual(
      problems.map(({ kind, key }) => `${kind} ${key}`),
      [...rule, 'in-use out', 'in-use group-presented'],
      why,
    )
  }
})

test('a copy that somebody made of a rule of ours is his: it stops routing, and is not removed until that is confirmed', () => {
  const model = new TenantModel(firstState())
  settle(model)
  const rule = model.objects.find(({ name }) => name === 'Causeway-abcd1234-20-Route-Sender')
  assert.ok(rule)
  model.objects.push({ ...rule, guid: 'guid-copy', name: 'Copy of ours', priority: 99 })
  const { steps, problems } = plan(model, { state: 'off' })
  const ofCopy = (all: readonly Step[]) =>
    all.flatMap((step) => (step.kind === 'call' && step.guid === 'guid-copy' ? [step.effect] : []))
  assert.deepEqual(ofCopy(steps), ['disable'])
  assert.deepEqual(
    problems.map(({ kind, key, properties }) => [kind, key, ...properties]),
    [
      ['drift', 'rule-20', 'Name'],
      ['in-use', 'out'],
      ['in-use', 'group-presented'],
    ],
  )
  assert.deepEqual(ofCopy(plan(model, { state: 'off' }, { isDriftConfirmed: true }).steps), ['disable', 'remove'])
})

test('free/busy alone waits for no relay', () => {
  const model = new TenantModel(firstState())
  const input = {
    ...inputOf(model.objects, { state: 'off' }),
    freeBusy: { state: 'on', accessLevel: 'LimitedDetails' },
  }
  const { steps } = planChanges(desiredObjects(input as ReturnType<typeof inputOf>), model.objects, [], {
    project: 'prj_1',
    route: 'owner-tenant',
    validationRecipients: {},
    now: new Date('2026-11-29T06:00:00Z'),
    isDriftConfirmed: false,
  })
  assert.deepEqual(steps.map(line), [
    'S Set-OrganizationRelationship free-busy',
    'T New-OrganizationRelationship free-busy',
  ])
})

test('a connector that is led to another name of the relay is validated anew, wherever that is interrupted (row 5)', () => {
  const setting = { relayHosts: { out: 'other.relay.example', in: 'in.relay.example' } }
  const model = new TenantModel(firstState())
  settle(model)
  const { steps } = plan(model, setting)
  const anew = ['S Validate-OutboundConnector out', '-- validated', 'S Set-OutboundConnector out']
  assert.deepEqual(steps.map(line), ['-- relays-ready', 'S Set-OutboundConnector out', ...anew])
  for (const step of steps.slice(0, 2)) model.run(step)
  assert.deepEqual(plan(model, setting).steps.map(line), ['-- relays-ready', ...anew])
  settle(model, setting)
})

test('two projects of one tenant do not move their rules behind each other for ever (row 9)', () => {
  const model = new TenantModel(firstState())
  settle(model)
  const rules = model.objects.filter(({ tenant, noun, mark }) => tenant === S && noun === 'TransportRule' && mark)
  for (const [nth, { mark, ...rule }] of rules.entries())
    model.objects.push({
      ...rule,
      guid: `guid-other-${nth}`,
      name: rule.name.replace('abcd1234', 'efgh5678'),
      priority: 50 + nth,
      ...(mark === undefined ? {} : { mark: { ...mark, project: 'prj_2' } }),
    })
  assert.deepEqual(plan(model).steps, [])
})

test('no rule is enabled while one that is to go can not go', () => {
  const model = new TenantModel(firstState())
  settle(model)
  edit(model, 'Set-TransportRule', { Identity: 'Causeway-abcd1234-21-Route-Mentioned', Mode: 'Audit' })
  const { steps, problems } = plan(model, { mode: 'all-outbound' })
  assert.ok(problems.some(({ kind, key }) => kind === 'drift' && key === 'rule-21'))
  assert.ok(!steps.map(line).includes('S Enable-TransportRule rule-30'))
})

test("a renewed mark keeps what others wrote into the object's comment", () => {
  const model = new TenantModel(firstState())
  settle(model)
  model.objects = model.objects.map((each) =>
    each.tenant === S && each.noun === 'OutboundConnector' && each.mark !== undefined
      ? {
          ...each,
          properties: {
            ...each.properties,
            Comment: `causeway:prj_1:${each.mark.key}:${each.mark.specHash}\nask the postmaster first`,
          },
        }
      : each,
  )
  const [step] = plan(model, { route: 'return' }).steps.filter((each) => line(each) === 'S Set-OutboundConnector out')
  assert.ok(step?.kind === 'call')
  const { Comment: comment } = step.parameters
  assert.ok(typeof comment === 'string')
  assert.match(comment, /^causeway:prj_1:out:[0-9a-f]{64}\nask the postmaster first$/)
})

test('the switch goes from state to state, and nowhere else', () => {
  const ways: [SwitchState, SwitchEvent, SwitchState | undefined][] = [
    ['off', 'turn-on', 'turning_on'],
    ['turning_on', 'reached', 'on'],
    ['turning_on', 'refused', 'turning_off'],
    ['on', 'drifted', 'drift'],
    ['drift', 'repaired', 'on'],
    ['on', 'turn-off', 'turning_off'],
    ['turning_off', 'reached', 'off'],
    ['off', 'reached', undefined],
    ['off', 'drifted', undefined],
  ]
  for (const [state, event, next] of ways) assert.equal(nextState(state, event), next, `${state} ${event}`)
})
