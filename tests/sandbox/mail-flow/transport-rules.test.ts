// Mail flow rules: whom each condition matches, what each action does, how a message is split, what happens to rules that can't be judged.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressBook } from '../../../sandbox/mail-flow/address-book.ts'
import { parseMessage, serialise, valuesOf } from '../../../sandbox/mail-flow/header.ts'
import type { MailView, Origin } from '../../../sandbox/mail-flow/mail-view.ts'
import { decideTransport } from '../../../sandbox/mail-flow/transport.ts'
import type { Delivery } from '../../../sandbox/mail-flow/transport.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import { NOW_MS, mail, rule, ruleConnector, setting, viewOf } from './small-tenant.ts'

type Properties = Readonly<Record<string, unknown>>

const OFFICE = {
  domains: ['contoso.com', 'relay.test'],
  mailboxes: { alice: { Proxies: ['smtp:a@contoso.com'] }, dora: {} },
  mailUsers: { bob: 'bob@fabrikam.com', 'partner@fabrikam.com': 'partner@fabrikam.com' },
  contacts: ['carl@fabrikam.com'],
  groups: { presented: ['nested'], nested: ['presented', 'alice'], elsewhere: ['bob', 'carl@fabrikam.com'] },
  settings: [
    ruleConnector('Out'),
    ruleConnector('Off', { Enabled: false }),
    setting('RemoteDomain', 'Default', { DomainName: '*', IsInternal: false }),
    setting('RemoteDomain', 'legacy', {
      DomainName: '*.legacy.test',
      IsInternal: false,
      AllowedOOFType: 'InternalLegacy',
    }),
    setting('RemoteDomain', 'outside', { DomainName: 'out.legacy.test', IsInternal: false }),
  ],
}

interface Sent {
  readonly to?: readonly string[]
  readonly sender?: string
  readonly origin?: Origin
  readonly fields?: readonly string[]
  readonly body?: readonly string[]
}

const FIELDS = ['From: Alice <alice@contoso.com>', 'To: x@other.test', 'Subject: Hi']

function send(
  view: MailView,
  { to = ['x@other.test'], sender = 'alice@contoso.com', origin = 'submission', fields = FIELDS, body }: Sent = {},
) {
  return decideTransport(view, { sender, recipients: to, content: mail(fields, body) }, origin)
}

const withRules = (...rules: readonly Properties[]): MailView =>
  viewOf(OFFICE, { rules: rules.map((each, place) => rule(`rule ${place}`, each)) })

const text = (delivery: Delivery | undefined) => Buffer.from(delivery?.content ?? []).toString()
const marked = (deliveries: readonly Delivery[]) =>
  deliveries
    .filter(({ content }) => valuesOf(parseMessage(content), 'X-Mark').length > 0)
    .flatMap(({ recipients }) => recipients)

const MARK = { SetHeaderName: 'X-Mark', SetHeaderValue: 'yes' }
const to = (...addresses: readonly string[]): Sent => ({ to: addresses })

