// What a dry run of coexistence says: for each kind what makes it, and what is next to it and does not. (coexistence.md §1.6–§1.8, §2.1 row 0, §3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CoexistenceSetting } from '../../../control-plane/coexistence/coexistence.ts'
import type { Noun, ObservedObject, Properties } from '../../../control-plane/coexistence/tenant-object.ts'
import type { COEXISTENCE_FINDINGS } from '../../../control-plane/findings/kinds-of-coexistence.ts'
import { kindOf } from '../../../control-plane/findings/finding-kinds.ts'
import { judgePreflight } from '../../../control-plane/findings/judge-preflight.ts'
import type {
  PeopleFacts,
  Preflight,
  PreflightFinding,
  PreflightTenant,
  PresentedDomain,
  PublishedRecords,
  RelayFacts,
  RoutedMail,
} from '../../../control-plane/findings/preflight.ts'
import { unfoldSpf } from '../../../control-plane/findings/spf.ts'
import type { AccountId, RelayId, TenantId } from '../../../control-plane/ids.ts'
import { DAY_MS, NOW, SOURCE, TARGET, viewOf } from './scene.ts'
import type { Scene } from './scene.ts'

const RECORDS: PublishedRecords = {
  mx: ['target-example.mail.protection.outlook.com'],
  spf: ['v=spf1 include:spf.protection.outlook.com -all'],
  spfIncludes: ['spf.protection.outlook.com'],
  dmarc: ['v=DMARC1; p=none'],
  exchangeKeys: [],
}

/** How it differs from what nobody could complain about. */
interface Difference {
  readonly setting?: Partial<CoexistenceSetting>
  readonly scene?: Scene
  readonly source?: Partial<PreflightTenant>
  readonly target?: Partial<PreflightTenant>
  readonly people?: Partial<PeopleFacts>
  readonly domain?: Partial<PresentedDomain>
  readonly records?: Partial<PublishedRecords>
  readonly relay?: Partial<RelayFacts>
  readonly more?: Partial<Preflight>
}

const object = (noun: Noun, name: string, properties: Properties, isEnabled = true): ObservedObject => ({
  tenant: SOURCE,
  noun,
  guid: crypto.randomUUID(),
  name,
  properties,
  isEnabled,
})

function preflight({
  setting,
  scene = {},
  source,
  target,
  people,
  domain,
  records,
  relay,
  more,
}: Difference): Preflight {
  const tenant = (id: typeof SOURCE, label: string, rest: Partial<PreflightTenant> = {}): PreflightTenant => ({
    id,
    label,
    acceptedDomains: new Set([`${label}.example`, `${label}.relay.example`]),
    observed: [],
    certificate: { names: [`${label}.relay.example`], expiresAt: new Date(NOW + 90 * DAY_MS) },
    hasSmartHost: true,
    mailboxes: 100,
    licences: 100,
    ownRecipients: 2_000,
    ...rest,
  })
  const host = (name: string) => ({ name, hasCertificate: true, isResolved: true })
  return {
    setting: {
      state: 'on',
      scope: 'all-mapped',
      mode: 'all-outbound',
      hasPartners: false,
      route: 'owner-tenant',
      enhancedFiltering: 'off',
      turnsTnefOff: false,
      connectorHoldMs: 2 * DAY_MS,
      relayHosts: { out: 'out.relay.example', in: 'in.relay.example' },
      ...setting,
    },
    view: viewOf(scene),
    tenants: [tenant(SOURCE, 'source', source), tenant(TARGET, 'target', target)],
    people: [
      {
        mailboxIn: SOURCE,
        presentedBy: TARGET,
        people: 50,
        withoutMailbox: 0,
        withoutObject: 0,
        accounts: [],
        withAliases: 0,
        ...people,
      },
    ],
    domains: [
      {
        domain: 'target.example',
        owner: TARGET,
        people: 50,
        dkim: 'found',
        records: { ...RECORDS, ...records },
        ...domain,
      },
    ],
    relays: [{ id: 'rly_1' as RelayId, isLive: true, isCurrent: true, isReady: true, ...relay }],
    hosts: { out: host('out.relay.example'), in: host('in.relay.example') },
    sealDomain: undefined,
    routed: undefined,
    now: NOW,
    ...more,
  }
}

