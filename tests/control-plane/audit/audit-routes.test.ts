// The audit trail over HTTP: who may see what, filters and pages, exports that verify elsewhere, verification where it is kept. (AU-1 … AU-4)
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { makeCheckpoint } from '../../../control-plane/audit/make-checkpoint.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { eventually } from '../../harness/wait.ts'
import { append, auditScene, NOW } from './audit-scene.ts'
import type { AuditScene } from './audit-scene.ts'
import { aTrail, verifyBytes } from './a-trail.ts'

const MINUTE = 60_000

interface ShownEvent {
  readonly id: string
  readonly sequence: number
  readonly action: string
}

/** Follows `next` to the end. */
async function allPages(it: AuditScene, path: string, key: string): Promise<ShownEvent[]> {
  const items: ShownEvent[] = []
  for (let next: string | undefined = `/api/v1${path}`; next !== undefined;) {
    const { status, body } = await it.request('GET', `/${next}`, undefined, { key })
    assert.equal(status, 200, JSON.stringify(body))
    items.push(...(body.items as ShownEvent[]))
    next = body.next as string | undefined
  }
  return items
}

const routes = ['', '/export', '/checkpoints', '/keys', '/verification']

test('AZ-4, TI-2: the trail of an organisation is read by those who may, and does not exist for others', async (t) => {
  const it = await auditScene(t)
  const [ours, theirs] = [await it.organisation(), await it.organisation('Fabrikam')]
  const event = await append(it.database.db, ours.id, NOW)
  const auditor = await it.member(ours.id, 'auditor')
  const helpDesk = await it.member(ours.id, 'help-desk')
  for (const path of [...routes, `/${event}`]) {
    const whole = `/organizations/${ours.id}/audit${path}`
    const statuses = []
    for (const key of [auditor.key, helpDesk.key, theirs.key, undefined])
      statuses.push((await it.request('GET', whole, undefined, key === undefined ? {} : { key })).status)
    assert.deepEqual(statuses, [200, 403, 404, 401], path)
  }
  const elsewhere = `/organizations/${theirs.id}/audit/${event}`
  assert.equal((await it.request('GET', elsewhere, undefined, { key: theirs.key })).status, 404)
  for (const id of ['evt_nonsense', `evt_${'0'.repeat(24)}`, 'x'])
    assert.equal((await it.request('GET', `/organizations/${ours.id}/audit/${id}`, undefined, auditor)).status, 404, id)
})

test('AZ-4: the chain of the installation is for installation administrators, and no organisation shows it', async (t) => {
  const it = await auditScene(t)
  const { key } = await it.organisation()
  const event = await append(it.database.db, INSTALLATION, NOW)
  for (const path of [...routes, `/${event}`]) {
    const seen = await it.request('GET', `/installation/audit${path}`, undefined, { headers: it.administrator })
    assert.equal(seen.status, 200, path)
    assert.equal((await it.request('GET', `/installation/audit${path}`, undefined, { key })).status, 403, path)
  }
  const disguised = await it.request('GET', '/organizations/installation/audit', undefined, {
    headers: it.administrator,
  })
  assert.equal(disguised.status, 404)
})

test('AU-1: searches find by time, action, area, actor, project, object and result, in either order, page by page', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  const entries = Array.from({ length: 25 }, (_, index) => ({
    action: index % 5 === 0 ? 'mapping.imported' : index % 5 === 1 ? 'mapping.changed' : 'mappings.unrelated',
    actor: index % 2 === 0 ? 'key:a' : 'key:b',
    project: index < 10 ? 'prj_a' : '',
    object: index === 7 ? 'map_1' : '',
    result: index === 9 ? ('denied' as const) : ('done' as const),
  }))
  for (const [index, entry] of entries.entries()) await append(it.database.db, id, NOW + index * MINUTE, entry)
  const at = (index: number) => encodeURIComponent(new Date(NOW + index * MINUTE).toISOString())
  const cases: [query: string, sequences: number[]][] = [
    ['order=oldest&limit=7', Array.from({ length: 25 }, (_, index) => index + 1)],
    ['limit=4', Array.from({ length: 25 }, (_, index) => 25 - index)],
    ['action=mapping.imported&order=oldest&limit=2', [1, 6, 11, 16, 21]],
    ['action=mapping.&order=oldest&limit=3', [1, 2, 6, 7, 11, 12, 16, 17, 21, 22]],
    ['actor=key:b&project=prj_a&order=oldest&limit=2', [2, 4, 6, 8, 10]],
    ['object=map_1', [8]],
    ['result=denied', [10]],
    ['result=done&project=prj_a&limit=5', [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    [`since=${at(3)}&until=${at(6)}&order=oldest&limit=2`, [4, 5, 6]],
    [`since=${encodeURIComponent('2026-11-28T14:22:00+02:00')}&order=oldest`, [23, 24, 25]],
    ['actor=nobody', []],
    ['object=%27%20or%201=1%20--', []],
  ]
  for (const [query, sequences] of cases) {
    const found = await allPages(it, `/organizations/${id}/audit?${query}`, key)
    assert.deepEqual(
      found.map(({ sequence }) => sequence),
      sequences,
      query,
    )
  }
})

test('AU-1: who asks for what came since misses nothing that is written meanwhile', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  const seen: number[] = []
  let cursor = ''
  const poll = async () => {
    const { body } = await it.request('GET', `/organizations/${id}/audit?order=oldest&limit=1${cursor}`, undefined, {
      key,
    })
    for (const { sequence } of body.items as ShownEvent[]) seen.push(sequence)
    const next = body.next as string | undefined
    if (next !== undefined) cursor = `&cursor=${new URL(next, it.url).searchParams.get('cursor')}`
  }
  // An earlier time, written later.
  await append(it.database.db, id, NOW + MINUTE)
  await append(it.database.db, id, NOW)
  await poll()
  await append(it.database.db, id, NOW - MINUTE)
  await poll()
  await poll()
  assert.deepEqual(seen, [1, 2, 3])
})

