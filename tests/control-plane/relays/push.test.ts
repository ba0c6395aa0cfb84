// The push channel from end to end over real HTTP: enrolled with a code, told the whole, then what changes, and heard back. (product.md §5, RC-1 … RC-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { FRAME_KINDS, sealContext } from '../../../common/relay-contract.ts'
import { openBox } from '../../../common/sealed-box.ts'
import { rowOf, rowsOf } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { findAppliedAt } from '../../../control-plane/relays/applied-store.ts'
import { STREAM_TIMING } from '../../../control-plane/relays/relay-stream.ts'
import { watchRelays } from '../../../control-plane/relays/watch-relays.ts'
import { bumpSnapshot } from '../../../control-plane/projects/relay-visible.ts'
import { rotateProofToken } from '../../../control-plane/relays/relay-secret-store.ts'
import { DEFAULT_POLICY } from '../../../rewrite-rules/index.ts'
import { RelayClient } from '../../harness/relay-client.ts'
import { eventually } from '../../harness/wait.ts'
import { withFleet } from './fleet.ts'
import type { Fleet } from './fleet.ts'
import { isLong } from '../../harness/thorough.ts'

const eventsOf = (it: Fleet) =>
  it.inOrganisation((tx) =>
    rowsOf<{ type: string; body: Record<string, unknown> }>(tx, sql`select type, body from event order by id`),
  )

test('RC-2: a relay that has nothing is told the whole; a change goes to it as a delta, and when all have it that is told', (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example', 'fabrikam.example', 'moved.example'])
    await it.map([1, 2, 3])
    const relay = await it.relay()
    assert.equal(await relay.open(), 200)
    const first = await relay.untilRevision(1)
    assert.equal(first.table.entryCount, 3)
    assert.deepEqual(
      first.settings.tenants.map(({ id, acceptedDomains }) => [id, acceptedDomains]),
      [['contoso', ['contoso.example', 'fabrikam.example', 'moved.example']]],
    )
    assert.deepEqual(
      first.secrets.proofTokens.map(({ tenant, direction, tokens }) => [tenant, direction, tokens.length]),
      [
        ['contoso', 'out', 1],
        ['contoso', 'in', 1],
      ],
    )
    const revision = await it.map([{ user: 2, mailbox: 'u2@moved.example' }])
    const second = await relay.untilRevision(revision)
    assert.deepEqual(
      second.manifest.parts.map(({ name }) => name),
      ['table-delta'],
    )
    assert.equal(second.manifest.base, first.manifest.version)
    const located = second.table.withPolicy(DEFAULT_POLICY).map('locate', 'u2', 'fabrikam.example', false)
    assert.equal(located.kind === 'replaced' && located.domain, 'moved.example')
    const told = await eventually('news that all have it', async () => {
      const events = await eventsOf(it)
      return events.find(({ type, body }) => type === 'snapshot.applied' && body['revision'] === revision)
    })
    assert.equal(told.body['relays'], 1)
  }))

test('what changes beside the mapping goes without it: settings with secrets, or nothing but the state', (t) =>
  withFleet(t, {}, async (it) => {
    const tenant = await it.tenant('contoso', ['contoso.example'])
    const relay = await it.relay()
    await relay.open()
    const first = await relay.untilVersion((await it.versions()).snapshot)
    await it.inOrganisation(async (tx) => {
      await rotateProofToken(tx, it.sealer, it, tenant, 'out', new Date())
      await bumpSnapshot(tx, it.organisation, it.project, 'settings')
    })
    const second = await relay.untilVersion((await it.versions()).snapshot)
    assert.deepEqual(
      second.manifest.parts.map(({ name }) => name),
      ['settings', 'secrets'],
    )
    const tokensOf = (held: typeof first) =>
      held.secrets.proofTokens.find(({ direction }) => direction === 'out')?.tokens ?? []
    assert.equal(tokensOf(second).length, 2)
    assert.equal(tokensOf(second)[1], tokensOf(first)[0], 'SP-4: the previous one stays valid')

    const path = `${it.path}/relays/${relay.answer.relay}`
    assert.equal((await it.api.request('POST', `${path}/drain`, undefined, { key: it.key })).status, 200)
    const third = await relay.untilVersion((await it.versions()).snapshot)
    assert.deepEqual([third.manifest.state, third.manifest.parts], ['draining', []])
  }))

