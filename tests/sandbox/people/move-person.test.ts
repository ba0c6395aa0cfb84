// A person's move between the seeded tenants: what both directories hold afterwards.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AddressBook } from '../../../sandbox/mail-flow/address-book.ts'
import { PersonMoves } from '../../../sandbox/people/person-moves.ts'
import type { KeptMoves, PersonMovesDeps } from '../../../sandbox/people/person-moves.ts'
import { KeptFile } from '../../../sandbox/tenants/kept-file.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import { NOW_MS } from '../mail-flow/small-tenant.ts'

const seeds = seedTenants(1)

function world(data = seeds, movesFile?: PersonMovesDeps['movesFile']) {
  const contoso = new AddressBook(new SimulatedTenant(data.contoso))
  const fabrikam = new AddressBook(new SimulatedTenant(data.fabrikam))
  const tenants = new Map([contoso.tenant, fabrikam.tenant].map((tenant) => [tenant.id, tenant]))
  const moves = new PersonMoves({ tenants, nowMs: () => NOW_MS, guid: randomUUID, movesFile })
  return { contoso, fabrikam, moves }
}

const licencesOf = ({ tenant }: AddressBook, id: string | undefined) =>
  tenant.object(id ?? '')?.properties['assignedLicenses'] as readonly {
    skuId: string
    disabledPlans: readonly string[]
  }[]

test('a mailbox moves to where a mail user was, and the mail user is where the mailbox was', () => {
  const { contoso, fabrikam, moves } = world()
  const source = contoso.find('pablo@contoso.com', NOW_MS)
  const target = fabrikam.find('pablo@contoso.com', NOW_MS)
  assert.equal(source?.recipientTypeDetails, 'UserMailbox')
  assert.equal(target?.recipientTypeDetails, 'MailUser')
  const { routingAddress } = moves.move(
    { book: contoso, address: 'pablo@contoso.com' },
    { book: fabrikam, address: 'pablo@contoso.com' },
  )
  assert.equal(routingAddress, 'pablo.ruiz@fabrikam.onmicrosoft.com')

  const left = contoso.tenant.recipient(source.guid)
  assert.equal(left?.recipientTypeDetails, 'MailUser')
  assert.equal(left?.properties['ExternalEmailAddress'], `SMTP:${routingAddress}`)
  assert.deepEqual(left?.properties['EmailAddresses'], source.properties['EmailAddresses'])
  assert.equal(left?.properties['LegacyExchangeDN'], source.properties['LegacyExchangeDN'])
  assert.equal(left?.properties['ProhibitSendReceiveQuota'], undefined, 'of mailboxes only')
  assert.equal(left?.statistics, undefined)
  const [kept] = licencesOf(contoso, source.externalDirectoryObjectId)
  assert.equal(kept?.disabledPlans.length, 1, "Exchange's plan, or there would be a mailbox again")

  const arrived = fabrikam.tenant.recipient(target.guid)
  assert.equal(arrived?.recipientTypeDetails, 'UserMailbox')
  assert.equal(arrived?.properties['ExternalEmailAddress'], undefined)
  assert.equal(arrived?.properties['RecipientType'], 'UserMailbox')
  assert.match(String(arrived?.properties['ExchangeGuid']), /^(?!00000000-0000)[0-9a-f-]{36}$/)
  assert.deepEqual(arrived?.statistics, source.statistics)
  assert.deepEqual(
    arrived?.properties['EmailAddresses'],
    ['SMTP:pablo.ruiz@fabrikam.onmicrosoft.com', `X500:${String(source.properties['LegacyExchangeDN'])}`],
    'no address of a domain that is not its own',
  )
  const object = fabrikam.tenant.object(target.externalDirectoryObjectId ?? '')
  assert.equal(object?.properties['mail'], 'pablo.ruiz@fabrikam.onmicrosoft.com')
  assert.deepEqual(object?.properties['proxyAddresses'], arrived?.properties['EmailAddresses'])
  assert.equal(licencesOf(fabrikam, target.externalDirectoryObjectId).length, 1)
  assert.equal(contoso.find('pablo@contoso.com', NOW_MS)?.guid, source.guid)
  assert.equal(fabrikam.find(routingAddress, NOW_MS)?.guid, target.guid)
})