const badQueries: [query: string, pointer: string][] = [
  ['?since=yesterday', '/query/since'],
  ['?action=drop%20table', '/query/action'],
  ['?result=maybe', '/query/result'],
  ['?order=random', '/query/order'],
  ['?limit=1001', '/query/limit'],
  ['?other=1', '/query/other'],
  ['?actor=%00', '/query/actor'],
  [`?cursor=${Buffer.from('["x"]').toString('base64url')}`, '/query/cursor'],
  [`?cursor=${Buffer.from('[-1]').toString('base64url')}`, '/query/cursor'],
  [`?cursor=${Buffer.from('[1,2]').toString('base64url')}`, '/query/cursor'],
  ['?cursor=%00', '/query/cursor'],
  ['/export?from=0', '/query/from'],
  ['/export?from=99', '/query/from'],
  ['/export?from=9007199254740993', '/query/from'],
  ['/verification?limit=100001', '/query/limit'],
  ['/verification?from=99', '/query/from'],
]
test('a search that makes no sense is refused with the place of every fault', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  await makeCheckpoint(id, it.deps)
  for (const [query, pointer] of badQueries) {
    const { status, body } = await it.request('GET', `/organizations/${id}/audit${query}`, undefined, { key })
    assert.equal(status, 400, query)
    assert.ok(
      (body.faults as { pointer: string }[]).some((fault) => fault.pointer === pointer),
      query,
    )
  }
})

test('AU-1: one event shows its payload without the salt, and whose hash before and after', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  const event = await append(it.database.db, id, NOW, {
    before: 'a',
    payload: { sourceAddress: '192.0.2.1', count: 3 },
  })
  const { body } = await it.request('GET', `/organizations/${id}/audit/${event}`, undefined, { key })
  const { hash, ...rest } = body as Record<string, unknown>
  assert.match(String(hash), /^[0-9a-f]{64}$/)
  assert.deepEqual(rest, {
    id: event,
    sequence: 1,
    time: '2026-11-28T12:00:00.000Z',
    action: 'thing.changed',
    actor: 'system:test',
    project: '',
    object: '',
    result: 'done',
    before: 'a',
    after: '',
    requestId: '',
    payload: { sourceAddress: '192.0.2.1', count: 3 },
  })
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`select redact_audit_payloads(${new Date(NOW + 1)})`.execute(tx),
  )
  assert.equal((await it.request('GET', `/organizations/${id}/audit/${event}`, undefined, { key })).body.payload, null)
})

test('AU-1, AU-3: an export is audited exactly once, holds that very event last, ends with a checkpoint, and proves itself', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  for (const index of Array(1203).keys()) await append(it.database.db, id, NOW, { object: `o${index}` })
  const { status, headers, body } = await it.request('GET', `/organizations/${id}/audit/export`, undefined, { key })
  assert.equal(status, 200)
  assert.match(headers.get('content-type') ?? '', /^application\/x-ndjson/)
  assert.equal(headers.get('content-disposition'), `attachment; filename="audit-${id}.ndjson"`)
  const report = await verifyBytes(String(body))
  assert.deepEqual([report.fault, report.events, report.provenTo, report.chain], [undefined, 1204, 1204, id])
  const events = await allPages(it, `/organizations/${id}/audit?action=audit.exported`, key)
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    [1204],
  )
  const part = await it.request('GET', `/organizations/${id}/audit/export?from=1000`, undefined, { key })
  const partReport = await verifyBytes(String(part.body))
  assert.deepEqual([partReport.fault, partReport.from, partReport.provenTo], [undefined, 1000, 1205])
})

