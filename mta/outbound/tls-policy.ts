// What TLS with a mail exchanger must be: DANE wins over MTA-STS, and without either TLS is taken where it is offered. A policy that can't be
// satisfied by a host rules the host out, and never becomes a weaker one. Pure. (DL-7, RFC 7672 §2.2, RFC 8461 §5)
import { daneJudge, isUsable } from './dane.ts'
import type { DaneFinding } from './dane.ts'
import { isMxOfPolicy } from './mta-sts-policy.ts'
import type { StsPolicy } from './mta-sts-policy.ts'
import type { TlsDemand } from './start-tls.ts'
import type { TlsFailure } from './tls-failure.ts'

/** In the words of TLS reporting (RFC 8460 §4.4). */
export const POLICY_TYPES = ['tlsa', 'sts', 'no-policy-found'] as const
export type PolicyType = (typeof POLICY_TYPES)[number]

export type HostPlan =
  | {
      readonly kind: 'use'
      readonly tls: Exclude<TlsDemand, { kind: 'none' }>
      readonly policy: PolicyType
      /** What a policy under test would have failed for: mail goes on, the report tells. */
      readonly wouldFail?: TlsFailure
    }
  /** Not this host. */
  | { readonly kind: 'skip'; readonly policy: PolicyType; readonly failure: TlsFailure; readonly text: string }

export interface HostFindings {
  /** As the MX names it. */
  readonly host: string
  readonly domain: string
  readonly dane: DaneFinding
  /** undefined: none, or one whose mode is `none`. */
  readonly sts: StsPolicy | undefined
  /** ms since the epoch */
  readonly now: () => number
}

export function planHost({ host, domain, dane, sts, now }: HostFindings): HostPlan {
  if (dane.kind === 'failed') return { kind: 'skip', policy: 'tlsa', failure: 'dnssec-invalid', text: dane.text }
  const bySts = planBySts(host, sts)
  if (dane.kind === 'absent') return bySts
  const usable = dane.records.filter(isUsable)
  if (usable.length > 0) {
    // RFC 7672 §3.2.3: the base name, the name in the MX, and the domain itself.
    const judge = daneJudge(usable, [dane.baseName, host, domain], now)
    return { kind: 'use', policy: 'tlsa', tls: { kind: 'dane', name: dane.baseName, judge } }
  }
  // RFC 7672 §2.2: records that nobody can use still say that there is TLS. A stricter MTA-STS policy asks for that and more.
  if (bySts.kind === 'skip' || bySts.tls.kind === 'verify') return bySts
  return { kind: 'use', policy: 'tlsa', tls: { kind: 'encrypt', name: dane.baseName } }
}

function planBySts(host: string, sts: StsPolicy | undefined): HostPlan {
  const may: TlsDemand = { kind: 'may', name: host }
  if (sts === undefined || sts.mode === 'none') return { kind: 'use', policy: 'no-policy-found', tls: may }
  const isListed = isMxOfPolicy(host, sts)
  if (sts.mode === 'testing')
    return { kind: 'use', policy: 'sts', tls: may, ...(isListed ? {} : { wouldFail: 'validation-failure' }) }
  if (isListed) return { kind: 'use', policy: 'sts', tls: { kind: 'verify', name: host, by: 'mta-sts' } }
  const text = `the MTA-STS policy of the domain does not list its mail exchanger ${host}`
  return { kind: 'skip', policy: 'sts', failure: 'validation-failure', text }
}
