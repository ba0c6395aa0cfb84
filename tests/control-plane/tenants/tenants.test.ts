// Tenants of a project, registered: sides, domains, whose they are, and what the mapping allows. (control-plane.md §3.3, EC-3, RC-5)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { rowOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { lockOrganisation } from '../../../control-plane/organisations/organisation-store.ts'
import { projectRoutes } from '../../../control-plane/projects/project-routes.ts'
import { deletionRoutes } from '../../../control-plane/projects/deletion-routes.ts'
import { outsideDomains } from '../../../control-plane/tenants/mapped-domains.ts'
import { isInitialDomain } from '../../../control-plane/tenants/tenant.ts'
import { claimTenant } from '../../../control-plane/tenants/tenant-store.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import { testApi } from '../../harness/api.ts'

const it = await testApi({ after }, () => [...tenantRoutes(), ...projectRoutes(), ...deletionRoutes()])
const { db } = it.database

interface Scene {
  readonly id: OrganisationId
  readonly key: string
  readonly project: ProjectId
  readonly path: string
}

async function scene(): Promise<Scene> {
  const { id, key } = await it.organisation()
  const project = await it.project(id)
  return { id, key, project, path: `/projects/${project}/tenants` }
}

const source = (change: Record<string, unknown> = {}) => ({
  side: 'source',
  label: 'src',
  tenantId: crypto.randomUUID(),
  ...change,
})
const target = (change: Record<string, unknown> = {}) => source({ side: 'target', label: 'tgt', ...change })

async function registered({ key, path }: Scene, body: Record<string, unknown>) {
  const reply = await it.request('POST', path, body, { key })
  assert.equal(reply.status, 201, JSON.stringify(reply.body))
  return { ...reply.body, path: `${path}/${reply.body.id}` } as { id: string; path: string; tenantId: string }
}

const versionsOf = ({ id, project }: Scene) =>
  withScope(db, { organisation: id }, (tx) =>
    rowOf(
      tx,
      sql`select snapshot_version as snapshot, settings_version as settings, mapping_revision as mapping from project where id = ${project}`,
    ),
  )

/** One entry in force that presents `presented` and delivers to `mailbox`. */
async function mapped({ id, project }: Scene, presented: string, mailbox: string) {
  await withScope(db, { organisation: id }, (tx) =>
    sql`insert into mapping_entry (organisation_id, project_id, id, valid_from, presented_key, presented, mailbox, mailbox_domain, keys, wire,
                                   source, author, created_at)
        values (${id}, ${project}, ${`map_${crypto.randomUUID()}`}, 1, ${presented}, ${presented}, ${mailbox}, ${mailbox.split('@')[1] ?? ''},
                array[${presented}, ${mailbox}], '{}', 'manual', 'test', now())`.execute(tx),
  )
}

test('a tenant is registered with its domains as A-labels, and relays are told', async () => {
  const it2 = await scene()
  const body = source({
    name: 'Contoso',
    acceptedDomains: ['Contoso.Example', 'bücher.example', 'mail.contoso.example.'],
    initialDomain: 'contoso.onmicrosoft.com',
    clientId: crypto.randomUUID().toUpperCase(),
    appModel: 'single-tenant',
  })
  const tenant = await registered(it2, body)
  const read = await it.request('GET', tenant.path, undefined, it2)
  assert.deepEqual(read.body.acceptedDomains, ['contoso.example', 'xn--bcher-kva.example', 'mail.contoso.example'])
  assert.deepEqual([read.body.cloud, read.body.warnings], ['global', []])
  assert.deepEqual(await versionsOf(it2), { snapshot: 1, settings: 1, mapping: 0 })
  await withScope(db, { organisation: it2.id }, async (tx) => {
    assert.deepEqual(await rowsOf(tx, sql`select type from event`), [{ type: 'tenant.registered' }])
    assert.deepEqual(await rowsOf(tx, sql`select action, object from audit_event`), [
      { action: 'tenant.registered', object: tenant.id },
    ])
  })
})

test('a tenant without domains is registered with a warning: nothing checks mapped addresses until it has some', async () => {
  const it2 = await scene()
  await mapped(it2, 'a@elsewhere.example', 'a@elsewhere.example')
  const reply = await it.request('POST', it2.path, source(), it2)
  assert.deepEqual(
    [reply.status, reply.body.warnings.map(({ code }: { code: string }) => code)],
    [201, ['no-accepted-domains']],
  )
})

