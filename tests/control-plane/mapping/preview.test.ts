// Previews: what a relay would make of a message. (control-plane.md §2, rewriting.md §14, R79–R82)
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { sql } from 'kysely'
import { withScope } from '../../../control-plane/db/database.ts'
import { compileTable, DEFAULT_POLICY, rewriteMessage } from '../../../rewrite-rules/index.ts'
import { mappingApi, person } from './mapping-api.ts'
import type { MappingApi } from './mapping-api.ts'

const RFC822 = { 'Content-Type': 'message/rfc822' }
const message = [
  'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=contoso.example; s=s1;',
  ' h=From:To:Subject; bh=x; b=y',
  'DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s2; h=Subject:Date; bh=x; b=y',
  'From: Alice <alice@contoso.example>',
  'To: bob@example.net',
  'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_<script>?=',
  'Date: Sat, 28 Nov 2026 10:00:00 +0000',
  '',
  'Hello\r\n',
].join('\r\n')

const preview = (api: MappingApi, query: string, body: string | Buffer, headers = RFC822) =>
  api.call('POST', `/rewrite-previews?${query}`, body, headers)

test('a preview is the engine’s own work: before, after, every change with its rule, envelope, verdict on signatures', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('alice'))
  const { status, body } = await preview(
    api,
    'direction=out&reversePath=alice@contoso.example&forwardPath=bob@example.net&forwardPath=alice@fabrikam.example',
    message,
  )
  assert.equal(status, 200, JSON.stringify(body))
  const own = rewriteMessage(Buffer.from(message), {
    direction: 'out',
    table: compileTable(await api.exported()),
    policy: DEFAULT_POLICY,
    smtpUtf8: false,
    hashes: true,
  })
  assert.deepEqual([body.before.sha256, body.after.sha256], [own.report.sha256In, own.report.sha256Out])
  assert.deepEqual([body.before.bytes, body.after.bytes], [own.report.bytesIn, own.report.bytesOut])
  assert.match(body.after.header, /^From: Alice <alice@fabrikam\.example>\r$/m)
  assert.deepEqual(body.changes.at(-1), {
    where: 'header:From:1',
    old: 'alice@contoso.example',
    new: 'alice@fabrikam.example',
    rule: 'entry',
  })
  assert.equal(body.envelope.reversePath, 'alice@fabrikam.example')
  assert.deepEqual(
    body.envelope.forwardPaths.map(({ path }: { path: string }) => path),
    ['bob@example.net', 'alice@contoso.example'],
  )
  assert.deepEqual(body.signatures, [
    {
      field: 'DKIM-Signature:1',
      domain: 'contoso.example',
      selector: 's1',
      verdict: 'breaks',
      because: ['header:From'],
    },
    { field: 'DKIM-Signature:2', domain: 'example.net', selector: 's2', verdict: 'holds', because: [] },
  ])
  assert.deepEqual(body.after.view, {
    subject: 'Grüße <script>',
    from: '"Alice" <alice@fabrikam.example>',
    to: 'bob@example.net',
    date: '2026-11-28T10:00:00.000Z',
    text: 'Hello\n',
    attachments: [],
    isCut: false,
  })
  assert.deepEqual([body.direction, body.revision, body.codes], ['out', 1, []])
})

test('a preview goes by the project’s policy, and says whether the relay would sign', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('alice'))
  await api.tenant('source', ['contoso.example', 'fabrikam.example'])
  assert.equal((await preview(api, 'direction=out', message)).body.signedFor, undefined)
  await withScope(api.it.database.db, { organisation: api.organisation }, async (tx) => {
    await sql`insert into relay_settings (organisation_id, project_id, version, document, created_at, created_by)
              values (${api.organisation}, ${api.project}, 1, '{"policy":{"staleDkim":"remove-own","inHeaders":"envelope-only"}}', now(), 'test')`.execute(
      tx,
    )
    await sql`insert into dkim_key (organisation_id, project_id, id, domain, selector, algorithm, state, public_key, private_sealed, created_at, created_by, expires_at)
              values (${api.organisation}, ${api.project}, 'dkm_1', 'fabrikam.example', 's', 'ed25519', 'active', 'p', 'x', now(), 'test', now())`.execute(
      tx,
    )
  })
  const out = (await preview(api, 'direction=out', message)).body
  assert.deepEqual(
    [out.signatures[0].verdict, out.signatures[1].verdict, out.signedFor],
    ['removed', 'holds', 'fabrikam.example'],
  )
  const inwards = (await preview(api, 'direction=in', message.replace('bob@example.net', 'alice@fabrikam.example')))
    .body
  assert.deepEqual([inwards.changeCount, inwards.before.sha256], [0, inwards.after.sha256], 'R35: envelope-only')
})

test('a message that the relay would refuse is shown as refused', async (t) => {
  const api = await mappingApi(t)
  const { status, body } = await preview(api, 'direction=out', 'From: a\0b@x.example\r\n\r\n')
  assert.deepEqual([status, body.refusal.code, body.refusal.status, body.before], [200, 554, '5.6.0', undefined])
})

test('nothing of a previewed message is stored or logged, and the call changes nothing', async (t) => {
  const api = await mappingApi(t)
  await preview(api, 'direction=out&reversePath=canary@canary.example', message.replace('Hello', 'canary-body'))
  assert.ok(api.it.lines.length > 0)
  for (const line of api.it.lines) assert.doesNotMatch(line, /canary|alice|Gr/)
  const { rows } = await sql<{
    text: string
  }>`select coalesce(string_agg(a.header || a.payload, ''), '') as text from audit_event a`.execute(
    api.it.database.owner.db,
  )
  assert.doesNotMatch(rows[0]?.text ?? '', /canary/)
})

const refused: [what: string, query: string, body: string | Buffer, type: string, status: number][] = [
  ['no direction', '', message, 'message/rfc822', 400],
  ['an unknown direction', 'direction=up', message, 'message/rfc822', 400],
  ['another type', 'direction=out', message, 'text/plain', 415],
  ['more than 25 MiB', 'direction=out', Buffer.alloc(25 * 1024 * 1024 + 1, 'a\r\n'), 'message/rfc822', 413],
]
test('what is no preview is refused', async (t) => {
  const api = await mappingApi(t)
  for (const [what, query, body, type, status] of refused) {
    const reply = await preview(api, query, body, { 'Content-Type': type })
    assert.equal(reply.status, status, what)
  }
})

test('a large and odd message is shown in part, whatever is in it', async (t) => {
  const api = await mappingApi(t)
  const many = Array.from({ length: 3_000 }, (_, i) => `X-${i}: ${'v'.repeat(40)}`).join('\r\n')
  const odd = Buffer.concat([
    Buffer.from(`${many}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n`),
    Buffer.alloc(2_000_000, 0xff),
    Buffer.from('\r\n--b--\r\n'),
  ])
  const { status, body } = await preview(api, 'direction=in', odd)
  assert.equal(status, 200)
  assert.deepEqual(
    [body.before.header.length, body.before.view.isCut, body.codes.includes('from-missing')],
    [65_536, true, true],
  )
  for (const bytes of ['', '\r\n', 'no field', Buffer.alloc(1000, 0xfe)])
    assert.equal((await preview(api, 'direction=out', bytes)).status, 200)
})
