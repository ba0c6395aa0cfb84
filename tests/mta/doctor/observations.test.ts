// What the checks see, on a real disk and over real sockets.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { observeCertificate } from '../../../common/doctor/certificates.ts'
import { observeNextHop, observePort } from '../../../mta/doctor/network.ts'
import { NextHop } from '../../harness/next-hop.ts'
import { freePort } from '../../harness/ports.ts'

test('a port is asked as a mail server: greeting, EHLO, STARTTLS, and a polite end', async () => {
  await using hop = await NextHop.start({ offers: ['PIPELINING', 'STARTTLS'] })
  assert.deepEqual(await observePort('127.0.0.1', hop.port), { kind: 'answered', code: 220, offersStartTls: true })
  assert.ok(hop.transcripts[0]?.includes('C: EHLO doctor.invalid'))
})

test('a port that refuses, is closed, floods, or says nothing: told, and within the time', async () => {
  await using refusing = await NextHop.start({ act: ({ stage }) => (stage === 'greeting' ? '554 go away' : undefined) })
  assert.deepEqual(await observePort('127.0.0.1', refusing.port), {
    kind: 'answered',
    code: 554,
    offersStartTls: undefined,
  })
  assert.deepEqual(await observePort('127.0.0.1', await freePort()), { kind: 'silent', code: 'ECONNREFUSED' })
  await using flooding = await NextHop.start({
    act: ({ stage }) => (stage === 'greeting' ? { raw: 'x'.repeat(1024 * 1024) } : undefined),
  })
  assert.deepEqual(await observePort('127.0.0.1', flooding.port), { kind: 'silent', code: 'no reply' })
  await using mute = await NextHop.start({ act: () => ({ silent: true }) })
  assert.deepEqual(await observePort('127.0.0.1', mute.port, 100), { kind: 'silent', code: 'ETIMEDOUT' })
})

test('a next hop by name is looked up; one that does not exist is told apart from one that is down', async () => {
  await using hop = await NextHop.start()
  const found = await observeNextHop('localhost', hop.port)
  assert.equal(found.kind, 'found')
  assert.equal((await observeNextHop('no-such-host.invalid', 25)).kind, 'unknown')
})

const missing =
  spawnSync('openssl', ['version']).error === undefined ? undefined : 'needs openssl: apt-get install openssl'
if (missing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missing}`)

test('KM-7: certificate and key are read, and whether they belong together', async (context) => {
  if (missing !== undefined) return context.skip(missing)
  const folder = mkdtempSync(join(tmpdir(), 'causeway-doctor-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const make = (name: string) => {
    const [certificate, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '10']
    execFileSync('openssl', [...request, '-subj', '/CN=relay.test', '-keyout', key, '-out', certificate], {
      stdio: 'ignore',
    })
    return { use: name, certificate, key }
  }
  const [mine, other] = [make('mine'), make('other')]
  const facts = await observeCertificate(mine)
  assert.ok(facts.kind === 'read' && facts.isKeyIts === true)
  assert.equal(Math.round((facts.to - facts.from) / 86_400_000), 10)
  const mixed = await observeCertificate({ ...mine, key: other.key })
  assert.ok(mixed.kind === 'read' && mixed.isKeyIts === false)
  writeFileSync(mine.certificate, 'nonsense')
  assert.equal((await observeCertificate(mine)).kind, 'unusable')
  assert.equal((await observeCertificate({ use: 'x', certificate: join(folder, 'no-such') })).kind, 'unusable')
})
