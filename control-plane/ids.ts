// Ids of the control plane: random, opaque, with a prefix that tells a person what they are of (WS-4). Branded, so that a relay can't be looked
// up by a project's id.
import { randomBytes } from 'node:crypto'

declare const brand: unique symbol
type Brand<Name extends string> = string & { readonly [brand]: Name }

export type OrganisationId = Brand<'organisation'>
export type ProjectId = Brand<'project'>
export type MemberId = Brand<'member'>
export type RoleId = Brand<'role'>
export type ApiKeyId = Brand<'api-key'>
export type TenantId = Brand<'tenant'>
export type RelayId = Brand<'relay'>
export type EnrolmentId = Brand<'enrolment'>
export type MappingId = Brand<'mapping'>
export type RuleId = Brand<'rule'>
export type MappingImportId = Brand<'mapping-import'>
export type DkimKeyId = Brand<'dkim-key'>
export type SnapshotKeyId = Brand<'snapshot-key'>
export type OperationId = Brand<'operation'>
export type WebhookId = Brand<'webhook'>
export type NotificationId = Brand<'notification'>
export type DeliveryId = Brand<'delivery'>
export type SupportGrantId = Brand<'support-grant'>
export type DeletionCertificateId = Brand<'deletion-certificate'>
export type DiscoveryId = Brand<'discovery'>
export type AccountId = Brand<'account'>
export type FindingId = Brand<'finding'>
export type CollectionId = Brand<'collection'>
export type MatchingId = Brand<'matching'>
export type PairId = Brand<'pair'>
export type ConnectionCertificateId = Brand<'connection-certificate'>
export type CertificateId = Brand<'certificate'>

export const ID_PREFIXES = {
  organisation: 'org',
  project: 'prj',
  member: 'mbr',
  role: 'rol',
  'api-key': 'key',
  tenant: 'tnt',
  relay: 'rly',
  enrolment: 'enr',
  mapping: 'map',
  rule: 'rul',
  'mapping-import': 'imp',
  'dkim-key': 'dkm',
  'snapshot-key': 'snk',
  'proof-token': 'ptk',
  nonce: 'non',
  operation: 'opr',
  webhook: 'whk',
  notification: 'ntf',
  delivery: 'dlv',
  'support-grant': 'sup',
  'deletion-certificate': 'del',
  discovery: 'dsc',
  account: 'acc',
  finding: 'fnd',
  collection: 'col',
  matching: 'mch',
  pair: 'par',
  'pair-import': 'pim',
  'connection-certificate': 'ccr',
  certificate: 'crt',
  consent: 'cns',
  request: 'req',
  event: 'evt',
} as const
type Kind = keyof typeof ID_PREFIXES

/** What belongs to no organisation (audit of the installation, its keys) is kept under this one, which has no members. */
export const INSTALLATION = 'installation' as OrganisationId

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford's: nothing that is read for something else
const RANDOM_BYTES = 15

/** 120 random bits: `prj_` and 24 letters and digits. */
export function newId<K extends Kind>(kind: K): Brand<K> {
  let text = ''
  let bits = 0
  let held = 0
  for (const byte of randomBytes(RANDOM_BYTES)) {
    bits = (bits << 8) | byte
    held += 8
    while (held >= 5) {
      held -= 5
      text += ALPHABET[(bits >> held) & 31]
      bits &= (1 << held) - 1
    }
  }
  return `${ID_PREFIXES[kind]}_${text}` as Brand<K>
}

/** undefined for what can't be such an id; whether it exists is another question. */
export function parseId<K extends Kind>(kind: K, text: string): Brand<K> | undefined {
  const prefix = ID_PREFIXES[kind]
  return text.startsWith(`${prefix}_`) && /^[0-9a-hjkmnp-tv-z]{24}$/.test(text.slice(prefix.length + 1))
    ? (text as Brand<K>)
    : undefined
}
