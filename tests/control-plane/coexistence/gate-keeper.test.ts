// Gates looked at in a real database, with relays that enrol, take pushes, report and tell over HTTP. (coexistence.md §2.1, §2.2, SP-11, RC-7)
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { sql } from 'kysely'
import { RELAY_PATHS, PROBES_IN_A_RUN } from '../../../common/relay-contract.ts'
import { countEvidence, listRuns } from '../../../control-plane/coexistence/evidence-store.ts'
import { createGateKeeper } from '../../../control-plane/coexistence/gate-keeper.ts'
import type { GateAbout } from '../../../control-plane/coexistence/gate-keeper.ts'
import { endProbeRuns, startProbeRun, startValidation } from '../../../control-plane/coexistence/probe-run.ts'
import type { Gate } from '../../../control-plane/coexistence/step.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { TenantId } from '../../../control-plane/ids.ts'
import { readNonces } from '../../../control-plane/relays/relay-secret-store.ts'
import type { RelayClient } from '../../harness/relay-client.ts'
import { withFleet } from '../relays/fleet.ts'
import type { Fleet } from '../relays/fleet.ts'

interface Scene {
  readonly it: Fleet
  readonly relay: RelayClient
  readonly contoso: TenantId
  readonly look: (gate: Gate, about?: Partial<GateAbout>) => Promise<string>
  /** What a relay tells of mail to a nonce. @returns the status */
  readonly tell: (relay: RelayClient, events: { event: string; fields: Record<string, unknown> }[]) => Promise<number>
  readonly current: (relay: RelayClient) => Promise<void>
}

const withScene = (work: (scene: Scene) => Promise<void>) => (t: Parameters<typeof withFleet>[0]) =>
  withFleet(t, {}, async (it) => {
    const contoso = await it.tenant('contoso', ['contoso.example'])
    await it.tenant('fabrikam', ['fabrikam.example'])
    await it.map([1])
    const relay = await it.relay()
    await relay.open()
    const keeper = createGateKeeper({ now: it.clock.now })
    const { organisation, project } = it
    await work({
      it,
      relay,
      contoso,
      async look(gate, about = {}) {
        const whole = { since: new Date(it.clock.now()), connectorHoldMs: 0, ...about }
        const seen = await it.inOrganisation((tx) =>
          keeper.look(tx, { organisation, project }, { kind: 'gate', gate }, whole),
        )
        return seen.kind === 'open' ? 'open' : seen.kind === 'waiting' ? seen.reason : `closed ${seen.problem}`
      },
      async tell(teller, events) {
        const body = events.map(({ event, fields }) => ({
          id: randomUUID(),
          class: 'message',
          time: new Date(it.clock.now()).toISOString(),
          event,
          ...(event === 'accepted' ? { queueId: randomUUID() } : {}),
          fields,
        }))
        return (await teller.post(RELAY_PATHS.events, { events: body })).status
      },
      async current(teller) {
        await teller.untilVersion((await it.versions()).snapshot)
        await teller.report()
      },
    })
  })

const place = ({ organisation, project }: Fleet) => ({ organisation, project })

test(
  'decision 4: relays are ready, and have the table, once every live one has reported it',
  withScene(async ({ it, relay, look, current }) => {
    await current(relay)
    assert.equal(await look('relays-ready'), 'open')
    const revision = await it.map([2])
    const other = await it.relay()
    assert.equal(await look('table-before', { revision }), 'relay-behind', 'one is new and has nothing')
    await other.open()
    await Promise.all([current(relay), current(other)])
    assert.equal(await look('table-before', { revision }), 'open')
    assert.equal(await look('table-after', { revision: revision + 1 }), 'relay-behind')
    await other.report({ isReady: false })
    assert.equal(await look('relays-ready'), 'relay-not-ready')
    assert.equal(await look('table-before', { revision }), 'open')
    const { snapshot } = await it.versions()
    await other.report({ settings: 0, refused: { version: snapshot, reason: 'an old one' } })
    assert.equal(await look('relays-ready'), 'closed relay-refuses-snapshot')
  }),
)

test(
  'decision 4: while the table is held, relays have what they are told; and nobody has to forget anybody where no relay is live',
  withScene(async ({ it, relay, look, current }) => {
    const before = await it.map([2])
    await current(relay)
    const hold = (tx: Tx, revision: number | null) =>
      sql`update project set held_revision = ${revision}, held_since = ${revision === null ? null : new Date()} where id = ${it.project}`.execute(
        tx,
      )
    const newest = await it.inOrganisation(async (tx) => {
      const made = await it.mapIn(tx, [{ user: 2, mailbox: 'u2@moved.example' }])
      await hold(tx, before)
      return made
    })
    await current(relay)
    assert.equal(await look('relays-ready'), 'open')
    assert.equal(await look('table-before', { revision: newest }), 'relay-behind', 'who came is not known yet')
    await it.inOrganisation((tx) => hold(tx, null))
    assert.equal(await look('table-after'), 'relay-behind')
    it.clock.offsetMs = 6 * 60_000
    assert.deepEqual([await look('table-after'), await look('table-before')], ['open', 'no-live-relay'])
  }),
)

