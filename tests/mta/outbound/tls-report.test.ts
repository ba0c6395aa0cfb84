// TLS reports in the form of RFC 8460: DL-8. The golden file is what a domain would be sent.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Registry } from 'prom-client'
import type { SmtpConnection } from '../../../mta/outbound/client.ts'
import type { DaneFinding } from '../../../mta/outbound/dane.ts'
import type { ReportTls } from '../../../mta/outbound/mx.ts'
import { parseStsPolicy } from '../../../mta/outbound/mta-sts-policy.ts'
import type { Security } from '../../../mta/outbound/start-tls.ts'
import type { TlsFailure } from '../../../mta/outbound/tls-failure.ts'
import { planHost } from '../../../mta/outbound/tls-policy.ts'
import { TlsReports } from '../../../mta/outbound/tls-report.ts'
import { listLog } from '../queue/world.ts'

const GOLDEN = new URL('tls-report.golden', import.meta.url)
const directory = mkdtempSync(join(tmpdir(), 'causeway-reports-'))
after(() => rmSync(directory, { recursive: true, force: true }))

const NOON = Date.UTC(2026, 10, 28, 12)
const HOUR_MS = 3_600_000
let folders = 0

function reportsAt(clock: { now: number }, hasFiles = true) {
  const folder = join(directory, String(++folders))
  const metrics = new Registry()
  const reports = new TlsReports({
    organization: 'relay.contoso.example',
    files: hasFiles ? { directory: folder, contact: 'postmaster@contoso.example' } : undefined,
    log: listLog([]),
    metrics,
    now: () => clock.now,
    mostDomainDays: 100,
  })
  const files = () => (existsSync(folder) ? readdirSync(folder).toSorted() : [])
  return { reports, metrics, folder, files }
}

type Session = Parameters<ReportTls>[0]

/** What a connection is to a report. */
const connected = (security: Security | undefined, unbelieved?: TlsFailure): Session['opened'] => ({
  connection: { security, unbelieved } as SmtpConnection,
})
const failedBy = (tls: TlsFailure): Session['opened'] => ({ failure: { fault: { kind: 'insecure', text: '', tls } } })
const encrypted: Security = { protocol: 'TLSv1.3', verifiedBy: 'nothing' }
const byDane: DaneFinding = {
  kind: 'records',
  baseName: 'mx.fabrikam.example',
  records: [{ usage: 3, selector: 1, matchingType: 1, certificate: Buffer.alloc(32, 0xab) }],
}

function session(
  domain: string,
  opened: Session['opened'],
  more: Partial<Pick<Session, 'sts' | 'dane'>> & { host?: string } = {},
): Session {
  const { sts, dane = { kind: 'absent' }, host = `mx.${domain}` } = more
  return {
    domain,
    host,
    address: '192.0.2.25',
    sts,
    dane,
    opened,
    plan: planHost({ host, domain, dane, sts, now: Date.now }),
  }
}

const STS = parseStsPolicy(
  'version: STSv1\nmode: enforce\nmx: mx.northwind.example\nmx: *.mail.example\nmax_age: 86400',
)

test('DL-8: a day of one domain is a report in the form of RFC 8460, by policy and failure', async () => {
  const clock = { now: NOON - 2 * HOUR_MS }
  const { reports, folder, files } = reportsAt(clock)
  clock.now = NOON
  for (let i = 0; i < 3; i++) reports.note(session('northwind.example', connected(encrypted), { sts: STS }))
  for (const failure of ['certificate-expired', 'certificate-expired', 'starttls-not-supported'] as const)
    reports.note(session('northwind.example', failedBy(failure), { sts: STS }))
  reports.note(session('northwind.example', undefined, { sts: STS, host: 'evil.example' }))
  reports.noteUnfetched('northwind.example', 'sts-webpki-invalid')
  reports.note(session('northwind.example', connected(undefined)))
  reports.note(session('northwind.example', failedBy('tlsa-invalid'), { dane: byDane }))
  await reports.write()
  assert.deepEqual(files(), [], 'the day is not over')
  clock.now = NOON + 12 * HOUR_MS
  await reports.write()
  const [file = ''] = files()
  assert.match(file, /^relay\.contoso\.example!northwind\.example!1795860000!1795910399![0-9a-f]{8}\.json$/)
  assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600)
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  const made = readFileSync(join(folder, file), 'utf8')
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(GOLDEN, made)
  assert.equal(made, readFileSync(GOLDEN, 'utf8'))
  await reports.write()
  assert.equal(files().length, 1, 'it is forgotten')
})