const rule = (properties: Properties, isEnabled = true, name = 'Theirs'): Difference => ({
  source: { observed: [object('TransportRule', name, properties, isEnabled)] },
})
const connector = (properties: Properties, name = 'Partner'): Difference => ({
  source: { observed: [object('InboundConnector', name, { Enabled: true, ...properties })] },
})
const certified = (names: readonly string[], leftMs = 90 * DAY_MS): Difference => ({
  source: { certificate: { names, expiresAt: new Date(NOW + leftMs) } },
})
const lost = { id: 'rly_2' as RelayId, isLive: false, isCurrent: false, isReady: false }
const ours = 'source.relay.example'
/** 100 licences: 22,059. */
const LIMIT = 22_059
const NONE: Difference = {}

const CASES: Readonly<
  Record<keyof typeof COEXISTENCE_FINDINGS, { readonly fires: Difference; readonly silent: Difference }>
> = {
  'nobody-in-scope': {
    fires: { people: { people: 3, withoutObject: 3 } },
    silent: { people: { people: 3, withoutObject: 2 } },
  },
  'people-without-mailbox': { fires: { people: { withoutMailbox: 1 } }, silent: { people: { withoutObject: 1 } } },
  'people-without-presented-object': { fires: { people: { withoutObject: 1 } }, silent: NONE },
  'external-recipients-forecast': { fires: NONE, silent: { people: { people: 0 } } },
  'external-recipients-near-limit': {
    fires: { target: { ownRecipients: Math.floor(LIMIT * 0.8) - 1_999 } },
    silent: { target: { ownRecipients: Math.floor(LIMIT * 0.8) - 2_000 } },
  },
  'external-recipients-over-limit': {
    fires: { target: { ownRecipients: LIMIT - 1_999 } },
    silent: { target: { ownRecipients: LIMIT - 2_000 } },
  },
  'external-recipients-limit-unknown': { fires: { target: { licences: 0 } }, silent: { target: { licences: 1 } } },
  'presented-onmicrosoft': {
    fires: { domain: { domain: 'target.onmicrosoft.com' } },
    silent: { domain: { domain: 'onmicrosoft.com.example' } },
  },
  'alias-senders-unseen': {
    fires: {
      setting: { mode: 'member' },
      people: { withAliases: 2 },
      scene: { sourceExchange: { sendFromAliasEnabled: true } },
    },
    silent: { setting: { mode: 'member' }, people: { withAliases: 2 } },
  },
  'alias-recipients-unseen': {
    fires: { setting: { mode: 'member' }, people: { withAliases: 2 } },
    silent: { people: { withAliases: 2 } },
  },
  'bcc-unseen': { fires: { setting: { mode: 'member' } }, silent: NONE },
  'membership-lags': { fires: { setting: { mode: 'member' } }, silent: NONE },
  'direct-send-refused-on-return': {
    fires: { setting: { route: 'return' }, scene: { targetExchange: { rejectDirectSend: true } } },
    silent: { scene: { targetExchange: { rejectDirectSend: true } } },
  },
  'presented-domain-unsigned': { fires: { domain: { dkim: undefined } }, silent: { domain: { dkim: 'unreachable' } } },
  'dkim-record-wrong': { fires: { domain: { dkim: 'different' } }, silent: { domain: { dkim: 'unreachable' } } },
  'spf-missing': { fires: { records: { spf: [] } }, silent: { records: { spf: 'unreachable' } } },
  'spf-several': { fires: { records: { spf: ['v=spf1 -all', 'v=spf1 ~all'] } }, silent: NONE },
  'spf-without-exchange': {
    fires: { records: { spf: ['v=spf1 include:spf.protection.outlook.com.example -all'], spfIncludes: [] } },
    silent: { records: { spf: ['v=spf1 include:_spf.example -all'], spfIncludes: ['spf.protection.outlook.com'] } },
  },
  'dmarc-missing': { fires: { records: { dmarc: [] } }, silent: { records: { dmarc: 'unreachable' } } },
  'dmarc-strict-unsigned': {
    fires: { records: { dmarc: ['v=DMARC1; P = Reject ; pct=100'] }, domain: { dkim: undefined } },
    silent: { records: { dmarc: ['v=DMARC1; p=none; sp=reject'] }, domain: { dkim: undefined } },
  },
  'mx-missing': { fires: { records: { mx: [] } }, silent: { records: { mx: 'unreachable' } } },
  'mx-elsewhere': {
    fires: { records: { mx: ['target-example.mail.protection.outlook.com', 'mx.filter.example'] } },
    silent: { records: { mx: ['Target-Example.a-b.mx.microsoft'] } },
  },
  'dns-unreachable': { fires: { domain: { dkim: 'unreachable' } }, silent: { domain: { dkim: 'missing' } } },
  'rules-take-mail': {
    fires: rule({ RedirectMessageTo: ['archive@source.example'], DeleteMessage: false }),
    silent: rule({ RedirectMessageTo: [], DeleteMessage: false, Quarantine: null, PrependSubject: 'x' }),
  },
  'rules-touch-our-fields': {
    fires: rule({ RemoveHeader: 'x-causeway-trace' }),
    silent: rule({ RemoveHeader: 'X-Causeway-Trace' }, true, 'Causeway-12345678-90-Clean'),
  },
  'relay-certificate-claimed': {
    fires: connector({ TlsSenderCertificateName: '*.relay.example' }),
    silent: connector({ TlsSenderCertificateName: '*.relay.example', Enabled: false }),
  },
  'relay-certificate-missing': { fires: { source: { certificate: undefined } }, silent: NONE },
  'relay-certificate-ended': { fires: certified([ours], 0), silent: certified([ours], 1) },
  'relay-certificate-ends-soon': { fires: certified([ours], 30 * DAY_MS), silent: certified([ours], 30 * DAY_MS + 1) },
  'relay-certificate-not-accepted': {
    fires: certified(['target.relay.example']),
    silent: certified(['other.example', ours]),
  },
  'relay-host-uncertified': {
    fires: {
      more: { hosts: { out: { name: 'r.example', hasCertificate: false, isResolved: true }, in: HOST('r.example') } },
    },
    silent: NONE,
  },
  'relay-host-unresolved': {
    fires: {
      more: { hosts: { out: { name: 'r.example', hasCertificate: true, isResolved: false }, in: HOST('r.example') } },
    },
    silent: {
      more: {
        hosts: { out: { name: 'r.example', hasCertificate: true, isResolved: undefined }, in: HOST('r.example') },
      },
    },
  },
  'relay-host-unnamed': { fires: { more: { hosts: { out: HOST(''), in: HOST('r.example') } } }, silent: NONE },
  'relays-none': { fires: { relay: { isLive: false } }, silent: NONE },
  'relays-silent': {
    fires: { more: { relays: [{ id: 'rly_1' as RelayId, isLive: true, isCurrent: true, isReady: true }, lost] } },
    silent: { more: { relays: [lost] } },
  },
  'relays-behind': { fires: { relay: { isCurrent: false } }, silent: { relay: { isCurrent: false, isLive: false } } },
  'relays-not-ready': { fires: { relay: { isReady: false } }, silent: { relay: { isReady: false, isLive: false } } },
  'smart-host-missing': {
    fires: { source: { hasSmartHost: false } },
    silent: { source: { hasSmartHost: false }, people: { people: 0 } },
  },
  'arc-seal-missing': {
    fires: { setting: { arcSealingDomain: 'seal.example' } },
    silent: { setting: { arcSealingDomain: 'Seal.example' }, more: { sealDomain: 'seal.example' } },
  },
  'connector-hold-short': {
    fires: { setting: { connectorHoldMs: DAY_MS - 1 } },
    silent: { setting: { connectorHoldMs: DAY_MS } },
  },
}

