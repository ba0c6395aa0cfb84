// What coexistence wants of both tenants, as objects. The roles belong to mapping entries: a tenant that holds mailboxes presented elsewhere gets
// the objects of S, one that owns the presented domain of somebody whose mailbox is elsewhere those of T, and may get both. Pure. (coexistence.md §2.1)
import type { TenantId } from '../ids.ts'
import type { CoexistenceSetting, FreeBusySetting } from './coexistence.ts'
import { freeBusyObject, remoteDomainObjects, sharedObjects } from './desired-shared.ts'
import { nameOf, type NamedKey } from './names.ts'
import { PROOF_HEADER } from './tenant-object.ts'
import type { DesiredObject, ObservedObject, Properties, ProofToken } from './tenant-object.ts'

/** One person, by the recipients' ids in Entra, or Exchange's Guids where they have none. Without an object in the tenant that owns the presented domain he is out of scope. (§1.7) */
export interface MappedPerson {
  readonly mailboxIn: TenantId
  readonly presentedBy: TenantId
  readonly mailboxGuid: string
  readonly presentedGuid: string | undefined
}

export interface TenantInput {
  readonly tenant: TenantId
  /** Of this organisation, its onmicrosoft.com among them. */
  readonly domains: readonly string[]
  /** Name in the relay's certificate for this tenant: `<tenantToken>.relay.<customer>`. */
  readonly certificateName: string
  readonly proofs: { readonly out: ProofToken; readonly in: ProofToken }
  /** Recipients here who stand for colleagues of the other tenant: Guids. */
  readonly partners: readonly string[]
  /** Of `enhancedFiltering: pilot`: addresses. */
  readonly pilots: readonly string[]
  /** As last seen: what is there already is changed, not made twice. */
  readonly observed: readonly ObservedObject[]
  /** While probing: the word a direction's probes carry. */
  readonly probeNonces?: { readonly out: string; readonly in: string } | undefined
}

export interface DesiredInput {
  readonly project8: string
  readonly setting: CoexistenceSetting
  readonly freeBusy: FreeBusySetting
  readonly people: readonly MappedPerson[]
  /** Words of `X-Causeway-Trace` that say a message was here: two while they are rotated. */
  readonly markerWords: readonly string[]
  readonly tenants: readonly [TenantInput, TenantInput]
}

const TRACE_FIELD = 'X-Causeway-Trace'
const PROBE_FIELD = 'X-Causeway-Probe'

export function desiredObjects(input: DesiredInput): readonly DesiredObject[] {
  const [one, other] = input.tenants
  return [...ofTenant(input, one, other), ...ofTenant(input, other, one)]
}

/** Presented by the other tenant, which has an object for him. (§1.7) */
export const isInScope = ({ mailboxIn, presentedBy, presentedGuid }: MappedPerson): boolean =>
  presentedGuid !== undefined && mailboxIn !== presentedBy

function ofTenant(input: DesiredInput, own: TenantInput, other: TenantInput): DesiredObject[] {
  const freeBusy = freeBusyObject(input, own, other)
  if (input.setting.state === 'off') return freeBusy
  const people = input.people.filter(isInScope)
  const presented = people.filter((each) => each.mailboxIn === own.tenant).map((each) => each.mailboxGuid)
  const elsewhere = people.filter((each) => each.presentedBy === own.tenant).flatMap((each) => each.presentedGuid ?? [])
  if (presented.length + elsewhere.length === 0) return freeBusy
  const sender = presented.length > 0 ? senderObjects(input, own, presented) : []
  const owner = elsewhere.length > 0 ? ownerObjects(input, own, elsewhere) : []
  return [
    ...sender,
    ...owner,
    ...sharedObjects(input, own, sender.length > 0),
    ...remoteDomainObjects(input, own, other),
    // Either may deliver, whatever the setting: an entry may have a route of its own, a sender without one returns to where he is (§1.9), and while the
    // setting changes relays have the new one before the tenants.
    cleanRule(input, own),
    ...freeBusy,
  ]
}