test('AU-3: checkpoints are listed newest first as notes that an export can be compared with; keys are listed', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  for (const index of [0, 1, 2]) {
    await append(it.database.db, id, NOW + index)
    await makeCheckpoint(id, it.deps)
  }
  const path = `/organizations/${id}/audit/checkpoints`
  const first = await it.request('GET', `${path}?limit=2`, undefined, { key })
  assert.deepEqual(
    first.body.items.map(({ size }: { size: number }) => size),
    [3, 2],
  )
  const second = await it.request('GET', `/${String(first.body.next)}`, undefined, { key })
  assert.deepEqual(
    second.body.items.map(({ size }: { size: number }) => size),
    [1],
  )
  const notes = [...first.body.items, ...second.body.items].map(({ note }: { note: string }) => note)
  const exported = await it.request('GET', `/organizations/${id}/audit/export`, undefined, { key })
  const keys = await it.request('GET', `/organizations/${id}/audit/keys`, undefined, { key })
  const [{ id: firstKey, algorithm }] = keys.body.items
  assert.equal(algorithm, 'Ed25519')
  const report = await verifyBytes(String(exported.body), { known: notes, firstKey })
  assert.deepEqual([report.holds, report.compared], [true, 3])
})

test('KM-2: an administrator of the installation replaces the key, with a fresh sign-in only, and the trail tells of it once', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  await append(it.database.db, id, NOW)
  await makeCheckpoint(id, it.deps)
  const rotate = (headers: Record<string, string>) =>
    it.request('POST', '/installation/audit/keys', undefined, { headers })
  const stale = await rotate({ ...it.administrator, 'X-CSRF-Token': 'other' })
  assert.equal(stale.status, 403)
  assert.equal((await it.request('POST', '/installation/audit/keys', undefined, { key })).status, 403)
  const made = await rotate(it.administrator)
  assert.deepEqual([made.status, made.body.ordinal], [201, 2])
  const told = await it.request('GET', '/installation/audit?action=audit.', undefined, { headers: it.administrator })
  assert.deepEqual(
    told.body.items.map(({ action, object }: { action: string; object: string }) => [action, object === made.body.id]),
    [
      ['audit.key-rotated', true],
      ['audit.key-made', false],
    ],
  )
  const exported = await it.request('GET', `/organizations/${id}/audit/export`, undefined, { key })
  assert.equal((await verifyBytes(String(exported.body))).checkpoints, 2)
})

const tampering: [what: string, statement: RawBuilder<unknown>, code: string, event: number | undefined][] = [
  [
    'a header',
    sql`update audit_event set header = replace(header, 'system:test', 'system:prod') where sequence = 4`,
    'changed',
    4,
  ],
  ['a payload', sql`update audit_event set payload = '{"salt":"x"}' where sequence = 4`, 'changed', 4],
  ['a hash', sql`update audit_event set hash = '\\x00' where sequence = 4`, 'changed', 4],
  ['a column that is searched by', sql`update audit_event set actor = 'somebody' where sequence = 4`, 'changed', 4],
  [
    'a time that is searched by',
    sql`update audit_event set time = time - interval '1 day' where sequence = 4`,
    'changed',
    4,
  ],
  ['a deleted event', sql`delete from audit_event where sequence = 4`, 'missing', 4],
  ['600 deleted events', sql`delete from audit_event where sequence between 300 and 1100`, 'missing', 300],
  ['a deleted end', sql`delete from audit_event where sequence >= 1150`, 'truncated', 1150],
  ['a deleted checkpoint', sql`delete from audit_checkpoint where size = 700`, 'checkpoint', undefined],
  [
    'a forged checkpoint',
    sql`update audit_checkpoint set hash = set_byte(hash, 0, get_byte(hash, 0) # 1) where size = 700`,
    'checkpoint',
    undefined,
  ],
  ['a deleted key', sql`delete from audit_key`, '', undefined],
]
test('AU-3: verification where the trail is kept finds what somebody with all rights to the database did', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  for (const index of Array(1200).keys()) {
    await append(it.database.db, id, NOW)
    if (index === 699) await makeCheckpoint(id, it.deps)
  }
  await makeCheckpoint(id, it.deps)
  const verify = (query = '?limit=100000') =>
    it.request('GET', `/organizations/${id}/audit/verification${query}`, undefined, { key })
  const { body: whole } = await verify()
  assert.deepEqual([whole.holds, whole.to, whole.provenTo, whole.next], [true, 1200, 1200, undefined])
  const copy = async (suffix: string) => {
    for (const table of ['audit_event', 'audit_checkpoint', 'audit_key'])
      await sql.raw(suffix.replaceAll('%', table)).execute(it.database.owner.db)
  }
  await copy('create table kept_% as select * from %')
  for (const [what, statement, code, event] of tampering) {
    await statement.execute(it.database.owner.db)
    const { status, body } = await verify()
    if (code === '') assert.equal(status, 503, what)
    else {
      assert.equal(body.holds, false, what)
      assert.deepEqual([body.fault.code, body.fault.event], [code, event], `${what}: ${body.fault.detail}`)
    }
    await copy('delete from %; insert into % select * from kept_%')
  }
  assert.equal((await verify()).body.holds, true)
})