function HOST(name: string) {
  return { name, hasCertificate: true, isResolved: true }
}

const judge = (difference: Difference): PreflightFinding[] => judgePreflight(preflight(difference))
const codesOf = (difference: Difference): string[] => judge(difference).map(({ code }) => code)

test('each kind is said where it is so, and not where it nearly is', () => {
  for (const [code, { fires, silent }] of Object.entries(CASES)) {
    assert.ok(codesOf(fires).includes(code), `${code} is said`)
    assert.ok(!codesOf(silent).includes(code), `${code} is not said`)
  }
})

test('of what nobody could complain about only the forecast is told', () => {
  assert.deepEqual(codesOf(NONE), ['external-recipients-forecast'])
})

test('each finding is about what its kind says, with evidence that names what was found', () => {
  // Something is not there: that is all there is to say.
  const bare = new Set(['relay-certificate-missing', 'smart-host-missing'])
  for (const { fires } of Object.values(CASES))
    for (const { code, tenant, domain, details } of judge(fires)) {
      const { about } = kindOf(code)
      assert.equal(tenant === undefined, about === 'project', code)
      assert.equal(domain !== undefined, about === 'domain', code)
      if (code in CASES && !bare.has(code)) assert.notDeepEqual(details, {}, code)
    }
})

test('the worst comes first', () => {
  const found = judge({
    people: { withoutObject: 1 },
    source: { certificate: undefined, hasSmartHost: false },
    records: { spf: [], dmarc: [] },
  })
  assert.deepEqual(
    found.map(({ code }) => code),
    [
      'relay-certificate-missing',
      'people-without-presented-object',
      'smart-host-missing',
      'spf-missing',
      'dmarc-missing',
      'external-recipients-forecast',
    ],
  )
})