test(
  'row 5b: a validation has a nonce and an address of its own, and the gate opens on what a relay saw of it',
  withScene(async ({ it, relay, contoso, look, tell, current }) => {
    const begun = (key: 'out' | 'elsewhere') =>
      it.inOrganisation((tx) =>
        startValidation(tx, it.sealer, place(it), {
          tenant: contoso,
          key,
          host: 'out.relay.example',
          at: new Date(it.clock.now()),
        }),
      )
    const [out, elsewhere] = [await begun('out'), await begun('elsewhere')]
    assert.equal(out.recipient, `connector-validation-${out.nonce}@out.relay.example`)
    assert.notEqual(out.nonce, elsewhere.nonce)
    await current(relay)
    assert.deepEqual(relay.held?.settings.hosts, ['out.relay.example'])
    assert.deepEqual(
      relay.held?.secrets.nonces.map(({ nonce }) => nonce),
      [out.nonce, elsewhere.nonce],
    )
    assert.equal(relay.held?.secrets.probes, undefined)
    assert.equal(await look('validated', { validationNonce: out.nonce }), 'validation-not-seen')
    assert.equal(await tell(relay, [{ event: 'validation', fields: { nonce: out.nonce } }]), 200)
    assert.equal(await look('validated', { validationNonce: out.nonce }), 'open')
    assert.equal(await look('validated', { validationNonce: elsewhere.nonce }), 'validation-not-seen')
  }),
)

test(
  'row 12: a run is pushed to every relay, and the gate opens when all messages of each came back, wherever they did',
  withScene(async ({ it, relay, contoso, look, tell, current }) => {
    assert.equal(await look('probes'), 'probes-not-started')
    const other = await it.relay()
    await other.open()
    const { nonce } = await it.inOrganisation((tx) =>
      startProbeRun(tx, it.sealer, place(it), {
        tenant: contoso,
        direction: 'out',
        host: 'out.relay.example',
        at: new Date(it.clock.now()),
      }),
    )
    const probe = { nonce, tenant: 'contoso', direction: 'out', host: 'out.relay.example' }
    for (const each of [relay, other]) {
      await current(each)
      assert.deepEqual(each.held?.secrets.probes, [probe])
      assert.deepEqual(
        each.held?.secrets.nonces.map((told) => told.nonce),
        [nonce],
      )
    }
    const back = (maker: RelayClient, verdict: string, count = PROBES_IN_A_RUN) =>
      Array.from({ length: count }, (_, index) => ({
        event: 'probe',
        fields: { nonce, maker: maker.answer.relay, index, tenant: 'contoso', direction: 'out', verdict },
      }))
    await tell(other, back(relay, 'no-proof'))
    assert.equal(await look('probes'), 'probes-not-back', 'the rule does not act yet')
    await tell(other, back(relay, 'expected'))
    assert.equal(await look('probes'), 'probes-not-back', "the other's are missing")
    await tell(relay, back(other, 'expected', PROBES_IN_A_RUN - 1))
    assert.equal(await look('probes', { probeNonces: [nonce] }), 'probes-not-back', 'one is missing')
    await tell(relay, back(other, 'expected'))
    await tell(relay, back(other, 'no-proof'))
    assert.equal(await look('probes', { probeNonces: [nonce] }), 'open', 'told late, a lesser word changes nothing')
    await tell(other, back(relay, 'altered', 1))
    assert.equal(await look('probes'), 'closed probe-altered')

    await it.inOrganisation((tx) => endProbeRuns(tx, place(it)))
    assert.equal(await it.inOrganisation((tx) => endProbeRuns(tx, place(it))), 0, 'twice is harmless')
    await current(relay)
    assert.deepEqual(
      [relay.held?.secrets.probes, relay.held?.secrets.nonces, relay.held?.settings.hosts],
      [undefined, [], undefined],
    )
    assert.equal(await look('probes', { probeNonces: [nonce] }), 'closed probes-ended')
    await tell(relay, back(other, 'expected'))
    assert.deepEqual(await it.inOrganisation((tx) => countEvidence(tx, place(it))), [], 'of no run nothing is kept')
  }),
)