test('who has a mailbox in both tenants keeps that of the target, with the old X500 address', () => {
  const { contoso, fabrikam, moves } = world()
  const before = fabrikam.find('alice.smith@fabrikam.com', NOW_MS)
  const { routingAddress } = moves.move(
    { book: contoso, address: 'asmith@contoso.com' },
    { book: fabrikam, address: 'alice.smith@fabrikam.com' },
  )
  assert.equal(routingAddress, 'alice.smith@fabrikam.onmicrosoft.com')
  const after = fabrikam.tenant.recipient(before?.guid ?? '')
  assert.equal(after?.properties['PrimarySmtpAddress'], 'alice.smith@fabrikam.com')
  assert.deepEqual(after?.statistics, before?.statistics)
  assert.deepEqual(after?.properties['EmailAddresses'], [
    ...((before?.properties['EmailAddresses'] as string[] | undefined) ?? []),
    'X500:/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=0a1b-alice',
  ])
  assert.equal(contoso.find('alice@contoso.com', NOW_MS)?.recipientTypeDetails, 'MailUser')
})

test('a forwarding mailbox forwards no more, and a shared one stays shared and without licence', () => {
  const { contoso, fabrikam, moves } = world()
  moves.move({ book: contoso, address: 'bob@contoso.com' }, { book: fabrikam, address: 'bob@fabrikam.com' })
  const left = contoso.find('bob@contoso.com', NOW_MS)
  assert.equal(left?.properties['ForwardingSmtpAddress'], undefined)
  assert.equal(left?.properties['DeliverToMailboxAndForward'], false)
  moves.move({ book: fabrikam, address: 'sales@fabrikam.com' }, { book: contoso, address: 'bob@contoso.com' })
  const shared = contoso.find('bob@contoso.com', NOW_MS)
  assert.equal(shared?.recipientTypeDetails, 'SharedMailbox')
  assert.equal(shared?.properties['PrimarySmtpAddress'], 'bob@contoso.com')
})

test('moved back, both tenants are as they were', () => {
  const { contoso, fabrikam, moves } = world()
  const from = { book: contoso, address: 'pablo@contoso.com' }
  moves.move(from, { book: fabrikam, address: 'pablo@contoso.com' })
  moves.back(from)
  assert.deepEqual(contoso.tenant.toData(), new SimulatedTenant(seeds.contoso).toData())
  assert.deepEqual(fabrikam.tenant.toData(), new SimulatedTenant(seeds.fabrikam).toData())
  assert.throws(() => moves.back(from), /has not moved/)
})

test('a move outlives the sandbox, and so does one of which half was made', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-moves-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const file = () => new KeptFile<KeptMoves>(join(directory, 'moves.json'))
  const address = 'pablo@contoso.com'
  const reread = <T>(data: T): T => JSON.parse(JSON.stringify(data)) as T
  for (const isHalfMade of [false, true]) {
    const before = world(seeds, file())
    before.moves.move({ book: before.contoso, address }, { book: before.fabrikam, address })
    const contoso = isHalfMade ? seeds.contoso : before.contoso.tenant.toData()
    const after = world(reread({ contoso, fabrikam: before.fabrikam.tenant.toData() }), file())
    after.moves.back({ book: after.contoso, address })
    assert.deepEqual(after.contoso.tenant.toData(), reread(seeds.contoso))
    assert.deepEqual(after.fabrikam.tenant.toData(), reread(seeds.fabrikam))
  }
})

test('who was changed since is not moved back', () => {
  const { contoso, fabrikam, moves } = world()
  const from = { book: contoso, address: 'pablo@contoso.com' }
  moves.move(from, { book: fabrikam, address: 'pablo@contoso.com' })
  const moved = contoso.find('pablo@contoso.com', NOW_MS)
  assert.ok(moved !== undefined)
  contoso.tenant.putRecipient({ ...moved, properties: { ...moved.properties, CustomAttribute1: 'x' } })
  assert.throws(() => moves.back(from), /was changed/)
  assert.equal(fabrikam.find('pablo.ruiz@fabrikam.onmicrosoft.com', NOW_MS)?.recipientTypeDetails, 'UserMailbox')
})

test('what cannot move is refused, and nothing is changed', () => {
  const { contoso, fabrikam, moves } = world()
  const rows: readonly [from: [AddressBook, string], to: [AddressBook, string], why: RegExp][] = [
    [[contoso, 'nobody@contoso.com'], [fabrikam, 'lee@fabrikam.com'], /no mailbox/],
    [[fabrikam, 'adele@contoso.com'], [contoso, 'adele@contoso.com'], /no mailbox/],
    [[contoso, 'alice@contoso.com'], [fabrikam, 'nobody@fabrikam.com'], /unknown in the other tenant/],
    [[contoso, 'alice@contoso.com'], [fabrikam, 'visitor@example.org'], /neither mail user nor mailbox/],
    [[contoso, 'alice@contoso.com'], [contoso, 'bob@contoso.com'], /another tenant/],
  ]
  for (const [from, to, why] of rows)
    assert.throws(() => moves.move({ book: from[0], address: from[1] }, { book: to[0], address: to[1] }), why)
  assert.equal(contoso.tenant.lastRecipientChange + fabrikam.tenant.lastRecipientChange, 0)
})