test('people out of scope are counted, with the mailboxes of some', () => {
  const accounts = ['acc_1' as AccountId, 'acc_2' as AccountId]
  const [found] = judge({ people: { withoutObject: 2, accounts } })
  assert.deepEqual(found, {
    code: 'people-without-presented-object',
    tenant: SOURCE,
    details: { people: 2, presentedBy: TARGET, accounts },
  })
})

const carried = (more: {
  readonly route?: RoutedMail['route']
  readonly delivered?: readonly (readonly [TenantId, number])[]
  readonly broughtIn?: readonly (readonly [TenantId, number])[]
}): RoutedMail => ({
  route: more.route ?? 'owner-tenant',
  delivered: new Map(more.delivered),
  broughtIn: new Map(more.broughtIn),
})

const forecast = (difference: Difference) =>
  judge(difference)
    .filter(({ code }) => code.startsWith('external-recipients-'))
    .map(({ code, tenant, details: { expected, atMost, own, routed, routedFrom, ownFrom } }) => ({
      code: code.slice('external-recipients-'.length),
      tenant: tenant === SOURCE ? 'source' : 'target',
      expected,
      ...(atMost === expected ? {} : { atMost }),
      own,
      routed,
      from: `${String(ownFrom).split(':')[0]}, ${String(routedFrom)}`,
    }))

test('the forecast counts by route: where it is delivered, or twice where it came from', () => {
  const given = 'given, people in scope'
  const cases: readonly (readonly [
    why: string,
    Difference,
    readonly Partial<ReturnType<typeof forecast>[number]>[],
  ])[] = [
    [
      'all that the source sends is delivered by the target',
      NONE,
      [{ code: 'forecast', tenant: 'target', expected: 4_000, own: 2_000, routed: 2_000, from: given }],
    ],
    [
      'by members: half of the mailboxes, half of the mail',
      { setting: { mode: 'member' } },
      [{ code: 'forecast', tenant: 'target', expected: 3_000, own: 2_000, routed: 1_000, from: given }],
    ],
    [
      'what returns counts in the source again',
      { setting: { route: 'return' } },
      [{ code: 'forecast', tenant: 'source', expected: 4_000, own: 2_000, routed: 2_000, from: given }],
    ],
    [
      'relays know better',
      { more: { routed: carried({ delivered: [[TARGET, 21_000]] }) } },
      [{ code: 'over-limit', tenant: 'target', expected: 23_000, own: 2_000, routed: 21_000, from: 'given, relays' }],
    ],
    [
      'relays know also what comes back where the sender is in no table',
      { more: { routed: carried({ delivered: [[SOURCE, 30]] }) } },
      [{ code: 'forecast', tenant: 'source', expected: 2_030, own: 2_000, routed: 30, from: 'given, relays' }],
    ],
    [
      'what relays have seen by another route is told by whose people it was',
      { setting: { route: 'return' }, more: { routed: carried({ delivered: [[TARGET, 900]] }) } },
      [{ code: 'forecast', tenant: 'source', expected: 2_900, own: 2_000, routed: 900, from: 'given, relays' }],
    ],
    [
      'what a rule brings to a relay may count, and is held against the limit',
      { more: { routed: carried({ broughtIn: [[TARGET, 25_000]] }) } },
      [
        {
          code: 'over-limit',
          tenant: 'target',
          expected: 2_000,
          atMost: 27_000,
          own: 2_000,
          routed: 0,
          from: 'given, relays',
        },
      ],
    ],
    [
      'what nobody says is assumed: twenty a mailbox',
      { source: { ownRecipients: undefined }, target: { ownRecipients: undefined, mailboxes: 10 } },
      [
        {
          code: 'forecast',
          tenant: 'target',
          expected: 2_200,
          own: 200,
          routed: 2_000,
          from: 'assumed, people in scope',
        },
      ],
    ],
    [
      'where no licences are known nor is the limit, and it says so',
      { target: { licences: 0 } },
      [{ code: 'limit-unknown', tenant: 'target', expected: 4_000, own: 2_000, routed: 2_000, from: given }],
    ],
  ]
  for (const [why, difference, expected] of cases) assert.deepEqual(forecast(difference), expected, why)
})