const bad: [change: Record<string, unknown>, pointers: string[], why: string][] = [
  [{ side: 'both' }, ['/side'], 'no such side'],
  [{ label: 'Src' }, ['/label'], 'capitals'],
  [{ label: 'a'.repeat(33) }, ['/label'], 'one too long'],
  [{ label: '' }, ['/label'], 'empty'],
  [{ tenantId: 'contoso.onmicrosoft.com' }, ['/tenantId'], 'a name in place of the id'],
  [{ cloud: 'mars' }, ['/cloud'], 'no such cloud'],
  [{ appModel: 'secret' }, ['/appModel'], 'EC-1: no client secrets'],
  [{ clientSecret: 'x' }, ['/clientSecret'], 'EC-1: no client secrets'],
  [{ acceptedDomains: ['localhost'] }, ['/acceptedDomains/0'], 'one label'],
  [{ acceptedDomains: ['ok.example', '[127.0.0.1]'] }, ['/acceptedDomains/1'], 'an address literal'],
  [{ acceptedDomains: ['10.0.0.1'] }, ['/acceptedDomains/0'], 'an address'],
  [{ acceptedDomains: ['*.contoso.example'] }, ['/acceptedDomains/0'], 'SP-5: no wildcards'],
  [{ acceptedDomains: ['a@contoso.example'] }, ['/acceptedDomains/0'], 'an e-mail address'],
  [
    { acceptedDomains: ['con toso.example', 'x..example'] },
    ['/acceptedDomains/0', '/acceptedDomains/1'],
    'every fault is told',
  ],
  [{ acceptedDomains: ['\u200b.example'] }, ['/acceptedDomains/0'], 'a label of nothing'],
  [{ acceptedDomains: ['contoso.example', 'CONTOSO.example.'] }, ['/acceptedDomains'], 'one twice, once folded'],
  [
    { acceptedDomains: ['bücher.example', 'xn--bcher-kva.example'] },
    ['/acceptedDomains'],
    'PS-6: one twice, once in A-labels',
  ],
  [{ initialDomain: 'contoso.example' }, ['/initialDomain'], 'not under onmicrosoft.com'],
  [{ initialDomain: 'contoso.mail.onmicrosoft.com' }, ['/initialDomain'], 'the routing domain'],
  [{ initialDomain: 'contoso.onmicrosoft.com', cloud: 'china' }, ['/initialDomain'], 'another cloud’s'],
]
for (const [change, pointers, why] of bad) {
  test(`a tenant with ${JSON.stringify(change)} is refused: ${why}`, async () => {
    const it2 = await scene()
    const refused = await it.request('POST', it2.path, source(change), it2)
    assert.deepEqual(
      [refused.status, refused.body.faults?.map((fault: { pointer: string }) => fault.pointer)],
      [400, pointers],
    )
    assert.deepEqual(await versionsOf(it2), { snapshot: 0, settings: 0, mapping: 0 })
  })
}

test('initial domains by cloud', () => {
  const examples: [text: string, cloud: Parameters<typeof isInitialDomain>[1], is: boolean][] = [
    ['contoso.onmicrosoft.com', 'global', true],
    ['contoso.onmicrosoft.us', 'gcc-high', true],
    ['contoso.onmicrosoft.us', 'dod', true],
    ['contoso.partner.onmschina.cn', 'china', true],
    ['.onmicrosoft.com', 'global', false],
    ['evilonmicrosoft.com', 'global', false],
    ['contoso.onmicrosoft.com.evil.example', 'global', false],
  ]
  for (const [text, cloud, is] of examples) assert.equal(isInitialDomain(text, cloud), is, text)
})

const clashes: [second: Record<string, unknown>, member: string, why: string][] = [
  [{ side: 'target', label: 'other' }, 'side', 'a project has one target'],
  [{ label: 'tgt' }, 'label', 'labels are unique'],
]
for (const [second, member, why] of clashes) {
  test(`a second tenant that clashes in ${member} is refused: ${why}`, async () => {
    const it2 = await scene()
    await registered(it2, target())
    const refused = await it.request('POST', it2.path, source(second), it2)
    assert.deepEqual(
      [refused.status, refused.body.type, refused.body.member],
      [409, '/problems/tenant-registered', member],
    )
  })
}

