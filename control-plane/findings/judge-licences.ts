// Licences, and what they allow: seats for people to come, and how many external recipients a tenant may write to in a day. Pure.
// (migration-semantics.md §4, coexistence.md §3)
import type { Said } from './finding.ts'
import type { ProjectView, TenantView } from './project-view.ts'

/** Counted while accounts were judged, by tenant. */
export interface AccountCounts {
  /** Those with a mailbox or a licence for one. */
  readonly senders: number
  /** People with a licence for Exchange Online and no pair. */
  readonly licensedUnpaired: number
}

export type CountsByTenant = Readonly<Record<string, AccountCounts>>

const NO_COUNTS: AccountCounts = { senders: 0, licensedUnpaired: 0 }
/** External recipients that one person writes to on a busy day, with room: below this the limit is worth a warning. */
const RECIPIENTS_A_PERSON = 20
const MAX_NAMED = 20
const ACTIVE = new Set(['Enabled', 'Warning'])

/** Tenant External Recipient Rate Limit: external recipients in 24 h. (coexistence.md §3) */
export const recipientLimit = (licences: number): number => Math.floor(500 * licences ** 0.7 + 9_500)

export function judgeLicences(own: TenantView, project: ProjectView, counts: CountsByTenant): Said[] {
  const { facts } = own
  if (facts === undefined) return []
  const said: Said[] = []
  const names = (code: 'licence-suspended' | 'licence-overused', found: typeof facts.licences) => {
    const products = found
      .map(({ skuPartNumber }) => skuPartNumber)
      .toSorted()
      .slice(0, MAX_NAMED)
    if (products.length > 0) said.push({ code, details: { products } })
  }
  names(
    'licence-suspended',
    facts.licences.filter(
      ({ capabilityStatus, consumed }) => capabilityStatus !== 'Enabled' && capabilityStatus !== '' && consumed > 0,
    ),
  )
  names(
    'licence-overused',
    facts.licences.filter(
      ({ enabled, consumed, capabilityStatus }) => ACTIVE.has(capabilityStatus) && consumed > enabled,
    ),
  )
  said.push(...(own.tenant.side === 'target' ? judgeSeats(own, project, counts) : judgeProducts(own, project)))
  return [...said, ...judgeRecipients(own, project, counts)]
}

function judgeSeats({ facts, mailLicences }: TenantView, { tenants }: ProjectView, counts: CountsByTenant): Said[] {
  const free = (facts?.licences ?? [])
    .filter(({ skuId, capabilityStatus }) => mailLicences.has(skuId) && ACTIVE.has(capabilityStatus))
    .reduce((sum, { enabled, consumed }) => sum + Math.max(0, enabled - consumed), 0)
  const needed = tenants
    .filter(({ tenant }) => tenant.side === 'source')
    .reduce((sum, { id }) => sum + (counts[id] ?? NO_COUNTS).licensedUnpaired, 0)
  return needed > free ? [{ code: 'licences-short-in-target', details: { needed, free } }] : []
}

function judgeProducts({ facts }: TenantView, { target }: ProjectView): Said[] {
  if (target?.facts === undefined) return []
  const there = new Set(target.facts.licences.map(({ skuId }) => skuId))
  const products = (facts?.licences ?? [])
    .filter(({ skuId, consumed }) => consumed > 0 && !there.has(skuId))
    .map(({ skuPartNumber }) => skuPartNumber)
    .toSorted()
  return products.length === 0
    ? []
    : [
        {
          code: 'licence-kind-missing-in-target',
          details: { count: products.length, products: products.slice(0, MAX_NAMED) },
        },
      ]
}

/** Those with Exchange Online that the tenant has, assigned or not. */
export const countMailLicences = ({ facts, mailLicences }: TenantView): number =>
  (facts?.licences ?? [])
    .filter(({ skuId, capabilityStatus }) => mailLicences.has(skuId) && ACTIVE.has(capabilityStatus))
    .reduce((sum, { enabled }) => sum + enabled, 0)

/** Mail of the sources leaves by the target too, once it is routed through the relay. */
function judgeRecipients(own: TenantView, { tenants }: ProjectView, counts: CountsByTenant): Said[] {
  const licences = countMailLicences(own)
  const people = tenants
    .filter(({ id, tenant }) => id === own.id || (own.tenant.side === 'target' && tenant.side === 'source'))
    .reduce((sum, { id }) => sum + (counts[id] ?? NO_COUNTS).senders, 0)
  if (licences === 0 || people === 0) return []
  const limit = recipientLimit(licences)
  const eachRouted = Math.floor(limit / 2 / people)
  return [
    {
      code: eachRouted < RECIPIENTS_A_PERSON ? 'terrl-tight' : 'terrl-forecast',
      details: { licences, people, limit, eachRouted },
    },
  ]
}