test('what is said of tenants anyway is judged by what was seen just now', () => {
  const stale: Scene = {
    sourceExchange: {
      transportRules: [
        { name: 'Gone', state: 'Enabled', priority: 0, stopsProcessing: true, routesToConnector: false },
      ],
    },
  }
  const seen = [object('TransportRule', 'Now', { RouteMessageOutboundConnector: 'Smart host' })]
  assert.ok(codesOf({ scene: stale }).includes('rules-stop-processing'), 'not looked: as discovered')
  const codes = codesOf({ scene: stale, source: { observed: seen } })
  assert.ok(!codes.includes('rules-stop-processing'), 'gone')
  assert.ok(codes.includes('rules-route-to-connector'), 'new')
  assert.ok(
    !codesOf({ scene: { sourceFacts: { isSyncedFromOnPremises: true } } }).includes('tenant-synced'),
    'no matter',
  )
})

test('TNEF of the default remote domain is told unless the setting turns it off (§1.8)', () => {
  const observed = [object('RemoteDomain', 'Default', { DomainName: '*', AutoForwardEnabled: true, TNEFEnabled: null })]
  assert.ok(codesOf({ source: { observed } }).includes('remote-domain-tnef'))
  assert.ok(!codesOf({ source: { observed }, setting: { turnsTnefOff: true } }).includes('remote-domain-tnef'))
})

test('what Exchange signs itself passes DMARC by the route through it, and by no other', () => {
  const records = { dmarc: ['v=DMARC1; p=reject'], exchangeKeys: ['v=DKIM1; p=abc'] }
  const unsigned = { records, domain: { dkim: undefined } }
  assert.ok(!codesOf(unsigned).includes('dmarc-strict-unsigned'))
  assert.ok(codesOf({ ...unsigned, setting: { route: 'return' } }).includes('dmarc-strict-unsigned'))
})

test('an SPF record is followed where a receiver would follow it, and hostile ones cost no more than their length', () => {
  const cases: readonly (readonly [record: string, names: readonly string[]])[] = [
    ['v=spf1 include:A.example ?include:b.example. redirect=c.example', ['a.example', 'b.example', 'c.example']],
    ['v=spf1 a:x.example mx ip4:192.0.2.1 exists:y.example -all', []],
    ['v=spf1 include:%{i}.spf.example include:', []],
    [`v=spf1 include:${'a'.repeat(300)}`, []],
  ]
  for (const [record, names] of cases) assert.deepEqual(unfoldSpf(record), names, record.slice(0, 60))
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 80 }), { maxLength: 4 }), (texts) => {
      const records = { mx: texts, spf: texts, spfIncludes: texts, dmarc: texts, exchangeKeys: texts }
      for (const { details } of judge({ records })) assert.ok(JSON.stringify(details).length < 20_000)
    }),
    { numRuns: 30 },
  )
})
