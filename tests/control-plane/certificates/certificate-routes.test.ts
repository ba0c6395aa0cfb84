// `…/certificates` over real HTTP on a real database, up to what a relay is pushed and makes of it. (control-plane.md §2, KM-5, KM-7, RC-2, RC-5)
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { relayCertificateRoutes } from '../../../control-plane/certificates/certificate-routes.ts'
import { rowsOf } from '../../../control-plane/db/database.ts'
import { makePushedProject } from '../../../mta/pushed-project.ts'
import type { Held } from '../../harness/relay-client.ts'
import { withFleet } from '../relays/fleet.ts'
import type { Fleet } from '../relays/fleet.ts'
import { Authority } from './certificate-scene.ts'

const authority = new Authority()
after(() => authority[Symbol.dispose]())

const OPTIONS = { routes: (sealer: Fleet['sealer']) => relayCertificateRoutes({ sealer }) }
const request = (it: Fleet, method: string, path = '', body?: unknown, headers: Record<string, string> = {}) =>
  it.api.request(method, `${it.path}/certificates${path}`, body, { key: it.key, headers })
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const applied = ({ settings, secrets }: Pick<Held, 'settings' | 'secrets'>) =>
  makePushedProject(json(settings), json(secrets), { hasMx: false }).project

test('KM-5: a key is made, signed, activated, replaced and retired; relays show the active one, and nothing else ever has its key', (t) =>
  withFleet(t, OPTIONS, async (it) => {
    const tenant = await it.tenant('contoso', ['contoso.example'])
    const relay = await it.relay()
    await relay.open()
    const current = async () => relay.untilVersion((await it.versions()).snapshot)
    const made = await request(it, 'POST', '', { purpose: 'tenant', tenant, names: ['To.Contoso.example'] })
    assert.deepEqual([made.status, made.body.state, made.body.names], [201, 'requested', ['to.contoso.example']])
    const { id } = made.body
    assert.equal((await request(it, 'POST', `/${id}/activate`)).status, 409, 'not issued yet')
    const foreign = authority.pair({ names: ['DNS:to.contoso.example'] })
    const refused = await request(it, 'PUT', `/${id}/chain`, { chain: foreign.chain })
    assert.deepEqual([refused.status, refused.body.faults?.[0]?.code], [400, 'key'])

    const chain = authority.sign(made.body.request)
    const issued = await request(it, 'PUT', `/${id}/chain`, { chain }, { 'If-Match': made.headers.get('etag') ?? '' })
    assert.deepEqual([issued.status, issued.body.state, issued.body.daysLeft], [200, 'issued', 29])
    assert.equal((await request(it, 'POST', `/${id}/activate`, undefined, { 'If-Match': '"1"' })).status, 412)
    const etag = issued.headers.get('etag') ?? ''
    assert.equal((await request(it, 'POST', `/${id}/activate`, undefined, { 'If-Match': etag })).body.state, 'active')
    assert.equal((await request(it, 'PUT', `/${id}/chain`, { chain })).status, 409, 'it is in use')
    const first = await current()
    const shown = applied(first).tenantCertificates.get('contoso')
    assert.equal(shown?.fingerprint, issued.body.fingerprint)
    assert.equal(first.secrets.listenerCertificates, undefined)
    assert.match(String((await request(it, 'GET', `/${id}`)).body.lastUsedAt), /^\d{4}-/, 'KM-7')

    const next = await request(it, 'POST', `/${id}/rotate`, { algorithm: 'rsa-3072' })
    assert.deepEqual([next.status, next.body.replaces, next.body.tenant], [201, id, tenant])
    await request(it, 'PUT', `/${next.body.id}/chain`, { chain: authority.sign(next.body.request) })
    const active = await request(it, 'POST', `/${next.body.id}/activate`)
    assert.equal(active.status, 200)
    assert.equal((await request(it, 'GET', `/${id}`)).body.state, 'replaced')
    const second = await current()
    assert.equal(second.secrets.clientCertificates.length, 1)
    assert.equal(applied(second).tenantCertificates.get('contoso')?.fingerprint, active.body.fingerprint)

    assert.equal((await request(it, 'POST', `/${next.body.id}/retire`)).body.state, 'retired')
    assert.deepEqual((await current()).secrets.clientCertificates, [])
    assert.equal((await request(it, 'POST', `/${next.body.id}/activate`)).status, 409)
    const kept = await it.inOrganisation((tx) =>
      rowsOf<{ id: string; sealed: Buffer | null }>(
        tx,
        sql`select id, key_sealed as sealed from certificate order by created_at`,
      ),
    )
    assert.deepEqual(
      kept.map(({ sealed }) => sealed === null),
      [false, true],
    )
    const told = await it.inOrganisation(async (tx) =>
      JSON.stringify([
        await rowsOf(tx, sql`select * from audit_event`),
        await rowsOf(tx, sql`select * from event`),
        (await request(it, 'GET')).body,
        it.api.lines,
      ]),
    )
    for (const { secrets } of [first, second])
      for (const { key } of secrets.clientCertificates) assert.ok(!told.includes(key.split('\n')[1] ?? '!'))
    assert.ok(!told.includes('PRIVATE KEY'))
    assert.ok(
      kept.every(({ sealed }) => sealed?.includes('PRIVATE KEY') !== true),
      'sealed at rest',
    )
  }))