const CONDITIONS: readonly { why: string; of: Properties; sent: Sent; hit: readonly string[] }[] = [
  { why: 'no condition', of: {}, sent: to('x@other.test'), hit: ['x@other.test'] },
  { why: 'own mail', of: { FromScope: 'InOrganization' }, sent: {}, hit: ['x@other.test'] },
  {
    why: 'own domain from outside is forged',
    of: { FromScope: 'InOrganization' },
    sent: { origin: 'incoming' },
    hit: [],
  },
  {
    why: 'forged, so not of the organisation',
    of: { FromScope: 'NotInOrganization' },
    sent: { origin: 'incoming' },
    hit: ['x@other.test'],
  },
  {
    why: 'own domain by the connector',
    of: { FromScope: 'InOrganization' },
    sent: { origin: 'originating' },
    hit: ['x@other.test'],
  },
  {
    why: 'accepted domains, internal relay too',
    of: { SentToScope: 'InOrganization' },
    sent: to('alice@contoso.com', 'who@relay.test', 'x@other.test'),
    hit: ['alice@contoso.com', 'who@relay.test'],
  },
  {
    why: 'outside',
    of: { SentToScope: 'NotInOrganization' },
    sent: to('alice@contoso.com', 'x@other.test'),
    hit: ['x@other.test'],
  },
  {
    why: 'a mail user counts as inside on authenticated mail, a contact does not',
    of: { SentToScope: 'NotInOrganization' },
    sent: to('partner@fabrikam.com', 'carl@fabrikam.com'),
    hit: ['carl@fabrikam.com'],
  },
  {
    why: 'a mail user elsewhere is outside on other mail',
    of: { SentToScope: 'NotInOrganization' },
    sent: { to: ['partner@fabrikam.com'], origin: 'originating' },
    hit: ['partner@fabrikam.com'],
  },
  {
    why: 'an internal remote domain, but for the one that fits better',
    of: { SentToScope: 'InOrganization' },
    sent: to('x@eu.legacy.test', 'x@out.legacy.test'),
    hit: ['x@eu.legacy.test'],
  },
  { why: 'member of a nested group', of: { FromMemberOf: ['presented@contoso.com'] }, sent: {}, hit: ['x@other.test'] },
  {
    why: 'a member by a proxy address',
    of: { FromMemberOf: 'presented' },
    sent: { fields: ['From: a@contoso.com'] },
    hit: ['x@other.test'],
  },
  { why: 'no member', of: { FromMemberOf: 'presented' }, sent: { fields: ['From: dora@contoso.com'] }, hit: [] },
  {
    why: 'Header: the envelope is not looked at',
    of: { FromMemberOf: 'presented', SenderAddressLocation: 'Header' },
    sent: { fields: ['From: dora@contoso.com'], sender: 'alice@contoso.com' },
    hit: [],
  },
  {
    why: 'Envelope: the header is not looked at',
    of: { FromMemberOf: 'presented', SenderAddressLocation: 'Envelope' },
    sent: { sender: 'dora@contoso.com' },
    hit: [],
  },
  {
    why: 'HeaderOrEnvelope by the envelope',
    of: { FromMemberOf: 'presented', SenderAddressLocation: 'HeaderOrEnvelope' },
    sent: { fields: ['From: dora@contoso.com'], sender: 'alice@contoso.com' },
    hit: ['x@other.test'],
  },
  {
    why: 'HeaderOrEnvelope by the header of a null sender',
    of: { FromMemberOf: 'presented', SenderAddressLocation: 'HeaderOrEnvelope' },
    sent: { sender: '' },
    hit: ['x@other.test'],
  },
  {
    why: 'members among the recipients',
    of: { SentToMemberOf: ['elsewhere'] },
    sent: to('bob@contoso.com', 'carl@fabrikam.com', 'dora@contoso.com'),
    hit: ['bob@fabrikam.com', 'carl@fabrikam.com'],
  },
  {
    why: 'a mention acts on all recipients',
    of: { AnyOfToCcHeaderMemberOf: 'presented' },
    sent: { to: ['x@other.test', 'dora@contoso.com'], fields: ['To: x@other.test', 'Cc: "A" <Alice@contoso.com>'] },
    hit: ['x@other.test', 'dora@contoso.com'],
  },
  {
    why: 'a mention by a proxy address is none',
    of: { AnyOfToCcHeaderMemberOf: 'presented' },
    sent: { fields: ['To: a@contoso.com'] },
    hit: [],
  },
  {
    why: 'To is not Cc',
    of: { AnyOfToHeaderMemberOf: 'presented' },
    sent: { fields: ['Cc: alice@contoso.com'] },
    hit: [],
  },
  {
    why: 'Cc alone',
    of: { AnyOfCcHeaderMemberOf: 'presented' },
    sent: { fields: ['Cc: alice@contoso.com'] },
    hit: ['x@other.test'],
  },
  {
    why: 'a named person in To or Cc, by any address',
    of: { AnyOfToCcHeader: ['alice@contoso.com'] },
    sent: { fields: ['To: a@contoso.com'] },
    hit: ['x@other.test'],
  },
  {
    why: 'a word in a field',
    of: { HeaderContainsMessageHeader: 'X-Trace', HeaderContainsWords: ['no', 'TOK-1'] },
    sent: { fields: ['x-trace: v=1 tok-1; x'] },
    hit: ['x@other.test'],
  },
  {
    why: 'part of a word',
    of: { HeaderContainsMessageHeader: 'X-Trace', HeaderContainsWords: ['tok'] },
    sent: { fields: ['X-Trace: token'] },
    hit: [],
  },
  {
    why: 'the word in another field',
    of: { HeaderContainsMessageHeader: 'X-Trace', HeaderContainsWords: ['tok'] },
    sent: { fields: ['X-Other: tok'] },
    hit: [],
  },
  {
    why: 'a word with signs in an encoded subject',
    of: { SubjectContainsWords: ['[encrypt]'] },
    sent: { fields: ['Subject: =?utf-8?B?W0VuY3J5cHRdIHg=?='] },
    hit: ['x@other.test'],
  },
  {
    why: 'a domain and what is below it',
    of: { SenderDomainIs: ['spam.test'] },
    sent: { fields: ['From: x@eu.spam.test'] },
    hit: ['x@other.test'],
  },
  {
    why: 'a domain that ends alike',
    of: { SenderDomainIs: ['spam.test'] },
    sent: { fields: ['From: x@nospam.test'] },
    hit: [],
  },
  { why: 'sent by a named person', of: { From: ['a@contoso.com'] }, sent: {}, hit: ['x@other.test'] },
  {
    why: 'a word in the address of the sender',
    of: { FromAddressContainsWords: ['alice'] },
    sent: {},
    hit: ['x@other.test'],
  },
  {
    why: 'the domain of recipients',
    of: { RecipientDomainIs: ['other.test'] },
    sent: to('x@other.test', 'y@more.test'),
    hit: ['x@other.test'],
  },
  {
    why: 'a word in their address',
    of: { RecipientAddressContainsWords: ['x'] },
    sent: to('x@other.test', 'y@more.test'),
    hit: ['x@other.test'],
  },
  {
    why: 'sent to a group, which is opened by then',
    of: { SentTo: ['elsewhere@contoso.com'] },
    sent: to('elsewhere@contoso.com', 'x@other.test'),
    hit: ['bob@fabrikam.com', 'carl@fabrikam.com'],
  },
  {
    why: 'two conditions, both true',
    of: { FromMemberOf: 'presented', SentToScope: 'NotInOrganization' },
    sent: to('dora@contoso.com', 'x@other.test'),
    hit: ['x@other.test'],
  },
  {
    why: 'two conditions, one true',
    of: { FromMemberOf: 'elsewhere', SentToScope: 'NotInOrganization' },
    sent: {},
    hit: [],
  },
  {
    why: 'an exception of the message',
    of: { ExceptIfHeaderContainsMessageHeader: 'X-Trace', ExceptIfHeaderContainsWords: ['tok'] },
    sent: { fields: ['X-Trace: tok'] },
    hit: [],
  },
  {
    why: 'the exception’s word in no such field',
    of: { ExceptIfHeaderContainsMessageHeader: 'X-Trace', ExceptIfHeaderContainsWords: ['tok'] },
    sent: {},
    hit: ['x@other.test'],
  },
  {
    why: 'an exception of recipients',
    of: { ExceptIfSentToMemberOf: 'elsewhere' },
    sent: to('bob@contoso.com', 'x@other.test'),
    hit: ['x@other.test'],
  },
  { why: 'an exception of the sender', of: { ExceptIfFromMemberOf: 'presented' }, sent: {}, hit: [] },
  { why: 'disabled', of: { State: 'Disabled' }, sent: {}, hit: [] },
  { why: 'audits only', of: { Mode: 'Audit' }, sent: {}, hit: [] },
  { why: 'not yet', of: { ActivationDate: '2026-12-24T00:00:00Z' }, sent: {}, hit: [] },
  { why: 'no more', of: { ExpiryDate: '2026-01-01T00:00:00Z' }, sent: {}, hit: [] },
  { why: 'a group that is not there, errors ignored', of: { FromMemberOf: 'gone' }, sent: {}, hit: [] },
]

