// What a dry run of coexistence is judged by, from a real database and a real resolver: who is presented where, what DNS has, what the relays told.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { FIRST_SETTING } from '../../../control-plane/coexistence/coexistence.ts'
import type { CoexistenceSetting } from '../../../control-plane/coexistence/coexistence.ts'
import { readPreflight } from '../../../control-plane/coexistence/preflight.ts'
import { createDns, readRecords } from '../../../control-plane/coexistence/published-records.ts'
import { mappingRoutesOf } from '../../../control-plane/mapping/all-routes.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { TenantId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'
import { DnsServer } from '../../harness/dns-server.ts'
import { findingProject } from '../findings/project.ts'
import type { Account, FindingProject } from '../findings/project.ts'

const api = await testApi({ after }, ({ database, log }) =>
  mappingRoutesOf({ db: database.db, tables: new CompiledTables({ db: database.db, log }) }),
)
const zone = await DnsServer.start()
after(() => zone[Symbol.asyncDispose]())
const dns = createDns([`127.0.0.1:${zone.port}`])
const { db } = api.database

const account = (name: string, domain: string, ...aliases: string[]): Account => ({
  objectId: `${name}-${domain}`,
  userPrincipalName: `${name}@${domain}`,
  mailNickname: name,
  addresses: [`${name}@${domain}`, ...aliases],
})

async function project(): Promise<FindingProject> {
  const made = await findingProject(api)
  await made.know()
  await made.in(async (tx) => {
    for (const [id, label] of [
      [made.source, 'source'],
      [made.target, 'target'],
    ] as const)
      await sql`update tenant_connection set accepted_domains = ${[`${label}.example`]}, initial_domain = ${`${label}.onmicrosoft.com`} where id = ${id}`.execute(
        tx,
      )
  })
  await made.discover(made.source, [
    account('ann', 'source.example', 'annie@source.example'),
    account('bob', 'source.example'),
    account('cat', 'source.example'),
    account('moe', 'source.example'),
  ])
  await made.discover(made.target, [
    account('Ann', 'target.example'),
    account('bob', 'target.example'),
    account('moe', 'target.onmicrosoft.com'),
  ])
  for (const [name, domain] of [
    ['ann', 'target.example'],
    ['bob', 'target.example'],
    ['cat', 'target.example'],
    ['moe', 'target.onmicrosoft.com'],
    ['gone', 'target.example'],
  ] as const) {
    const [presented, mailbox] = [`${name}@${domain}`, `${name}@source.example`]
    const entry = { known: [presented, mailbox], presented, mailbox }
    const reply = await api.request('POST', `${made.path}/mappings`, entry, { key: made.key })
    assert.equal(reply.status, 201, JSON.stringify(reply.body))
  }
  return made
}

const ON: CoexistenceSetting = {
  ...FIRST_SETTING,
  state: 'on',
  relayHosts: { out: 'Out.relay.example', in: 'in.relay.example' },
}
const ask = (place: FindingProject, setting = ON, now = Date.now()) =>
  readPreflight({ db, dns, now: () => now }, place, { setting, observed: [], recipients: { source: 7 } })

const certificate = (place: FindingProject, names: readonly string[], tenant?: TenantId, state = 'active') =>
  place.in((tx) =>
    sql`insert into certificate (organisation_id, project_id, id, purpose, tenant_id, names, algorithm, state, public_key, key_sealed, chain, fingerprint,
                                 not_before, expires_at, created_at, created_by)
        values (${place.organisation}, ${place.project}, ${newId('certificate')}, ${tenant === undefined ? 'listener' : 'tenant'}, ${tenant ?? null},
                ${[...names]}, 'ec-p256', ${state}, 'k', '\\x00', 'c', 'f', now(), '2030-01-01', now(), 'test')`.execute(
      tx,
    ),
  )

