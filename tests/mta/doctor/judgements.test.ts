// OP-5: what each check makes of what it sees. Facts are given, so every case of a machine can be judged on any machine.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import { judgeCertificate } from '../../../common/doctor/certificates.ts'
import type { CertificateFacts } from '../../../common/doctor/certificates.ts'
import { judgeEnrolment } from '../../../mta/doctor/enrolment.ts'
import type { EnrolmentFacts } from '../../../mta/doctor/enrolment.ts'
import { judgeFile, judgeFileAge, judgeSpoolFiles } from '../../../mta/doctor/files.ts'
import type { Finding } from '../../../common/doctor/finding.ts'
import { judgeInstallation } from '../../../common/doctor/installation.ts'
import { judgeMachine } from '../../../common/doctor/machine.ts'
import type { MachineFacts } from '../../../common/doctor/machine.ts'
import { judgeExposure, judgeListener, judgeNextHop } from '../../../mta/doctor/network.ts'
import { judgeKey, judgeQuarantine, judgeRoom } from '../../../mta/doctor/spool-state.ts'
import { judgeRunning, judgeTable } from '../../../mta/doctor/table-state.ts'

const NOW = Date.UTC(2026, 10, 22, 10, 0)
const DAY = 86_400_000
const GIB = 2 ** 30

const machine: MachineFacts = {
  wallMs: NOW,
  newestFileMs: NOW - 1_000,
  synchronisation: 'synchronised',
  coreLimit: '0',
  coreLimitOf: 'process',
  swaps: [],
}
/** The finding of one check of the machine. */
const onMachine = (check: string, facts: Partial<MachineFacts>) => {
  const finding = judgeMachine({ ...machine, ...facts }).find((each) => each.check === check)
  if (finding === undefined) throw new Error(`no check ${check}`)
  return finding
}
const installation = { node: '24.21.0', openssl: '3.5.8', isFips: false, packages: [] }
const onInstallation = (check: string, facts: Partial<Parameters<typeof judgeInstallation>[0]>) => {
  const finding = judgeInstallation({ ...installation, ...facts }).find((each) => each.check === check)
  if (finding === undefined) throw new Error(`no check ${check}`)
  return finding
}
const file = (mode: number, uid = 1000) => ({ kind: 'there', mode, uid, modifiedAt: NOW - 40 * DAY }) as const
const certificate = { use: 'certificates[0]', certificate: 'c.pem', key: 'c.key' }
const holds = (days: number, isKeyIts = true): CertificateFacts => ({
  kind: 'read',
  from: NOW - DAY,
  to: NOW + days * DAY,
  isKeyIts,
})
const space = (free: number, freeInodeRatio = 0.9) => ({ totalBytes: 100 * GIB, freeBytes: free * GIB, freeInodeRatio })
const listener = { address: '0.0.0.0', port: 25, tls: 'starttls' }
const greets = (offersStartTls?: boolean) => ({ kind: 'answered', code: 220, offersStartTls }) as const
const silent = { kind: 'silent', code: 'ECONNREFUSED' } as const
const table = { kind: 'read', project: 'p1', version: 7, entries: 3, modifiedAt: NOW - DAY } as const
const wanted = { file: 't.json', project: 'p1', maxAgeMs: 2 * DAY }
const running = (more: object) => ({ kind: 'answered', isReady: true, reasons: [], tableVersion: 7, ...more }) as const

