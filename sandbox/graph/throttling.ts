// Graph's budgets as token buckets on the sandbox's clock: who is over which limit, what the answer says about it (contracts: throttling.json;
// microsoft-365.md §3). Without a scale nothing is limited, and costs are told all the same.
import { costOf } from './operation-cost.ts'
import type { Cost, Costed, PublishedCosts } from './operation-cost.ts'
import { RETRY_AFTER_FORMS, retryAfterText } from './retry-after.ts'
import type { RetryAfterForm } from './retry-after.ts'
import { TokenBucket } from './token-bucket.ts'
import type { Charge } from './token-bucket.ts'

/** As throttling.json writes it: the workloads of which this sandbox has operations. */
export interface PublishedThrottling {
  readonly graphGlobal: { readonly limit: number; readonly windowSeconds: number }
  readonly workloads: {
    readonly identity: PublishedCosts & { readonly limits: readonly PublishedLimit[] }
    readonly invitations: { readonly limits: readonly PublishedLimit[] }
    readonly reports: { readonly limits: readonly PublishedLimit[] }
    readonly filesAndSites: { readonly limits: readonly PublishedLimit[] }
  }
}

interface PublishedLimit {
  readonly scope: string
  readonly windowSeconds?: number
  readonly requests?: number
  readonly writes?: number
  readonly resourceUnits?: number | Readonly<Record<string, number>>
  readonly byLicences?: Readonly<Record<string, number>>
  readonly format?: string
}

export interface Throttled extends Costed {
  readonly appId: string
  readonly tenantId: string
  /** In the tenant: its size decides the budget. */
  readonly users: number
}

export interface Verdict {
  /** For the answer, whatever it is. */
  readonly headers: Readonly<Record<string, string>>
  readonly isRefused: boolean
}

interface Bucket {
  /** What is limited, to tell buckets apart. */
  readonly name: string
  readonly scope: string
  readonly information: 'ResourceUnitLimitExceeded' | 'WriteLimitExceeded' | undefined
  readonly capacity: number
  readonly windowMs: number
  readonly amount: number
}

/** No budget is so small that its dearest call could never pass. */
const DEAREST_CALL = 6
const WARNING_SHARE = 0.8

export class Throttling {
  readonly #published: PublishedThrottling
  readonly #nowMs: () => number
  readonly #buckets = new Map<string, TokenBucket>()
  #scale: number | undefined
  #form: RetryAfterForm | 'rotate' = 'rotate'
  #refusals = 0

  constructor(published: PublishedThrottling, nowMs: () => number) {
    this.#published = published
    this.#nowMs = nowMs
  }

  /** All budgets full. @param scale  of the published limits, > 0; undefined: no limits */
  limit(scale: number | undefined): void {
    if (scale !== undefined && !(scale > 0)) throw new RangeError('the scale is above 0')
    this.#scale = scale
    this.#buckets.clear()
  }

  /** How refusals say when to come again; `rotate`: each in the next form. */
  set retryAfterForm(form: RetryAfterForm | 'rotate') {
    this.#form = form
    this.#refusals = 0
  }

  /** Charges a call to its budgets, refused or not. */
  charge(call: Throttled): Verdict {
    const cost = costOf(this.#published.workloads.identity, call)
    const headers: Record<string, string> =
      cost.workload === 'identity' ? { 'x-ms-resource-unit': String(cost.units) } : {}
    if (this.#scale === undefined) return { headers, isRefused: false }
    const nowMs = this.#nowMs()
    const charged = this.#bucketsOf(call, cost, this.#scale).map((bucket) => ({
      bucket,
      charge: this.#bucket(bucket, nowMs).charge(bucket.amount, nowMs),
    }))
    let [worst] = charged
    for (const each of charged) {
      if (worst === undefined || isWorse(each.charge, worst.charge)) worst = each
    }
    if (worst === undefined) throw new Error('unreachable: every call has a budget')
    Object.assign(headers, budgetHeaders(worst.bucket, worst.charge, cost, call))
    if (!worst.charge.isRefused) return { headers, isRefused: false }
    const retryAfter = retryAfterText(this.#nextForm(), worst.charge.waitMs, nowMs)
    return { headers: retryAfter === undefined ? headers : { ...headers, 'retry-after': retryAfter }, isRefused: true }
  }

  #nextForm(): RetryAfterForm {
    if (this.#form !== 'rotate') return this.#form
    return RETRY_AFTER_FORMS[this.#refusals++ % RETRY_AFTER_FORMS.length] ?? 'integer'
  }

  #bucket({ name, capacity, windowMs }: Bucket, nowMs: number): TokenBucket {
    // A tenant that grows into another size gets that size's budget, full.
    const key = `${name} ${capacity}`
    const known = this.#buckets.get(key)
    if (known !== undefined) return known
    const bucket = new TokenBucket(capacity, windowMs, nowMs)
    this.#buckets.set(key, bucket)
    return bucket
  }

