// A project to be judged without a database: one source, one target, one account, each described by how it differs from what nobody could complain about.
import type { AccountSnapshot } from '../../../control-plane/directory/account.ts'
import type {
  DomainFacts,
  ExchangeFacts,
  LicenceFacts,
  TenantFacts,
} from '../../../control-plane/directory/tenant-facts.ts'
import type { JudgedFinding } from '../../../control-plane/findings/finding.ts'
import type { RunPlace } from '../../../control-plane/findings/finding-run-store.ts'
import type { Relations } from '../../../control-plane/findings/judge-relations.ts'
import { viewProject } from '../../../control-plane/findings/project-view.ts'
import type { KnownTenant, ProjectView } from '../../../control-plane/findings/project-view.ts'
import { judgeOne, judgeWhole } from '../../../control-plane/findings/run-findings.ts'
import type { AccountId, TenantId } from '../../../control-plane/ids.ts'

export const NOW = Date.UTC(2026, 6, 1)
export const DAY_MS = 86_400_000
export const SOURCE = 'tnt_source' as TenantId
export const TARGET = 'tnt_target' as TenantId
export const SELF = 'acc_self' as AccountId
export const OTHER = 'acc_other' as AccountId
export const GB = 1024 ** 3

export interface Scene {
  readonly account?: Partial<AccountSnapshot>
  readonly relations?: Partial<Relations>
  /** Where the account is; default: the source. */
  readonly isTarget?: boolean
  readonly source?: Partial<KnownTenant>
  readonly target?: Partial<KnownTenant>
  readonly sourceFacts?: Partial<TenantFacts>
  readonly targetFacts?: Partial<TenantFacts>
  readonly sourceExchange?: Partial<ExchangeFacts>
  readonly targetExchange?: Partial<ExchangeFacts>
  readonly mapped?: ReadonlyMap<string, number>
  readonly counts?: RunPlace['counts']
  readonly unjudged?: readonly TenantId[]
}

export const domain = (name: string, more: Partial<DomainFacts> = {}): DomainFacts => ({
  name,
  isVerified: true,
  isDefault: false,
  isInitial: false,
  authenticationType: 'Managed',
  supportedServices: ['Email', 'OfficeCommunicationsOnline'],
  ...more,
})

export const licence = (skuId: string, more: Partial<LicenceFacts> = {}): LicenceFacts => ({
  skuId,
  skuPartNumber: skuId.toUpperCase(),
  enabled: 100,
  consumed: 10,
  capabilityStatus: 'Enabled',
  servicePlans: ['EXCHANGE_S_ENTERPRISE', 'SHAREPOINTENTERPRISE'],
  ...more,
})

const exchange = (more: Partial<ExchangeFacts> = {}): ExchangeFacts => ({
  isDehydrated: false,
  rejectDirectSend: false,
  disablePlusAddressInRecipients: false,
  sendFromAliasEnabled: false,
  acceptedDomains: [],
  inboundConnectors: [],
  outboundConnectors: [],
  transportRules: [],
  remoteDomains: [{ name: 'Default', domainName: '*', autoForwardEnabled: true, tnefEnabled: false }],
  organizationRelationships: [],
  ...more,
})

const facts = (name: string, own: ExchangeFacts, more: Partial<TenantFacts> = {}): TenantFacts => ({
  displayName: name,
  isSyncedFromOnPremises: false,
  domains: [domain(`${name}.example`, { isDefault: true }), domain(`${name}.onmicrosoft.com`, { isInitial: true })],
  licences: [licence('e3')],
  reportsConcealNames: false,
  exchange: own,
  ...more,
})

const known = (
  id: TenantId,
  side: 'source' | 'target',
  own: TenantFacts,
  more: Partial<KnownTenant> = {},
): KnownTenant => ({
  tenant: { id, side, label: side, cloud: 'global' },
  facts: own,
  consent: { state: 'connected', missing: [], problem: undefined },
  completed: { finishedAt: new Date(NOW - DAY_MS), gaps: [] },
  hasFailedSince: false,
  certificateExpiresAt: undefined,
  ...more,
})

export const snapshot = (more: Partial<AccountSnapshot> = {}): AccountSnapshot => ({
  objectId: '00000000-0000-4000-8000-000000000001',
  kind: 'user',
  displayName: 'Ann Example',
  userPrincipalName: 'ann@source.example',
  mail: 'ann@source.example',
  mailNickname: 'ann',
  addresses: ['ann@source.example'],
  x500: ['/o=ExchangeLabs/cn=ann'],
  otherAddresses: [],
  isEnabled: true,
  isSynced: false,
  attributes: { usageLocation: 'DE' },
  licences: ['e3'],
  mailbox: { recipientTypeDetails: 'UserMailbox', usedBytes: GB, items: 1_000, maxReceiveSize: 1_000 },
  drive: { usedBytes: GB, files: 10 },
  ...more,
})

export function viewOf(scene: Scene): ProjectView {
  const { source, target, sourceFacts, targetFacts, sourceExchange, targetExchange, mapped = new Map() } = scene
  return viewProject(
    [
      known(SOURCE, 'source', facts('source', exchange(sourceExchange), sourceFacts), source),
      known(TARGET, 'target', facts('target', exchange(targetExchange), targetFacts), target),
    ],
    mapped,
    NOW,
  )
}

export function judge(scene: Scene): JudgedFinding[] {
  const view = viewOf(scene)
  const {
    account,
    relations,
    isTarget = false,
    counts = { [SOURCE]: { senders: 1, licensedUnpaired: 1 } },
    unjudged = [],
  } = scene
  const tenant = isTarget ? TARGET : SOURCE
  const one = {
    id: SELF,
    tenant,
    sortKey: 'ann example',
    snapshot: snapshot(account),
    pairedWith: null,
    pairedMaxReceive: null,
  }
  return [
    ...judgeOne(one, { sharers: [], ...relations }, view),
    ...view.tenants.flatMap((own) => judgeWhole(own, view, { counts, unjudged })),
  ]
}
