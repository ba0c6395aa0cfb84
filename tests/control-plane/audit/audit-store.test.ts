// The chain in Postgres: append-only by privilege, dense under load, and one with the change that it tells of. (AU-2, AU-4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { redactAudit } from '../../../control-plane/audit/audit-store.ts'
import { makeCheckpoint } from '../../../control-plane/audit/make-checkpoint.ts'
import { verifyStored } from '../../../control-plane/audit/verify-stored.ts'
import { rowsOf, setScope, sqlState, withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { append, auditScene, NOW } from './audit-scene.ts'
import type { AuditScene } from './audit-scene.ts'
import { isLong } from '../../harness/thorough.ts'

const DENIED = '42501' // insufficient_privilege
const WHOLE = { from: 1, to: Number.MAX_SAFE_INTEGER }
const never = new AbortController().signal

async function verified(it: AuditScene, organisation: OrganisationId) {
  await makeCheckpoint(organisation, it.deps)
  return (await verifyStored(it.database.db, organisation, WHOLE, never)).report
}

const refused: [what: string, statement: (organisation: string) => RawBuilder<unknown>][] = [
  ['change a payload', () => sql`update audit_event set payload = '{}'`],
  ['clear a payload', () => sql`update audit_event set payload = null`],
  ['change a header', () => sql`update audit_event set header = header || ' '`],
  ['change a column that is searched by', () => sql`update audit_event set actor = 'somebody else'`],
  ['delete an event', () => sql`delete from audit_event`],
  ['empty the table', () => sql`truncate audit_event`],
  ['change a checkpoint', () => sql`update audit_checkpoint set hash = '\\x00'`],
  ['delete a checkpoint', () => sql`delete from audit_checkpoint`],
  ['change a public key', () => sql`update audit_key set public_key = public_key`],
  ['delete a key', () => sql`delete from audit_key`],
  ['switch row-level security off', () => sql`alter table audit_event disable row level security`],
  ['act as the retention role', () => sql`set local role causeway_retention`],
]
for (const [what, statement] of refused) {
  test(`AU-2: the service role can not ${what}`, async (t) => {
    const it = await auditScene(t)
    const { id } = await it.organisation()
    await append(it.database.db, id, NOW)
    await makeCheckpoint(id, it.deps)
    await assert.rejects(
      withScope(it.database.db, { organisation: id }, (tx) => statement(id).execute(tx)),
      (error) => sqlState(error) === DENIED,
    )
  })
}

test('AU-4: the retention role can clear payloads of one organisation at a time, and nothing else', async (t) => {
  const it = await auditScene(t)
  const [ours, theirs] = [await it.organisation(), await it.organisation('Fabrikam')]
  for (const { id } of [ours, theirs]) await append(it.database.db, id, NOW)
  const asRetention = (statement: RawBuilder<unknown>) =>
    it.database.owner.db.transaction().execute(async (tx) => {
      await sql`set local role causeway_retention`.execute(tx)
      await setScope(tx, { organisation: ours.id })
      return statement.execute(tx)
    })
  const { numAffectedRows } = await asRetention(sql`update audit_event set payload = null`)
  assert.equal(numAffectedRows, 1n, 'the row of the other organisation is not seen')
  const denied: RawBuilder<unknown>[] = [
    sql`update audit_event set header = ''`,
    sql`update audit_event set hash = ''`,
    sql`delete from audit_event`,
    sql`insert into audit_event (organisation_id, sequence, id, time, action, actor, result, header, hash)
        values (${ours.id}, 9, 'x', now(), 'a.b', 'c', 'done', '', '')`,
    sql`update audit_chain set size = 0`,
    sql`select from audit_checkpoint`,
    sql`select from organisation`,
    sql`create table loot (x int)`,
  ]
  for (const statement of denied) await assert.rejects(asRetention(statement), (error) => sqlState(error) === DENIED)
})

test('AU-4: after a redaction the trail holds, tells of it once, and what was cleared is gone', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  for (const day of [0, 1, 2]) await append(it.database.db, id, NOW + day * 86_400_000, { object: `day-${day}` })
  await makeCheckpoint(id, it.deps)
  const redact = () =>
    withScope(it.database.db, { organisation: id }, (tx) =>
      redactAudit(tx, id, new Date(NOW + 2 * 86_400_000), NOW + 3 * 86_400_000),
    )
  assert.equal(await redact(), 2)
  assert.equal(await redact(), 0, 'repeated, it finds nothing')
  const rows = await withScope(it.database.db, { organisation: id }, (tx) =>
    rowsOf<{ action: string; has_payload: boolean; text: string }>(
      tx,
      sql`select action, payload is not null as has_payload, audit_event::text as text from audit_event order by sequence`,
    ),
  )
  assert.deepEqual(
    rows.map(({ action, has_payload }) => [action, has_payload]),
    [
      ['thing.changed', false],
      ['thing.changed', false],
      ['thing.changed', true],
      ['audit.redacted', true],
    ],
  )
  assert.ok(!rows.slice(0, 2).some(({ text }) => text.includes('192.0.2.1')), 'no source address stays behind')
  const report = await verified(it, id)
  assert.deepEqual([report.holds, report.redacted, report.size, report.provenTo], [true, 2, 4, 4])
})

