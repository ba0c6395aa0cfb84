// What TLS with mail exchangers came to, counted by domain, policy and day, and told in the form of RFC 8460: a file for each domain when its day
// (UTC) is over, or when asked. Nothing is sent to anybody. (DL-8)
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../../common/log.ts'
import { Counter } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { ReportTls } from './mx.ts'
import type { StsPolicy } from './mta-sts-policy.ts'
import type { TlsFailure } from './tls-failure.ts'
import type { PolicyType } from './tls-policy.ts'

export interface TlsReportsDeps {
  /** Who reports: the relay's name. */
  readonly organization: string
  /** undefined: nothing is written, only counted for the metric. */
  readonly files: { readonly directory: string; readonly contact: string } | undefined
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** Domains counted at once, each day anew. */
  readonly mostDomainDays?: number
}

type Session = Parameters<ReportTls>[0]

interface Failures {
  readonly failure: TlsFailure
  readonly host: string | undefined
  readonly address: string | undefined
  count: number
}

interface PolicyCounts {
  readonly type: PolicyType
  readonly lines: readonly string[]
  readonly mxHosts: readonly string[]
  successes: number
  failed: number
  readonly failures: Map<string, Failures>
}

/** Of one domain on one day. */
interface DomainDay {
  readonly domain: string
  /** ms since the epoch, of its first second in UTC */
  readonly dayMs: number
  readonly policies: Map<string, PolicyCounts>
}

const DAY_MS = 86_400_000
const MAX_DOMAIN_DAYS = 10_000
const MAX_POLICIES = 10
const MAX_FAILURES = 50

export class TlsReports {
  readonly #deps: TlsReportsDeps
  readonly #days = new Map<string, DomainDay>()
  readonly #sessions: Counter<'policy' | 'result'>
  readonly #beganAt: number