for (const { why, of, sent, hit } of CONDITIONS) {
  test(`a rule of ${JSON.stringify(of)} matches [${hit.join()}]: ${why}`, () => {
    assert.deepEqual(marked(send(withRules({ ...of, ...MARK }), sent)).toSorted(), [...hit].toSorted())
  })
}

test('(d) FromMemberOf looks at mail of connectors, or at authenticated mail alone', () => {
  const view = withRules({ FromMemberOf: 'presented', ...MARK })
  const authenticated = { ...view, behaviour: { ...view.behaviour, fromMemberOf: 'authenticated' as const } }
  const hits = (each: MailView, origin: Origin) => marked(send(each, { origin })).length
  assert.deepEqual([hits(view, 'submission'), hits(view, 'originating')], [1, 1])
  assert.deepEqual([hits(authenticated, 'submission'), hits(authenticated, 'originating')], [1, 0])
})

test('a rule for part of the recipients splits the message; each copy has its own fields and its own way', () => {
  const view = withRules(
    { SentToScope: 'NotInOrganization', RouteMessageOutboundConnector: 'out', ...MARK, StopRuleProcessing: true },
    { SetHeaderName: 'X-Later', SetHeaderValue: '1' },
  )
  const [out, mailbox, ...none] = send(view, to('x@other.test', 'dora@contoso.com', 'y@other.test')).toSorted((a, b) =>
    a.kind < b.kind ? -1 : 1,
  )
  assert.deepEqual([out?.kind, out?.recipients], ['connector', ['x@other.test', 'y@other.test']])
  assert.match(text(out), /^X-LD-Processed: tenant-one,ExtAddr\r\nX-Mark: yes\r\nFrom: /)
  assert.deepEqual([mailbox?.kind, mailbox?.recipients], ['mailbox', ['dora@contoso.com']])
  assert.match(text(mailbox), /^X-Later: 1\r\nFrom: /)
  assert.deepEqual(none, [])
})