test('AU-2: a change that is rolled back leaves no event, and a change whose event fails is rolled back', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/things`
  const state = () =>
    withScope(it.database.db, { organisation: id }, (tx) =>
      rowsOf(
        tx,
        sql`select o.name, o.version, c.size, (select count(*) from audit_event) as events
              from organisation o join audit_chain c using (organisation_id)`,
      ),
    )
  assert.equal((await it.request('POST', path, { name: 'a' }, { key })).status, 204)
  const before = await state()
  assert.deepEqual(before, [{ name: 'a', version: 2, size: 1, events: 1 }])
  assert.equal((await it.request('POST', path, { name: 'b', fails: true }, { key })).status, 500)
  assert.deepEqual(await state(), before)
  // The chain can't be written: nothing may change without its event.
  await sql`alter table audit_event add constraint refuse check (object <> 'c') not valid`.execute(it.database.owner.db)
  assert.equal((await it.request('POST', path, { name: 'c' }, { key })).status, 500)
  assert.deepEqual(await state(), before)
})

test('AU-2: a connection that dies between change and commit leaves neither change nor event', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await append(it.database.db, id, NOW)
  await assert.rejects(
    withScope(it.database.db, { organisation: id }, async (tx) => {
      await sql`update organisation set name = 'changed'`.execute(tx)
      const [row] = await rowsOf<{ pid: number }>(tx, sql`select pg_backend_pid() as pid`)
      await sql`select pg_terminate_backend(${row?.pid})`.execute(it.database.owner.db)
      await append(it.database.db, id, NOW) // another one's: goes on
      await sql`select 1`.execute(tx)
    }),
  )
  const [row] = await withScope(it.database.db, { organisation: id }, (tx) =>
    rowsOf<{ name: string; size: number }>(
      tx,
      sql`select name, size from organisation join audit_chain using (organisation_id)`,
    ),
  )
  assert.deepEqual(row, { name: 'Contoso', size: 2 })
  assert.equal((await verified(it, id)).holds, true)
})

test('AU-1, AU-2: concurrent changes leave an event each in a dense chain that holds, and ask for a checkpoint once', async (t) => {
  const it = await auditScene(t)
  const [ours, theirs] = [await it.organisation(), await it.organisation('Fabrikam')]
  // Nine in ten are ours; it takes a thousand of ours until a checkpoint is due.
  const changes = isLong ? 1000 : 300
  let made = 0
  const client = async () => {
    for (let number = made++; number < changes; number = made++) {
      const { id, key } = number % 10 === 9 ? theirs : ours
      const { status } = await it.request('POST', `/organizations/${id}/things`, { name: `n${number}` }, { key })
      assert.equal(status, 204)
    }
  }
  await Promise.all(Array.from({ length: 40 }, client))
  for (const number of Array(1000 - 0.9 * changes).keys())
    await append(it.database.db, ours.id, NOW, { object: `more-${number}` })
  for (const [{ id }, size] of [
    [ours, 1000],
    [theirs, 0.1 * changes],
  ] as const) {
    const rows = await withScope(it.database.db, { organisation: id }, (tx) =>
      rowsOf<{ dense: boolean; names: number }>(
        tx,
        sql`select array_agg(sequence order by sequence) = array(select generate_series(1, ${size}::bigint)) as dense,
                   count(distinct object) as names from audit_event`,
      ),
    )
    assert.deepEqual(rows, [{ dense: true, names: size }])
    const report = await verified(it, id)
    assert.deepEqual([report.holds, report.events, report.provenTo], [true, size, size])
  }
  const requested = await withScope(it.database.db, { purpose: 'dispatch' }, (tx) =>
    rowsOf(tx, sql`select organisation_id, kind from outbox`),
  )
  assert.deepEqual(requested, [{ organisation_id: ours.id, kind: 'audit.checkpoint' }])
})

test('AU-2: the installation has a chain of its own', async (t) => {
  const it = await auditScene(t)
  await append(it.database.db, INSTALLATION, NOW)
  const report = await verified(it, INSTALLATION)
  // One event of ours, one that tells of the first audit key.
  assert.deepEqual([report.holds, report.chain, report.events], [true, 'installation', 2])
})

const hostile: [actor: string, object: string, why: string][] = [
  ['key:a\r\n{"kind":"end"}', 'prj_1\n', 'line breaks'],
  ['key:\u0000\u001b[2J\u009b', '\u0000', 'NUL and terminal escapes'],
  ['=HYPERLINK("http://evil.example")', '+cmd|/c calc', 'formulas'],
  ['\ud800', 'x\udfff', 'halves of surrogate pairs'],
  ["'; drop table audit_event; --", '\\x00', 'SQL'],
  ['\u202eabc', '"},"payload":{}', 'an override, and JSON'],
]
for (const [actor, object, why] of hostile) {
  test(`PR-3: names with ${why} are kept as they are, in one line, and found`, async (t) => {
    const it = await auditScene(t)
    const { id, key } = await it.organisation()
    const event = await append(it.database.db, id, NOW, { actor, object, payload: { name: object } })
    assert.equal((await verified(it, id)).holds, true)
    const { body } = await it.request('GET', `/organizations/${id}/audit/${event}`, undefined, { key })
    assert.deepEqual([body.actor, body.object, body.payload], [actor, object, { name: object }])
    const exported = await it.request('GET', `/organizations/${id}/audit/export`, undefined, { key })
    const lines = String(exported.body).trimEnd().split('\n')
    assert.equal(lines.length, 7, 'head, key, event, checkpoint, the export, checkpoint, end')
    for (const line of lines) assert.equal(typeof JSON.parse(line), 'object')
  })
}
