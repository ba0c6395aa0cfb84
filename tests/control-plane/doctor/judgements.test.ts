// OP-5: what each check of the control plane makes of what it sees. Facts are given, so every case can be judged on any machine.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FileFacts } from '../../../common/doctor/files.ts'
import type { Finding } from '../../../common/doctor/finding.ts'
import { judgeDatabase } from '../../../control-plane/doctor/database-state.ts'
import type { DatabaseFacts, DatabaseUse } from '../../../control-plane/doctor/database-state.ts'
import { judgeKeyFiles, judgePrivate, judgeRoom, judgeSecretFiles } from '../../../control-plane/doctor/files.ts'
import { judgePorts, judgePublicUrl } from '../../../control-plane/doctor/network.ts'

const service: DatabaseFacts['role'] = {
  name: 'causeway_app',
  isSuperuser: false,
  bypassesRls: false,
  makesRoles: false,
  isOfService: true,
  owned: 0,
  canMakeTables: false,
}
const facts: DatabaseFacts = {
  versionNumber: 180_004,
  pending: [],
  unknown: [],
  role: service,
  unprotected: [],
  clockAheadMs: 3,
  isEncrypted: true,
  connectionsAllowed: 97,
}
const database = (check: string, more: Partial<DatabaseFacts>, use: Partial<DatabaseUse> = {}): Finding => {
  const found = judgeDatabase({ ...facts, ...more }, { isLocal: false, maxConnections: 20, ...use })
  const finding = found.find((each) => each.check === check)
  if (finding === undefined) throw new Error(`no check ${check}`)
  return finding
}
const role = (more: Partial<DatabaseFacts['role']>) => database('database-role', { role: { ...service, ...more } })
const file = (mode: number, uid = 10_001): FileFacts => ({ kind: 'there', mode, uid, modifiedAt: 0 })
const keyFiles = (...files: FileFacts[]) =>
  judgeKeyFiles('/keys', 10_001, new Map(files.map((each, index) => [`file${index}`, each])))
const secrets = (...modes: number[]) =>
  judgeSecretFiles(modes.map((mode, index) => ({ path: `/etc/s${index}`, facts: file(mode) })))
const url = new URL('https://causeway.example')
const answered = (status: number, isOurs: boolean) => judgePublicUrl(url, { kind: 'answered', status, isOurs })
const silent = (code: string) => judgePublicUrl(url, { kind: 'silent', code })
const tls = { certificateFile: '/c', keyFile: '/k' }
const port = (check: string, more: Partial<Parameters<typeof judgePorts>[0]>): Finding => {
  const settings = {
    listen: { address: '127.0.0.1', port: 8080 },
    metrics: { address: '127.0.0.1', port: 9470 },
    tls: undefined,
    trustedProxies: [],
    mode: 'production' as const,
  }
  const finding = judgePorts({ ...settings, ...more }).find((each) => each.check === check)
  if (finding === undefined) throw new Error(`no check ${check}`)
  return finding
}
const everywhere = { address: '0.0.0.0', port: 8080 }