test('one tenant is registered in a project once, whatever the case of its id, and in as many projects as there are', async () => {
  const it2 = await scene()
  const { tenantId } = await registered(it2, source())
  const refused = await it.request('POST', it2.path, target({ tenantId: tenantId.toUpperCase() }), it2)
  assert.equal(refused.body.member, 'tenantId')
  const other = await it.project(it2.id, 'Other')
  assert.equal((await it.request('POST', `/projects/${other}/tenants`, source({ tenantId }), it2)).status, 201)
})

test('domains belong to one tenant of a project: accepted and initial ones are looked at together', async () => {
  const it2 = await scene()
  await registered(it2, source({ acceptedDomains: ['a.example', 'b.example'], initialDomain: 'a.onmicrosoft.com' }))
  const clash = await it.request(
    'POST',
    it2.path,
    target({ acceptedDomains: ['B.example', 'c.example', 'a.onmicrosoft.com'] }),
    it2,
  )
  assert.deepEqual(
    [clash.status, clash.body.type, clash.body.domains],
    [409, '/problems/domain-taken', ['b.example', 'a.onmicrosoft.com']],
  )
  const tenant = await registered(it2, target({ acceptedDomains: ['sub.b.example'] }))
  const changed = await it.request('PATCH', tenant.path, { acceptedDomains: ['sub.b.example', 'a.example'] }, it2)
  assert.deepEqual([changed.status, changed.body.domains], [409, ['a.example']])
})

/** As the end of an administrator's visit does (consent-visit.test.ts). */
const proved = ({ id }: Scene, tenantId: string): Promise<boolean> =>
  withScope(db, { organisation: id }, async (tx) => {
    await lockOrganisation(tx, id)
    return claimTenant(tx, id, tenantId)
  })

test('EC-3: a tenant that another organisation has proved its own is refused without naming whose it is, and is free once that one lets go of it everywhere', async () => {
  const ours = await scene()
  const theirs = await scene()
  const { tenantId, path } = await registered(theirs, source())
  const elsewhere = await it.project(theirs.id, 'Second')
  const second = (await it.request('POST', `/projects/${elsewhere}/tenants`, source({ tenantId }), theirs)).body
  assert.ok(await proved(theirs, tenantId))
  const refused = await it.request('POST', ours.path, source({ tenantId }), ours)
  assert.deepEqual([refused.status, refused.body.type], [409, '/problems/tenant-taken'])
  for (const secret of [theirs.id, theirs.project, 'Contoso'])
    assert.ok(!JSON.stringify(refused.body).includes(secret), secret)
  assert.equal((await it.request('DELETE', path, undefined, theirs)).status, 204)
  assert.equal(
    (await it.request('POST', ours.path, source({ tenantId }), ours)).status,
    409,
    'another project still has it',
  )
  assert.equal(
    (await it.request('DELETE', `/projects/${elsewhere}/tenants/${second.id}`, undefined, theirs)).status,
    204,
  )
  assert.equal((await it.request('POST', ours.path, source({ tenantId }), ours)).status, 201)
  assert.ok(await proved(ours, tenantId))
  assert.equal((await it.request('POST', theirs.path, source({ tenantId }), theirs)).status, 409)
})

test('EC-3: a registration takes a tenant from nobody, and of two organisations that prove it at once one gets it', async () => {
  for (let round = 0; round < 8; round++) {
    const both = [await scene(), await scene()] as const
    const tenantId = crypto.randomUUID()
    const replies = await Promise.all(both.map((one) => it.request('POST', one.path, source({ tenantId }), one)))
    assert.deepEqual(
      replies.map(({ status }) => status),
      [201, 201],
    )
    const winners = await Promise.all(both.map((one) => proved(one, tenantId)))
    assert.deepEqual(winners.filter(Boolean), [true], 'one of them')
  }
})