test('people are counted by where their mailbox and their presented address are, those without an object apart', async () => {
  const place = await project()
  const { people, domains, tenants } = await ask(place)
  assert.deepEqual(people, [
    {
      mailboxIn: place.source,
      presentedBy: place.target,
      people: 5,
      withoutMailbox: 1,
      withoutObject: 1,
      accounts: [await place.idOf('cat-source.example')],
      withAliases: 1,
    },
  ])
  assert.deepEqual(
    domains.map(({ domain, owner, people: count }) => [domain, owner, count]),
    [
      ['target.example', place.target, 2],
      ['target.onmicrosoft.com', place.target, 1],
    ],
  )
  assert.deepEqual(
    tenants.map(({ label, mailboxes, licences, ownRecipients }) => [label, mailboxes, licences, ownRecipients]),
    [
      ['source', 4, 100, 7],
      ['target', 3, 100, undefined],
    ],
  )
  const pairs = await ask(place, { ...ON, scope: 'pairs' })
  assert.deepEqual(pairs.people, [], 'nobody of a pair')
})

test('the findings run tells of each person who is presented in vain, and no more once an object is there (§1.7)', async () => {
  const place = await project()
  await place.judge()
  const vain = async () => (await place.told()).filter((line) => line.startsWith('presented-without-object'))
  assert.deepEqual(await vain(), ['presented-without-object: cat-source.example'])
  await place.discover(place.target, [account('cat', 'target.example')])
  await place.judge()
  assert.deepEqual(await vain(), [
    'presented-without-object: ann-source.example',
    'presented-without-object: bob-source.example',
    'presented-without-object: moe-source.example',
  ])
})

test('certificates count by tenant and by the names of the relay, only active ones', async () => {
  const place = await project()
  await certificate(place, ['s.relay.example'], place.source)
  await certificate(place, ['t.relay.example'], place.target, 'issued')
  await certificate(place, ['*.relay.example'])
  zone.address('in.relay.example', ['192.0.2.1'])
  const { tenants, hosts } = await ask(place)
  assert.deepEqual(
    tenants.map((each) => each.certificate?.names),
    [['s.relay.example'], undefined],
  )
  assert.deepEqual(hosts, {
    out: { name: 'out.relay.example', hasCertificate: true, isResolved: false },
    in: { name: 'in.relay.example', hasCertificate: true, isResolved: true },
  })
  const deeper = await ask(place, { ...ON, relayHosts: { out: 'a.out.relay.example', in: '' } })
  assert.deepEqual(deeper.hosts.out.hasCertificate, false, 'a wildcard stands for one label')
  assert.deepEqual(deeper.hosts.in, { name: '', hasCertificate: false, isResolved: undefined })
})

test('relays count as the last thing that they reported, and what they routed in a day is summed', async () => {
  const place = await project()
  const now = Date.now()
  const relay = (id: string, columns: Readonly<Record<string, unknown>>) =>
    place.in((tx) => {
      const row = {
        organisation_id: place.organisation,
        project_id: place.project,
        id,
        name: id,
        state: 'active',
        signing_key: id,
        sealing_key: 'k',
        software_version: '1',
        pinned_key: 'k',
        seen_at: new Date(now),
        enrolled_at: new Date(now),
        state_changed_at: new Date(now),
        ...columns,
      }
      return sql`insert into relay (${sql.join(Object.keys(row).map((name) => sql.ref(name)))})
                 values (${sql.join(Object.values(row))})`.execute(tx)
    })
  const reported = { reported_at: new Date(now), is_ready: true, reported_state: 'active', snapshot_version: 99 }
  await relay('rly_current', { ...reported, mapping_revision: 5, settings_version: 0 })
  await relay('rly_behind', { ...reported, mapping_revision: 4, settings_version: 0 })
  await relay('rly_draining', { ...reported, mapping_revision: 5, settings_version: 0, state: 'draining' })
  await relay('rly_silent', { seen_at: new Date(now - 6 * 60_000) })
  await relay('rly_revoked', { state: 'revoked' })
  const event = (id: string, agoMs: number, name: string, fields: object) =>
    place.in(async (tx) => {
      const at = new Date(now - agoMs)
      await sql`select make_message_partition(${at.toISOString().slice(0, 10)}::date)`.execute(tx)
      await sql`insert into message_event (organisation_id, project_id, relay_id, time, id, received_at, class, event, queue_id, fields)
                values (${place.organisation}, ${place.project}, 'rly_current', ${at}, ${id}, ${at}, 'message', ${name}, ${id}, ${JSON.stringify(fields)}::jsonb)`.execute(
        tx,
      )
    })
  assert.equal((await ask(place, ON, now)).routed, undefined)
  const out = { direction: 'out', route: 'tenant:target' }
  await event('a', 60_000, 'accepted', { direction: 'out', tenant: 'source', recipients: 3 })
  await event('b', 60_000, 'delivered', { ...out, recipient: 'x@Outside.example' })
  await event('c', 60_000, 'delivered', { ...out, recipient: '"a@b"@outside.example' })
  await event('d', 60_000, 'delivered', { ...out, recipient: 'y@Target.example' })
  await event('e', 25 * 3_600_000, 'delivered', { ...out, recipient: 'z@outside.example' })
  await event('f', 60_000, 'deferred', { ...out, recipient: 'z@outside.example' })
  await event('g', 60_000, 'delivered', { ...out, route: 'tenant:source', recipient: 'z@outside.example' })
  await event('h', 60_000, 'accepted', { direction: 'in', tenant: 'target', recipients: 2 })
  await event('i', 60_000, 'accepted', { direction: 'in', tenant: 'target', recipients: 'many' })
  const { relays, routed, tenants } = await ask(place, ON, now)
  const idOf = (label: string) => tenants.find((tenant) => tenant.label === label)?.id
  assert.deepEqual(routed, {
    route: 'owner-tenant',
    delivered: new Map([
      [idOf('source'), 1],
      [idOf('target'), 2],
    ]),
    broughtIn: new Map([[idOf('target'), 2]]),
  })
  assert.deepEqual(
    new Map(relays.map(({ id, ...facts }) => [String(id), facts])),
    new Map([
      ['rly_current', { isLive: true, isCurrent: true, isReady: true }],
      ['rly_behind', { isLive: true, isCurrent: false, isReady: true }],
      ['rly_draining', { isLive: true, isCurrent: true, isReady: false }],
      ['rly_silent', { isLive: false, isCurrent: false, isReady: false }],
    ]),
  )
})

