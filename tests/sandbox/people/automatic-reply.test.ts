// Who gets an automatic reply, and which text.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { automaticText, isByGroup, oofTypeOf } from '../../../sandbox/people/automatic-reply.ts'
import type { OofType } from '../../../sandbox/people/automatic-reply.ts'
import { NOW_MS, setting, smallBook } from '../mail-flow/small-tenant.ts'

const SETTING = { internalText: 'inside', externalText: 'outside', audience: 'all' } as const

const TEXTS: readonly [type: OofType, all: string | undefined, none: string | undefined][] = [
  ['Internal', 'inside', 'inside'],
  ['InternalLegacy', 'inside', 'inside'],
  ['External', 'outside', undefined],
  ['ExternalLegacy', 'outside', undefined],
  ['None', undefined, undefined],
]

for (const [oofType, all, none] of TEXTS) {
  test(`AllowedOOFType ${oofType} lets ${all ?? 'nothing'} through, ${none ?? 'nothing'} where strangers get none`, () => {
    const sender = { oofType, isAnswered: false, isOwner: false, isByGroup: false }
    assert.equal(automaticText(SETTING, { unanswerable: undefined }, sender), all)
    assert.equal(automaticText({ ...SETTING, audience: 'none' }, { unanswerable: undefined }, sender), none)
  })
}

test('nobody is answered twice, nor oneself, nor for a group, nor a program', () => {
  const sender = { oofType: 'Internal', isAnswered: false, isOwner: false, isByGroup: false } as const
  for (const differing of [{ isAnswered: true }, { isOwner: true }, { isByGroup: true }])
    assert.equal(automaticText(SETTING, { unanswerable: undefined }, { ...sender, ...differing }), undefined)
  assert.equal(automaticText(SETTING, { unanswerable: 'Precedence' }, sender), undefined)
})

test('the remote domain that fits best decides', () => {
  const remote = (name: string, DomainName: string, AllowedOOFType: string) =>
    setting('RemoteDomain', name, { DomainName, AllowedOOFType })
  const book = smallBook({
    settings: [
      remote('Default', '*', 'None'),
      remote('Partner', '*.fabrikam.com', 'InternalLegacy'),
      remote('Other', 'old.fabrikam.com', 'ExternalLegacy'),
    ],
  })
  const rows: readonly [address: string, type: OofType][] = [
    ['bob@contoso.com', 'Internal'],
    ['olga@example.net', 'None'],
    ['lee@fabrikam.com', 'InternalLegacy'],
    ['lee@corp.fabrikam.com', 'InternalLegacy'],
    ['lee@old.fabrikam.com', 'ExternalLegacy'],
  ]
  for (const [address, type] of rows) assert.equal(oofTypeOf(book, address, NOW_MS), type, address)
  assert.equal(oofTypeOf(smallBook({}), 'olga@example.net', NOW_MS), 'External')
})

test('mail to a group is not answered, mail to group and owner is', () => {
  const book = smallBook({ mailboxes: { alice: {} }, groups: { all: ['alice'] } })
  const isOwner = (address: string) => address === 'alice@contoso.com'
  assert.equal(isByGroup(book, { to: ['all@contoso.com'], cc: [] }, isOwner, NOW_MS), true)
  assert.equal(isByGroup(book, { to: ['all@contoso.com'], cc: ['alice@contoso.com'] }, isOwner, NOW_MS), false)
  // Blind copies, and mail that was rewritten on its way.
  assert.equal(isByGroup(book, { to: ['olga@example.net'], cc: [] }, isOwner, NOW_MS), false)
})