test('a copy is judged by what rules before have made of it', () => {
  const view = withRules(MARK, {
    HeaderContainsMessageHeader: 'X-Mark',
    HeaderContainsWords: ['yes'],
    RemoveHeader: 'x-mark',
    PrependSubject: '[Seen] ',
  })
  assert.match(
    text(send(view, to('dora@contoso.com'))[0]),
    /^From: [^\r]+\r\nTo: x@other.test\r\nSubject: \[Seen\] Hi\r\n\r\nHello/,
  )
})

const ENDINGS: readonly { of: Properties; kind: Delivery['kind']; told: RegExp; why: string }[] = [
  {
    of: { RejectMessageReasonText: 'Not here' },
    kind: 'reject',
    told: /^550 5\.7\.1 TRANSPORT\.RULES\.RejectMessage; Not here$/,
    why: 'a reason',
  },
  { of: { RejectMessageEnhancedStatusCode: '5.7.50' }, kind: 'reject', told: /^550 5\.7\.50 /, why: 'a code' },
  { of: { DeleteMessage: true }, kind: 'drop', told: /^rule 0$/, why: 'deleted' },
  {
    of: { RouteMessageOutboundConnector: 'Gone', RuleErrorAction: 'Defer' },
    kind: 'defer',
    told: /"rule 0".*not there$/,
    why: 'no such connector',
  },
  {
    of: { RouteMessageOutboundConnector: 'Off', RuleErrorAction: 'Defer' },
    kind: 'defer',
    told: /off or not for rules$/,
    why: 'connector off',
  },
  { of: { RouteMessageOutboundConnector: 'Gone' }, kind: 'internet', told: /^$/, why: 'errors are ignored' },
  {
    of: { FromMemberOf: 'gone', RuleErrorAction: 'Defer' },
    kind: 'defer',
    told: /a group that is not there$/,
    why: 'no such group',
  },
  {
    of: { SentToScope: 'ExternalPartner', RuleErrorAction: 'Defer' },
    kind: 'defer',
    told: /scope ExternalPartner$/,
    why: 'a scope that is not known',
  },
  {
    of: { FromScope: 'Elsewhere', RuleErrorAction: 'Defer' },
    kind: 'defer',
    told: /scope Elsewhere$/,
    why: 'a scope that is none',
  },
  {
    of: { HeaderContainsWords: ['x'], RuleErrorAction: 'Defer' },
    kind: 'defer',
    told: /without HeaderContainsMessageHeader$/,
    why: 'words of no field',
  },
  {
    of: { HeaderContainsMessageHeader: 'X', RuleErrorAction: 'Defer' },
    kind: 'defer',
    told: /without HeaderContainsWords$/,
    why: 'a field without words',
  },
  {
    of: { WithImportance: 'High', DeleteMessage: true },
    kind: 'defer',
    told: /knows no WithImportance$/,
    why: 'a condition the sandbox does not know is an error even where errors are ignored',
  },
  {
    of: { ExceptIfSCLOver: '5', BlindCopyTo: ['x@y.test'] },
    kind: 'defer',
    told: /knows no ExceptIfSCLOver, BlindCopyTo$/,
    why: 'an exception and an action too',
  },
  {
    of: { WithImportance: null, BlindCopyTo: [], Quarantine: false },
    kind: 'internet',
    told: /^$/,
    why: 'what says nothing',
  },
]

