// Who may see and do what with relays, and that nobody sees those of another organisation: by permission, by route, and in the database itself.
// (AZ-4, TI-1, TI-2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { countOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { isChanging } from '../../../control-plane/http/route.ts'
import { newId } from '../../../control-plane/ids.ts'
import { withFleet } from './fleet.ts'

const READERS = ['organization-administrator', 'migration-administrator', 'mail-operator', 'auditor']
const KEEPERS = ['organization-administrator', 'mail-operator']
const TRACERS = ['organization-administrator', 'mail-operator', 'help-desk', 'auditor']
const allowed: Readonly<Record<string, readonly string[]>> = {
  'relay.read': READERS,
  'relay.manage': KEEPERS,
  'dkim.manage': KEEPERS,
  'message.trace': TRACERS,
}

test('AZ-4: every route of relays, keys and messages is open to the roles that hold its permission, and to no other', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    const enrolment = (await it.api.request('GET', `${it.path}/relay-enrolments`, undefined, { key: it.key })).body
      .items[0].id
    const dkimKey = (
      await it.api.request(
        'POST',
        `${it.path}/dkim-keys`,
        { domain: 'contoso.example', algorithm: 'ed25519' },
        { key: it.key },
      )
    ).body.id
    const ids: Record<string, string> = {
      project: it.project,
      relay: relay.answer.relay,
      enrolment,
      dkimKey,
      version: '1',
      queueId: 'x',
    }
    const foreign = await it.api.organisation('Fabrikam')
    const roles = [...new Set([...READERS, ...TRACERS])]
    const members = new Map<string, string>()
    for (const role of roles) members.set(role, (await it.api.member(it.organisation, role)).key)
    let checked = 0
    for (const route of it.routes) {
      const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? '')
      const ask = (key?: string) =>
        it.api.request(
          route.method.toUpperCase(),
          path,
          isChanging(route) ? {} : undefined,
          key === undefined ? {} : { key },
        )
      assert.equal((await ask()).status, 401, route.id)
      assert.equal((await ask(foreign.key)).status, 404, `${route.id}: another organisation is told nothing`)
      for (const [role, key] of members) {
        if (allowed[route.access]?.includes(role) === true) continue
        const refused = await ask(key)
        assert.deepEqual([refused.status, refused.body.permission], [403, route.access], `${route.id} by ${role}`)
      }
      // Last, for it may change what the others ask for: a relay is drained, resumed, and then revoked.
      const [role = ''] = allowed[route.access] ?? []
      assert.ok(![401, 403].includes((await ask(members.get(role))).status), `${route.id} by ${role}`)
      checked++
    }
    assert.ok(checked >= 18, `${checked} routes`)
  }))

const TABLES = [
  'relay',
  'relay_enrolment',
  'relay_token_use',
  'relay_settings',
  'relay_marker',
  'proof_token',
  'dkim_key',
  'snapshot_applied',
  'message_event',
  'message_recipient',
]