  constructor(deps: TlsReportsDeps) {
    this.#deps = deps
    this.#beganAt = deps.now()
    this.#sessions = new Counter({
      name: 'causeway_tls_report_sessions_total',
      help: 'Sessions with mail exchangers by the policy that held and what TLS came to',
      labelNames: ['policy', 'result'],
      registers: [deps.metrics],
    })
  }

  readonly note: ReportTls = (session) => {
    const result = resultOf(session)
    if (result === undefined) return
    const { domain, host, address, plan } = session
    this.#count(domain, plan.policy, policyLines(session), session.sts, result, { host, address })
  }

  /** The policy of a domain couldn't be had. */
  noteUnfetched(domain: string, failure: TlsFailure): void {
    this.#count(domain, 'sts', [], undefined, failure, { host: undefined, address: undefined })
  }

  #count(
    domain: string,
    type: PolicyType,
    lines: readonly string[],
    sts: StsPolicy | undefined,
    result: 'success' | TlsFailure,
    at: { host: string | undefined; address: string | undefined },
  ): void {
    this.#sessions.inc({ policy: type, result })
    const counts = this.#deps.files === undefined ? undefined : this.#countsOf(domain, type, lines, sts)
    if (counts === undefined) return
    if (result === 'success') {
      counts.successes++
      return
    }
    counts.failed++
    const key = `${result} ${at.host} ${at.address}`
    const known = counts.failures.get(key)
    if (known !== undefined) known.count++
    else if (counts.failures.size < MAX_FAILURES) counts.failures.set(key, { failure: result, ...at, count: 1 })
  }

  /** undefined when there is no room for another domain, or policy of it: the metric still counts. */
  #countsOf(
    domain: string,
    type: PolicyType,
    lines: readonly string[],
    sts: StsPolicy | undefined,
  ): PolicyCounts | undefined {
    const now = this.#deps.now()
    const dayMs = now - (now % DAY_MS)
    const key = `${dayMs} ${domain}`
    let day = this.#days.get(key)
    if (day === undefined) {
      if (this.#days.size >= (this.#deps.mostDomainDays ?? MAX_DOMAIN_DAYS)) return undefined
      day = { domain, dayMs, policies: new Map() }
      this.#days.set(key, day)
    }
    const policyKey = [type, ...lines].join('\n')
    let counts = day.policies.get(policyKey)
    if (counts === undefined) {
      if (day.policies.size >= MAX_POLICIES) return undefined
      const mxHosts = type === 'sts' && sts !== undefined ? sts.mx : []
      counts = { type, lines, mxHosts, successes: 0, failed: 0, failures: new Map() }
      day.policies.set(policyKey, counts)
    }
    return counts
  }

  /**
   * Writes the reports of days that are over, and forgets them.
   * @param isLast  of the day under way as well: the process ends
   */
  async write(isLast = false): Promise<void> {
    const { files, now, log } = this.#deps
    if (files === undefined) return
    for (const [key, day] of this.#days) {
      const isOver = now() >= day.dayMs + DAY_MS
      if (!isOver && !isLast) continue
      this.#days.delete(key)
      const range = {
        fromMs: Math.max(day.dayMs, Math.min(this.#beganAt, now())),
        toMs: isOver ? day.dayMs + DAY_MS - 1000 : now(),
      }
      try {
        await mkdir(files.directory, { recursive: true, mode: 0o700 })
        const report = reportOf(day, range, { organization: this.#deps.organization, contact: files.contact })
        await writeFile(join(files.directory, fileName(this.#deps.organization, day.domain, range)), jsonOf(report), {
          mode: 0o600,
          flag: 'wx',
        })
      } catch (error) {
        // Once more, as long as there is a next time.
        if (!isLast) this.#days.set(key, day)
        log.warn('tls-report.unwritten', { error })
        break
      }
    }
  }
}

/** What one session counts as; undefined: it says nothing of TLS. */
export function resultOf({ plan, opened }: Session): 'success' | TlsFailure | undefined {
  if (plan.kind === 'skip') return plan.failure
  if (opened === undefined) return undefined
  if ('failure' in opened) return 'fault' in opened.failure ? opened.failure.fault.tls : undefined
  const { security, unbelieved } = opened.connection
  if (security === undefined) return 'starttls-not-supported'
  // A policy under test: mail went on, and the domain learns what would have kept it.
  if (plan.policy === 'sts' && plan.tls.kind === 'may') return plan.wouldFail ?? unbelieved ?? 'success'
  return 'success'
}

function policyLines({ plan, sts, dane }: Session): string[] {
  if (plan.policy === 'tlsa' && dane.kind === 'records') {
    return dane.records.map(({ usage, selector, matchingType, certificate }) =>
      [usage, selector, matchingType, certificate.toString('hex')].join(' '),
    )
  }
  if (plan.policy !== 'sts' || sts === undefined) return []
  const mx = sts.mx.map((pattern) => `mx: ${pattern}`)
  return ['version: STSv1', `mode: ${sts.mode}`, ...mx, `max_age: ${sts.maxAgeSeconds}`]
}

interface Range {
  readonly fromMs: number
  readonly toMs: number
}

function reportOf(day: DomainDay, { fromMs, toMs }: Range, from: { organization: string; contact: string }) {
  const at = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`
  return {
    'organization-name': from.organization,
    'date-range': { 'start-datetime': at(fromMs), 'end-datetime': at(toMs) },
    'contact-info': from.contact,
    'report-id': `${at(fromMs)}_${day.domain}`,
    policies: [...day.policies.values()].map((counts) => policyOf(day.domain, counts)),
  }
}

function policyOf(domain: string, { type, lines, mxHosts, successes, failed, failures }: PolicyCounts) {
  const all = [...failures.values()]
  return {
    policy: {
      'policy-type': type,
      ...(lines.length === 0 ? {} : { 'policy-string': lines }),
      'policy-domain': domain,
      ...(mxHosts.length === 0 ? {} : { 'mx-host': mxHosts }),
    },
    summary: {
      'total-successful-session-count': successes,
      'total-failure-session-count': failed,
    },
    ...(all.length === 0
      ? {}
      : {
          'failure-details': all.map(({ failure, host, address, count }) => ({
            'result-type': failure,
            ...(host === undefined ? {} : { 'receiving-mx-hostname': host }),
            ...(address === undefined ? {} : { 'receiving-ip': address }),
            'failed-session-count': count,
          })),
        }),
  }
}

/** RFC 8460 §5.1; the last part keeps two of one second apart. Domains are host names, so that none leads out of the folder. */
function fileName(organization: string, domain: string, { fromMs, toMs }: Range): string {
  const seconds = [fromMs, toMs].map((ms) => Math.floor(ms / 1000))
  return `${[organization, domain, ...seconds, randomBytes(4).toString('hex')].join('!')}.json`
}

function jsonOf(report: object): string {
  return `${JSON.stringify(report, null, 2)}\n`
}