test('RC-2, RC-5: an uploaded certificate of a listener name goes to the relays, which refuse a faulty one whole', (t) =>
  withFleet(t, OPTIONS, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    const relay = await it.relay()
    await relay.open()
    const { key, chain } = authority.pair({ names: ['DNS:mx.contoso.example', 'DNS:mx2.contoso.example'] })
    const other = authority.pair({ names: ['DNS:mx.contoso.example'] })
    const body = { purpose: 'listener', names: ['mx.contoso.example', 'mx2.contoso.example'] }
    const faulty: [body: object, pointer: string, why: string][] = [
      [{ ...body, key }, '/key', 'a key without its chain'],
      [{ ...body, chain }, '/chain', 'a chain without its key'],
      [{ ...body, key: other.key, chain }, '/chain', 'of another key'],
      [{ ...body, key, chain: chain + key }, '/chain', 'the key pasted along'],
      [{ ...body, tenant: 'tnt_x' }, '/tenant', 'a tenant of a listener'],
      [{ ...body, purpose: 'tenant' }, '/tenant', 'no tenant'],
      [{ ...body, purpose: 'tenant', tenant: 'tnt_000000000000000000000000' }, '/tenant', 'a tenant that there is not'],
      [{ ...body, names: ['no name'] }, '/names/0', 'no host name'],
      [{ ...body, key, chain: 'x'.repeat(32_769) }, '/chain', 'longer than any chain'],
    ]
    for (const [written, pointer, why] of faulty) {
      const { status, body: problem } = await request(it, 'POST', '', written)
      assert.deepEqual([status, problem.faults?.[0]?.pointer], [400, pointer], why)
      assert.ok(!JSON.stringify(problem).includes('BEGIN'), why)
    }
    const again = { 'Idempotency-Key': 'once' }
    const made = await request(it, 'POST', '', { ...body, key, chain }, again)
    assert.deepEqual([made.status, made.body.state, made.body.request], [201, 'issued', undefined])
    assert.equal((await request(it, 'POST', '', { ...body, key, chain }, again)).body.id, made.body.id)
    await request(it, 'POST', `/${made.body.id}/activate`)
    const held = await relay.untilVersion((await it.versions()).snapshot)
    const [listener] = applied(held).listenerCertificates ?? []
    assert.equal(
      listener?.pair.fingerprint,
      new X509Certificate(chain).fingerprint256.replaceAll(':', '').toLowerCase(),
    )
    const [pushed] = held.secrets.listenerCertificates ?? []
    for (const broken of [{ key: other.key }, { names: ['other.example'] }, { names: [] }, { certificate: 'x' }]) {
      const secrets = { ...held.secrets, listenerCertificates: [{ ...pushed, ...broken } as never] }
      assert.throws(
        () => applied({ settings: held.settings, secrets }),
        { name: 'PushedFault' },
        JSON.stringify(broken),
      )
    }
    for (const [query, count] of [
      ['?purpose=listener&state=active&name=MX2.contoso.example', 1],
      ['?purpose=tenant', 0],
      ['?state=requested', 0],
      ['?tenant=tnt_x', 0],
      ['?limit=1', 1],
    ] as const)
      assert.equal((await request(it, 'GET', query)).body.items.length, count, query)
    assert.equal((await request(it, 'GET', '?cursor=x')).status, 400)
  }))

test('TI-1: another organisation and a reader see nothing of it, or may change nothing', (t) =>
  withFleet(t, OPTIONS, async (it) => {
    const { body } = await request(it, 'POST', '', { purpose: 'listener', names: ['mx.contoso.example'] })
    const stranger = await it.api.organisation('Fabrikam')
    const path = `${it.path}/certificates/${body.id}`
    assert.equal((await it.api.request('GET', path, undefined, { key: stranger.key })).status, 404)
    const theirs = await it.api.project(stranger.id)
    const crossed = `/projects/${theirs}/certificates/${body.id}`
    assert.equal((await it.api.request('GET', crossed, undefined, { key: stranger.key })).status, 404)
    const { key } = await it.api.member(it.organisation, 'auditor')
    assert.equal((await it.api.request('GET', path, undefined, { key })).status, 200)
    assert.equal((await it.api.request('POST', `${path}/retire`, undefined, { key })).status, 403)
    const keys = () =>
      it.inOrganisation((tx) => rowsOf<{ kind: string }>(tx, sql`select kind from key_inventory where id = ${body.id}`))
    assert.deepEqual(await keys(), [{ kind: 'tls-certificate' }], 'KM-7')
    await it.inOrganisation((tx) => sql`delete from certificate where id = ${body.id}`.execute(tx))
    assert.deepEqual(await keys(), [], 'its line goes with it')
  }))