test('TI-2: the database shows another organisation none of it, whatever a statement asks for, and nothing without a scope', (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion((await it.versions()).snapshot)
    await relay.report()
    await relay.events([
      {
        id: 'e1',
        class: 'message',
        time: new Date().toISOString(),
        event: 'accepted',
        queueId: 'Q1',
        fields: { to: ['x'] },
      },
    ])
    await it.api.request('PUT', `${it.path}/relay-settings`, {}, { key: it.key, headers: { 'If-Match': '"0"' } })
    await it.api.request(
      'POST',
      `${it.path}/dkim-keys`,
      { domain: 'contoso.example', algorithm: 'ed25519' },
      { key: it.key },
    )
    const foreign = await it.api.organisation('Fabrikam')
    const { db } = it.api.database
    for (const table of TABLES) {
      const seen = (scope: Parameters<typeof withScope>[1]) =>
        withScope(db, scope, (tx) => rowsOf(tx, sql`select 1 from ${sql.table(table)}`))
      assert.ok((await seen({ organisation: it.organisation })).length > 0, `${table} has rows`)
      assert.equal((await seen({ organisation: foreign.id })).length, 0, table)
      assert.equal((await seen({})).length, 0, table)
      const changed = await withScope(db, { organisation: foreign.id }, (tx) =>
        countOf(tx, sql`update ${sql.table(table)} set project_id = 'x'`),
      )
      assert.equal(changed, 0, table)
    }
    const own = await withScope(db, { relay: relay.answer.relay }, (tx) => rowsOf(tx, sql`select 1 from relay`))
    assert.equal(own.length, 1, 'the relay itself')
    await assert.rejects(
      withScope(db, { relay: relay.answer.relay }, async (tx) => {
        const count = await countOf(tx, sql`update relay set state = 'active'`)
        if (count === 0) throw new Error('nothing to change')
      }),
    )
    await assert.rejects(
      withScope(db, { organisation: foreign.id }, (tx) =>
        sql`insert into relay_nonce (organisation_id, project_id, id, nonce_sealed, created_at, expires_at)
            values (${it.organisation}, ${it.project}, ${newId('nonce')}, '', now(), now())`.execute(tx),
      ),
      /row-level security/,
    )
  }))

test('TI-2: partitions are protected like the whole, and nobody reaches them directly', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    await relay.events([
      {
        id: 'e1',
        class: 'message',
        time: new Date().toISOString(),
        event: 'accepted',
        queueId: 'Q1',
        fields: { to: ['x'] },
      },
    ])
    const partition = `message_event_${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`
    const [table] = await rowsOf<{ relrowsecurity: boolean; relforcerowsecurity: boolean }>(
      it.api.database.owner.db as never,
      sql`select relrowsecurity, relforcerowsecurity from pg_class where relname = ${partition}`,
    )
    assert.deepEqual(table, { relrowsecurity: true, relforcerowsecurity: true })
    await assert.rejects(
      it.inOrganisation((tx) => rowsOf(tx, sql`select 1 from ${sql.table(partition)}`)),
      /permission denied/,
    )
  }))

test('drain, resume and revoke are of the version that was read, audited once, and told to whoever watches', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    const path = `${it.path}/relays/${relay.answer.relay}`
    const act = (verb: string, ifMatch?: string) =>
      it.api.request('POST', `${path}/${verb}`, undefined, {
        key: it.key,
        ...(ifMatch === undefined ? {} : { headers: { 'If-Match': ifMatch } }),
      })
    const { headers } = await it.api.request('GET', path, undefined, { key: it.key })
    assert.equal(headers.get('etag'), '"1"')
    const drained = await act('drain', '"1"')
    assert.deepEqual([drained.body.state, drained.headers.get('etag')], ['draining', '"2"'])
    assert.equal((await act('resume', '"1"')).status, 412)
    const { snapshot } = await it.versions()
    assert.equal((await act('drain')).headers.get('etag'), '"2"')
    assert.equal((await it.versions()).snapshot, snapshot, 'asked for again it changes nothing')
    assert.equal((await act('resume')).body.state, 'active')
    assert.equal((await act('revoke')).body.isLive, false)
    assert.equal((await act('drain')).status, 409)
    assert.equal((await act('revoke')).status, 200)
    const actions = await it.inOrganisation((tx) =>
      rowsOf<{ action: string }>(
        tx,
        sql`select action from audit_event where object = ${relay.answer.relay} order by sequence`,
      ),
    )
    assert.deepEqual(
      actions.map(({ action }) => action),
      ['relay.enrolled', 'relay.drained', 'relay.drained', 'relay.resumed', 'relay.revoked', 'relay.revoked'],
    )
    const events = await it.inOrganisation((tx) =>
      rowsOf<{ type: string }>(tx, sql`select type from event order by id`),
    )
    assert.deepEqual(
      events.map(({ type }) => type),
      ['relay.enrolled', 'relay.draining', 'relay.active', 'relay.revoked'],
    )
  }))

