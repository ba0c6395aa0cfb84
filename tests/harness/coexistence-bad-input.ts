// What stands against coexistence in the tenants, at the relays and in what was set up: each is told before the switch as a finding or a problem of the
// plan, and after it as a typed state; nothing that is not ours is overwritten. Made and taken away again.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { Fields } from '../../cli/tour/api-client.ts'
import { CAST, RELAY_HOSTS } from '../../cli/tour/cast.ts'
import type { ExchangeObject } from '../../sandbox/tenants/objects.ts'
import type { CoexistenceWorld } from './coexistence-world.ts'

export interface BadInput {
  readonly name: string
  /** While it is off and nothing of ours is there; leaves it so. */
  run(world: CoexistenceWorld): Promise<void>
}

interface Plan {
  readonly findings: readonly string[]
  readonly problems: readonly string[]
  readonly missing: readonly string[]
}

const [SOURCE, TARGET] = CAST
/** Exchange Online takes so many rules. */
const MAX_RULES = 300

/** Codes of a dry run. */
async function planOf({ context, path }: CoexistenceWorld): Promise<Plan> {
  const { body } = await context.api.post(`${path}/plan`, { relayHosts: RELAY_HOSTS, scope: 'pairs' })
  const codes = (list: unknown, name: string) => (list as readonly Fields[]).map((each) => String(each[name]))
  return {
    findings: codes(body['findings'], 'code'),
    problems: codes(body['problems'], 'kind'),
    missing: codes(body['missing'], 'code'),
  }
}

/** Asked to be on, it is off with these problems, and nothing was changed. */
async function demandRefused(world: CoexistenceWorld, codes: readonly string[]): Promise<void> {
  const { writes } = world
  await world.turnOn()
  const { problems, setting } = await world.untilOff()
  assert.deepEqual([problems.map(({ code }) => code), setting['state'], world.writes], [codes, 'off', writes])
}

export function exchangeObjects(world: CoexistenceWorld, tenantId: string, noun: string): readonly ExchangeObject[] {
  return (world.sandbox.control.state(tenantId).exchangeObjects ?? []).filter((each) => each.noun === noun)
}

/** As one that is there, but for what is named. */
function putLike(world: CoexistenceWorld, tenantId: string, noun: string, more: Fields): string {
  const [like] = exchangeObjects(world, tenantId, noun)
  assert.ok(like !== undefined, `${tenantId} has a ${noun}`)
  const guid = randomUUID()
  const names = { Guid: guid, Identity: more['Name'], Id: more['Name'], DistinguishedName: `CN=${guid}` }
  const known = Object.entries(names).filter(([name]) => name in like.properties)
  const properties = { ...like.properties, ...Object.fromEntries(known), ...more }
  world.sandbox.control.putExchangeObject(tenantId, { ...like, guid, properties })
  return guid
}

export const project8Of = ({ context }: CoexistenceWorld): string =>
  context.project.slice('/projects/prj_'.length).slice(0, 8)