const cases: [finding: Finding, verdict: Finding['verdict'], says: RegExp, why: string][] = [
  [onInstallation('node', {}), 'ok', /24\.21\.0/, 'the version it is made for'],
  [onInstallation('node', { node: '22.9.0' }), 'fault', /22\.9\.0/, 'types are not stripped there'],
  [onInstallation('node', { node: '26.0.0' }), 'warning', /newer/, 'nobody has tested it'],
  [onInstallation('fips', { isFips: true }), 'ok', /FIPS mode on/, 'KM-6'],
  [onInstallation('fips', {}), 'ok', /FIPS mode off/, 'KM-6: told, not demanded'],
  [
    onInstallation('dependencies', { packages: [{ name: 'yaml', wanted: '2.9.1', installed: undefined }] }),
    'fault',
    /yaml missing, not 2\.9\.1/,
    'a half-made installation',
  ],

  [onMachine('clock', {}), 'ok', /2026-11-22/, 'a clock that is later than the spool'],
  [onMachine('clock', { newestFileMs: undefined }), 'ok', /2026/, 'nothing to compare it with'],
  [onMachine('clock', { wallMs: 0 }), 'fault', /1970/, 'a machine that has lost its clock'],
  [onMachine('clock', { newestFileMs: NOW + 3_600_000 }), 'fault', /written to at 2026-11-22T11/, 'DU-9: it went back'],
  [onMachine('time-sync', {}), 'ok', /timesyncd/, 'kept'],
  [onMachine('time-sync', { synchronisation: 'other' }), 'ok', /chronyd/, 'kept by another'],
  [onMachine('time-sync', { synchronisation: 'pending' }), 'warning', /not synchronised/, 'not yet'],
  [onMachine('time-sync', { synchronisation: 'unknown' }), 'warning', /nothing was seen/, 'nobody can tell'],
  [onMachine('core-dumps', {}), 'ok', /running relay/, 'SF-3'],
  [
    onMachine('core-dumps', { coreLimit: 'unlimited' }),
    'warning',
    /mail and keys in clear/,
    'SF-3: a core file holds mail',
  ],
  [onMachine('core-dumps', { coreLimit: undefined }), 'warning', /does not tell/, 'no Linux'],
  [onMachine('core-dumps', { coreLimitOf: 'command' }), 'ok', /this shell/, 'only a guess before a relay runs'],
  [onMachine('swap', { swaps: ['/dev/sda2'] }), 'warning', /\/dev\/sda2/, 'SF-3: so does swap'],

  [judgeFile('x', 'k', 'secret', file(0o100600), 1000), 'ok', /0600/, 'as it is made'],
  [judgeFile('x', 'k', 'secret', file(0o100640), 1000), 'fault', /0640.*others can read/, 'a key for the group'],
  [judgeFile('x', 'd', 'secret', file(0o040755), 1000), 'fault', /0755/, 'SF-7: a spool for everybody'],
  [judgeFile('x', 'k', 'secret', file(0o100600, 0), 1000), 'warning', /of user 0/, "root's key, another user's spool"],
  [judgeFile('x', 't', 'trusted', file(0o100644), 1000), 'ok', /0644/, 'a table may be read'],
  [
    judgeFile('x', 't', 'trusted', file(0o100664), 1000),
    'fault',
    /others can change/,
    'but who writes it reroutes mail',
  ],
  [judgeFile('x', 'k', 'secret', { kind: 'missing' }, undefined), 'ok', /not there yet/, 'made at the first start'],
  [
    judgeFile('x', 'k', 'secret', { kind: 'unreadable', code: 'EACCES' }, 1),
    'fault',
    /EACCES/,
    'another user runs doctor',
  ],
  [judgeSpoolFiles({ looked: 3, open: [], foreign: [], newestMs: 0 }, 's'), 'ok', /3 files/, 'SF-7'],
  [judgeSpoolFiles({ looked: 3, open: ['keys'], foreign: [], newestMs: 0 }, 's'), 'fault', /keys/, 'SF-7'],
  [
    judgeSpoolFiles({ looked: 3, open: [], foreign: ['lock'], newestMs: 0 }, 's'),
    'warning',
    /lock/,
    'a command run as root',
  ],
  [judgeFileAge('ranges', 'r', file(0o100644), NOW, 30 * DAY), 'warning', /40 days old/, 'Microsoft adds ranges'],
  [judgeFileAge('ranges', 'r', file(0o100644), NOW, 60 * DAY), 'ok', /40 days old/, 'fresh enough'],
  [judgeFileAge('ranges', 'r', { kind: 'missing' }, NOW, DAY), 'fault', /can't be read/, 'nobody may connect then'],

  [judgeKey({ kind: 'opens' }, 's'), 'ok', /opens s/, 'KM-1'],
  [judgeKey({ kind: 'unused' }, 's'), 'ok', /nothing yet/, 'a new relay'],
  [
    judgeKey({ kind: 'refused', why: 'another key' }, 's'),
    'fault',
    /another key/,
    'KM-1: the mail in it is unreadable',
  ],
  [judgeRoom(DEFAULT_LIMITS, space(50), 's'), 'ok', /50 %/, 'half free'],
  [judgeRoom(DEFAULT_LIMITS, space(8), 's'), 'warning', /near its limit/, 'under twice the floor'],
  [judgeRoom(DEFAULT_LIMITS, space(4), 's'), 'fault', /nearly full, mail is answered 452/, 'under the floor'],
  [judgeRoom(DEFAULT_LIMITS, space(50, 0.01), 's'), 'fault', /inodes/, 'space is not all'],
  [judgeQuarantine(0), 'ok', /nothing/, 'SF-4'],
  [judgeQuarantine(2), 'warning', /2 entries/, 'SF-4: somebody must look'],

  [judgeCertificate(certificate, holds(90), NOW), 'ok', /90 more days/, 'KM-7'],
  [judgeCertificate(certificate, holds(31), NOW), 'ok', /31 more days/, 'KM-7'],
  [judgeCertificate(certificate, holds(30), NOW), 'warning', /30 more days/, 'KM-7: first alarm'],
  [judgeCertificate(certificate, holds(7), NOW), 'fault', /7 more days/, 'KM-7: second alarm'],
  [judgeCertificate(certificate, holds(1), NOW), 'fault', /1 more day$/, 'KM-7: third alarm'],
  [judgeCertificate(certificate, holds(0), NOW), 'fault', /has expired/, 'KM-7'],
  [judgeCertificate(certificate, holds(90, false), NOW), 'fault', /the key is not that of/, 'renewed by half'],
  [judgeCertificate(certificate, holds(90), NOW - 2 * DAY), 'fault', /not valid yet/, 'or the clock is wrong'],
  [judgeCertificate(certificate, { kind: 'unusable', why: 'ENOENT' }, NOW), 'fault', /ENOENT/, 'no file'],

  [judgeListener(listener, greets(true), true), 'ok', /offers STARTTLS/, 'as configured'],
  [judgeListener(listener, greets(false), true), 'fault', /does not offer STARTTLS/, 'its certificate did not load'],
  [judgeListener({ ...listener, tls: 'none' }, greets(false), true), 'ok', /answers$/, 'cleartext as configured'],
  [
    judgeListener(listener, { kind: 'answered', code: 554, offersStartTls: undefined }, true),
    'ok',
    /refuses this/,
    'SP-3',
  ],
  [judgeListener(listener, { kind: 'answered', code: 421, offersStartTls: undefined }, true), 'warning', /421/, 'busy'],
  [judgeListener(listener, silent, true), 'fault', /ECONNREFUSED/, 'it should be open'],
  [judgeListener(listener, silent, false), 'ok', /no relay runs/, 'it need not be'],
  [judgeListener(listener, greets(true), false), 'fault', /another program/, 'somebody else has the port'],
  [judgeExposure('metrics', '127.0.0.1', 9465, 'x'), 'ok', /this machine only/, 'OP-5: exposed ports'],
  [judgeExposure('metrics', '0.0.0.0', 9465, 'x'), 'warning', /from elsewhere/, 'OP-5: exposed ports'],
  [judgeNextHop('r', 'h:25', { kind: 'unknown', code: 'ENOTFOUND' }), 'fault', /not found/, 'DNS'],
  [
    judgeNextHop('r', 'h:25', { kind: 'found', addresses: ['192.0.2.1'], port: silent }),
    'fault',
    /192\.0\.2\.1/,
    'dead',
  ],
  [judgeNextHop('r', 'h:25', { kind: 'found', addresses: [], port: greets(true) }), 'ok', /offers STARTTLS/, 'alive'],
  [
    judgeNextHop('r', 'h:25', {
      kind: 'found',
      addresses: [],
      port: { kind: 'answered', code: 554, offersStartTls: undefined },
    }),
    'warning',
    /554/,
    'it knows us, and will not have us',
  ],

  [judgeTable(wanted, table, NOW), 'ok', /version 7, 3 entries/, 'good'],
  [judgeTable(wanted, { ...table, modifiedAt: NOW - 3 * DAY }, NOW), 'fault', /older than/, 'maxTableAge'],
  [judgeTable(wanted, { ...table, project: 'p2' }, NOW), 'fault', /of project p2/, 'SP-1'],
  [judgeTable(wanted, { kind: 'missing' }, NOW), 'fault', /451 4\.3\.5/, 'E95'],
  [judgeTable(wanted, { kind: 'unusable', why: 'x' }, NOW), 'fault', /can't be used: x/, 'R3'],
  [judgeRunning(running({}), 7), 'ok', /version 7/, 'it runs with what is on disk'],
  [judgeRunning(running({}), 8), 'warning', /the file has 8/, 'R3: it refused the newer one'],
  [judgeRunning(running({ isReady: false, reasons: ['disk'] }), 7), 'fault', /takes no mail: disk/, 'OP-1'],
  [judgeRunning(silent, 7), 'fault', /does not answer/, 'hung'],
]
for (const [finding, verdict, says, why] of cases) {
  test(`${finding.check}: ${finding.says} → ${verdict}: ${why}`, () => {
    assert.equal(finding.verdict, verdict)
    assert.match(finding.says, says)
    assert.equal(finding.todo === undefined, verdict === 'ok', 'what is not well says what to do, and only that')
  })
}

const enrolled = {
  kind: 'enrolled',
  url: 'https://causeway.example',
  enrolment: {
    relay: 'relay-1',
    organization: 'o1',
    project: 'p1',
    installation: 'i1',
    snapshotKey: { id: 'k1', publicKey: '' },
    isRevoked: false,
    codeDigest: '',
  },
  heardAt: NOW - 60_000,
  snapshot: undefined,
} as const
const enrolments: [facts: EnrolmentFacts, check: string, verdict: Finding['verdict'], says: RegExp, why: string][] = [
  [enrolled, 'enrolment', 'ok', /relay-1 of project p1, with https/, 'it is enrolled'],
  [enrolled, 'control-plane', 'ok', /1 min ago/, 'heard just now'],
  [{ ...enrolled, heardAt: NOW - 61 * 60_000 }, 'control-plane', 'warning', /61 min/, 'RC-4: an hour'],
  [{ ...enrolled, heardAt: NOW - DAY }, 'control-plane', 'fault', /1440 min/, 'RC-4: a day'],
  [{ ...enrolled, heardAt: 0 }, 'control-plane', 'warning', /never heard/, 'nobody knows'],
  [enrolled, 'snapshot', 'fault', /451 4\.3\.5/, 'no mail without one'],
  [
    { ...enrolled, enrolment: { ...enrolled.enrolment, isRevoked: true } },
    'enrolment',
    'fault',
    /cut relay relay-1 off/,
    'revoked',
  ],
  [{ kind: 'none', hasCode: true }, 'enrolment', 'warning', /not enrolled yet/, 'it will be at its start'],
  [{ kind: 'none', hasCode: false }, 'enrolment', 'fault', /not enrolled yet/, 'it can not start'],
  [{ kind: 'unusable', why: "can't be opened" }, 'enrolment', 'fault', /can't be opened/, 'another spool key'],
]
for (const [facts, check, verdict, says, why] of enrolments) {
  test(`enrolment: ${check} is ${verdict}: ${why}`, () => {
    const finding = judgeEnrolment(facts, NOW).find((each) => each.check === check)
    assert.equal(finding?.verdict, verdict)
    assert.match(finding.says, says)
    if (verdict !== 'ok') assert.ok((finding.todo ?? '').length > 10)
  })
}