test('records are read as a receiver reads them: includes followed, the nearest DMARC, no answer told apart from no record', async () => {
  zone.mx('a.sub.example', [[10, 'mx.example']])
  zone.txt('a.sub.example', ['v=spf1 include:one.example -all', 'something else'])
  zone.txt('one.example', ['v=spf1 include:spf.protection.outlook.com include:one.example ~all'])
  zone.txt('selector2._domainkey.a.sub.example', ['v=DKIM1; k=rsa; p=abc'])
  zone.txt('_dmarc.sub.example', ['v=DMARC1; p=reject', 'v=DMARC10'])
  assert.deepEqual(await readRecords(dns, 'a.sub.example'), {
    mx: ['mx.example'],
    spf: ['v=spf1 include:one.example -all'],
    spfIncludes: ['one.example', 'spf.protection.outlook.com'],
    dmarc: ['v=DMARC1; p=reject'],
    exchangeKeys: ['v=DKIM1; k=rsa; p=abc'],
  })
  assert.deepEqual(await readRecords(dns, 'nothing.example'), {
    mx: [],
    spf: [],
    spfIncludes: [],
    dmarc: [],
    exchangeKeys: [],
  })
  zone.mx('null.example', [[0, '.']])
  assert.deepEqual((await readRecords(dns, 'null.example')).mx, [], 'RFC 7505: it takes no mail')
  for (const name of ['MX', 'TXT']) zone.say(`${name} broken.example`, { rcode: 'SERVFAIL' })
  zone.say('TXT _dmarc.broken.example', { rcode: 'REFUSED' })
  const broken = await readRecords(dns, 'broken.example')
  assert.deepEqual(broken, {
    mx: 'unreachable',
    spf: 'unreachable',
    spfIncludes: [],
    dmarc: 'unreachable',
    exchangeKeys: [],
  })
})

test('a circle of SPF includes is asked no more often than a receiver would', async () => {
  for (let n = 0; n < 40; n++) zone.txt(`c${n}.example`, [`v=spf1 include:c${(n + 1) % 40}.example -all`])
  const before = zone.asked.length
  const { spfIncludes } = await readRecords(dns, 'c0.example')
  assert.equal(spfIncludes.length, 10)
  assert.ok(zone.asked.slice(before).filter((each) => each.startsWith('TXT c')).length <= 11)
})
