// Everything about one person, through all tables: shown whole and nobody else's, and erased but for what is told to stay. (PR-6)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { PERSON_SOURCES } from '../../../control-plane/persons/person-sources.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { createLog } from '../../../common/log.ts'
import { withPersons } from './person-scene.ts'
import type { Human, PersonScene } from './person-scene.ts'

type Section = { section: string; rows: number; reason?: string }

const by = (section: string, all: readonly Section[]) => all.filter((each) => each.section === section)

test('PR-6: by any one address or id the same person is found, shown with every section, and with nobody else', (t) =>
  withPersons(t, async ({ ann, bob, ask, it }) => {
    const asked = [
      { addresses: [ann.source] },
      { addresses: [ann.alias.toUpperCase()] },
      { addresses: [ann.target] },
      { objectId: ann.objectId.toUpperCase() },
      { objectId: ann.targetObjectId },
    ]
    const exported = []
    for (const body of asked) {
      const reply = await ask('POST', '/person-exports', body)
      assert.equal(reply.status, 200, JSON.stringify(reply.body))
      exported.push(reply.body)
    }
    const [first] = exported
    assert.equal(first.format, 'causeway-person-export/1')
    assert.deepEqual(first.knownBy.objectIds, [ann.objectId, ann.targetObjectId].toSorted())
    const without = Object.entries<unknown[]>(first.sections).filter(([, rows]) => rows.length === 0)
    // Nothing of hers is sealed for notifications here, and that is all there is not.
    assert.deepEqual(
      without.map(([name]) => name),
      ['notification'],
    )
    assert.deepEqual(
      Object.keys(first.sections),
      PERSON_SOURCES.map(({ name }) => name),
    )
    for (const other of exported) {
      const counts = (document: typeof first) =>
        Object.fromEntries(Object.entries<unknown[]>(document.sections).map(([name, rows]) => [name, rows.length]))
      // Each export is told in the trail, and is about her.
      const { audit_event: told, ...rest } = counts(other)
      assert.ok((told ?? 0) >= (counts(first)['audit_event'] ?? 0))
      const { audit_event: _first, ...of } = counts(first)
      assert.deepEqual(rest, of)
    }
    const text = JSON.stringify(exported)
    for (const secret of [bob.source, bob.target, bob.alias, ...bob.tags, bob.name, bob.objectId, bob.account])
      assert.ok(!text.includes(secret), `${secret} is not hers`)
    const events = first.sections.message_event as { isSender: boolean; fields: Record<string, unknown> }[]
    assert.ok(
      events.some(({ fields }) => fields['from'] === ann.tags[0]),
      'in the form that is held',
    )
    assert.ok(events.some(({ fields }) => fields['reply'] === `550 <${ann.source}> unknown`))
    const own = (first.sections.audit_event as { details?: { sourceAddress?: string } }[]).map(
      ({ details }) => details?.sourceAddress,
    )
    assert.ok(own.includes('192.0.2.77'), 'from where she did something')
    assert.ok(own.includes(undefined), 'not from where somebody else did')
    const { rows: told } = await sql<{ action: string; object: string; payload: string }>`
      select action, object, payload from audit_event where action like 'person.%' order by sequence`.execute(
      it.api.database.owner.db,
    )
    assert.deepEqual(
      told.map(({ action }) => action),
      asked.map(() => 'person.exported'),
    )
    assert.ok(!JSON.stringify(told).includes('canary'), 'the trail names nobody')
  }))