test('AU-3: verification goes on where it stopped, and covers the whole chain in parts', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  for (const index of Array(25).keys()) {
    await append(it.database.db, id, NOW)
    if (index % 4 === 3) await makeCheckpoint(id, it.deps)
  }
  let events = 0
  let next: number | undefined = 1
  for (let parts = 0; next !== undefined; parts++) {
    assert.ok(parts < 5)
    const path = `/organizations/${id}/audit/verification?from=${next}&limit=10`
    const { body } = await it.request('GET', path, undefined, { key })
    assert.deepEqual([body.holds, body.from], [true, next])
    events += body.events
    next = body.next
  }
  assert.equal(events, 25)
})

test('AU-1: a client that goes away in the middle of an export is no error, and leaves nothing running', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  await fill(it, id, 12_000)
  const url = new URL(`${it.url}/api/v1/organizations/${id}/audit/export`)
  await new Promise<void>((resolve) => {
    const sent = request(url, { headers: { Authorization: `Bearer ${key}` } }, (response) => {
      response.once('data', () => {
        response.destroy()
        resolve()
      })
    })
    sent.on('error', () => {})
    sent.end()
  })
  await eventually('no transaction of the export to be left', async () => {
    const rows = await rowsOf(
      it.database.owner.db as never,
      sql`select 1 from pg_stat_activity where usename = 'causeway_service' and datname = current_database() and state <> 'idle'`,
    )
    return rows.length === 0 ? true : undefined
  })
  assert.ok(!it.lines.some((line) => line.includes('request.failed')), it.lines.at(-1))
})

test('an export that is cut off in the middle can be told from a whole one', async (t) => {
  const it = await auditScene(t)
  const { id, key } = await it.organisation()
  await fill(it, id, 12_000)
  const url = new URL(`${it.url}/api/v1/organizations/${id}/audit/export`)
  const received = await new Promise<Buffer>((resolve, reject) => {
    const sent = request(url, { headers: { Authorization: `Bearer ${key}` } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => {
        if (chunks.length === 0) {
          response.pause()
          // The organisation is deleted while its trail is read.
          sql`delete from audit_event`
            .execute(it.database.owner.db)
            .then(() => sql`delete from audit_chain where organisation_id = ${id}`.execute(it.database.owner.db))
            .then(() => response.resume(), reject)
        }
        chunks.push(chunk)
      })
      response.on('error', () => {})
      response.on('close', () => resolve(Buffer.concat(chunks)))
    })
    sent.on('error', reject)
    sent.end()
  })
  const { fault } = await verifyBytes(received)
  assert.equal(fault?.code, 'cut-off')
})

/** A long chain, quickly. */
async function fill(it: AuditScene, organisation: OrganisationId, events: number): Promise<void> {
  const made = aTrail({ events, checkpoints: [], chain: organisation }).events
  for (let from = 0; from < made.length; from += 2000) {
    const rows = made.slice(from, from + 2000).map(({ header, headerText, payloadText, hash }) => ({
      ...header,
      header: headerText,
      payload: payloadText,
      hash: hash.toString('hex'),
    }))
    await withScope(it.database.db, { organisation }, (tx) =>
      sql`
      insert into audit_event (organisation_id, sequence, id, time, action, actor, project_id, object, result, header, payload, hash)
      select ${organisation}, r.sequence, r.id, r.time, r.action, r.actor, '', r.object, r.result, r.header, r.payload, decode(r.hash, 'hex')
        from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
          as r (sequence bigint, id text, time timestamptz, action text, actor text, object text, result text, header text, payload text, hash text)`.execute(
        tx,
      ),
    )
  }
  await withScope(it.database.db, { organisation }, (tx) =>
    sql`update audit_chain set size = ${events}, head = ${made.at(-1)?.hash} where organisation_id = ${organisation}`.execute(
      tx,
    ),
  )
}
