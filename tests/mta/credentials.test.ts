// Everything that is named by file is read at start and on SIGHUP, all or nothing (PH-4, product.md §8).
import assert from 'node:assert/strict'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { createLog } from '../../common/log.ts'
import { certificatesInUse, CurrentCredentials, loadCredentials } from '../../mta/credentials.ts'
import type { CredentialSettings } from '../../mta/credentials.ts'
import { SettingsFault } from '../../mta/settings.ts'
import { TestAuthority } from '../harness/certificates.ts'

const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())
const first = authority.issue({ names: ['DNS:relay.example'] })
const second = authority.issue({ names: ['DNS:second.example'] })
const expired = authority.issue({ names: ['DNS:relay.example'], notAfter: '20210101000000Z' })
const file = (name: string) => join(authority.directory, name)

const NOTHING: CredentialSettings = {
  certificates: [],
  clientTrust: undefined,
  tenants: undefined,
  routes: undefined,
  mx: undefined,
  nonces: undefined,
  dkim: [],
  seal: undefined,
}

/** Files of their own, to be changed under a running relay. */
function deployed(): { settings: CredentialSettings; lines: string[]; current: CurrentCredentials } {
  copyFileSync(first.certificate, file('live.pem'))
  copyFileSync(first.key, file('live.key'))
  copyFileSync(authority.certificate, file('trust.pem'))
  const settings = {
    ...NOTHING,
    certificates: [{ certificate: file('live.pem'), key: file('live.key') }],
    clientTrust: { file: file('trust.pem') },
  }
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line), level: 'debug', now: Date.now })
  return { settings, lines, current: new CurrentCredentials(settings, log) }
}

test('without a trust file the public authorities are believed, and without certificates there are none', () => {
  const credentials = loadCredentials(NOTHING)
  assert.equal(credentials.clientTrust.length, rootCertificates.length)
  assert.deepEqual(credentials.certificates, [])
  assert.deepEqual([...credentials.tenantCertificates], [])
})

test('a start with a faulty set is refused', () => {
  assert.throws(
    () => loadCredentials({ ...NOTHING, certificates: [{ certificate: first.certificate, key: second.key }] }),
    SettingsFault,
  )
})

test('KM-7 what is in use is told with its end, an expired one too: whoever let it expire must still be able to start', () => {
  const { current } = deployed()
  const [inUse] = certificatesInUse(current.get())
  assert.equal(inUse?.use, 'listener')
  assert.equal(inUse.fingerprint, first.fingerprint)
  assert.ok(inUse.notAfter > Date.now())
  const old = loadCredentials({ ...NOTHING, certificates: [expired] })
  assert.equal(certificatesInUse(old)[0]?.notAfter, Date.UTC(2021, 0, 1))
})

test('PH-4 a reload brings the new set, and whoever took the old one keeps it', () => {
  const { current, lines } = deployed()
  const before = current.get()
  copyFileSync(second.certificate, file('live.pem'))
  copyFileSync(second.key, file('live.key'))
  assert.equal(current.get(), before, 'nothing changes before SIGHUP')
  current.reload()
  assert.equal(before.certificates[0]?.pair.fingerprint, first.fingerprint)
  assert.equal(current.get().certificates[0]?.pair.fingerprint, second.fingerprint)
  assert.match(lines.at(-1) ?? '', /"credentials\.loaded"/)
  assert.ok(lines.at(-1)?.includes(second.fingerprint))
})

const faults: [name: string, spoil: () => void][] = [
  ['a key that does not belong', () => copyFileSync(second.key, file('live.key'))],
  ['a certificate without its key yet', () => copyFileSync(second.certificate, file('live.pem'))],
  ['a half written file', () => writeFileSync(file('live.pem'), '-----BEGIN CERTIFICATE-----\nMIIB')],
  ['an empty trust store, which would believe nobody', () => writeFileSync(file('trust.pem'), '')],
]
for (const [name, spoil] of faults) {
  test(`PH-4 a reload with ${name} changes nothing at all, is told, and the next one may be right`, () => {
    const { current, lines } = deployed()
    const before = current.get()
    spoil()
    current.reload()
    assert.equal(current.get(), before)
    const line = lines.at(-1) ?? ''
    assert.match(line, /"level":"error".*"credentials\.refused"/)
    assert.ok(!line.includes('PRIVATE KEY'), line)
    copyFileSync(second.certificate, file('live.pem'))
    copyFileSync(second.key, file('live.key'))
    copyFileSync(authority.certificate, file('trust.pem'))
    current.reload()
    assert.equal(current.get().certificates[0]?.pair.fingerprint, second.fingerprint)
  })
}

test('one faulty file among many keeps all of them back: half a rotation never serves', () => {
  const { current } = deployed()
  copyFileSync(second.certificate, file('live.pem'))
  copyFileSync(second.key, file('live.key'))
  writeFileSync(file('trust.pem'), 'nothing')
  current.reload()
  assert.equal(current.get().certificates[0]?.pair.fingerprint, first.fingerprint)
})