test(
  'what a stolen relay tells is taken, and makes no evidence of another project or of what is none',
  withScene(async ({ it, relay, contoso, look, tell, current }) => {
    const other = await it.api.project(it.organisation, 'Other')
    const at = new Date(it.clock.now())
    const elsewhere = { organisation: it.organisation, project: other }
    const tenant = newId('tenant')
    await it.inOrganisation(async (tx) => {
      await sql`insert into tenant_connection (organisation_id, project_id, id, side, label, cloud, entra_tenant_id, app_model, created_by)
                values (${it.organisation}, ${other}, ${tenant}, 'source', 'contoso', 'global', ${randomUUID()}, 'multi-tenant', 'test')`.execute(
        tx,
      )
    })
    const run = (at_: typeof elsewhere, of: TenantId) =>
      it.inOrganisation((tx) =>
        startProbeRun(tx, it.sealer, at_, { tenant: of, direction: 'out', host: 'relay.example', at }),
      )
    const foreign = await run(elsewhere, tenant)
    const ours = await run(place(it), contoso)
    await current(relay)
    const fields = { nonce: foreign.nonce, maker: relay.answer.relay, index: 0, verdict: 'expected' }
    const hostile = [
      fields,
      { ...fields, nonce: ours.nonce, maker: "x' or true --" },
      { ...fields, nonce: ours.nonce, index: 1e9 },
      { ...fields, nonce: ours.nonce, verdict: 'seen' },
      { ...fields, nonce: `${ours.nonce} or 1` },
      { nonce: { nonce: ours.nonce } },
    ]
    assert.equal(
      await tell(
        relay,
        hostile.map((each) => ({ event: 'probe', fields: each })),
      ),
      200,
    )
    assert.equal(await tell(relay, [{ event: 'validation', fields: { nonce: ours.nonce } }]), 200, 'of a run of probes')
    for (const where of [place(it), elsewhere])
      assert.deepEqual(await it.inOrganisation((tx) => countEvidence(tx, where)), [])
    assert.equal(await look('probes'), 'probes-not-back')
    const stranger = await it.api.organisation('Stranger')
    assert.deepEqual(
      await withScope(it.api.database.db, { organisation: stranger.id }, (tx) => listRuns(tx, place(it), at)),
      [],
      'TI-1: another organisation sees none',
    )
  }),
)

test(
  'SP-11: a run that is out of date is told to no relay, and its nonce neither',
  withScene(async ({ it, contoso }) => {
    const at = new Date(it.clock.now() - 5 * 3_600_000)
    await it.inOrganisation((tx) =>
      startProbeRun(tx, it.sealer, place(it), { tenant: contoso, direction: 'in', host: 'relay.example', at }),
    )
    const now = new Date(it.clock.now())
    assert.deepEqual(await it.inOrganisation((tx) => listRuns(tx, place(it), now)), [])
    assert.deepEqual(await it.inOrganisation((tx) => readNonces(tx, it.sealer, place(it), now)), [])
  }),
)

test(
  'row 13: rules act once a message of each tenant and direction was taken since, or an hour has passed',
  withScene(async ({ it, relay, contoso, look, tell }) => {
    const since = new Date(it.clock.now() - 1_000)
    const about = { since, routes: [{ tenant: contoso, direction: 'out' as const }] }
    const accepted = (fields: Record<string, unknown>) => tell(relay, [{ event: 'accepted', fields }])
    assert.equal(await look('propagated', about), 'rules-propagate')
    await accepted({ direction: 'in', tenant: 'contoso' })
    await accepted({ direction: 'out', tenant: 'fabrikam' })
    await accepted({ direction: 'out' })
    assert.equal(await look('propagated', about), 'rules-propagate')
    await accepted({ direction: 'out', tenant: 'contoso' })
    assert.equal(await look('propagated', about), 'open')
    assert.equal(await look('propagated', { ...about, since: new Date(it.clock.now() + 1) }), 'rules-propagate')
    assert.equal(await look('propagated', { ...about, since: new Date(it.clock.now() - 3_600_000) }), 'open')
  }),
)

test(
  '§2.2: the hold ends when nothing was taken for it and every relay has said since that it holds nothing',
  withScene(async ({ it, relay, contoso, look, tell, current }) => {
    await current(relay)
    const since = new Date(it.clock.now() - 10_000)
    const hold = (connectorHoldMs: number) => look('hold', { since, connectorHoldMs })
    assert.equal(await hold(5_000), 'open')
    assert.equal(await hold(60_000), 'mail-may-still-come')
    await relay.report({ queue: { messages: 2, oldestAgeMs: 1, quarantined: 0, dead: 0 } })
    assert.equal(await hold(5_000), 'relay-holds-mail')
    const ending = (direction: 'out' | 'in') =>
      look('hold', { since, connectorHoldMs: 5_000, ending: { tenant: contoso, direction } })
    assert.equal(await ending('out'), 'open', 'others go on: their mail is in the queues')
    await tell(relay, [{ event: 'accepted', fields: { direction: 'out', tenant: 'contoso' } }])
    await relay.report()
    assert.equal(await hold(5_000), 'mail-may-still-come', 'a message came')
    assert.deepEqual([await ending('out'), await ending('in')], ['mail-may-still-come', 'open'], 'by this one')
    it.clock.offsetMs += 5_001
    assert.equal(await hold(5_000), 'open', 'none since then, and it was delivered')
  }),
)
