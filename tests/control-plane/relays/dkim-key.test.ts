// DKIM keys: records as receivers read them, and the life of a key from generated to retired. (R80, RFC 6376, RFC 8463, KM-5, KM-7)
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { test } from 'node:test'
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../../../control-plane/db/database.ts'
import { checkDkimRecord, createResolveTxt } from '../../../control-plane/relays/check-dkim-record.ts'
import {
  actFault,
  defaultSelector,
  DKIM_STATES,
  dnsRecordOf,
  generateDkimKey,
  judgeDnsRecords,
  parseSelector,
} from '../../../control-plane/relays/dkim-key.ts'
import type { CheckResult, DkimAlgorithm } from '../../../control-plane/relays/dkim-key.ts'
import { DnsServer } from '../../harness/dns-server.ts'
import { withFleet } from './fleet.ts'
import type { Fleet } from './fleet.ts'

const kinds: [algorithm: DkimAlgorithm, bits: number | undefined][] = [
  ['rsa-2048', 2048],
  ['rsa-3072', 3072],
  ['ed25519', undefined],
]
for (const [algorithm, bits] of kinds) {
  test(`a key ${algorithm} verifies by what its record publishes`, async () => {
    const pair = await generateDkimKey(algorithm)
    const privateKey = createPrivateKey(pair.privateKey)
    assert.equal(privateKey.asymmetricKeyDetails?.modulusLength, bits)
    const bytes = Buffer.from(pair.publicKey, 'base64')
    // RFC 8463 §4: Ed25519 keys are published bare.
    const der = algorithm === 'ed25519' ? Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), bytes]) : bytes
    const published = createPublicKey({ key: der, format: 'der', type: 'spki' })
    const hashName = algorithm === 'ed25519' ? null : 'sha256'
    assert.ok(verify(hashName, Buffer.from('x'), published, sign(hashName, Buffer.from('x'), privateKey)))
    const record = dnsRecordOf({ domain: 'contoso.example', selector: 's1', algorithm, publicKey: pair.publicKey })
    assert.equal(record.name, 's1._domainkey.contoso.example')
    assert.ok(record.strings.every((text) => text.length <= 255))
    assert.equal(record.strings.join(''), record.value)
    assert.equal(judgeDnsRecords([record.strings], { algorithm, publicKey: pair.publicKey }), 'found')
  })
}

const key = { algorithm: 'rsa-2048' as const, publicKey: 'AAAA' }
const records: [records: string[][], result: CheckResult, why: string][] = [
  [[['v=DKIM1; k=rsa; p=AAAA']], 'found', 'as we write it'],
  [[['v=DKIM1; k=rsa; p=AA', 'AA']], 'found', 'in two strings'],
  [[['p=AA AA']], 'found', 'the defaults of v and k, white space within'],
  [[['p=AAAA; k=rsa; x=other; h=sha1:sha256; s=email; t=s']], 'found', 'tags in any order, unknown ones too'],
  [[['v=spf1 -all'], ['v=DKIM1; p=AAAA']], 'found', 'another record at the name'],
  [[], 'missing', 'nothing there'],
  [[['v=spf1 -all']], 'missing', 'something else there'],
  [[['v=DKIM1; p=']], 'different', 'the key was revoked'],
  [[['v=DKIM1; p=BBBB']], 'different', 'another key'],
  [[['v=DKIM1; k=ed25519; p=AAAA']], 'different', 'another kind of key'],
  [[['v=DKIM1; h=sha1; p=AAAA']], 'different', 'a hash that we do not sign with'],
  [[['v=DKIM1; s=other; p=AAAA']], 'different', 'for another service than mail'],
  [[['v=DKIM2; p=AAAA']], 'different', 'another version'],
  [[['v=DKIM1; p=AAAA'], ['v=DKIM1; p=BBBB']], 'different', 'two keys: receivers may take either'],
]
for (const [found, result, why] of records) {
  test(`DNS records are judged ${result}: ${why}`, () => assert.equal(judgeDnsRecords(found, key), result))
}

test('selectors are labels; the made-up ones are too, and tell when and what for', () => {
  assert.equal(parseSelector('S1.Mail'), 's1.mail')
  for (const selector of ['', 'a b', '-a', 'a-', 'a..b', 'ä', 'a_b', 'a'.repeat(64)])
    assert.equal(parseSelector(selector), undefined, selector)
  const made = defaultSelector('ed25519', new Date('2026-11-28T00:00:00Z'), '3f9c')
  assert.equal(made, 'cw-202611-ed-3f9c')
  assert.equal(parseSelector(made), made)
})

