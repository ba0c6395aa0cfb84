// The product end to end, as processes: two relays enrolled by code, a table of a hundred thousand, one change by REST that both relays follow, and a
// time without the control plane. (product.md §5, RC-1 to RC-4, OP-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONTOSO, FABRIKAM, user } from '../harness/control-plane.ts'
import type { ControlPlane } from '../harness/control-plane.ts'
import { readEvents } from '../harness/event-reader.ts'
import { withControlPlane } from '../harness/start-control-plane.ts'

const ENTRIES = Number(process.env['CAUSEWAY_E2E_ENTRIES'] ?? 100_000)
/** product.md §9 promises a second; on a machine that does all of this at once we only look for orders of magnitude. */
const FOLLOWS_WITHIN_MS = 10_000
/** For a hundred thousand entries, or a million. */
const PATIENCE_MS = 60_000 + ENTRIES
const STOPS_WITHIN_MS = 15_000

const entries = Array.from({ length: ENTRIES }, (_, each) => user(`u${each}`))
const presentedNow = (name: string) => `${name}@${FABRIKAM}`

/** Replaces the entry of `name`, who is presented as `presented` from now on. @returns the revision, and when it was answered */
async function present(plane: ControlPlane, name: string, presented: string, at = 0) {
  const address = encodeURIComponent(`${name}@${CONTOSO}`)
  const { body } = await plane.done('GET', `${plane.path}/mappings?address=${address}`, undefined, { at })
  const [entry] = body.items
  const headers = { 'If-Match': `"${entry.revision}"` }
  const path = `${plane.path}/mappings/${entry.id}`
  const changed = await plane.done('PUT', path, user(name, presented), { headers, at })
  return { revision: Number(changed.body.revision), id: String(entry.id), answeredMs: performance.now() }
}

test(
  `RC-2 two relays with ${ENTRIES} entries follow a change by REST; RC-4, OP-3 without the control plane mail flows on; then they catch up by delta`,
  { timeout: 6 * PATIENCE_MS },
  (t) =>
    withControlPlane(t, { apis: 2 }, async (plane) => {
      const started = performance.now()
      const since = (what: string) => t.diagnostic(`${what}: ${((performance.now() - started) / 1000).toFixed(1)} s`)
      const [one, two] = [await plane.relay(), await plane.relay()]
      since('two relays enrolled')
      const first = await plane.importUsers(entries, { timeoutMs: PATIENCE_MS })
      since(`${ENTRIES} entries imported`)
      await plane.reached(first, { timeoutMs: PATIENCE_MS })
      since('both relays have them')
      for (const relay of await plane.fleet())
        assert.deepEqual([relay['entries'], relay['refused']], [ENTRIES, undefined])
      for (const relay of [one, two]) assert.equal(await plane.presented(relay, `u7@${CONTOSO}`), presentedNow('u7'))

      const events = await readEvents(`${plane.urls[0]}/api/v1${plane.path}/events`, {
        Authorization: `Bearer ${plane.secrets.apiKey}`,
      })
      const change = await present(plane, 'u7', 'seven')
      const applied = new Set<string>()
      for (;;) {
        const event = await events.next()
        assert.ok(event !== undefined, 'the stream goes on')
        if (event.type === 'relay.applied' && event.data.revision >= change.revision) applied.add(event.data.relay)
        if (applied.size === 2) break
      }
      const followedMs = performance.now() - change.answeredMs
      events.close()
      t.diagnostic(`from the change's answer until both relays had it: ${Math.round(followedMs)} ms`)
      assert.ok(followedMs < FOLLOWS_WITHIN_MS, `${followedMs} ms`)
      await plane.until('appliedAt', `${plane.path}/mappings/${change.id}`, ({ appliedAt }) => appliedAt !== undefined)
      for (const relay of [one, two]) assert.equal(await plane.presented(relay, `u7@${CONTOSO}`), presentedNow('seven'))

      // No control plane at all: a relay that is started now has what it had.
      const stopping = performance.now()
      const codes = await Promise.all(plane.processes.map((each) => each.stop()))
      assert.deepEqual(codes, [0, 0, 0])
      assert.ok(performance.now() - stopping < STOPS_WITHIN_MS, 'connections that clients keep open keep nobody up')
      since('control plane stopped')
      assert.equal(await two.stop(), 0)
      const twoAgain = await plane.again(two)
      for (const relay of [one, twoAgain]) {
        assert.equal(await plane.presented(relay, `u7@${CONTOSO}`), presentedNow('seven'))
        assert.equal(await plane.presented(relay, `u${ENTRIES - 1}@${CONTOSO}`), presentedNow(`u${ENTRIES - 1}`))
      }

      // The other copy comes back first, so that there is something to catch up with.
      const [back, other] = plane.apis
      assert.ok(back !== undefined && other !== undefined)
      await other.start()
      const missed = await present(plane, 'u8', 'eight', 1)
      assert.equal(missed.revision, change.revision + 1)
      const pushedBefore = back.logged('relay.pushed').length
      await back.start()
      await plane.reached(missed.revision)
      since('caught up')
      const pushed = back.logged('relay.pushed').slice(pushedBefore)
      assert.deepEqual(
        pushed.map(({ kind, revision }) => [kind, revision]),
        [
          ['delta', missed.revision],
          ['delta', missed.revision],
        ],
      )
      assert.equal(new Set(pushed.map(({ relay }) => relay)).size, 2)
      for (const relay of [one, twoAgain])
        assert.equal(await plane.presented(relay, `u8@${CONTOSO}`), presentedNow('eight'))
    }),
)