test('the fleet is listed by state and by whether it is heard, page by page, with how far each is behind', (t) =>
  withFleet(t, {}, async (it) => {
    const relays = [await it.relay({}, 'a.example'), await it.relay({}, 'b.example'), await it.relay({}, 'c.example')]
    const list = async (query: string) =>
      (await it.api.request('GET', `${it.path}/relays?${query}`, undefined, { key: it.key })).body
    const names = async (query: string) => (await list(query)).items.map(({ name }: { name: string }) => name)
    const first = await list('limit=2')
    const rest = await it.api.request('GET', String(first.next).replace('/api/v1', ''), undefined, { key: it.key })
    assert.deepEqual(
      [...first.items, ...rest.body.items].map(({ name }) => name),
      ['a.example', 'b.example', 'c.example'],
    )
    await it.api.request('POST', `${it.path}/relays/${relays[1]?.answer.relay}/drain`, undefined, { key: it.key })
    assert.deepEqual(await names('state=draining'), ['b.example'])
    it.clock.offsetMs = 6 * 60_000
    const [one] = relays
    if (one === undefined) throw new Error('there are three')
    one.clockOffsetMs = it.clock.offsetMs
    const { status } = await one.report({
      version: 1,
      revision: 0,
      digest: 'a'.repeat(64),
      queue: { messages: 7, oldestAgeMs: 1_234.6, quarantined: 1, dead: 0 },
    })
    assert.equal(status, 200)
    assert.deepEqual(await names('isLive=true'), ['a.example'])
    assert.deepEqual(await names('isLive=false'), ['b.example', 'c.example'])
    await it.map([1])
    await it.map([2])
    const [behind, unknown] = (await list('')).items
    assert.deepEqual(
      [behind.lagRevisions, behind.isApplied, behind.queue],
      [2, false, { messages: 7, oldestAgeMs: 1235, quarantined: 1, dead: 0 }],
    )
    assert.ok(behind.lagSeconds > 0)
    assert.deepEqual([unknown.lagRevisions, unknown.queue], [undefined, undefined])
    assert.equal((await it.api.request('GET', `${it.path}/relays?state=gone`, undefined, { key: it.key })).status, 400)
    assert.equal(
      (await it.api.request('GET', `${it.path}/relays?isLive=maybe`, undefined, { key: it.key })).status,
      400,
    )
  }))

const reports: [more: Record<string, unknown>, why: string][] = [
  [{ version: -1 }, 'a version below none'],
  [{ version: 1.5 }, 'no whole number'],
  [{ version: 2 ** 60 }, 'more than a number holds'],
  [{ digest: 'x' }, 'no digest'],
  [{ startedAt: 'yesterday' }, 'no time'],
  [{ state: 'revoked' }, 'a state that a relay has not'],
  [{ reasons: Array(51).fill('x') }, 'more reasons than anybody reads'],
  [{ queue: {} }, 'a member missing'],
]
for (const [more, why] of reports) {
  test(`a report is refused as a whole: ${why}`, (t) =>
    withFleet(t, {}, async (it) => {
      const relay = await it.relay()
      assert.equal((await relay.report(more as never)).status, 400)
      assert.equal((await relay.report()).status, 200)
    }))
}

test('a relay that says it has what was never made says so of itself only', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    await it.map([1])
    const { snapshot } = await it.versions()
    assert.equal(
      (await relay.report({ version: 999, revision: 999, settings: 999, digest: 'a'.repeat(64) })).status,
      200,
    )
    const [row] = await it.inOrganisation((tx) =>
      rowsOf<{ snapshot_version: number; mapping_revision: number }>(
        tx,
        sql`select snapshot_version, mapping_revision from snapshot_applied`,
      ),
    )
    assert.deepEqual(row, { snapshot_version: snapshot, mapping_revision: 1 })
    assert.equal(await relay.open({ version: '999', revision: '999', digest: 'a'.repeat(64), settings: '999' }), 200)
    await relay.until('the log', () => (it.api.lines.some((line) => line.includes('relay.ahead')) ? true : undefined))
    assert.equal(relay.manifests.length, 0)
  }))
