// Everything that a dry run of coexistence is told, in the order in which it should be read. Pure. (coexistence.md §1.6, §2.1 row 0)
import { SEVERITIES } from './finding-kind.ts'
import { kindOf } from './finding-kinds.ts'
import { judgeForecast } from './judge-forecast.ts'
import { judgeKnown } from './judge-known.ts'
import { judgeRecords } from './judge-records.ts'
import { judgeRelays } from './judge-relays.ts'
import { judgeRules } from './judge-rules.ts'
import { judgeScope } from './judge-scope.ts'
import type { Preflight, PreflightFinding } from './preflight.ts'

/** The worst first, then by code; of one code by tenant and domain. */
export function judgePreflight(preflight: Preflight): PreflightFinding[] {
  const judges = [judgeScope, judgeForecast, judgeRecords, judgeRules, judgeRelays, judgeKnown]
  const labels = new Map(preflight.tenants.map(({ id, label }) => [id, label]))
  const placeOf = ({ code, tenant, domain = '' }: PreflightFinding) =>
    `${SEVERITIES.indexOf(kindOf(code).severity)} ${code} ${tenant === undefined ? '' : labels.get(tenant)} ${domain}`
  return judges
    .flatMap((judge) => judge(preflight))
    .map((finding) => ({ finding, place: placeOf(finding) }))
    .toSorted((a, b) => (a.place < b.place ? -1 : 1))
    .map(({ finding }) => finding)
}