for (const { of, kind, told, why } of ENDINGS) {
  test(`a rule of ${JSON.stringify(of)} makes the message ${kind}: ${why}`, () => {
    const [first, ...others] = send(withRules(of))
    assert.equal(first?.kind, kind)
    const said =
      first?.kind === 'reject'
        ? first.reply
        : first?.kind === 'defer'
          ? first.reason
          : first?.kind === 'drop'
            ? first.rule
            : ''
    assert.match(said, told)
    assert.deepEqual(others, [])
  })
}

test('an error of a rule defers what matched and lets the others go on', () => {
  const deliveries = send(
    withRules({ SentToScope: 'NotInOrganization', RouteMessageOutboundConnector: 'Gone', RuleErrorAction: 'Defer' }),
    to('x@other.test', 'dora@contoso.com'),
  )
  assert.deepEqual(
    deliveries.map(({ kind, recipients }) => [kind, ...recipients]),
    [
      ['defer', 'x@other.test'],
      ['mailbox', 'dora@contoso.com'],
    ],
  )
})

const DISCLAIMER = { ApplyHtmlDisclaimerText: '<p>Confidential</p>', ApplyHtmlDisclaimerLocation: 'Append' }
const typed = (type: string, encoding = '7bit') => [
  'MIME-Version: 1.0',
  `Content-Type: ${type}`,
  `Content-Transfer-Encoding: ${encoding}`,
]

const DISCLAIMERS: readonly {
  why: string
  fields: readonly string[]
  body: readonly string[]
  of?: Properties
  after: RegExp
}[] = [
  { why: 'plain text', fields: FIELDS, body: ['Hello'], after: /\r\n\r\nHello\r\n\r\nConfidential\r\n$/ },
  {
    why: 'HTML before its end',
    fields: typed('text/html'),
    body: ['<body>Hi</BODY>'],
    after: /<body>Hi\r\n<p>Confidential<\/p>\r\n<\/BODY>/,
  },
  {
    why: 'HTML at its beginning',
    fields: typed('text/html'),
    body: ['<body x>Hi</body>'],
    of: { ApplyHtmlDisclaimerLocation: 'Prepend' },
    after: /<body x>\r\n<p>Confidential<\/p>\r\nHi/,
  },
  {
    why: 'quoted-printable',
    fields: typed('text/html', 'quoted-printable'),
    body: ['H=C3=B8'],
    after: /H=C3=B8\r\n\r\n=3Cp=3EConfidential=3C=2Fp=3E\r\n$/,
  },
  { why: 'base64', fields: typed('text/plain', 'base64'), body: ['SGk='], after: /\r\n\r\nSGkNCkNvbmZpZGVudGlhbA0K$/ },
  {
    why: 'both forms, but no attachment',
    fields: typed('multipart/alternative; boundary="b 1"'),
    body: [
      '--b 1',
      '',
      'one',
      '--b 1',
      'Content-Type: text/html',
      '',
      '<b>two</b>',
      '--b 1',
      'Content-Type: text/plain; name=a.txt',
      '',
      'three',
      '--b 1--',
    ],
    after:
      /\r\n\r\none\r\nConfidential\r\n\r\n--b 1[^]*<b>two<\/b>\r\n<p>Confidential<\/p>\r\n\r\n--b 1[^]*\r\nthree\r\n--b 1--/,
  },
  {
    why: 'signed: wrapped',
    fields: typed('multipart/signed; boundary=s'),
    body: ['--s', '', 'one', '--s--'],
    after:
      /^MIME-Version: 1\.0\r\nContent-Type: multipart\/mixed;[^]*<p>Confidential<\/p>[^]*message\/rfc822\r\n\r\nMIME-Version: 1\.0\r\nContent-Type: multipart\/signed; boundary=s/,
  },
  {
    why: 'signed: ignored',
    fields: typed('multipart/signed; boundary=s'),
    body: ['--s', '', 'one', '--s--'],
    of: { ApplyHtmlDisclaimerFallbackAction: 'Ignore' },
    after: /^MIME-Version: 1\.0\r\nContent-Type: multipart\/signed(?:(?!Confidential)[^])*$/,
  },
]