test('two relays at a revision: both are waited for, a silent one for 5 minutes, a revoked one not at all', (t) =>
  withFleet(t, {}, async (it) => {
    const fast = await it.relay({}, 'fast.example')
    const slow = await it.relay({ isMute: true }, 'slow.example')
    await Promise.all([fast.open(), slow.open()])
    const revision = await it.map([1])
    await Promise.all([fast.untilRevision(revision), slow.untilRevision(revision)])
    const applied = () => it.inOrganisation((tx) => findAppliedAt(tx, it.organisation, it.project, { revision }))
    const told = await eventually('the report of the fast one', async () =>
      (await eventsOf(it)).find(({ type, body }) => type === 'relay.applied' && body['revision'] === revision),
    )
    assert.deepEqual([told.body['relays'], told.body['relaysApplied']], [2, 1])
    assert.equal(await applied(), undefined)

    const { body } = await it.api.request('GET', `${it.path}/relays`, undefined, { key: it.key })
    assert.deepEqual(
      body.items.map(({ name, isApplied, revision: has }: Record<string, unknown>) => [name, isApplied, has]),
      [
        ['fast.example', true, revision],
        ['slow.example', false, undefined],
      ],
    )
    it.clock.offsetMs = 5 * 60_000 + 1_000
    fast.clockOffsetMs = it.clock.offsetMs
    assert.equal((await fast.report()).status, 200)
    assert.equal(await watchRelays(it.api.database.db, it.clock.now()), 1)
    assert.equal(await watchRelays(it.api.database.db, it.clock.now()), 0, 'told once')
    assert.notEqual(await applied(), undefined)
    assert.deepEqual(
      (await eventsOf(it)).filter(({ type }) => type === 'relay.stale').map(({ body: { relay } }) => relay),
      [slow.answer.relay],
    )
  }))

test('a project without relays, or whose relays have nothing yet, has applied nothing', (t) =>
  withFleet(t, {}, async (it) => {
    const revision = await it.map([1])
    const applied = () => it.inOrganisation((tx) => findAppliedAt(tx, it.organisation, it.project, { revision }))
    assert.equal(await applied(), undefined)
    const relay = await it.relay()
    assert.equal(await applied(), undefined)
    await relay.open()
    await relay.untilRevision(revision)
    await eventually('its acknowledgement', applied)
  }))

test('of two relays that acknowledge at the same moment the change is applied once, whoever is first', (t) =>
  withFleet(t, {}, async (it) => {
    const relays = await Promise.all(Array.from({ length: 4 }, () => it.relay({ isMute: true })))
    await Promise.all(relays.map((relay) => relay.open()))
    for (let round = 0; round < 5; round++) {
      const revision = await it.map([round])
      await Promise.all(relays.map((relay) => relay.untilRevision(revision)))
      await Promise.all(relays.map((relay) => relay.report()))
      const told = (await eventsOf(it)).filter(
        ({ type, body }) => type === 'snapshot.applied' && body['revision'] === revision,
      )
      assert.equal(told.length, 1, `revision ${revision}`)
    }
  }))