test('days and domains are kept apart; the day under way is written when the process ends', async () => {
  const clock = { now: NOON }
  const { reports, folder, files } = reportsAt(clock)
  reports.note(session('a.example', connected(encrypted)))
  reports.note(session('b.example', connected(encrypted)))
  clock.now += 24 * HOUR_MS
  reports.note(session('a.example', connected(encrypted)))
  await reports.write()
  assert.equal(files().length, 2)
  await reports.write(true)
  assert.equal(files().length, 3)
  const ranges = files().map((file) => {
    const { 'date-range': range } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Record<
      string,
      Record<string, string>
    >
    return `${range?.['start-datetime']} ${range?.['end-datetime']}`
  })
  assert.deepEqual(ranges.toSorted(), [
    '2026-11-28T12:00:00Z 2026-11-28T23:59:59Z',
    '2026-11-28T12:00:00Z 2026-11-28T23:59:59Z',
    '2026-11-29T00:00:00Z 2026-11-29T12:00:00Z',
  ])
})

test('a session that came to nothing for other reasons than TLS is in no report', async () => {
  const { reports, files } = reportsAt({ now: NOON })
  reports.note(session('a.example', { failure: { fault: { kind: 'unreachable', text: '' } } }))
  reports.note(session('a.example', { failure: { reply: { code: 421, status: '4.3.2', text: '' } } }))
  await reports.write(true)
  assert.deepEqual(files(), [])
})

test('a report that can not be written is written when it can', async () => {
  const clock = { now: NOON }
  const { reports, folder, files } = reportsAt(clock)
  reports.note(session('a.example', connected(encrypted)))
  clock.now += 24 * HOUR_MS
  writeFileSync(folder, 'in the way')
  await reports.write()
  rmSync(folder)
  await reports.write()
  assert.equal(files().length, 1)
})

test('without a folder nothing is kept, and the metric counts by policy and result', async () => {
  const { reports, metrics } = reportsAt({ now: NOON }, false)
  reports.note(session('a.example', connected(encrypted), { sts: undefined }))
  reports.note(session('northwind.example', failedBy('certificate-expired'), { sts: STS }))
  await reports.write(true)
  const text = await metrics.metrics()
  assert.match(text, /causeway_tls_report_sessions_total\{policy="no-policy-found",result="success"\} 1/)
  assert.match(text, /causeway_tls_report_sessions_total\{policy="sts",result="certificate-expired"\} 1/)
})

test('bounded: domains, policies and failures beyond their number are counted by the metric alone', async () => {
  const { reports, metrics, files, folder } = reportsAt({ now: NOON })
  for (let i = 0; i < 200; i++)
    reports.note({ ...session('a.example', failedBy('certificate-expired')), address: `192.0.2.${i}` })
  for (let i = 0; i < 200; i++) reports.note(session(`d${i}.example`, connected(undefined)))
  await reports.write(true)
  assert.equal(files().length, 100)
  const report = readFileSync(join(folder, files().find((file) => file.includes('!a.example!')) ?? ''), 'utf8')
  assert.equal(report.split('certificate-expired').length - 1, 50)
  assert.match(report, /"total-failure-session-count": 200/)
  assert.match(await metrics.metrics(), /result="starttls-not-supported"\} 200/)
})