test('PR-6: erasing says before what it will do, needs that number, and leaves what is told to stay; others keep all', (t) =>
  withPersons(t, async (scene) => {
    const { ann, bob, ask, it } = scene
    const before = await everything(scene, bob)
    const all = await scene.holding(ann.source)
    const dry = await ask('POST', '/person-erasures', { addresses: [ann.source], validateOnly: true })
    assert.equal(dry.status, 200, JSON.stringify(dry.body))
    assert.deepEqual(await scene.holding(ann.source), all, 'nothing has changed')
    const unconfirmed = await ask('POST', '/person-erasures', { addresses: [ann.source] })
    assert.deepEqual([unconfirmed.status, unconfirmed.body.count], [422, dry.body.total])
    assert.deepEqual(await scene.holding(ann.source), all)

    const headers = await trailHeaders(scene)
    const done = await ask('POST', '/person-erasures', { addresses: [ann.source], confirm: dry.body.total })
    assert.equal(done.status, 200, JSON.stringify(done.body))
    assert.deepEqual(done.body, dry.body, 'the dry run told the same')
    const { erased, stays } = done.body as { erased: Section[]; stays: Section[] }
    assert.deepEqual(Object.fromEntries(erased.map(({ section, rows }) => [section, rows])), {
      finding: 1,
      match_result: 1,
      pair: 1,
      group_member: 1,
      account: 1,
      mapping_entry: 1,
      mapping_rule: 1,
      message_event: 9,
      relay_settings: 2,
      operation: 1,
      support_grant: 1,
      audit_event: by('audit_event', erased)[0]?.rows,
    })
    assert.deepEqual(
      stays.map(({ section, rows, reason }) => `${section} ${rows} ${reason}`),
      [
        'collection_member 1 in-force',
        'match_exclusion 1 in-force',
        'pair 1 paired',
        'pair_import_row 1 temporary',
        'pair_import 1 temporary',
        'group_member 1 in-tenant',
        'account_address 2 in-tenant',
        'account_part 1 in-tenant',
        'account 2 in-tenant',
        'tenant_facts 1 in-tenant',
        'tenant_change 1 in-tenant',
        'coexistence_object 1 in-tenant',
        'coexistence_switch 1 in-tenant',
        'tenant_state 1 in-tenant',
        'mapping_entry 1 in-force',
        'mapping_rule 1 in-force',
        'mapping_import_row 1 temporary',
        'mapping_import 1 temporary',
        'operation 1 temporary',
        'event 1 ids-only',
        'webhook_delivery 1 ids-only',
        'notification_delivery 1 ids-only',
        'organisation 1 in-force',
        'role_assignment 1 membership',
        'api_key 1 membership',
        'session 1 temporary',
        'installation_administrator 1 membership',
        'member 1 membership',
        `audit_event ${by('audit_event', stays)[0]?.rows} audit`,
      ],
    )
    for (const kept of done.body.stays) assert.ok(kept.explanation.length > 20)
    await assertNowhereElse(scene, ann, stays)
    assert.deepEqual(await everything(scene, bob), before, 'nothing of his has gone')
    assert.deepEqual((await trailHeaders(scene)).slice(0, headers.length), headers, 'AU-4: hashes and headers stay')
    assert.equal(await lookedUp(scene, ann), ann.target, 'her mail goes on')
    const gone = await ask('GET', '/mapping-revisions/2/differences?from=1')
    assert.equal(gone.status, 410, 'tables that would lack her without saying so')
    const again = await ask('POST', '/person-erasures', { addresses: [ann.source], validateOnly: true })
    assert.deepEqual(again.body.erased, [], 'nothing is left to erase')
    const { rows } = await sql<{ payload: string; object: string }>`
      select payload, object from audit_event where action = 'person.erased'`.execute(it.api.database.owner.db)
    assert.equal(rows.length, 1)
    assert.ok(!JSON.stringify(rows).includes('canary'))
  }))

