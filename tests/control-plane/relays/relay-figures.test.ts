// How relays stand, as operators' alarms see it: silent, behind and for how long, refusing, ahead of what there is. (OP-1, OP-2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { RelayId } from '../../../control-plane/ids.ts'
import { watchRelayFigures } from '../../../control-plane/relays/relay-figures.ts'
import { fleetStanding, LIVE_MS } from '../../../control-plane/relays/relay.ts'
import type { FleetMember, FleetStanding } from '../../../control-plane/relays/relay.ts'
import { testDatabase } from '../../harness/postgres.ts'
import { addOrganisation, addProject } from '../keys/key-scene.ts'

const NOW = Date.UTC(2026, 10, 28, 12)
const at = (version: number, revision = version) => ({ version, revision })

const standings: [of: Partial<FleetMember>, standing: FleetStanding, why: string][] = [
  [{ held: at(7) }, 'current', 'it has what there is'],
  [{ held: at(6) }, 'behind', 'one version less'],
  [{ held: undefined }, 'behind', 'nothing yet'],
  [{ held: at(8, 7) }, 'ahead', 'a snapshot that was never made here'],
  [{ held: at(6, 8) }, 'ahead', 'a mapping that was never made here'],
  [{ held: at(6), refusedVersion: 7 }, 'refused', 'it told why not'],
  [{ held: at(6), refusedVersion: 5 }, 'behind', 'what it refused is long over'],
  [{ held: at(7), seenAt: new Date(NOW - LIVE_MS - 1) }, 'silent', 'not heard for five minutes'],
  [{ held: at(8), seenAt: new Date(NOW - LIVE_MS - 1) }, 'silent', 'that comes first: what it has may be old news'],
  [{ held: at(7), seenAt: new Date(NOW - LIVE_MS) }, 'current', 'heard just in time'],
]
for (const [of, standing, why] of standings) {
  test(`a relay is ${standing}: ${why}`, () => {
    const wanted = { snapshotVersion: 7, mappingRevision: 7 }
    const member = { relay: 'rly_a' as RelayId, seenAt: new Date(NOW), held: undefined, refusedVersion: undefined }
    assert.equal(fleetStanding({ ...member, wanted, ...of }, NOW), standing)
  })
}

test('OP-2 relays of all organisations are counted by how they stand, and the one that lags longest tells how long', async (t) => {
  const { db, owner } = await testDatabase(t)
  const metrics = emptyMetrics()
  const clock = { now: NOW, monotonic: 0 }
  const log = createLog({ write: () => {}, level: 'info', now: () => clock.now })
  watchRelayFigures({ db, metrics, log, now: () => clock.now, monotonicMs: () => clock.monotonic })
  const figures = async () =>
    Object.fromEntries(
      (await metrics.metrics())
        .split('\n')
        .flatMap((line) => /^causeway_relay(?:s\{standing="(\w+)"\}|_(lag)_seconds) (.*)$/.exec(line)?.slice(1) ?? [])
        .reduce<string[][]>((pairs, value, index, all) => {
          if (index % 3 === 2) pairs.push([all[index - 2] ?? all[index - 1] ?? '', value])
          return pairs
        }, [])
        .map(([name = '', value]) => [name, Number(value)]),
    )
  const none = { current: 0, behind: 0, refused: 0, ahead: 0, silent: 0, lag: 0 }
  assert.deepEqual(await figures(), none)

  const places = await Promise.all(
    [1, 2].map(async () => {
      const organisation = await addOrganisation(db)
      return { organisation, project: await addProject(db, organisation) }
    }),
  )
  const wanted = (version: number) => sql`update project set snapshot_version = ${version}`.execute(owner.db)
  await wanted(3)
  const ids: string[] = []
  for (const { organisation, project } of places) {
    const id = newId('relay')
    ids.push(id)
    await sql`insert into relay (organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, enrolled_at,
                                 state_changed_at, pinned_key, seen_at, reported_at, snapshot_version, mapping_revision)
              values (${organisation}, ${project}, ${id}, 'relay', 'active', '', '', '', ${new Date(NOW)}, ${new Date(NOW)}, '', ${new Date(NOW)},
                      ${new Date(NOW)}, 3, 0)`.execute(owner.db)
  }
  const [first = ''] = ids
  assert.deepEqual(await figures(), { ...none, current: 2 })
  await wanted(4)
  assert.deepEqual(await figures(), { ...none, behind: 2 })
  clock.monotonic += 90_000
  await sql`update relay set snapshot_version = 4 where id = ${first}`.execute(owner.db)
  assert.deepEqual(await figures(), { ...none, current: 1, behind: 1, lag: 90 })
  await wanted(5)
  clock.monotonic += 10_000
  assert.deepEqual(await figures(), { ...none, behind: 2, lag: 100 }, 'a newer version makes it no less late')
  await wanted(2)
  assert.deepEqual(await figures(), { ...none, ahead: 2 }, 'as after an older database was restored')
  clock.now += LIVE_MS + 60_000
  assert.deepEqual(await figures(), { ...none, silent: 2 })
  await sql`update relay set state = 'revoked' where id = ${first}`.execute(owner.db)
  assert.deepEqual(await figures(), { ...none, silent: 1 })
})
