// What coexistence keeps in a tenant: objects of Exchange, by the noun of their cmdlets, each with a key of ours. Desired and observed objects have
// the same shape, so that a plan is a comparison. Pure. (coexistence.md §2)
import type { TenantId } from '../ids.ts'

/** Nouns of the cmdlets that coexistence calls. */
export const NOUNS = [
  'DistributionGroup',
  'InboundConnector',
  'OutboundConnector',
  'ArcConfig',
  'RemoteDomain',
  'OrganizationRelationship',
  'TransportRule',
] as const
export type Noun = (typeof NOUNS)[number]

/** A value of a cmdlet's parameter. Text lists are compared as sets, names of domains and addresses without their case. */
export type Value = string | number | boolean | null | readonly string[] | ProofToken

/** Stands for a tenant's proof token: the secret itself is put in when the cmdlet is called, and is never stored or shown (KM-5). */
export interface ProofToken {
  readonly proof: 'out' | 'in'
  /** SHA-256 of the token, hex: what desired and observed are compared by, and what the ledger keeps. */
  readonly sha256: string
}

/** Field that our routing rules set, with the proof token as its value. (coexistence.md §1.2) */
export const PROOF_HEADER = 'X-Causeway-Project'

export const isProofToken = (value: Value | undefined): value is ProofToken =>
  typeof value === 'object' && value !== null && 'sha256' in value

export type Properties = Readonly<Record<string, Value>>

/**
 * - `created`: ours alone; made, changed and removed by us
 * - `changed`: was there before; the named properties are set, and written back when coexistence goes off
 */
export type Ownership = 'created' | 'changed'

export interface DesiredObject {
  readonly tenant: TenantId
  readonly noun: Noun
  /** Ours, unique in the tenant: `group-presented`, `in`, `out`, `elsewhere`, `rule-20`, `remote-domain-1`, `arc`. In comments and in the ledger. */
  readonly key: string
  /** `Causeway-<project8>-<role>`; of a changed object the name it has. */
  readonly name: string
  readonly ownership: Ownership
  /** By the name that Get-, New- and Set- use for it. Of a changed object only what we set. */
  readonly properties: Properties
  /** Of rules: whether it acts. Undefined: the noun has no such state. */
  readonly isEnabled?: boolean
  /** Of groups: who has to be in it, by the recipient's Guid in this tenant. */
  readonly members?: readonly string[]
}

export interface ObservedObject {
  readonly tenant: TenantId
  readonly noun: Noun
  /** Exchange's Guid. */
  readonly guid: string
  readonly name: string
  /** Every settable property of the noun (settable.ts), as Get- answers it, proof tokens as their digests. */
  readonly properties: Properties
  /** Who made it, if its comment says that we did. */
  readonly mark?: OwnMark
  /** Of rules. */
  readonly isEnabled?: boolean
  /** Of rules: 0 acts first. */
  readonly priority?: number
  /** Of our groups: recipients' Guids. */
  readonly members?: readonly string[]
}

/** `causeway:<projectId>:<objectKey>:<specHash>` (coexistence.md §2). */
export interface OwnMark {
  readonly project: string
  readonly key: string
  readonly specHash: string
}