test('a retired key is never used again; an active one is not activated twice', () => {
  for (const state of DKIM_STATES) {
    assert.equal(actFault('activate', state) === undefined, state === 'generated' || state === 'published')
    assert.equal(actFault('rotate', state) === undefined, state !== 'retired')
    assert.equal(actFault('retire', state) === undefined, state !== 'retired')
  }
})

test('DNS is asked for the very name, and its silence is not taken for an absence', async () => {
  await using server = await DnsServer.start()
  const pair = { domain: 'contoso.example', selector: 's1', algorithm: 'rsa-2048' as const, publicKey: 'AAAA' }
  const resolveTxt = createResolveTxt([`127.0.0.1:${server.port}`])
  assert.deepEqual(await checkDkimRecord(pair, resolveTxt), { result: 'missing', found: [] })
  server.say('TXT s1._domainkey.contoso.example', {
    answers: [{ type: 'TXT', name: 's1._domainkey.contoso.example', ttl: 60, data: ['v=DKIM1; p=AA', 'AA'] }],
  })
  assert.deepEqual(await checkDkimRecord(pair, resolveTxt), { result: 'found', found: ['v=DKIM1; p=AAAA'] })
  server.say('TXT s1._domainkey.contoso.example', { rcode: 'SERVFAIL' })
  assert.equal((await checkDkimRecord(pair, resolveTxt)).result, 'unreachable')
})

