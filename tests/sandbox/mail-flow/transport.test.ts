// The way of a message through a tenant: recipients, where each copy goes, loops and limits.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { externalRecipientLimit } from '../../../sandbox/mail-flow/external-limit.ts'
import { parseMessage, valuesOf } from '../../../sandbox/mail-flow/header.ts'
import type { MailView, Origin } from '../../../sandbox/mail-flow/mail-view.ts'
import { decideTransport } from '../../../sandbox/mail-flow/transport.ts'
import type { Delivery } from '../../../sandbox/mail-flow/transport.ts'
import { mail, rule, ruleConnector, setting, viewOf } from './small-tenant.ts'

const CONTENT = mail(['From: Alice <alice@contoso.com>', 'To: x@other.test', 'Subject: Hi'])

const ON = setting('HostedOutboundSpamFilterPolicy', 'Default', { AutoForwardingMode: 'On' })

const office = () => ({
  domains: ['contoso.com', 'relay.contoso.com', 'contoso.onmicrosoft.com'],
  mailboxes: {
    alice: { Proxies: ['smtp:a@contoso.com', 'x500:/o=x'] },
    forwards: { ForwardingSmtpAddress: 'smtp:x@other.test' },
    keeps: { ForwardingSmtpAddress: 'smtp:x@other.test', DeliverToMailboxAndForward: true },
    inside: { ForwardingAddress: 'alice@contoso.com', ForwardingSmtpAddress: 'smtp:x@other.test' },
    round: { ForwardingSmtpAddress: 'smtp:about@contoso.com' },
    about: { ForwardingSmtpAddress: 'smtp:round@contoso.com' },
    signs: { UserPrincipalName: 'upn@contoso.com' },
  },
  mailUsers: { bob: 'bob@fabrikam.com' },
  contacts: ['carl@elsewhere.test'],
  groups: {
    all: ['some', 'alice', 'bob'],
    some: ['all', 'carl@elsewhere.test', 'alice'],
    dynamic: [],
    empty: ['empty'],
  },
})

function told(each: Delivery): string {
  const where =
    each.kind === 'mailbox'
      ? ''
      : each.kind === 'connector'
        ? ` ${String(each.connector.properties['Name'])}`
        : each.kind === 'reject'
          ? ` ${each.reply.slice(0, 10).trim()}`
          : ''
  return `${each.kind}${where}: ${each.recipients.join(' ')}`
}

interface Sending {
  readonly content?: Uint8Array
  readonly sender?: string
  readonly origin?: Origin
}

function send(
  view: MailView,
  to: readonly string[],
  { content = CONTENT, sender = 'alice@contoso.com', origin = 'submission' }: Sending = {},
) {
  return decideTransport(view, { sender, recipients: to, content }, origin)
}

const RECIPIENTS: readonly { to: readonly string[]; result: readonly string[]; why: string }[] = [
  { to: ['ALICE@contoso.com'], result: ['mailbox: ALICE@contoso.com'], why: 'primary address, whatever its case' },
  {
    to: ['a@contoso.com', 'alice@contoso.com'],
    result: ['mailbox: a@contoso.com'],
    why: 'two addresses of one mailbox are one copy',
  },
  { to: ['alice+news@contoso.com'], result: ['mailbox: alice+news@contoso.com'], why: 'plus addressing' },
  {
    to: ['upn@contoso.com'],
    result: ['reject 550 5.1.10: upn@contoso.com'],
    why: 'a user principal name is no address',
  },
  {
    to: ['nobody@contoso.com'],
    result: ['reject 550 5.1.10: nobody@contoso.com'],
    why: 'authoritative domain, no object',
  },
  {
    to: ['nobody@relay.contoso.com'],
    result: ['internet: nobody@relay.contoso.com'],
    why: 'internal relay: somebody else may know it',
  },
  {
    to: ['x@other.test', 'y@other.test'],
    result: ['internet: x@other.test y@other.test'],
    why: 'outsiders share a copy',
  },
  { to: ['bob@contoso.com'], result: ['internet: bob@fabrikam.com'], why: 'a mail user, at ExternalEmailAddress' },
  { to: ['carl@elsewhere.test'], result: ['internet: carl@elsewhere.test'], why: 'a contact' },
  {
    to: ['all@contoso.com'],
    result: ['mailbox: alice@contoso.com', 'internet: bob@fabrikam.com carl@elsewhere.test'],
    why: 'groups in a circle, each member once',
  },
  { to: ['empty@contoso.com'], result: [], why: 'a group in itself' },
  {
    to: ['dynamic@contoso.com'],
    result: ['reject 550 5.3.5: dynamic@contoso.com'],
    why: 'a dynamic group is not opened, and says so',
  },
  { to: ['forwards@contoso.com'], result: ['internet: x@other.test'], why: 'forwarded' },
  {
    to: ['keeps@contoso.com'],
    result: ['mailbox: keeps@contoso.com', 'internet: x@other.test'],
    why: 'kept and forwarded',
  },
  { to: ['inside@contoso.com'], result: ['mailbox: alice@contoso.com'], why: 'ForwardingAddress wins' },
  { to: ['round@contoso.com'], result: [], why: 'forwarding in a circle ends' },
]