test('EC-3: one project lets go of a tenant while another of the organisation registers it: the claim and the tenant agree', async () => {
  for (let round = 0; round < 8; round++) {
    const first = await scene()
    const { path, tenantId } = await registered(first, source())
    assert.ok(await proved(first, tenantId))
    const second = `/projects/${await it.project(first.id, 'Second')}/tenants`
    const replies = await Promise.all([
      it.request('DELETE', path, undefined, first),
      it.request('POST', second, source({ tenantId }), first),
    ])
    assert.deepEqual(
      replies.map(({ status }) => status),
      [204, 201],
    )
    const claim = await withScope(db, { organisation: first.id }, (tx) =>
      rowOf(tx, sql`select 1 from tenant_claim where entra_tenant_id = ${tenantId}`),
    )
    const stranger = await scene()
    const { status } = await it.request('POST', stranger.path, source({ tenantId }), stranger)
    assert.equal(status, claim === undefined ? 201 : 409)
  }
})

test('a change of the name is not told to relays, a change of domains is', async () => {
  const it2 = await scene()
  const tenant = await registered(it2, source({ acceptedDomains: ['a.example'] }))
  const renamed = await it.request(
    'PATCH',
    tenant.path,
    { name: 'New name', appModel: 'single-tenant', clientId: crypto.randomUUID() },
    it2,
  )
  assert.deepEqual([renamed.status, await versionsOf(it2)], [200, { snapshot: 1, settings: 1, mapping: 0 }])
  const headers = { 'If-Match': renamed.headers.get('etag') ?? '' }
  const extended = await it.request(
    'PATCH',
    tenant.path,
    { acceptedDomains: ['a.example', 'b.example'] },
    { ...it2, headers },
  )
  assert.deepEqual([extended.status, await versionsOf(it2)], [200, { snapshot: 2, settings: 2, mapping: 0 }])
  assert.equal((await it.request('PATCH', tenant.path, { name: 'x' }, { ...it2, headers })).status, 412)
  const cleared = await it.request('PATCH', tenant.path, { clientId: null }, it2)
  assert.equal(cleared.body.clientId, undefined)
  const wrong = await it.request('PATCH', tenant.path, { initialDomain: 'a.onmicrosoft.us' }, it2)
  assert.deepEqual([wrong.status, wrong.body.faults[0].pointer], [400, '/initialDomain'])
  for (const member of ['side', 'label', 'cloud', 'tenantId'])
    assert.equal((await it.request('PATCH', tenant.path, { [member]: 'target' }, it2)).status, 400, `${member} stays`)
})

test('RC-5: domains that the mapping uses are not taken away, by whatever act; the refusal counts, and names no address', async () => {
  const it2 = await scene()
  const src = await registered(it2, source({ acceptedDomains: ['src.example', 'old.example'] }))
  const tgt = await registered(it2, target({ acceptedDomains: ['tgt.example', 'spare.example'] }))
  for (const name of ['ann', 'bob', 'cid']) await mapped(it2, `${name}@tgt.example`, `${name}@src.example`)
  await mapped(it2, 'dan@tgt.example', 'dan@old.example')
  const refusals: [what: Promise<{ status: number; body: Record<string, unknown> }>, domains: unknown[]][] = [
    [
      it.request('PATCH', src.path, { acceptedDomains: ['src.example'] }, it2),
      [{ domain: 'old.example', addresses: 1, rules: 0 }],
    ],
    [
      it.request('PATCH', tgt.path, { acceptedDomains: ['spare.example'] }, it2),
      [{ domain: 'tgt.example', addresses: 4, rules: 0 }],
    ],
    [it.request('DELETE', tgt.path, undefined, it2), [{ domain: 'tgt.example', addresses: 4, rules: 0 }]],
  ]
  for (const [request, domains] of refusals) {
    const { status, body } = await request
    assert.deepEqual(
      [status, body['type'], body['domains'], body['domainCount']],
      [409, '/problems/domain-in-use', domains, 1],
    )
    assert.ok(!JSON.stringify(body).includes('ann'))
  }
  assert.deepEqual(await versionsOf(it2), { snapshot: 2, settings: 2, mapping: 0 }, 'nothing was told to relays')
  assert.equal(
    (await it.request('PATCH', tgt.path, { acceptedDomains: ['tgt.example'] }, it2)).status,
    200,
    'one that nothing uses',
  )
})

