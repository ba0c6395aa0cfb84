// A project's first push makes what relays are told: keys, marker, tokens. So do changes by people, at the same moment. (RC-2, KM-1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { rowOf } from '../../../control-plane/db/database.ts'
import { lockProject } from '../../../control-plane/relays/project-place-store.ts'
import { eventually } from '../../harness/wait.ts'
import { withFleet } from './fleet.ts'

test('the first push and the first secret that somebody makes wait for each other, and both are made', (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    const relay = await it.relay()
    const place = { organisation: it.organisation, project: it.project }
    const sealed = await it.inOrganisation(async (tx) => {
      await lockProject(tx, place)
      await relay.open()
      await eventually('the push that waits', async () => {
        // In a transaction of its own: within one, the view stays as it was first seen.
        const waiting = await it.inOrganisation((other) =>
          rowOf(
            other,
            sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
          ),
        )
        return waiting === undefined ? undefined : true
      })
      return it.sealer.seal(tx, place, 'relay-nonce', 'first', Buffer.from('secret'))
    })
    assert.ok(sealed.length > 0)
    const held = await relay.untilVersion((await it.versions()).snapshot)
    assert.equal(held.secrets.proofTokens.length, 2)
  }))