export const BEFORE_THE_SWITCH: readonly BadInput[] = [
  {
    name: "somebody else's connector has the name of ours: a conflict, and it stays as it is",
    async run(world) {
      const { control } = world.sandbox
      const Name = `Causeway-${project8Of(world)}-Out`
      const guid = putLike(world, SOURCE.tenantId, 'OutboundConnector', {
        Name,
        Comment: 'mine',
        SmartHosts: ['mine.example'],
      })
      const before = exchangeObjects(world, SOURCE.tenantId, 'OutboundConnector')
      assert.deepEqual((await planOf(world)).problems, ['conflict'])
      await demandRefused(world, ['conflict'])
      assert.deepEqual(exchangeObjects(world, SOURCE.tenantId, 'OutboundConnector'), before)
      control.removeObject(SOURCE.tenantId, guid)
    },
  },
  {
    name: 'similar objects of others are told before the switch',
    async run(world) {
      const { control } = world.sandbox
      const made = [
        putLike(world, SOURCE.tenantId, 'InboundConnector', {
          Name: 'Old gateway',
          Enabled: true,
          RestrictDomainsToCertificate: true,
          TlsSenderCertificateName: '*.relay.example',
        }),
        putLike(world, SOURCE.tenantId, 'TransportRule', {
          Name: 'Takes all',
          State: 'Enabled',
          Mode: 'Enforce',
          RedirectMessageTo: ['adele@contoso.com'],
          StopRuleProcessing: true,
        }),
        putLike(world, SOURCE.tenantId, 'TransportRule', {
          Name: 'Takes our field away',
          State: 'Enabled',
          Mode: 'Enforce',
          RemoveHeader: 'X-Causeway-Project',
        }),
      ]
      const { findings } = await planOf(world)
      for (const code of [
        'relay-certificate-claimed',
        'rules-take-mail',
        'rules-touch-our-fields',
        'rules-stop-processing',
      ])
        assert.ok(findings.includes(code), `${code} is among ${findings.join(', ')}`)
      for (const guid of made) control.removeObject(SOURCE.tenantId, guid)
      const { findings: after } = await planOf(world)
      assert.ok(!after.includes('relay-certificate-claimed') && !after.includes('rules-touch-our-fields'))
    },
  },
  {
    name: 'a tenant that takes no more rules: a finding, and a limit before anything is made',
    async run(world) {
      const { control } = world.sandbox
      const there = exchangeObjects(world, SOURCE.tenantId, 'TransportRule').length
      const made = Array.from({ length: MAX_RULES - there }, (_, nth) =>
        putLike(world, SOURCE.tenantId, 'TransportRule', {
          Name: `Full ${nth}`,
          Priority: there + nth,
          State: 'Disabled',
        }),
      )
      const { findings, problems } = await planOf(world)
      assert.ok(findings.includes('rules-no-room'), findings.join(', '))
      assert.ok(problems.includes('limit'), problems.join(', '))
      const { writes } = world
      await world.turnOn()
      const refused = await world.untilOff()
      assert.ok(refused.problems.length > 0 && refused.problems.every(({ code }) => code === 'limit'))
      assert.equal(world.writes, writes)
      for (const guid of made) control.removeObject(SOURCE.tenantId, guid)
    },
  },
  {
    name: "a relay's certificate has expired: a finding, and nothing is begun",
    async run(world) {
      const { db } = world.database.owner
      const expire = (when: string) =>
        sql`update certificate set expires_at = now() + ${when}::interval where ${TARGET.certificateName} = any(names)`.execute(
          db,
        )
      await expire('-1 day')
      const { findings, missing } = await planOf(world)
      assert.ok(findings.includes('relay-certificate-ended'), findings.join(', '))
      assert.deepEqual(missing, ['certificate-expired'])
      await demandRefused(world, ['certificate-expired'])
      await expire('1 year')
    },
  },
  {
    name: 'a lasting refusal before the first rule acts undoes what was made',
    async run(world) {
      const { faults } = world.sandbox
      const effect = { kind: 'status', status: 403 } as const
      faults.add({ service: 'exchange', operation: 'New-OutboundConnector', times: 10, when: 'before', effect })
      const { writes } = world
      await world.turnOn()
      const { problems } = await world.untilOff()
      faults.clear()
      assert.deepEqual(
        problems.map(({ code }) => code),
        ['RBAC_MISSING'],
      )
      assert.ok(world.writes > writes, 'it had begun')
    },
  },
]

/** Of an enable that waits for its relay. Ends as it is on its way. */
export async function relayIsAway(world: CoexistenceWorld): Promise<void> {
  const { db } = world.database.owner
  await world.kill('relay')
  // As if it had been silent for so long that it counts as gone; and meanwhile the settings change.
  await sql`update relay set seen_at = now() - interval '1 hour'`.execute(db)
  await world.poke()
  const { findings } = await planOf(world)
  assert.ok(findings.includes('relays-none'), findings.join(', '))
  const { writes } = world
  await world.turnOn()
  await world.until('it to wait for a relay', ({ waitingFor }) => waitingFor === 'no-live-relay')
  await sql`update relay set seen_at = now()`.execute(db)
  const behind = (await planOf(world)).findings
  assert.ok(behind.includes('relays-behind'), behind.join(', '))
  await world.until('it to wait for the settings to arrive', ({ waitingFor }) => waitingFor === 'relay-behind')
  assert.equal(world.writes, writes, 'no tenant is touched before relays are ready')
  await world.revive('relay')
}