const cases: [finding: Finding, verdict: Finding['verdict'], says: RegExp, why: string][] = [
  [database('database', {}), 'ok', /Postgres 18\.4/, 'the newest that is tested'],
  [database('database', { versionNumber: 150_018 }), 'ok', /Postgres 15\.18/, 'the oldest that is tested'],
  [database('database', { versionNumber: 140_012 }), 'fault', /too old/, 'policies need what 15 brought'],
  [database('database', { versionNumber: 190_000 }), 'warning', /newer than/, 'nobody has tried'],
  [database('schema', {}), 'ok', /of this version/, ''],
  [database('schema', { pending: ['0001-a', '0002-b'] }), 'fault', /2 migrations are missing: 0001-a/, 'not migrated'],
  [database('schema', { unknown: ['0099-z'] }), 'fault', /newer version.*0099-z/, 'a newer version was here'],
  [role({}), 'ok', /owns nothing/, 'TI-2'],
  [role({ isSuperuser: true }), 'fault', /is a superuser/, 'TI-2: passes every policy'],
  [role({ bypassesRls: true }), 'fault', /passes row-level security/, 'TI-2'],
  [role({ makesRoles: true, owned: 40 }), 'fault', /can make roles, owns 40/, 'the owner of the schema'],
  [role({ canMakeTables: true }), 'fault', /can make tables/, 'TI-2: no DDL'],
  [role({ isOfService: false }), 'fault', /not a member of causeway_service/, 'it sees nothing'],
  [
    database('database-role', { role: { ...service, isOfService: false }, pending: ['0001-a'] }),
    'ok',
    /owns nothing/,
    'before the first migration there is no causeway_service',
  ],
  [database('row-level-security', {}), 'ok', /enabled and forced/, 'TI-2'],
  [database('row-level-security', { unprotected: ['member'] }), 'fault', /on member$/, 'TI-2'],
  [database('database-clock', {}), 'ok', /of this machine/, ''],
  [database('database-clock', { clockAheadMs: 5_001 }), 'warning', /5\.0 s ahead/, 'NTP is not kept'],
  [database('database-clock', { clockAheadMs: -30_001 }), 'fault', /30\.0 s behind/, 'tokens live 60 s'],
  [database('database-link', {}), 'ok', /^TLS$/, 'SC-4'],
  [database('database-link', { isEncrypted: false }), 'warning', /not encrypted/, 'SC-4'],
  [database('database-link', { isEncrypted: false }, { isLocal: true }), 'ok', /on this machine/, 'nobody is between'],
  [database('connections', {}), 'ok', /up to 54 .* of 97/, ''],
  [database('connections', {}, { maxConnections: 50 }), 'warning', /up to 114/, 'the second process would starve'],
  [judgePrivate('key-directory', '/keys', file(0o40700)), 'ok', /0700/, 'KM-1'],
  [judgePrivate('key-directory', '/keys', file(0o40750)), 'fault', /0750.*others can enter/, 'KM-1'],
  [judgePrivate('key-directory', '/keys', { kind: 'missing' }), 'ok', /not there yet/, 'the first run makes it'],
  [judgePrivate('key-directory', '/keys', { kind: 'unreadable', code: 'EACCES' }), 'fault', /EACCES/, 'another user'],
  [keyFiles(file(0o600), file(0o600)), 'ok', /2 files/, 'KM-1'],
  [
    keyFiles(file(0o600), file(0o640)),
    'fault',
    /1 of 2 can be read by others: file1/,
    'restored by tar as another user',
  ],
  [keyFiles(file(0o600), file(0o600, 0)), 'fault', /1 of 2 are of another user/, 'restored as root'],
  [secrets(0o600, 0o440), 'ok', /2 files/, 'a group may read what an orchestrator mounts'],
  [secrets(), 'ok', /name none/, 'sockets and managed identities'],
  [secrets(0o600, 0o644), 'warning', /everybody .* \/etc\/s1/, 'KM-5'],
  [secrets(0o644, 0o662), 'fault', /others can change \/etc\/s1/, 'whoever writes it chooses the database'],
  [judgeRoom('/keys', { free: 50 * 2 ** 30, total: 100 * 2 ** 30 }), 'ok', /51200 MiB \(50 %\)/, ''],
  [judgeRoom('/keys', { free: 4 * 2 ** 30, total: 100 * 2 ** 30 }), 'warning', /4 %/, 'it fills'],
  [judgeRoom('/keys', { free: 4_096, total: 100 * 2 ** 30 }), 'fault', /0 MiB/, 'full'],
  [answered(200, true), 'ok', /causeway\.example answers/, ''],
  [answered(200, false), 'fault', /not as an api/, "another program's page"],
  [answered(502, false), 'fault', /502/, 'the proxy does not find the api'],
  [answered(301, false), 'fault', /301/, 'relays follow no redirects'],
  [silent('ECONNREFUSED'), 'warning', /ECONNREFUSED/, 'before the first start'],
  [silent('ENOTFOUND'), 'warning', /ENOTFOUND/, 'the name may be known outside only'],
  [silent('DEPTH_ZERO_SELF_SIGNED_CERT'), 'fault', /not believed/, 'relays verify'],
  [silent('CERT_HAS_EXPIRED'), 'fault', /not believed/, 'KM-7'],
  [silent('ERR_TLS_CERT_ALTNAME_INVALID'), 'fault', /not believed/, 'of another name'],
  [port('listener', {}), 'ok', /behind a proxy/, ''],
  [port('listener', { listen: everywhere }), 'warning', /plain HTTP from everywhere/, 'WS-7'],
  [port('listener', { listen: everywhere, trustedProxies: ['10.0.0.1'] }), 'ok', /behind a proxy/, ''],
  [port('listener', { listen: everywhere, tls }), 'ok', /TLS$/, ''],
  [port('metrics', {}), 'ok', /this machine only/, 'OP-1'],
  [port('metrics', { metrics: { address: '::', port: 9470 } }), 'warning', /from elsewhere/, 'OP-5: exposed ports'],
]

for (const [finding, verdict, says, why] of cases) {
  test(`OP-5 ${finding.check} ${verdict}: ${says.source}${why === '' ? '' : ` (${why})`}`, () => {
    assert.equal(finding.verdict, verdict)
    assert.match(finding.says, says)
    assert.equal(finding.todo === undefined, verdict === 'ok', 'what is not well has a remedy')
  })
}
