// What DNS says of presented domains, as a receiver of their mail will read it: SPF, DKIM, DMARC and MX. Pure: texts come from whoever runs the
// domain, and are read no further than the words that matter. (coexistence.md §1.6; RFC 7208, RFC 6376, RFC 7489)
import { unfoldSpf } from './spf.ts'
import type { Preflight, PreflightFinding, PresentedDomain, PublishedRecords } from './preflight.ts'

const MAX_SHOWN = 200
const EXCHANGE_SPF =
  /^(?:spf\.protection\.(?:outlook\.com|office365\.us|partner\.outlook\.cn)|spf\.(?:dod\.)?protection\.office365\.us)$/
const EXCHANGE_MX = /(?:^|\.)(?:mail\.protection\.(?:outlook\.com|office365\.us|partner\.outlook\.cn)|mx\.microsoft)$/

export function judgeRecords({ domains, setting }: Preflight): PreflightFinding[] {
  return domains.flatMap((presented) => judgeDomain(presented, setting.route))
}

type Route = Preflight['setting']['route']

function judgeDomain(presented: PresentedDomain, route: Route): PreflightFinding[] {
  const { domain, owner: tenant, people, dkim, records } = presented
  const silent = Object.entries({ MX: records.mx, SPF: records.spf, DMARC: records.dmarc, DKIM: dkim })
    .filter(([, asked]) => asked === 'unreachable')
    .map(([name]) => name)
  const found: Omit<PreflightFinding, 'tenant' | 'domain'>[] = [
    ...(silent.length > 0 ? [{ code: 'dns-unreachable' as const, details: { records: silent } }] : []),
    ...judgeSpf(records),
    ...judgeDkim(presented),
    ...judgeDmarc(presented, route),
    ...judgeMx(records),
  ]
  return found.map(({ code, details }) => ({ code, tenant, domain, details: { ...details, people } }))
}

type Said = Omit<PreflightFinding, 'tenant' | 'domain'>

function judgeSpf({ spf, spfIncludes }: PublishedRecords): Said[] {
  if (spf === 'unreachable') return []
  const [record, ...others] = spf
  if (record === undefined) return [{ code: 'spf-missing', details: {} }]
  if (others.length > 0) return [{ code: 'spf-several', details: { count: spf.length } }]
  const names = [...unfoldSpf(record), ...spfIncludes]
  return names.some((name) => EXCHANGE_SPF.test(name))
    ? []
    : [{ code: 'spf-without-exchange', details: { record: record.slice(0, MAX_SHOWN) } }]
}

function judgeDkim({ dkim }: PresentedDomain): Said[] {
  if (dkim === undefined) return [{ code: 'presented-domain-unsigned', details: {} }]
  return dkim === 'missing' || dkim === 'different' ? [{ code: 'dkim-record-wrong', details: { record: dkim } }] : []
}

/** With route owner-tenant Exchange signs what it delivers by keys of its own, where the domain has them; with return it can't. */
function judgeDmarc({ records: { dmarc, exchangeKeys }, dkim }: PresentedDomain, route: Route): Said[] {
  if (dmarc === 'unreachable') return []
  const [record] = dmarc
  if (record === undefined) return [{ code: 'dmarc-missing', details: {} }]
  const policy = tagOf(record, 'p')
  const isStrict = policy === 'quarantine' || policy === 'reject'
  const isSigned = dkim === 'found' || dkim === 'unreachable' || (route === 'owner-tenant' && exchangeKeys.length > 0)
  return isStrict && !isSigned ? [{ code: 'dmarc-strict-unsigned', details: { policy } }] : []
}

/** RFC 7489 §6.3: `tag=value` between semicolons. Lower case. */
function tagOf(record: string, tag: string): string | undefined {
  for (const part of record.split(';')) {
    const [name = '', value] = part.split('=', 2)
    if (name.trim().toLowerCase() === tag) return value?.trim().toLowerCase()
  }
  return undefined
}

function judgeMx({ mx }: PublishedRecords): Said[] {
  if (mx === 'unreachable') return []
  if (mx.length === 0) return [{ code: 'mx-missing', details: {} }]
  const elsewhere = mx.filter((host) => !EXCHANGE_MX.test(host.toLowerCase()))
  return elsewhere.length === 0
    ? []
    : [{ code: 'mx-elsewhere', details: { hosts: elsewhere.map((host) => host.slice(0, 255)).slice(0, 10) } }]
}
