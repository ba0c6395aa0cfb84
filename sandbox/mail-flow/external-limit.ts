// How many external recipients a tenant has written to in 24 hours, and how many it may (TERRL; coexistence.md §3).
import type { SimulatedTenant } from '../tenants/tenant.ts'

const DAY_MS = 86_400_000
/** Of senders in the tenant's onmicrosoft.com domain. */
const INITIAL_DOMAIN_LIMIT = 100

const OVER_LIMIT =
  "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients"
const OVER_INITIAL_LIMIT = '550 5.7.236 Message limit exceeded for sending from an onmicrosoft.com domain'

interface Sent {
  readonly atMs: number
  readonly count: number
  readonly isInitialDomain: boolean
}

/** 500 × licences^0.7 + 9,500, rounded down. */
export function externalRecipientLimit(licences: number): number {
  return Math.floor(500 * licences ** 0.7 + 9500)
}

/** Of one tenant. Mail that is routed out and comes back is counted each time it leaves. */
export class ExternalLimit {
  readonly #tenant: SimulatedTenant
  readonly #sent: Sent[] = []

  constructor(tenant: SimulatedTenant) {
    this.#tenant = tenant
  }

  /** Counts them, unless they are too many: then the reply. */
  take(count: number, senderDomain: string, nowMs: number): string | undefined {
    if (count === 0) return undefined
    const isInitialDomain = this.#tenant.data.domains.some((domain) => domain.isInitial && domain.id === senderDomain)
    if (this.total(nowMs) + count > this.limit) return OVER_LIMIT
    if (isInitialDomain && this.#total((sent) => sent.isInitialDomain) + count > INITIAL_DOMAIN_LIMIT)
      return OVER_INITIAL_LIMIT
    this.#sent.push({ atMs: nowMs, count, isInitialDomain })
    return undefined
  }

  get limit(): number {
    return externalRecipientLimit(this.#tenant.data.licences.reduce((sum, { enabled }) => sum + enabled, 0))
  }

  /** Of the last 24 hours. */
  total(nowMs: number): number {
    const firstWithin = this.#sent.findIndex(({ atMs }) => atMs > nowMs - DAY_MS)
    this.#sent.splice(0, firstWithin < 0 ? this.#sent.length : firstWithin)
    return this.#total(() => true)
  }

  #total(isCounted: (sent: Sent) => boolean): number {
    return this.#sent.reduce((sum, sent) => sum + (isCounted(sent) ? sent.count : 0), 0)
  }
}