for (const { to, result, why } of RECIPIENTS) {
  test(`mail to ${to.join()} becomes ${JSON.stringify(result)}: ${why}`, () => {
    const deliveries = send(viewOf({ ...office(), settings: [ON] }), to)
    assert.deepEqual(deliveries.map(told).toSorted(), [...result].toSorted())
  })
}

test('plus addressing can be off', () => {
  const settings = [setting('OrganizationConfig', 'it', { DisablePlusAddressInRecipients: true })]
  assert.deepEqual(send(viewOf({ ...office(), settings }), ['alice+x@contoso.com']).map(told), [
    'reject 550 5.1.10: alice+x@contoso.com',
  ])
})

test('forwarding outwards needs the outbound policy, and an outsider’s sender is rewritten to the tenant', () => {
  const to = ['forwards@contoso.com']
  assert.deepEqual(send(viewOf(office()), to).map(told), ['reject 550 5.7.52: x@other.test'])
  const view = viewOf({ ...office(), settings: [ON] })
  const [outsider] = send(view, to, { sender: 'x@outside.test', origin: 'incoming' })
  assert.match(outsider?.sender ?? '', /^bounces\+SRS=\w{5}=\w{2}@contoso\.com$/)
  assert.equal(send(view, to)[0]?.sender, 'alice@contoso.com')
  assert.equal(send(view, to, { sender: '', origin: 'incoming' })[0]?.sender, '')
  assert.deepEqual(
    send(view, to, { content: outsider?.content ?? CONTENT, origin: 'incoming' }).map(told),
    ['reject 554 5.4.14: forwards@contoso.com'],
    'the same mailbox forwards the same message once',
  )
})

test('a connector that is not for rules takes the domain that fits it best', () => {
  const connector = (name: string, RecipientDomains: readonly string[]) =>
    setting('OutboundConnector', name, { Enabled: true, IsTransportRuleScoped: false, RecipientDomains })
  const settings = [
    connector('wide', ['*']),
    connector('narrow', ['*.other.test']),
    ruleConnector('rules', { RecipientDomains: ['x.test'] }),
  ]
  assert.deepEqual(
    send(viewOf({ ...office(), settings }), ['a@eu.other.test', 'b@x.test', 'alice@contoso.com']).map(told),
    ['connector narrow: a@eu.other.test', 'connector wide: b@x.test', 'mailbox: alice@contoso.com'],
  )
})

const ROUTE = rule('Route', { RouteMessageOutboundConnector: 'Out' })
const routed = (differing: Parameters<typeof viewOf>[1] = {}) =>
  viewOf({ ...office(), settings: [ruleConnector('Out')] }, { rules: [ROUTE], ...differing })

test('(a) a mail user reaches a rule’s connector by the presented or by the external address', () => {
  const { behaviour } = routed()
  const by = (mailUserAddress: 'presented' | 'external') =>
    send(routed({ behaviour: { ...behaviour, mailUserAddress } }), ['bob@contoso.com', 'alice@contoso.com']).map(told)
  assert.deepEqual(by('presented'), ['connector Out: bob@contoso.com alice@contoso.com'])
  assert.deepEqual(by('external'), ['connector Out: bob@fabrikam.com alice@contoso.com'])
})

test('(b) what is routed to an accepted domain counts for the limit, or not; mail for the outside always, mailboxes never', () => {
  const { behaviour } = routed()
  for (const countsRoutedToAcceptedDomain of [false, true]) {
    const view = routed({ behaviour: { ...behaviour, countsRoutedToAcceptedDomain } })
    send(view, ['bob@contoso.com', 'x@other.test'])
    assert.equal(view.externals.total(view.nowMs), countsRoutedToAcceptedDomain ? 2 : 1)
    const plain = { ...view, rules: [] }
    send(plain, ['alice@contoso.com', 'x@other.test'])
    assert.equal(view.externals.total(view.nowMs), countsRoutedToAcceptedDomain ? 3 : 2)
  }
})