function senderObjects(input: DesiredInput, own: TenantInput, presented: readonly string[]): DesiredObject[] {
  const { setting, project8 } = input
  const group = nameOf(project8, 'group-presented')
  const partners = nameOf(project8, 'group-partners')
  const hasPartners = setting.hasPartners && own.partners.length > 0
  const outside = { SentToScope: 'NotInOrganization' }
  const rule = (key: NamedKey, conditions: Properties) => routeRule(input, own, key, 'out', conditions)
  const rules =
    setting.mode === 'all-outbound'
      ? [rule('rule-30', { FromScope: 'InOrganization', ...outside })]
      : [
          rule('rule-20', { FromMemberOf: [group], SenderAddressLocation: 'HeaderOrEnvelope', ...outside }),
          rule('rule-21', { AnyOfToCcHeaderMemberOf: [group], ...outside }),
        ]
  const partnerRule = rule('rule-22', {
    FromMemberOf: [group],
    SenderAddressLocation: 'HeaderOrEnvelope',
    SentToMemberOf: [partners],
  })
  return [
    groupObject(input, own, 'group-presented', presented),
    ...(hasPartners ? [groupObject(input, own, 'group-partners', own.partners)] : []),
    outboundConnector(input, own, 'out'),
    ...rules,
    ...(hasPartners ? [partnerRule] : []),
    ...probeRule(input, own, 'out'),
  ]
}

function ownerObjects(input: DesiredInput, own: TenantInput, elsewhere: readonly string[]): DesiredObject[] {
  const group = nameOf(input.project8, 'group-elsewhere')
  return [
    groupObject(input, own, 'group-elsewhere', elsewhere),
    outboundConnector(input, own, 'in'),
    routeRule(input, own, 'rule-40', 'in', { SentToMemberOf: [group] }),
    ...probeRule(input, own, 'in'),
  ]
}

function groupObject(
  { project8 }: DesiredInput,
  own: TenantInput,
  key: NamedKey,
  members: readonly string[],
): DesiredObject {
  const properties = {
    HiddenGroupMembershipEnabled: true,
    RequireSenderAuthenticationEnabled: true,
    MemberJoinRestriction: 'Closed',
    HiddenFromAddressListsEnabled: true,
  }
  const name = nameOf(project8, key)
  return {
    tenant: own.tenant,
    noun: 'DistributionGroup',
    key,
    name,
    ownership: 'created',
    properties,
    members: [...new Set(members)].toSorted(),
  }
}

function outboundConnector(input: DesiredInput, own: TenantInput, direction: 'out' | 'in'): DesiredObject {
  const key = direction === 'out' ? 'out' : 'elsewhere'
  const host = input.setting.relayHosts[direction]
  const properties = {
    ConnectorType: 'OnPremises',
    IsTransportRuleScoped: true,
    UseMXRecord: false,
    SmartHosts: [host],
    TlsSettings: 'DomainValidation',
    TlsDomain: host,
    // Headers of Exchange's own only where the mail returns to the tenant it came from.
    CloudServicesMailEnabled: direction === 'out' && input.setting.route === 'return',
    SmtpDaneMode: 'Opportunistic',
    MtaStsMode: 'Opportunistic',
    Enabled: true,
    IsValidated: true,
  }
  const name = nameOf(input.project8, key)
  return { tenant: own.tenant, noun: 'OutboundConnector', key, name, ownership: 'created', properties }
}

function routeRule(
  input: DesiredInput,
  own: TenantInput,
  key: NamedKey,
  direction: 'out' | 'in',
  conditions: Properties,
): DesiredObject {
  const properties: Properties = {
    ...conditions,
    RouteMessageOutboundConnector: nameOf(input.project8, direction === 'out' ? 'out' : 'elsewhere'),
    SetHeaderName: PROOF_HEADER,
    SetHeaderValue: own.proofs[direction],
    ExceptIfHeaderContainsMessageHeader: TRACE_FIELD,
    ExceptIfHeaderContainsWords: input.markerWords,
    StopRuleProcessing: true,
    RuleErrorAction: 'Defer',
    Mode: 'Enforce',
  }
  return ruleObject(input, own, key, properties)
}

function probeRule(input: DesiredInput, own: TenantInput, direction: 'out' | 'in'): DesiredObject[] {
  const nonce = own.probeNonces?.[direction]
  if (nonce === undefined) return []
  const conditions = { HeaderContainsMessageHeader: PROBE_FIELD, HeaderContainsWords: [nonce] }
  return [routeRule(input, own, direction === 'out' ? 'rule-10-out' : 'rule-10-in', direction, conditions)]
}

function cleanRule(input: DesiredInput, own: TenantInput): DesiredObject {
  return ruleObject(input, own, 'rule-90', {
    HeaderContainsMessageHeader: TRACE_FIELD,
    HeaderContainsWords: input.markerWords,
    SentToScope: 'NotInOrganization',
    RemoveHeader: TRACE_FIELD,
    Mode: 'Enforce',
  })
}

function ruleObject(
  { project8 }: DesiredInput,
  own: TenantInput,
  key: NamedKey,
  properties: Properties,
): DesiredObject {
  const name = nameOf(project8, key)
  return { tenant: own.tenant, noun: 'TransportRule', key, name, ownership: 'created', properties, isEnabled: true }
}