/** An administrator edits, switches off and removes ours while it is on: drift, nothing of it overwritten until somebody confirms. */
export async function administratorEdits(world: CoexistenceWorld): Promise<void> {
  const { control } = world.sandbox
  const prefix = `Causeway-${project8Of(world)}-`
  const ours = (tenantId: string, noun: string, end: string) =>
    exchangeObjects(world, tenantId, noun).find(({ properties }) => properties['Name'] === `${prefix}${end}`)
  const connector = ours(SOURCE.tenantId, 'OutboundConnector', 'Out')
  const rule = ours(TARGET.tenantId, 'TransportRule', '90-Clean')
  assert.ok(connector !== undefined && rule !== undefined)
  control.changeObject(SOURCE.tenantId, connector.guid, { SmtpDaneMode: 'None' })
  control.removeObject(TARGET.tenantId, rule.guid)
  const { writes } = world
  await world.lookNow()
  const { drift } = await world.until('drift to be seen', ({ state }) => state === 'drift')
  assert.deepEqual(drift.map(({ noun }) => String(noun)).toSorted(), ['OutboundConnector', 'TransportRule'])
  assert.equal(world.writes, writes, 'what somebody changed is not overwritten')
  assert.equal(ours(SOURCE.tenantId, 'OutboundConnector', 'Out')?.properties['SmtpDaneMode'], 'None')
  await world.turnOn({ confirmsDrift: true })
  await world.untilOn()
  assert.equal(ours(SOURCE.tenantId, 'OutboundConnector', 'Out')?.properties['SmtpDaneMode'], 'Opportunistic')
  assert.equal(ours(TARGET.tenantId, 'TransportRule', '90-Clean')?.properties['State'], 'Enabled')
}

/** Expired while it is on: it is told, nothing is taken down, and it is on again without a call once there is one. */
export async function certificateExpires(world: CoexistenceWorld): Promise<void> {
  const { db } = world.database.owner
  const expire = (when: string) =>
    sql`update certificate set expires_at = now() + ${when}::interval where ${SOURCE.certificateName} = any(names)`.execute(
      db,
    )
  const { writes } = world
  await expire('-1 day')
  await world.lookNow()
  const { state } = await world.until('it to be told', ({ problems }) =>
    problems.some(({ code }) => code === 'certificate-expired'),
  )
  assert.equal(state, 'on')
  await expire('1 year')
  await world.lookNow()
  await world.until('it to be over', ({ problems }) => problems.length === 0)
  assert.equal(world.writes, writes)
}

/** The sandbox's clock may go ahead of the product's by less than five minutes, twice this: beyond that Entra believes nobody. */
const PROPAGATION_MS = 120_000

/** Rules act long after they were made, by the sandbox's clock: it waits for each of them, and mail goes on as it did. */
export async function rulesActLate(world: CoexistenceWorld, rewritten: () => number): Promise<void> {
  const { control } = world.sandbox
  control.setExchangeBehaviour({ rulePropagationMs: PROPAGATION_MS })
  const before = rewritten()
  await world.turnOn()
  await world.until('probes to wait for their rule', ({ waitingFor }) => waitingFor === 'probes-not-back')
  control.advanceClock(PROPAGATION_MS)
  await world.until('rules to be enabled', ({ waitingFor }) => waitingFor === 'rules-propagate')
  assert.equal(rewritten(), before, 'nothing acts yet')
  control.advanceClock(PROPAGATION_MS)
  await world.untilOn()
  control.setExchangeBehaviour({})
}