test(
  'thousands of small changes reach a relay as few pushes, and the last of them is what it has',
  { timeout: 120_000 },
  (t) =>
    withFleet(t, {}, async (it) => {
      const relay = await it.relay()
      await relay.open()
      await relay.untilVersion(1)
      const before = relay.manifests.length
      // Four writers, a hundred revisions a transaction: revisions are what counts here, not commits.
      const transactions = isLong ? 25 : 6
      const revisions = 400 * transactions
      await Promise.all(
        Array.from({ length: 4 }, async (_, writer) => {
          for (let step = 0; step < transactions; step++) {
            const first = (writer * transactions + step) * 100
            await it.inOrganisation((tx) =>
              it.mapEach(
                tx,
                Array.from({ length: 100 }, (_user, index) => first + index),
              ),
            )
          }
        }),
      )
      const { mapping } = await it.versions()
      assert.equal(mapping, revisions)
      const held = await relay.untilRevision(mapping)
      assert.equal(held.table.entryCount, revisions)
      const pushes = relay.manifests.length - before
      assert.ok(pushes < 200, `${pushes} pushes`)
    }),
)

test(
  'RC-3: under changes of mapping, settings and fleet at once every manifest is of one moment of the database',
  { timeout: 60_000 },
  (t) =>
    withFleet(t, { streams: { timing: { ...STREAM_TIMING, betweenPushesMs: 0 } } }, async (it) => {
      const tenant = await it.tenant('contoso', ['contoso.example'])
      const relays = await Promise.all([it.relay(), it.relay()])
      await Promise.all(relays.map((relay) => relay.open()))
      const history = new Map<number, string>()
      const note = async (tx: Tx) => {
        const row = await rowOf<{ text: string }>(
          tx,
          sql`select snapshot_version || ' ' || mapping_revision || ' ' || settings_version as text from project where id = ${it.project}`,
        )
        history.set(Number(row?.text.split(' ')[0]), row?.text ?? '')
      }
      // The relays' enrolment and the first push bump as well: what is there now is noted too.
      await relays[0]?.untilVersion(1)
      for (let step = 0; step < 120; step++) {
        await it.inOrganisation(async (tx) => {
          if (step % 3 === 0) {
            await rotateProofToken(tx, it.sealer, it, tenant, 'in', new Date())
            await bumpSnapshot(tx, it.organisation, it.project, 'settings')
          } else if (step % 7 === 0) await bumpSnapshot(tx, it.organisation, it.project, 'relays')
          else await it.mapIn(tx, [step])
          await note(tx)
        })
        // However busy the machine is, relays see something of what is in between.
        if (step % 24 !== 23) continue
        const { snapshot: then } = await it.versions()
        await Promise.all(relays.map((relay) => relay.untilVersion(then)))
      }
      const { snapshot } = await it.versions()
      for (const relay of relays) {
        await relay.untilVersion(snapshot)
        let checked = 0
        for (const { version, table, settings } of relay.manifests) {
          const known = history.get(version)
          if (known === undefined) continue // from before the changes
          assert.equal(`${version} ${table.revision} ${settings.version}`, known)
          checked++
        }
        assert.ok(checked > 3, `${checked} manifests were checked`)
      }
    }),
)

test('a relay that was away comes back to exactly what it lacks; one that can not use what it has gets the whole', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    await it.map([1, 2, 3])
    await relay.open()
    await relay.untilRevision(1)
    await relay.close()
    await it.map([4])
    await it.map([5])
    await relay.open()
    const back = await relay.untilRevision(3)
    assert.deepEqual(
      back.manifest.parts.map(({ name }) => name),
      ['table-delta'],
    )
    await relay.close()
    await it.map([6])
    await relay.open({ ...relay.query(), whole: '1' })
    const whole = await relay.untilRevision(4)
    assert.equal(whole.manifest.base, undefined)
    await relay.close()
    await it.map([7])
    await relay.open({ ...relay.query(), digest: '0'.repeat(64), revision: '5' })
    assert.equal((await relay.untilRevision(5)).manifest.base, undefined, 'another digest at the same revision')
  }))

test('a change that is too large for a delta goes as a table', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion(1)
    const revision = await it.map(Array.from({ length: 10_001 }, (_, user) => user))
    const held = await relay.untilRevision(revision)
    assert.deepEqual(
      held.manifest.parts.map(({ name }) => name),
      ['table', 'settings', 'secrets'],
    )
    assert.equal(held.table.entryCount, 10_001)
  }))

