// To which tenant a message at the front door belongs: certificate, then sender, then recipient (coexistence.md §3).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attribute } from '../../../sandbox/mail-flow/attribution.ts'
import { NOW_MS, inbound, setting, smallBook } from './small-tenant.ts'

const contoso = smallBook({
  id: 'contoso',
  domains: ['contoso.com', 's1.relay.example.com', 'shared.test'],
  settings: [
    inbound('ours', 's1.relay.example.com'),
    inbound('provider', 'mx.provider.test'),
    inbound('off', 'off.contoso.com', { Enabled: false }),
    inbound('partner', 'contoso.com', { ConnectorType: 'Partner' }),
    setting('OrganizationConfig', 'it', { RejectDirectSend: true }),
  ],
})
const fabrikam = smallBook({
  id: 'fabrikam',
  domains: ['fabrikam.com', 'shared.test'],
  settings: [
    inbound('provider', '*.provider.test'),
    inbound('both', 'shared.test'),
    inbound('unverified', 't1.relay.example.com'),
  ],
})

const CASES: readonly { why: string; names?: readonly string[]; from: string; to: string; result: string }[] = [
  {
    why: 'its certificate',
    names: ['s1.relay.example.com'],
    from: 'x@other.test',
    to: 'y@other.test',
    result: 'originating contoso',
  },
  {
    why: 'the certificate before the sender',
    names: ['s1.relay.example.com'],
    from: 'b@fabrikam.com',
    to: 'y@other.test',
    result: 'originating contoso',
  },
  {
    why: 'a null sender has its certificate',
    names: ['S1.Relay.Example.COM'],
    from: '',
    to: 'y@other.test',
    result: 'originating contoso',
  },
  {
    why: 'a wildcard certificate',
    names: ['*.relay.example.com'],
    from: '',
    to: 'y@other.test',
    result: 'refused 5.7.64',
  },
  {
    why: 'a shared certificate: the sender tells',
    names: ['mx.provider.test'],
    from: 'b@fabrikam.com',
    to: 'y@other.test',
    result: 'originating fabrikam',
  },
  {
    why: 'a shared certificate: the other sender',
    names: ['mx.provider.test'],
    from: 'a@contoso.com',
    to: 'y@other.test',
    result: 'originating contoso',
  },
  {
    why: 'a shared certificate: the recipient tells',
    names: ['mx.provider.test'],
    from: 'x@other.test',
    to: 'b@fabrikam.com',
    result: 'incoming fabrikam by provider',
  },
  {
    why: 'a null sender says nothing',
    names: ['mx.provider.test'],
    from: '',
    to: 'y@other.test',
    result: 'refused 5.7.64',
  },
  {
    why: 'a domain of two tenants tells neither',
    names: ['shared.test'],
    from: 'x@other.test',
    to: 'y@other.test',
    result: 'refused 5.7.64',
  },
  {
    why: 'a domain that is not verified',
    names: ['t1.relay.example.com'],
    from: '',
    to: 'y@other.test',
    result: 'refused 5.7.64',
  },
  {
    why: 'the connector is off',
    names: ['off.contoso.com'],
    from: 'a@contoso.com',
    to: 'y@other.test',
    result: 'refused 5.7.64',
  },
  {
    why: 'a partner connector lets nobody relay',
    names: ['contoso.com'],
    from: 'a@contoso.com',
    to: 'y@other.test',
    result: 'refused 5.7.64',
  },
  { why: 'ordinary mail', from: 'x@other.test', to: 'a@contoso.com', result: 'incoming contoso' },
  { why: 'an ordinary bounce', from: '', to: 'a@contoso.com', result: 'incoming contoso' },
  { why: 'nobody to relay for', from: 'a@contoso.com', to: 'y@other.test', result: 'refused 5.7.64' },
  { why: 'RejectDirectSend', from: 'a@contoso.com', to: 'b@contoso.com', result: 'refused 5.7.68' },
  { why: 'direct send where it is allowed', from: 'a@fabrikam.com', to: 'b@fabrikam.com', result: 'incoming fabrikam' },
  { why: 'a recipient in a domain of two', from: 'x@other.test', to: 'a@shared.test', result: 'refused 5.7.64' },
]

for (const { why, names = [], from, to, result } of CASES) {
  test(`mail from <${from}> to <${to}> with [${names.join()}] is ${result}: ${why}`, () => {
    const found = attribute([contoso, fabrikam], { certificateNames: names, sender: from, recipient: to }, NOW_MS)
    const connector = found.kind === 'incoming' ? found.connector?.properties['Name'] : undefined
    const by = typeof connector === 'string' ? ` by ${connector}` : ''
    const what = found.kind === 'refused' ? found.reply.slice(4, 10).trim() : `${found.book.tenant.id}${by}`
    assert.equal(`${found.kind} ${what}`, result)
  })
}

test('a refusal is worded as Exchange words it', () => {
  const found = attribute([contoso], { certificateNames: [], sender: '', recipient: 'y@other.test' }, NOW_MS)
  assert.deepEqual(found, { kind: 'refused', reply: '550 5.7.64 TenantAttribution; Relay Access Denied' })
})

test('a connector for some sender domains is no one for others', () => {
  const book = smallBook({ settings: [inbound('some', 'contoso.com', { SenderDomains: ['smtp:*.contoso.com;1'] })] })
  const from = (sender: string) =>
    attribute([book], { certificateNames: ['contoso.com'], sender, recipient: 'y@other.test' }, NOW_MS).kind
  assert.deepEqual(['a@contoso.com', 'a@eu.contoso.com', 'a@other.test'].map(from), [
    'originating',
    'originating',
    'refused',
  ])
})