const request = (it: Fleet, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  it.api.request(method, `${it.path}/dkim-keys${path}`, body, { key: it.key, headers })

test('a key is generated, published, activated, replaced by the next one and retired; relays sign with the active one', (t) => {
  const dns = new Map<string, string[][]>()
  return withFleet(t, { resolveTxt: (name) => Promise.resolve(dns.get(name) ?? []) }, async (it) => {
    const relay = await it.relay()
    await relay.open()
    const current = async () => relay.untilVersion((await it.versions()).snapshot)
    const made = await request(it, 'POST', '', { domain: 'Contoso.Example', algorithm: 'rsa-2048' })
    assert.deepEqual([made.status, made.body.state, made.body.domain], [201, 'generated', 'contoso.example'])
    const { id, record } = made.body
    const early = await request(it, 'POST', `/${id}/activate`, {})
    assert.deepEqual(
      [early.status, early.body.type, early.body.result],
      [409, '/problems/dkim-not-published', 'missing'],
    )
    assert.deepEqual((await current()).settings.dkim, [])

    dns.set(record.name, [record.strings])
    const checked = await request(it, 'POST', `/${id}/check`)
    assert.deepEqual(
      [checked.body.key.state, checked.body.key.checkResult, checked.body.found],
      ['published', 'found', [record.value]],
    )
    assert.equal((await request(it, 'POST', `/${id}/activate`, {}, { 'If-Match': '"1"' })).status, 412)
    const active = await request(it, 'POST', `/${id}/activate`, {}, { 'If-Match': checked.headers.get('etag') ?? '' })
    assert.equal(active.body.state, 'active')
    const first = await current()
    assert.deepEqual(first.settings.dkim, [{ domain: 'contoso.example', selector: made.body.selector }])
    const [pushed] = first.secrets.dkim
    assert.equal(
      createPublicKey(createPrivateKey(pushed?.key ?? ''))
        .export({ type: 'spki', format: 'der' })
        .toString('base64'),
      /p=(.*)$/.exec(record.value)?.[1],
    )
    assert.match(String((await request(it, 'GET', `/${id}`)).body.lastUsedAt), /^\d{4}-/, 'KM-7')

    const next = await request(it, 'POST', `/${id}/rotate`, {})
    assert.deepEqual([next.status, next.body.replaces, next.body.algorithm], [201, id, 'rsa-2048'])
    assert.equal((await request(it, 'POST', `/${id}/rotate`, { algorithm: 'ed25519' })).status, 400)
    dns.set(next.body.record.name, [next.body.record.strings])
    assert.equal((await request(it, 'POST', `/${next.body.id}/activate`, {})).status, 200)
    assert.deepEqual(
      (await current()).settings.dkim.map(({ selector }) => selector),
      [next.body.selector],
    )
    const old = (await request(it, 'GET', `/${id}`)).body
    assert.equal(old.state, 'retired')
    assert.ok(Date.parse(old.keepRecordUntil) > Date.now() + 5 * 86_400_000, 'mail that it signed may wait for 5 days')
    const row = await it.inOrganisation((tx) =>
      rowOf<{ private_sealed: unknown }>(tx, sql`select private_sealed from dkim_key where id = ${id}`),
    )
    assert.equal(row?.private_sealed, null, 'the private half is gone')
    assert.equal((await request(it, 'POST', `/${id}/activate`, { force: true })).status, 409)

    const second = await request(it, 'POST', '', { domain: 'contoso.example', algorithm: 'ed25519', selector: 'ed' })
    assert.equal((await request(it, 'POST', `/${second.body.id}/activate`, { force: true })).status, 200)
    assert.equal((await current()).settings.dkim.length, 2, 'R80: one of each kind')
    assert.equal(
      (await request(it, 'POST', '', { domain: 'contoso.example', selector: 'ED' })).status,
      409,
      'the selector is taken',
    )
    assert.equal((await request(it, 'POST', `/${second.body.id}/retire`)).body.state, 'retired')
    assert.equal((await current()).settings.dkim.length, 1)

    const items = async (query: string) =>
      (await request(it, 'GET', `?${query}`)).body.items.map(({ state }: { state: string }) => state)
    assert.deepEqual(await items('domain=CONTOSO.example'), ['retired', 'active', 'retired'])
    assert.deepEqual(await items('state=active&domain=contoso.example'), ['active'])
    assert.deepEqual(await items('domain=other.example'), [])
    const page = await request(it, 'GET', '?limit=2')
    const rest = await it.api.request('GET', String(page.body.next).replace('/api/v1', ''), undefined, { key: it.key })
    assert.deepEqual([page.body.items.length, rest.body.items.length, rest.body.next], [2, 1, undefined])
  })
})

test('KM-5: a private key is in no answer, log or audit event, and sealed at rest', (t) =>
  withFleet(t, {}, async (it) => {
    const answers = []
    for (const algorithm of ['rsa-2048', 'ed25519']) {
      const made = await request(it, 'POST', '', { domain: 'contoso.example', algorithm })
      answers.push(made.body, (await request(it, 'POST', `/${made.body.id}/activate`, { force: true })).body)
    }
    answers.push((await request(it, 'GET', '')).body)
    const relay = await it.relay({ keepsWire: true })
    await relay.open()
    const { secrets } = await relay.untilVersion((await it.versions()).snapshot)
    assert.equal(secrets.dkim.length, 2)
    const kept = await it.inOrganisation((tx) =>
      rowsOf<{ private_sealed: Buffer }>(tx, sql`select private_sealed from dkim_key`),
    )
    const audit = await it.inOrganisation((tx) => rowsOf(tx, sql`select header, payload from audit_event`))
    const places: [where: string, bytes: Buffer][] = [
      ['answers', Buffer.from(JSON.stringify(answers))],
      ['the log', Buffer.from(it.api.lines.join(''))],
      ['the audit trail', Buffer.from(JSON.stringify(audit))],
      ['the database', Buffer.concat(kept.map(({ private_sealed }) => private_sealed))],
      ['the wire', Buffer.concat(relay.wire)],
    ]
    for (const { key: pem } of secrets.dkim) {
      const line = pem.split('\n')[1] ?? ''
      assert.ok(line.length > 40)
      for (const [where, bytes] of places) assert.ok(!bytes.includes(line) && !bytes.includes('PRIVATE KEY'), where)
    }
  }))

test('faults of a request for a key are told with their places', (t) =>
  withFleet(t, {}, async (it) => {
    for (const [body, pointer] of [
      [{ domain: 'a b' }, '/domain'],
      [{ domain: 'contoso.example', selector: 'a b' }, '/selector'],
      [{ domain: 'contoso.example', algorithm: 'rsa-1024' }, '/algorithm'],
      [{}, '/domain'],
    ] as const) {
      const { status, body: problem } = await request(it, 'POST', '', body)
      assert.deepEqual([status, problem.faults[0].pointer], [400, pointer])
    }
    assert.equal((await request(it, 'GET', '/dkm_000000000000000000000000')).status, 404)
    assert.equal((await request(it, 'GET', '/rly_x')).status, 404)
  }))