test('RC-5: rules count as addresses do', async () => {
  const it2 = await scene()
  const src = await registered(it2, source({ acceptedDomains: ['src.example'] }))
  await registered(it2, target({ acceptedDomains: ['tgt.example'] }))
  await withScope(db, { organisation: it2.id }, (tx) =>
    sql`insert into mapping_rule (organisation_id, project_id, id, valid_from, kind, rule_key, wire, author, created_at)
        values (${it2.id}, ${it2.project}, 'rul_1', 1, 'domain', 'src.example',
                '{"from":"src.example","to":"tgt.example","direction":"both"}', 'test', now())`.execute(tx),
  )
  const refused = await it.request('PATCH', src.path, { acceptedDomains: ['other.example'] }, it2)
  assert.deepEqual([refused.status, refused.body.domains], [409, [{ domain: 'src.example', addresses: 0, rules: 1 }]])
})

test('RC-5: the first domains of a tenant are refused while the mapping is outside of them, and taken once it is inside', async () => {
  const it2 = await scene()
  await mapped(it2, 'ann@tgt.example', 'ann@src.example')
  const src = await registered(it2, source())
  await registered(it2, target({ acceptedDomains: ['tgt.example'] }))
  const refused = await it.request('PATCH', src.path, { acceptedDomains: ['other.example'] }, it2)
  assert.equal(refused.body.type, '/problems/domain-in-use')
  assert.equal((await it.request('PATCH', src.path, { acceptedDomains: ['src.example'] }, it2)).status, 200)
  assert.equal(
    (await it.request('PATCH', src.path, { acceptedDomains: [] }, it2)).status,
    200,
    'nobody knows what is outside then',
  )
})

test('domains outside are told most used first', () => {
  const addresses = new Map([
    ['a.example', 2],
    ['b.example', 9],
    ['in.example', 50],
  ])
  const rules = new Map([
    ['a.example', 1],
    ['c.example', 3],
  ])
  assert.deepEqual(outsideDomains(addresses, rules, new Set(['in.example'])), [
    { domain: 'b.example', addresses: 9, rules: 0 },
    { domain: 'a.example', addresses: 2, rules: 1 },
    { domain: 'c.example', addresses: 0, rules: 3 },
  ])
})

test('tenants are listed by label, page by page, and by side', async () => {
  const it2 = await scene()
  for (const label of ['c', 'a', 'b2', 'b-1']) await registered(it2, source({ label }))
  await registered(it2, target())
  const labels: string[] = []
  let next: string | undefined = `${it2.path}?limit=2`
  while (next !== undefined) {
    const { body } = await it.request('GET', next, undefined, it2)
    labels.push(...body.items.map(({ label }: { label: string }) => label))
    next = body.next?.replace('/api/v1', '')
  }
  assert.deepEqual(labels, ['a', 'b-1', 'b2', 'c', 'tgt'])
  const targets = await it.request('GET', `${it2.path}?side=target`, undefined, it2)
  assert.deepEqual(
    targets.body.items.map(({ label }: { label: string }) => label),
    ['tgt'],
  )
})

test('another organisation’s tenants are not there; neither is a tenant under another project’s path', async () => {
  const ours = await scene()
  const theirs = await scene()
  const tenant = await registered(theirs, source())
  for (const [method, body] of [
    ['GET', undefined],
    ['PATCH', { name: 'x' }],
    ['DELETE', undefined],
  ] as const) {
    assert.equal((await it.request(method, tenant.path, body, ours)).status, 404, method)
    assert.equal((await it.request(method, `${ours.path}/${tenant.id}`, body, ours)).status, 404, method)
  }
  const sibling = await it.project(theirs.id, 'Sibling')
  assert.equal((await it.request('GET', `/projects/${sibling}/tenants/${tenant.id}`, undefined, theirs)).status, 404)
})

test('nothing is registered, changed or removed in a project whose deletion has been asked for', async () => {
  const it2 = await scene()
  const tenant = await registered(it2, source())
  await it.request('DELETE', `/projects/${it2.project}`, undefined, it2)
  for (const [method, path, body] of [
    ['POST', it2.path, target()],
    ['PATCH', tenant.path, { name: 'x' }],
    ['DELETE', tenant.path, undefined],
  ] as const)
    assert.equal((await it.request(method, path, body, it2)).body.type, '/problems/deletion-pending', method)
})
