// Two real relays, enrolled with codes and nothing else, on the real endpoints: told what to do, told of changes, traced, drained, revoked, and on their
// own while the control plane is away. (product.md §5, RC-1 … RC-7, OP-3)
import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { NextHop } from '../../harness/next-hop.ts'
import { startRelay } from '../../harness/relay.ts'
import type { RunningRelay } from '../../harness/relay.ts'
import { sendMail } from '../../harness/smtp-client.ts'
import { eventually } from '../../harness/wait.ts'
import { withFleet } from './fleet.ts'
import type { Fleet } from './fleet.ts'

async function startEnrolled(it: Fleet): Promise<RunningRelay> {
  return startRelay({
    directory: await mkdtemp(join(tmpdir(), 'causeway-fleet-')),
    nextHopPort: 9,
    settings: {
      table: undefined,
      routes: undefined,
      controlPlane: { url: it.api.url, enrolmentCode: await it.code() },
    },
  })
}

interface Scene {
  readonly it: Fleet
  readonly hop: NextHop
  readonly relays: readonly RunningRelay[]
  /** Sends a message of u1 and says as whom it arrived. */
  readonly presented: (relay: RunningRelay) => Promise<string | undefined>
  readonly fleet: () => Promise<Record<string, unknown>[]>
}

async function withRelays(t: TestContext, count: number, work: (scene: Scene) => Promise<void>): Promise<void> {
  await withFleet(t, {}, async (it) => {
    await using hop = await NextHop.start()
    const running: RunningRelay[] = []
    try {
      await it.tenant('contoso', ['contoso.example'])
      await it.tenant('fabrikam', ['fabrikam.example'])
      const smartHosts = ['contoso', 'fabrikam'].map((tenant) => ({
        tenant,
        host: '127.0.0.1',
        port: hop.port,
        tls: 'none',
      }))
      const put = await it.api.request(
        'PUT',
        `${it.path}/relay-settings`,
        { smartHosts },
        { key: it.key, headers: { 'If-Match': '"0"' } },
      )
      assert.equal(put.status, 200)
      await it.map([1, 2])
      for (let relay = 0; relay < count; relay++) running.push(await startEnrolled(it))
      await work({
        it,
        hop,
        relays: running,
        async presented(relay) {
          const data = Buffer.from(
            'From: <u1@contoso.example>\r\nTo: <dana@example.net>\r\nMessage-ID: <1@contoso.example>\r\n\r\nHello.\r\n',
          )
          assert.match(
            await sendMail(relay.outPort, { from: 'u1@contoso.example', to: ['dana@example.net'], data }),
            /^250 /,
          )
          const taken = await eventually('a message', () => hop.taken.shift())
          return /^MAIL FROM:<([^>]*)>/.exec(taken.mail)?.[1]
        },
        fleet: async () => (await it.api.request('GET', `${it.path}/relays`, undefined, { key: it.key })).body.items,
      })
    } finally {
      for (const relay of running) {
        await relay.stop('SIGKILL')
        await relay.remove()
      }
    }
  })
}

test(
  'two relays at a revision, then at the next: mail is rewritten by it, and every step of a message is found',
  { timeout: 120_000 },
  (t) =>
    withRelays(t, 2, async ({ it, relays, presented, fleet }) => {
      for (const relay of relays) assert.equal(await presented(relay), 'u1@fabrikam.example')
      await eventually('both to be applied', async () =>
        (await fleet()).every(({ isApplied }) => isApplied === true) ? true : undefined,
      )
      for (const { isReady, lagRevisions, revision, reasons } of await fleet())
        assert.deepEqual([isReady, lagRevisions, revision, reasons], [true, 0, 1, []])

      // u1 is presented otherwise from now on.
      const revision = await it.inOrganisation((tx) => it.mapIn(tx, [{ user: 1, aliases: ['other.'] }]))
      await eventually('the next revision', async () =>
        (await fleet()).every((each) => each['revision'] === revision) ? true : undefined,
      )
      for (const relay of relays) assert.equal(await presented(relay), 'u1@fabrikam.example')

      const traced = await eventually('the events of all messages', async () => {
        const query = new URLSearchParams({ sender: 'U1@contoso.example', outcome: 'delivered' }).toString()
        const { body } = await it.api.request('GET', `${it.path}/messages?${query}`, undefined, { key: it.key })
        return body.items.length === 4 ? body.items : undefined
      })
      assert.deepEqual(
        traced.map(({ revision: by }: { revision: number }) => by),
        [2, 2, 1, 1],
      )
      assert.doesNotMatch(JSON.stringify(traced), /u1@|dana@/, 'PR-2: hashed, and found all the same')
      const path = await it.api.request('GET', `${it.path}/messages/${traced[0].queueId}`, undefined, { key: it.key })
      assert.equal(path.body.hops.length, 4, 'the same Message-ID at both relays')
    }),
)

test(
  'a relay that is drained takes no new mail; one that is revoked is cut off and says so',
  { timeout: 120_000 },
  (t) =>
    withRelays(t, 1, async ({ it, relays: [relay], presented, fleet }) => {
      assert.ok(relay !== undefined)
      const [{ id } = {}] = await fleet()
      const act = (verb: string) =>
        it.api.request('POST', `${it.path}/relays/${String(id)}/${verb}`, undefined, { key: it.key })
      assert.equal((await act('drain')).status, 200)
      const readiness = async () =>
        (await (await fetch(`http://127.0.0.1:${relay.adminPort}/readyz`)).json()) as { ready: boolean }
      await eventually('the end of readiness', async () => ((await readiness()).ready ? undefined : true))
      assert.equal((await act('resume')).status, 200)
      await eventually('readiness', async () => ((await readiness()).ready ? true : undefined))
      assert.equal(await presented(relay), 'u1@fabrikam.example')
      assert.equal((await act('revoke')).status, 200)
      await eventually('its own word for it', () => (/control-plane\.revoked/.test(relay.output()) ? true : undefined))
    }),
)

test(
  'RC-2: a new snapshot key, new secrets and a new table go to a real relay, one after the other',
  { timeout: 120_000 },
  (t) =>
    withRelays(t, 1, async ({ it, relays: [relay], presented, fleet }) => {
      assert.ok(relay !== undefined)
      await it.snapshotKeys.rotate('system:test')
      await it.map([3])
      await it.snapshotKeys.rotate('system:test')
      const made = await it.api.request('POST', `${it.path}/dkim-keys`, { domain: 'fabrikam.example' }, { key: it.key })
      assert.equal(
        (
          await it.api.request(
            'POST',
            `${it.path}/dkim-keys/${made.body.id}/activate`,
            { force: true },
            { key: it.key },
          )
        ).status,
        200,
      )
      await it.map(Array.from({ length: 12_000 }, (_, user) => 10 + user))
      const [now] = await eventually('all of it', async () => {
        const relays = await fleet()
        return relays.every(({ isApplied, entries }) => isApplied === true && entries === 12_003) ? relays : undefined
      })
      assert.equal(now?.['refused'], undefined)
      assert.equal(await presented(relay), 'u1@fabrikam.example')
      assert.match(relay.output(), /control-plane\.key/)
    }),
)