test('RC-5: a push that a relay refuses is shown with its reason and not sent again; the next version is, on what the relay has', (t) =>
  withFleet(t, {}, async (it) => {
    let refuses = -1
    const relay = await it.relay({
      judge: ({ table }) => (table.revision === refuses ? 'its mapping leads nowhere' : undefined),
    })
    await relay.open()
    const first = await relay.untilVersion(1)
    refuses = 1
    await it.map([1])
    const path = `${it.path}/relays/${relay.answer.relay}`
    const read = async () => (await it.api.request('GET', path, undefined, { key: it.key })).body
    const shown = await eventually('the refusal', async () => (await read()).refused)
    assert.deepEqual(shown, { snapshotVersion: (await it.versions()).snapshot, reason: 'its mapping leads nowhere' })
    assert.equal((await read()).isApplied, false)
    await it.map([2])
    const second = await relay.untilRevision(2)
    assert.equal(second.manifest.base, first.manifest.version)
    await eventually('the end of the refusal', async () => ((await read()).refused === undefined ? true : undefined))
  }))

test('RC-2: secrets open for the one relay they were sealed to, and none of their octets is on the wire', (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    const ours = await it.relay({ keepsWire: true })
    const other = await it.relay()
    await Promise.all([ours.open(), other.open()])
    const { secrets } = await ours.untilVersion((await it.versions()).snapshot)
    const wire = Buffer.concat(ours.wire)
    const words = [secrets.marker.secret, secrets.marker.token, ...secrets.proofTokens.flatMap(({ tokens }) => tokens)]
    assert.equal(words.length, 4)
    for (const word of words) assert.ok(!wire.includes(word))
    const sealed = sealedPartOf(wire)
    const { manifest } = await ours.untilVersion(1)
    assert.notEqual(openBox(ours.keys.sealing, sealContext(manifest), sealed), undefined)
    assert.equal(openBox(other.keys.sealing, sealContext(manifest), sealed), undefined, "another relay's key")
    assert.equal(
      openBox(ours.keys.sealing, sealContext({ ...manifest, version: manifest.version + 1 }), sealed),
      undefined,
    )
    const logged = it.api.lines.join('')
    for (const word of words) assert.ok(!logged.includes(word), 'KM-5: nor in the log')
  }))

test('RC-1: revoking cuts an open stream off at once, and the relay is told that it is revoked', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    const other = await it.relay()
    await Promise.all([relay.open(), other.open()])
    await relay.untilVersion(1)
    const path = `${it.path}/relays/${relay.answer.relay}`
    const { status, body } = await it.api.request('POST', `${path}/revoke`, undefined, { key: it.key })
    assert.deepEqual([status, body.state], [200, 'revoked'])
    await relay.untilEnded()
    assert.ok(relay.isRevoked)
    assert.equal(await relay.open(), 410)
    assert.equal((await relay.report()).status, 410)
    assert.equal((await relay.events([])).status, 410)
    const revision = await it.map([1])
    await other.untilRevision(revision)
    assert.ok(!other.isRevoked)
    assert.equal((await it.api.request('POST', `${path}/resume`, undefined, { key: it.key })).status, 409, 'for good')
  }))

test('RC-1: a revocation that no wake-up tells of is noticed by the clock', (t) =>
  withFleet(t, { streams: { clockMs: 50, wakeUps: { on: () => () => {} } } }, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion(1)
    await it.inOrganisation((tx) =>
      sql`update relay set state = 'revoked' where id = ${relay.answer.relay}`.execute(tx),
    )
    await relay.untilEnded()
    assert.ok(relay.isRevoked)
  }))