for (const { why, fields, body, of, after } of DISCLAIMERS) {
  test(`a disclaimer is written into the text: ${why}`, () => {
    assert.match(text(send(withRules({ ...DISCLAIMER, ...of }), { to: ['dora@contoso.com'], fields, body })[0]), after)
  })
}

test('a disclaimer that finds no place can refuse the message', () => {
  const [first] = send(withRules({ ...DISCLAIMER, ApplyHtmlDisclaimerFallbackAction: 'Reject' }), {
    fields: typed('application/pkcs7-mime'),
    body: ['MII'],
  })
  assert.equal(first?.kind, 'reject')
})

const ATTACHED: readonly { header: string; isHit: boolean; why: string }[] = [
  { header: 'Content-Disposition: attachment; filename="Run me.EXE"', isHit: true, why: 'quoted, upper case' },
  { header: 'Content-Type: application/octet-stream;\r\n name=a.exe', isHit: true, why: 'name of the type, folded' },
  {
    header: "Content-Disposition: attachment; filename*0*=utf-8''a; filename*1=b.exe",
    isHit: true,
    why: 'in pieces (RFC 2231)',
  },
  { header: 'Content-Disposition: attachment; filename="exe.txt"', isHit: false, why: 'another extension' },
]

for (const { header, isHit, why } of ATTACHED) {
  test(`an attachment with ${JSON.stringify(header)} ${isHit ? 'is' : 'is not'} an executable: ${why}`, () => {
    const fields = typed('multipart/mixed; boundary=m')
    const body = ['--m', '', 'text', '--m', header, '', 'x', '--m--']
    const view = withRules({ AttachmentExtensionMatchesWords: ['exe'], RejectMessageEnhancedStatusCode: '5.7.1' })
    assert.equal(send(view, { fields, body })[0]?.kind, isHit ? 'reject' : 'internet')
  })
}

test('hostile MIME is read in one pass: boundaries without end, nesting without end, parameters without end', () => {
  const view = withRules({ ...DISCLAIMER, AttachmentExtensionMatchesWords: ['exe'] })
  const nested = Array.from({ length: 20_000 }, (_, depth) => [
    `Content-Type: multipart/mixed; boundary=b${depth}`,
    '',
    `--b${depth}`,
  ]).flat()
  const flat = Array.from({ length: 50_000 }, () => '--m')
  const bodies = [nested, flat, ['--m', `Content-Type: text/plain;${'1'.repeat(200_000)}`, '', 'x']]
  for (const body of bodies)
    assert.equal(send(view, { fields: typed('multipart/mixed; boundary=m'), body })[0]?.kind, 'internet')
})

test('the rules of the seeded tenants can all be judged', () => {
  const { contoso, fabrikam } = seedTenants(1)
  for (const seeded of [contoso, fabrikam]) {
    const book = new AddressBook(new SimulatedTenant(seeded))
    const rules = book.settings('TransportRule', NOW_MS)
    const view = { ...withRules(), book, rules }
    const kinds = send(view, { sender: 'x@other.test', origin: 'incoming' }).map(({ kind }) => kind)
    assert.ok(rules.length > 0)
    assert.deepEqual(kinds, ['internet'])
  }
})

test('a message that no rule changes keeps its bytes', () => {
  const content = Buffer.from('odd line\nFrom : <x\r\n\n\0\xFF')
  const [first] = decideTransport(
    withRules({ SubjectContainsWords: ['x'], DeleteMessage: true }),
    { sender: '', recipients: ['dora@contoso.com'], content },
    'submission',
  )
  assert.deepEqual(Buffer.from(first?.content ?? []), content)
  assert.deepEqual(Buffer.from(serialise(parseMessage(content))), content)
})