test('PR-6: with force the mapping and what was read of tenants go as well, and relays are told; what others decide stays', (t) =>
  withPersons(t, async (scene) => {
    const { ann, bob, ask, it } = scene
    // She has left: no member any more, not paired, not in settings.
    await scene.run(
      sql`delete from installation_administrator where principal like ${`%${ann.objectId}`}`,
      sql`delete from session where principal like ${`%${ann.objectId}`}`,
      sql`delete from member where principal like ${`%${ann.objectId}`}`,
      sql`update pair set state = 'unpaired' where source_account_id = ${ann.account}`,
      sql`update organisation set settings = settings - ${ann.objectId}::text`,
      sql`delete from tenant_facts`,
      sql`delete from tenant_change`,
      sql`delete from tenant_state`,
      sql`delete from coexistence_object`,
      sql`delete from coexistence_switch`,
      sql`update operation set finished_at = now() where finished_at is null`,
    )
    const before = await everything(scene, bob)
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion((await it.versions()).snapshot)
    const body = { addresses: [ann.alias], force: true }
    const dry = await ask('POST', '/person-erasures', { ...body, validateOnly: true })
    const done = await ask('POST', '/person-erasures', { ...body, confirm: dry.body.total })
    assert.equal(done.status, 200, JSON.stringify(done.body))
    assert.deepEqual(
      (done.body.stays as Section[]).map(({ section, reason }) => `${section} ${reason}`),
      [
        'pair_import_row temporary',
        'pair_import temporary',
        'mapping_rule in-force',
        'mapping_import_row temporary',
        'mapping_import temporary',
        'event ids-only',
        'webhook_delivery ids-only',
        'notification_delivery ids-only',
        'audit_event audit',
      ],
    )
    await assertNowhereElse(scene, ann, done.body.stays)
    assert.deepEqual(await everything(scene, bob), before)
    assert.equal(await lookedUp(scene, ann), undefined, 'she is mapped no more')
    assert.equal(await lookedUp(scene, bob), bob.target)
    const { revision } = (await relay.untilVersion((await it.versions()).snapshot)).manifest.table
    assert.equal(revision, (await it.versions()).mapping)
  }))

test('PR-6: who has left his tenant is found by what is left of him; who has his address now is somebody else', (t) =>
  withPersons(t, async (scene) => {
    const { ann, bob, ask } = scene
    await scene.run(
      sql`update account set valid_to = 9 where id in (${ann.account}, ${ann.targetAccount}) and valid_to is null`,
      sql`delete from account_address where account_id in (${ann.account}, ${ann.targetAccount})`,
      sql`delete from mapping_address where key = ${ann.source}`,
    )
    const rows = async (section: string) =>
      (await ask('POST', '/person-exports', { addresses: [ann.source] })).body.sections[section].length
    assert.deepEqual([await rows('account'), await rows('finding'), await rows('member')], [3, 1, 1])
    await scene.run(
      sql`update account_address set key = ${ann.source} where account_id = ${bob.account}`,
      sql`update account set primary_key = ${ann.source} where id = ${bob.account} and valid_to is null`,
    )
    const { body } = await ask('POST', '/person-exports', { addresses: [ann.source] })
    assert.deepEqual(body.knownBy.objectIds, [bob.objectId, bob.targetObjectId].toSorted())
  }))

test('PR-6: an entry that a pair would write again stays whatever is asked; unpaired it goes', (t) =>
  withPersons(t, async (scene) => {
    const { ann, ask } = scene
    await scene.run(
      sql`update mapping_entry set source = 'pair', source_ref = 'par_1' where presented = ${ann.target} and valid_to is null`,
    )
    const ask1 = await ask('POST', '/person-erasures', { addresses: [ann.source], force: true, validateOnly: true })
    assert.deepEqual(
      by('mapping_entry', ask1.body.stays).map(({ reason }) => reason),
      ['paired'],
    )
  }))

test('PR-6: a recipient of notifications is found though he is sealed, and told', (t) =>
  withPersons(t, async ({ ann, bob, ask, it }) => {
    await it.api.request(
      'POST',
      `/organizations/${it.organisation}/notifications`,
      { events: ['relay.*'], recipients: [ann.source, bob.source] },
      { key: it.key },
    )
    const { body } = await ask('POST', '/person-exports', { addresses: [ann.source] })
    assert.deepEqual(
      body.sections.notification.map(({ recipients }: { recipients: string[] }) => recipients),
      [[ann.source]],
    )
    const erased = await ask('POST', '/person-erasures', { addresses: [ann.source], validateOnly: true })
    assert.deepEqual(
      by('notification', erased.body.stays).map(({ reason }) => reason),
      ['in-force'],
    )
  }))