test(
  'BP-1: a relay that does not read is cut off, holds up nobody, and nothing piles up for it',
  { timeout: 60_000 },
  (t) =>
    withFleet(t, { streams: { stallMs: 1_500 } }, async (it) => {
      // Longer than what the buffers of both ends take.
      const aliases = Array.from({ length: 7 }, (_, index) => `${'x'.repeat(50)}${index}`)
      await it.map(Array.from({ length: 25_000 }, (_, user) => ({ user, aliases })))
      const hung = await it.relay({ hangs: true })
      const good = await it.relay()
      await hung.open()
      await good.open()
      assert.equal((await good.untilRevision(1)).table.entryCount, 25_000)
      const cut = await eventually('the cut', async () => {
        const text = await it.metrics.metrics()
        return /^causeway_relay_streams_cut_total 1$/m.test(text) ? text : undefined
      })
      assert.match(cut, /^causeway_relay_streams 1$/m)
      hung.destroy()
      const again = new RelayClient(it.api.url, hung.answer, hung.keys)
      assert.equal(await again.open(), 200)
      await again.untilRevision(1)
      again.destroy()
    }),
)

test('a second stream of the same relay ends the first; without anything to push a heartbeat comes', (t) =>
  withFleet(t, { streams: { timing: { ...STREAM_TIMING, heartbeatMs: 30 } } }, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion(1)
    await relay.until('heartbeats', () => (relay.heartbeats > 2 ? true : undefined))
    const again = new RelayClient(it.api.url, relay.answer, relay.keys)
    assert.equal(await again.open(relay.query()), 200)
    await relay.untilEnded()
    assert.ok(!relay.isRevoked)
    await again.until('heartbeats', () => (again.heartbeats > 2 ? true : undefined))
    again.destroy()
  }))

test('when the server stops its streams end, and no new one begins', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion(1)
    it.streams.close()
    await relay.untilEnded()
    assert.ok(!relay.isRevoked, 'it dials again')
    assert.equal(await relay.open(), 200)
    await relay.untilEnded()
  }))

test('RC-2: a new snapshot key is believed because the old one signed it, by relays that were there and by those that come later', (t) =>
  withFleet(t, {}, async (it) => {
    const there = await it.relay()
    const away = await it.relay()
    await there.open()
    await there.untilVersion(1)
    const second = await it.snapshotKeys.rotate('system:test')
    const third = await it.snapshotKeys.rotate('system:test')
    const revision = await it.map([1])
    await there.untilRevision(revision)
    assert.deepEqual(
      there.rotations.map(({ next }) => next.id),
      [second, third],
    )
    assert.equal(there.held?.manifest.key, third)
    await away.open()
    await away.untilRevision(revision)
    assert.deepEqual(
      away.rotations.map(({ next }) => next.id),
      [second, third],
    )

    // It took the key and lost the connection before it said so: what it believes it says when it comes back.
    await there.close()
    await it.map([2])
    await there.open()
    await there.untilRevision(2)
    assert.equal(there.rotations.length, 2)
    const late = await it.relay()
    assert.equal(late.answer.snapshotKey.id, third, 'enrolled since: it knows no other')
  }))

test('RC-4: while the database is away streams stay open, and afterwards what changed goes on', (t) =>
  withFleet(t, { streams: { clockMs: 50 } }, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion(1)
    const { owner } = it.api.database
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`.execute(
      owner.db,
    )
    const revision = await eventually('the database', () => it.map([1]).catch(() => undefined))
    await relay.untilRevision(revision)
    assert.ok(relay.isOpen)
  }))

/** The octets of the part `secrets` in a stream. */
function sealedPartOf(wire: Buffer): Buffer {
  const chunks: Buffer[] = []
  let isSecrets = false
  for (let at = 0; at < wire.length;) {
    const end = at + 4 + wire.readUInt32BE(at)
    const kind = wire.readUInt8(at + 4)
    const payload = wire.subarray(at + 5, end)
    if (kind === FRAME_KINDS.part) isSecrets = payload.includes('secrets')
    else if (kind === FRAME_KINDS.chunk && isSecrets) chunks.push(payload)
    else if (kind === FRAME_KINDS.manifest) break
    at = end
  }
  return Buffer.concat(chunks)
}