test('the limit is 500 × licences^0.7 + 9,500 in 24 hours, and what is over it is refused', () => {
  assert.deepEqual([1, 100, 10_000].map(externalRecipientLimit), [10_000, 22_059, 324_978])
  const view = viewOf({ ...office(), licences: 0 })
  assert.equal(view.externals.take(9_499, 'contoso.com', view.nowMs), undefined)
  assert.deepEqual(send(view, ['x@other.test']).map(told), ['internet: x@other.test'])
  assert.deepEqual(send(view, ['x@other.test']).map(told), ['reject 550 5.7.23: x@other.test'])
  const tomorrow = { ...view, nowMs: view.nowMs + 86_400_000 }
  assert.deepEqual(send(tomorrow, ['x@other.test']).map(told), ['internet: x@other.test'])
})

test('a sender in the onmicrosoft.com domain reaches 100 outsiders a day', () => {
  const view = viewOf(office())
  const sender = 'alice@contoso.onmicrosoft.com'
  for (let sent = 0; sent < 100; sent++) assert.equal(send(view, ['x@other.test'], { sender })[0]?.kind, 'internet')
  const [refused] = send(view, ['x@other.test'], { sender })
  assert.match(refused?.kind === 'reject' ? refused.reply : '', /^550 5\.7\.236 /)
  assert.equal(send(view, ['x@other.test'])[0]?.kind, 'internet')
})

test('(c) routing by rule counts as a redirect, or not: the second is refused', () => {
  const { behaviour } = routed()
  const twice = (routingCountsAsRedirect: boolean) => {
    const view = routed({ behaviour: { ...behaviour, routingCountsAsRedirect } })
    const [first] = send(view, ['x@other.test'])
    const content = first?.content ?? CONTENT
    const count = valuesOf(parseMessage(content), 'X-MS-Exchange-Transport-Rules-Loop')
    return [count, ...send(view, ['x@other.test'], { content, origin: 'originating' }).map(told)]
  }
  assert.deepEqual(twice(false), [[], 'connector Out: x@other.test'])
  assert.deepEqual(twice(true), [['1'], 'reject 550 5.7.12: x@other.test'])
})

const LOOPS: readonly { fields: readonly string[]; reply: RegExp | undefined; why: string }[] = [
  { fields: Array.from({ length: 60 }, (_, hop) => `Received: by ${hop}`), reply: undefined, why: '60 hops' },
  {
    fields: Array.from({ length: 61 }, (_, hop) => `Received: by ${hop}`),
    reply: /^554 5\.4\.14 Hop count exceeded/,
    why: 'one more',
  },
  {
    fields: Array.from({ length: 2 }, () => 'X-LD-Processed: tenant-one,ExtAddr'),
    reply: undefined,
    why: 'twice through this tenant',
  },
  {
    fields: Array.from({ length: 3 }, () => 'X-LD-Processed: tenant-one,ExtAddr'),
    reply: /^554 5\.4\.14 .*ATTR1$/,
    why: 'three times',
  },
  {
    fields: Array.from({ length: 9 }, () => 'X-LD-Processed: other,ExtAddr'),
    reply: undefined,
    why: 'another tenant’s',
  },
  {
    fields: ['X-EOPTenantAttributedMessage: tenant-one:3'],
    reply: /^554 5\.4\.14 .*ATTR34$/,
    why: 'attributed three times',
  },
  { fields: ['X-EOPTenantAttributedMessage: tenant-one:99999999999'], reply: undefined, why: 'no number of ours' },
]

for (const { fields, reply, why } of LOOPS) {
  test(`a message with ${fields.length} of ${fields[0]} ${reply === undefined ? 'goes on' : 'is refused'}: ${why}`, () => {
    const [first] = send(viewOf(office()), ['alice@contoso.com'], {
      content: mail(fields),
      origin: 'incoming',
      sender: 'x@other.test',
    })
    if (reply === undefined) assert.equal(first?.kind, 'mailbox')
    else assert.match(first?.kind === 'reject' ? first.reply : '', reply)
  })
}

test('a message that goes out and comes back again and again is stopped', () => {
  const view = routed()
  let content = CONTENT
  let rounds = 0
  for (; rounds < 20; rounds++) {
    const [next] = send(view, ['x@other.test'], { content, origin: rounds === 0 ? 'submission' : 'originating' })
    if (next?.kind !== 'connector') break
    content = Buffer.from(next.content)
  }
  assert.equal(rounds, 3)
})

test('a delivered message is what came, with Exchange’s fields before it', () => {
  const [delivery] = send(viewOf(office()), ['alice@contoso.com'], { origin: 'incoming' })
  const bytes = Buffer.from(delivery?.content ?? [])
  assert.deepEqual(bytes.subarray(bytes.length - CONTENT.length), CONTENT)
  assert.match(bytes.subarray(0, -CONTENT.length).toString(), /^(?:X-EOP\w+: [\w:-]+\r\n)+$/)
})