  #bucketsOf(call: Throttled, cost: Cost, scale: number): Bucket[] {
    const { graphGlobal, workloads } = this.#published
    const { limit, windowSeconds } = graphGlobal
    const buckets = [bucketOf({ scope: 'app', windowSeconds, requests: limit }, 'graph', call, cost, scale)]
    const add = (name: string, limits: readonly PublishedLimit[]) =>
      buckets.push(...limits.map((each) => bucketOf(each, name, call, cost, scale)))
    switch (cost.workload) {
      case 'identity':
        add('identity', workloads.identity.limits)
        break
      case 'reports': {
        const csv = workloads.reports.limits.filter(({ format }) => format === 'CSV')
        add(`report ${call.template}`, csv)
        break
      }
      case 'invitations':
        add('invitations', workloads.invitations.limits)
        break
      case 'files':
        add('files', workloads.filesAndSites.limits)
        break
      case 'none':
        break
      default:
        cost.workload satisfies never
    }
    return buckets.filter((bucket) => bucket !== undefined)
  }
}

/** undefined: it does not limit this call. */
function bucketOf(
  limit: PublishedLimit,
  workload: string,
  call: Throttled,
  cost: Cost,
  scale: number,
): Bucket | undefined {
  const { scope, windowSeconds } = limit
  if (windowSeconds === undefined) return undefined
  const measure = measured(limit, workload, call, cost)
  if (measure === undefined) return undefined
  const { what, size, amount, smallest } = measure
  const whose = { app: call.appId, tenant: call.tenantId }[scope.split(/[^a-z]/i, 1)[0] === 'tenant' ? 'tenant' : 'app']
  return {
    name: `${workload} ${what} ${windowSeconds} ${isPerTenantAndApp(scope) ? `${call.appId} ${call.tenantId}` : whose}`,
    scope: isPerTenantAndApp(scope) ? 'Tenant_Application' : scope.startsWith('tenant') ? 'Tenant' : 'Application',
    information:
      workload !== 'identity' ? undefined : what === 'writes' ? 'WriteLimitExceeded' : 'ResourceUnitLimitExceeded',
    capacity: Math.max(size * scale, smallest),
    windowMs: windowSeconds * 1000,
    amount,
  }
}

const isPerTenantAndApp = (scope: string): boolean => scope.startsWith('app+tenant')

function measured(
  limit: PublishedLimit,
  workload: string,
  call: Throttled,
  cost: Cost,
): { what: string; size: number; amount: number; smallest: number } | undefined {
  const { requests, writes, resourceUnits, byLicences } = limit
  if (writes !== undefined) {
    return cost.isWrite ? { what: 'writes', size: writes, amount: 1, smallest: 1 } : undefined
  }
  if (resourceUnits !== undefined) {
    const size = typeof resourceUnits === 'number' ? resourceUnits : resourceUnits[sizeOf(call.users)]
    return size === undefined ? undefined : { what: 'units', size, amount: cost.units, smallest: DEAREST_CALL }
  }
  if (byLicences !== undefined) {
    const size = bracketOf(byLicences, call.users)
    return { what: 'units', size, amount: cost.units, smallest: DEAREST_CALL }
  }
  // Bytes, sharing calls and mails of the files workload are told apart by calls that directories don't have.
  if (requests === undefined || workload === 'files') return undefined
  return { what: 'requests', size: requests, amount: 1, smallest: 1 }
}

/** As the identity limits size tenants: under 50, to 500, above. */
function sizeOf(users: number): 'S' | 'M' | 'L' {
  return users < 50 ? 'S' : users <= 500 ? 'M' : 'L'
}

/** `0-1000`, …, `50000+` */
function bracketOf(brackets: Readonly<Record<string, number>>, count: number): number {
  for (const [bracket, limit] of Object.entries(brackets)) {
    const [, highest] = /-(\d+)$/.exec(bracket) ?? []
    if (highest === undefined || count <= Number(highest)) return limit
  }
  throw new Error('unreachable: the last bracket is open')
}

function isWorse(one: Charge, other: Charge): boolean {
  if (one.isRefused !== other.isRefused) return one.isRefused
  return one.isRefused ? one.waitMs > other.waitMs : one.usedShare > other.usedShare
}

/** Told from eight tenths of a budget on, and who ran into what once it is refused. */
function budgetHeaders(bucket: Bucket, charge: Charge, cost: Cost, call: Throttled): Record<string, string> {
  if (charge.usedShare < WARNING_SHARE && !charge.isRefused) return {}
  if (cost.workload === 'files') {
    return {
      'RateLimit-Limit': String(Math.floor(bucket.capacity)),
      'RateLimit-Remaining': String(Math.floor(charge.remaining)),
      'RateLimit-Reset': String(Math.ceil(charge.resetMs / 1000)),
    }
  }
  if (cost.workload !== 'identity') return {}
  const share = Math.min(1.8, Math.max(WARNING_SHARE, charge.usedShare))
  const headers = { 'x-ms-throttle-limit-percentage': share.toFixed(2) }
  if (!charge.isRefused) return headers
  const kind = bucket.information === 'WriteLimitExceeded' ? 'Write' : 'ReadWrite'
  return {
    ...headers,
    'x-ms-throttle-scope': `${bucket.scope}/${kind}/${call.appId}/${call.tenantId}`,
    ...(bucket.information === undefined ? {} : { 'x-ms-throttle-information': bucket.information }),
  }
}
