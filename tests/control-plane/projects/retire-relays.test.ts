// Relays of a project that is deleted: no mail is lost unless somebody forces it, and none of them goes on for ever. (PR-5)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import type { RelayReport } from '../../../common/relay-contract.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import { deleteProject } from '../../../control-plane/projects/delete-project.ts'
import type { DeletionDeps } from '../../../control-plane/projects/delete-project.ts'
import { MAX_DRAIN_MS, nextForRelay, TELL_MS } from '../../../control-plane/projects/retire-relays.ts'
import type { Relay } from '../../../control-plane/relays/relay.ts'
import { testApi } from '../../harness/api.ts'

const MINUTE_MS = 60_000
const STARTED = Date.parse('2026-11-28T12:00:00Z')

type Given = Pick<Relay, 'state' | 'stateChangedAt' | 'seenAt' | 'report'>

function relay(
  state: Relay['state'],
  changedMs: number,
  seenMs: number,
  report?: { atMs: number; messages: number; state: 'active' | 'draining' },
): Given {
  return {
    state,
    stateChangedAt: new Date(STARTED + changedMs),
    seenAt: new Date(STARTED + seenMs),
    report:
      report === undefined
        ? undefined
        : ({
            at: new Date(STARTED + report.atMs),
            state: report.state,
            queue: { messages: report.messages },
          } as unknown as RelayReport & { at: Date }),
  }
}

const HOUR_MS = 60 * MINUTE_MS
const examples: [given: Given, discards: boolean, atMs: number, next: unknown, why: string][] = [
  [relay('active', -HOUR_MS, 0), false, 0, { kind: 'change', state: 'draining' }, 'it takes no new mail from now on'],
  [relay('active', -HOUR_MS, 0), true, 0, { kind: 'change', state: 'revoked' }, 'forced: what it holds is discarded'],
  [relay('draining', 0, MINUTE_MS), false, MINUTE_MS, { kind: 'wait', why: 'delivers' }, 'it has not reported since'],
  [
    relay('draining', 0, MINUTE_MS, { atMs: -1, messages: 0, state: 'active' }),
    false,
    MINUTE_MS,
    { kind: 'wait', why: 'delivers' },
    'empty, but before it was told to take no more',
  ],
  [
    relay('draining', 0, MINUTE_MS, { atMs: MINUTE_MS, messages: 0, state: 'active' }),
    false,
    MINUTE_MS,
    { kind: 'wait', why: 'delivers' },
    'empty, but it still takes mail',
  ],
  [
    relay('draining', 0, MINUTE_MS, { atMs: MINUTE_MS, messages: 1, state: 'draining' }),
    false,
    MINUTE_MS,
    { kind: 'wait', why: 'delivers' },
    'one message is left',
  ],
  [
    relay('draining', 0, MINUTE_MS, { atMs: MINUTE_MS, messages: 0, state: 'draining' }),
    false,
    MINUTE_MS,
    { kind: 'change', state: 'revoked' },
    'it has delivered all',
  ],
  [
    relay('draining', 0, 0),
    false,
    MAX_DRAIN_MS - 1,
    { kind: 'wait', why: 'delivers' },
    'its messages may still be alive',
  ],
  [
    relay('draining', 0, 0),
    false,
    MAX_DRAIN_MS,
    { kind: 'change', state: 'revoked' },
    'DL-1: no message lives so long',
  ],
  [
    relay('active', -HOUR_MS, -MAX_DRAIN_MS),
    false,
    0,
    { kind: 'change', state: 'revoked' },
    'it has been silent for longer',
  ],
  [relay('revoked', 0, -1), false, TELL_MS - 1, { kind: 'wait', why: 'learns' }, 'it has to be told while it is known'],
  [relay('revoked', 0, -1), false, TELL_MS, { kind: 'over' }, 'it was told'],
  [relay('revoked', 0, -HOUR_MS), true, 0, { kind: 'over' }, 'it was silent: there is nobody to be told'],
]
for (const [given, discards, atMs, next, why] of examples) {
  test(`a relay that is ${given.state}, ${atMs / MINUTE_MS} min after the start: ${why}`, () => {
    assert.deepEqual(nextForRelay(given, { discards, startedAt: STARTED, now: STARTED + atMs }), next)
  })
}

test('PR-5: relays are drained, told, revoked and only then gone; each change reaches their streams', async (t) => {
  const api = await testApi(t, () => [])
  const { id: organisation } = await api.organisation()
  const project = await api.project(organisation)
  const change: <T>(work: Parameters<typeof withScope<T>>[2]) => Promise<T> = (work) =>
    withScope(api.database.db, { organisation }, work)
  let now = Date.now()
  const [busy, dead] = [newId('relay'), newId('relay')]
  await change(async (tx) => {
    await sql`update project set deletion_requested_at = ${new Date(now - 8 * 86_400_000)}, deletion_requested_by = 'test'`.execute(
      tx,
    )
    for (const [relayId, seenAt] of [
      [busy, now],
      [dead, now - MAX_DRAIN_MS],
    ] as const)
      await sql`insert into relay (organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, enrolled_at,
                                   state_changed_at, pinned_key, seen_at)
                values (${organisation}, ${project}, ${relayId}, 'r', 'active', 'k', 'k', '1', now(), now() - interval '1 day', 'k', ${new Date(seenAt)})`.execute(
        tx,
      )
  })
  const deps: DeletionDeps = { steps: [], shredKeys: () => Promise.resolve({}), now: () => now }
  const run = () => deleteProject({ organisation, project }, { change }, deps)
  const states = () =>
    change(async (tx) => {
      const rows = await rowsOf<{ id: string; state: string }>(tx, sql`select id, state from relay`)
      const [row] = await rowsOf<{ version: number }>(tx, sql`select snapshot_version as version from project`)
      return [...[busy, dead].map((id) => rows.find((one) => one.id === id)?.state), row?.version]
    })
  assert.equal((await run()).kind, 'wait')
  assert.deepEqual(await states(), ['draining', 'revoked', 1])
  now += MINUTE_MS
  assert.equal((await run()).kind, 'wait')
  assert.deepEqual(await states(), ['draining', 'revoked', 1], 'nothing new to be told')
  await change((tx) =>
    sql`update relay set reported_at = ${new Date(now)}, seen_at = ${new Date(now)}, reported_state = 'draining', queue_messages = 0, queue_oldest_ms = 0,
               queue_quarantined = 0, queue_dead = 0, snapshot_version = 1, mapping_revision = 0, mapping_digest = '', mapping_entries = 0,
               settings_version = 0, started_at = now(), is_ready = true where id = ${busy}`.execute(tx),
  )
  assert.equal((await run()).kind, 'wait')
  assert.deepEqual(await states(), ['revoked', 'revoked', 2])
  now += TELL_MS
  assert.deepEqual(await run(), { kind: 'deleted' })
  assert.deepEqual(await states(), [undefined, undefined, undefined])
})
