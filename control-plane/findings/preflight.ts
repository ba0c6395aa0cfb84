// What a dry run of coexistence is judged by: both tenants, DNS and the relays at one time. Pure; it is read by coexistence/preflight.ts.
// (coexistence.md §1.6, §2.1 row 0)
import type { CoexistenceSetting } from '../coexistence/coexistence.ts'
import type { ObservedObject, Value } from '../coexistence/tenant-object.ts'
import type { AccountId, RelayId, TenantId } from '../ids.ts'
import type { Details } from './finding.ts'
import type { FindingCode } from './finding-kinds.ts'
import type { ProjectView } from './project-view.ts'

/** `unreachable`: the resolver gave no answer; an empty list: there is no such record. */
export type Asked<T> = readonly T[] | 'unreachable'

export interface PublishedRecords {
  readonly mx: Asked<string>
  /** `v=spf1 …` of the domain. */
  readonly spf: Asked<string>
  /** Domains that it includes, and those include, as far as receivers follow. */
  readonly spfIncludes: readonly string[]
  /** Of the domain, or of the nearest above it that has one. */
  readonly dmarc: Asked<string>
  /** Keys by the selectors under which Exchange Online signs for the domain, where its tenant lets it. */
  readonly exchangeKeys: Asked<string>
}

export interface PreflightTenant {
  readonly id: TenantId
  readonly label: string
  /** A-labels, with the initial one. */
  readonly acceptedDomains: ReadonlySet<string>
  /** As it is now. */
  readonly observed: readonly ObservedObject[]
  /** Active, towards it. */
  readonly certificate: { readonly names: readonly string[]; readonly expiresAt: Date } | undefined
  readonly hasSmartHost: boolean
  /** Mailboxes that are people's or shared. */
  readonly mailboxes: number
  /** Licences with Exchange Online. */
  readonly licences: number
  /** External recipients in 24 hours, as the administrator knows them. */
  readonly ownRecipients: number | undefined
}

/** Mapping entries of mailboxes in one tenant that are presented by another. */
export interface PeopleFacts {
  readonly mailboxIn: TenantId
  readonly presentedBy: TenantId
  readonly people: number
  /** Of them, those whose mailbox no discovery has seen. */
  readonly withoutMailbox: number
  /** Of the others, without an object in the tenant that presents them. */
  readonly withoutObject: number
  /** Some of these: their mailboxes. */
  readonly accounts: readonly AccountId[]
  /** Of those in scope, how many have more addresses than the primary one. */
  readonly withAliases: number
}

/** Of a presented domain. */
export interface PresentedDomain {
  readonly domain: string
  readonly owner: TenantId
  readonly people: number
  /** Of the relays; undefined: there is none. */
  readonly dkim: 'found' | 'missing' | 'different' | 'unreachable' | undefined
  readonly records: PublishedRecords
}

export interface RelayFacts {
  readonly id: RelayId
  readonly isLive: boolean
  /** Has the newest table and settings. */
  readonly isCurrent: boolean
  readonly isReady: boolean
}

export interface RelayHost {
  readonly name: string
  readonly hasCertificate: boolean
  /** undefined: DNS could not be asked. */
  readonly isResolved: boolean | undefined
}

/** What the relays carried in the last 24 hours. */
export interface RoutedMail {
  /** By which it went out. */
  readonly route: CoexistenceSetting['route']
  /** By who delivered it: recipients that are outside of that tenant. */
  readonly delivered: ReadonlyMap<TenantId, number>
  /** By whose rules brought it: recipients in that tenant's own domains. */
  readonly broughtIn: ReadonlyMap<TenantId, number>
}

export interface Preflight {
  readonly setting: CoexistenceSetting
  /** As discovered, and where Exchange was looked at just now as it is. */
  readonly view: ProjectView
  readonly tenants: readonly PreflightTenant[]
  readonly people: readonly PeopleFacts[]
  readonly domains: readonly PresentedDomain[]
  readonly relays: readonly RelayFacts[]
  readonly hosts: { readonly out: RelayHost; readonly in: RelayHost }
  /** Domain of the relays' ARC seals, where there is an active RSA key of it. */
  readonly sealDomain: string | undefined
  /** undefined: they carried nothing yet. */
  readonly routed: RoutedMail | undefined
  /** ms since the epoch */
  readonly now: number
}

/** undefined tenant: of the project. */
export interface PreflightFinding {
  readonly code: FindingCode
  readonly tenant?: TenantId
  readonly domain?: string
  readonly details: Details
}

/** Tenants that hold mailboxes of people who are presented by another, with an object there. */
export const senders = ({ tenants, people }: Preflight): PreflightTenant[] =>
  tenants.filter(({ id }) => people.some((each) => each.mailboxIn === id && inScope(each) > 0))

/** Tenants that present people whose mailboxes are elsewhere. */
export const owners = ({ tenants, people }: Preflight): PreflightTenant[] =>
  tenants.filter(({ id }) => people.some((each) => each.presentedBy === id && inScope(each) > 0))

export const inScope = ({ people, withoutMailbox, withoutObject }: PeopleFacts): number =>
  people - withoutMailbox - withoutObject

/** In scope, of those whose mailboxes it has. */
export function peopleOf({ people }: Preflight, tenant: TenantId): number {
  return people.filter(({ mailboxIn }) => mailboxIn === tenant).reduce((sum, each) => sum + inScope(each), 0)
}

/** Of a property that is a text; empty where it is none. */
export const textOf = (value: Value | undefined): string => (typeof value === 'string' ? value : '')