test('AZ-4, AZ-6: only who manages the organization may ask, with a fresh sign-in, about his own; what names nobody is refused', (t) =>
  withPersons(t, async ({ ann, ask, it, run }) => {
    const body = { addresses: [ann.source] }
    const auditor = await it.api.member(it.organisation, 'auditor')
    const stranger = await it.api.organisation('Fabrikam')
    const other = await it.api.project(stranger.id)
    for (const route of ['/person-exports', '/person-erasures']) {
      assert.equal((await ask('POST', route, body, auditor.key)).status, 403, route)
      assert.equal((await ask('POST', route, body, stranger.key)).status, 404, route)
      const foreign = await it.api.request(
        'POST',
        `/projects/${other}${route}`,
        { ...body, ...(route.includes('erasure') ? { validateOnly: true } : {}) },
        { key: stranger.key },
      )
      assert.equal(foreign.status, 200)
      assert.ok(!JSON.stringify(foreign.body).includes(ann.account), 'another organization knows nothing of her')
      const faulty: [body: unknown, pointer: string][] = [
        [{}, ''],
        [{ addresses: [] }, ''],
        [{ addresses: [ann.source, 'nobody at all'] }, '/addresses/1'],
        [{ addresses: [ann.source], tenantId: crypto.randomUUID() }, '/tenantId'],
        [{ objectId: 'x' }, '/objectId'],
        [{ ...body, everything: true }, '/everything'],
      ]
      for (const [wrong, pointer] of faulty) {
        const { status, body: problem } = await ask('POST', route, wrong)
        assert.deepEqual([status, problem.faults?.[0]?.pointer], [400, pointer], JSON.stringify(wrong))
      }
    }
    await run(sql`update api_key set allows_dangerous = false`)
    assert.equal((await ask('POST', '/person-exports', body)).status, 401)
    assert.equal((await ask('POST', '/person-erasures', body)).status, 401)
  }))

/** In which tables somebody is, and how often, by everything he is called; the audit trail grows and is left out. */
async function everything(scene: PersonScene, one: Human): Promise<Record<string, Record<string, number>>> {
  const all: Record<string, Record<string, number>> = {}
  for (const name of [one.source, one.target, one.alias, one.name, one.objectId, one.account, ...one.tags]) {
    const { audit_event: _trail, ...tables } = await scene.holding(name)
    all[name] = tables
  }
  return all
}

/** She is in tables of what stays only. Names that are opaque ids may be in headers of the trail. */
async function assertNowhereElse(scene: PersonScene, one: Human, stays: readonly Section[]): Promise<void> {
  const kept = new Set(stays.map(({ section }) => section))
  if (kept.has('mapping_entry')) kept.add('mapping_address')
  if (kept.has('relay_settings')) kept.add('relay_settings')
  for (const name of [one.source, one.target, one.alias, one.name, ...one.tags]) {
    const { audit_event: trail, ...tables } = await scene.holding(name)
    assert.equal(trail, undefined, `${name} in the trail`)
    assert.deepEqual(
      Object.keys(tables).filter((table) => !kept.has(table)),
      [],
      name,
    )
  }
}

async function trailHeaders({ it }: PersonScene) {
  const { rows } =
    await sql`select sequence, header, hash from audit_event where organisation_id = ${it.organisation} order by sequence`.execute(
      it.api.database.owner.db,
    )
  return rows
}

async function lookedUp({ it }: PersonScene, one: Human): Promise<string | undefined> {
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const table = await new CompiledTables({ db: it.api.database.db, log }).current(it.organisation, it.project)
  const mapped = table
    .withPolicy({ noExtensions: [] })
    .map('present', one.alias.split('@')[0] ?? '', 'contoso.example', false)
  return mapped.kind === 'replaced' ? `${mapped.local}@${mapped.domain}` : undefined
}
