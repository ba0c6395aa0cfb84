// RC-1: a relay is let in once, by a code; from then on by keys that never leave it.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { jwtVerify } from 'jose'
import { judgeAnswer } from '../../../mta/enrolment/enrol.ts'
import { makeRelayKeys, publicText } from '../../../mta/enrolment/enrolment-state.ts'
import { relayToken } from '../../../mta/enrolment/relay-token.ts'
import { retryDelayMs } from '../../../mta/enrolment/retry-delay.ts'
import { rotatedKey, snapshotKeyOf } from '../../../mta/enrolment/snapshot-key.ts'
import { SettingsFault } from '../../../mta/settings.ts'
import { createPublicKey, sign } from 'node:crypto'
import { KEY_ROTATION_PREFIX } from '../../../common/relay-contract.ts'
import { PushServer, signingPair } from '../../harness/push-server.ts'
import { eventually } from '../../harness/wait.ts'
import { Linked } from './linked.ts'

test('RC-1 the first start shows the code and public keys, and keeps whom it belongs to; later ones need no code', async () => {
  await using server = await PushServer.start()
  await using relay = new Linked()
  const enrolled = await relay.enrol({ url: server.url, enrolmentCode: server.code })
  assert.equal(enrolled.enrolment.project, 'p1')
  assert.equal(enrolled.enrolment.relay, server.enrolled?.relay)
  assert.deepEqual(enrolled.enrolment.snapshotKey, server.key.public)
  const shown = server.enrolled?.request
  assert.equal(shown?.name, 'relay.test')
  assert.equal(shown?.signingKey, publicText(enrolled.keys.signing))
  assert.equal(shown?.sealingKey, publicText(enrolled.keys.sealing))
  assert.doesNotMatch(JSON.stringify(shown), /PRIVATE/)

  server.status = { enrol: 500 }
  const again = await relay.enrol({ url: server.url })
  assert.equal(again.enrolment.relay, enrolled.enrolment.relay)
  assert.equal(publicText(again.keys.signing), publicText(enrolled.keys.signing))
})

test('SF-7, KM-1 what is kept is sealed with the spool key and nobody else can open it', async () => {
  await using server = await PushServer.start()
  await using relay = new Linked()
  await relay.enrol({ url: server.url, enrolmentCode: server.code })
  const state = join(relay.directory, 'spool', 'control-plane')
  assert.equal(statSync(state).mode & 0o777, 0o700)
  assert.deepEqual(readdirSync(state), ['enrolment'])
  const file = join(state, 'enrolment')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.doesNotMatch(readFileSync(file).toString('latin1'), /PRIVATE|"p1"|relay-|code-one/)
  const other = new Linked(relay.directory, randomBytes(32))
  await assert.rejects(other.enrol({ url: server.url }), (error: unknown) => {
    assert.ok(error instanceof SettingsFault)
    assert.match(error.message, /can't be opened with the spool key/)
    return true
  })
  const sealed = readFileSync(file)
  for (let at = 0; at < sealed.length; at += 41) {
    const damaged = Buffer.from(sealed)
    damaged.writeUInt8(sealed.readUInt8(at) ^ 4, at)
    writeFileSync(file, damaged)
    await assert.rejects(relay.enrol({ url: server.url }), SettingsFault)
  }
})

test('a code that was used is refused for good, and the relay does not go on asking', async () => {
  await using server = await PushServer.start()
  await using first = new Linked()
  await first.enrol({ url: server.url, enrolmentCode: server.code })
  await using second = new Linked()
  await assert.rejects(second.enrol({ url: server.url, enrolmentCode: server.code }), (error: unknown) => {
    assert.ok(error instanceof SettingsFault)
    assert.match(error.message, /does not take the enrolment code \(status 409\): it was used, or is too old/)
    return true
  })
  assert.equal(second.events('enrolment.refused').length, 1)
  assert.doesNotMatch(JSON.stringify(second.log), /code-one/, 'KM-5: the code is in no log')
})

test('without a code and without an enrolment there is nothing to start with', async () => {
  await using relay = new Linked()
  await assert.rejects(relay.enrol({ url: 'http://127.0.0.1:9' }), /not enrolled: write `controlPlane\.enrolmentCode`/)
})

test('a code may stand in a file', async () => {
  await using server = await PushServer.start()
  await using relay = new Linked()
  writeFileSync(join(relay.directory, 'code'), `${server.code}\n`)
  await relay.enrol({ url: server.url, enrolmentCode: { file: 'code' } })
  assert.equal(server.enrolled?.request.code, server.code)
})

test('an answer that got lost costs nothing: the same keys ask again with the same code', async () => {
  await using server = await PushServer.start()
  // Lets the request through, and the answer not.
  const proxy = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      void fetch(server.url + (request.url ?? ''), { method: 'POST', body }).then(() => response.destroy())
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  await using relay = new Linked()
  const stop = new AbortController()
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const lost = assert.rejects(relay.enrol({ url, enrolmentCode: server.code }, stop.signal))
  await eventually('the request', () => (server.enrolled === undefined || relay.told.length === 0 ? undefined : true))
  stop.abort()
  await lost
  await new Promise((resolve) => proxy.close(resolve))
  const enrolled = await relay.enrol({ url: server.url, enrolmentCode: server.code })
  assert.equal(enrolled.enrolment.relay, server.enrolled?.relay)
})

test('a control plane that is away, or in trouble, is waited for, and readiness says why', async () => {
  await using server = await PushServer.start()
  server.status = { enrol: 503 }
  await using relay = new Linked()
  const enrolling = relay.enrol({ url: server.url, enrolmentCode: server.code })
  await eventually('a wait', () => relay.told[0])
  assert.equal(relay.told[0], 'the relay is not enrolled yet: the control plane answered with status 503')
  server.status = {}
  assert.equal((await enrolling).enrolment.project, 'p1')
})

const answers: [status: number, text: string, kind: string, why: string][] = [
  [200, '{}', 'later', 'a proxy may answer 200 with something else'],
  [200, '<html>', 'later', 'likewise'],
  [
    200,
    '{"relay":"r","organization":"o","project":"p","installation":"i","snapshotKey":{"id":"k","publicKey":"x"}}',
    'later',
    'no key',
  ],
  [400, '', 'refused', 'malformed'],
  [404, '', 'refused', 'no such code'],
  [409, '', 'refused', 'used'],
  [410, '', 'refused', 'too old'],
  [408, '', 'later', 'a proxy lost patience'],
  [429, '', 'later', 'too many ask'],
  [500, '', 'later', 'trouble there'],
  [502, '', 'later', 'trouble on the way'],
  [302, '', 'later', 'redirects are not followed'],
]
for (const [status, text, kind, why] of answers) {
  test(`an answer ${status} to enrolment is ${kind}: ${why}`, () =>
    assert.equal(judgeAnswer({ status, text }).kind, kind))
}

test('RC-1 each token is signed by the relay, for this installation, for a minute, and for once', async () => {
  const { signing } = makeRelayKeys()
  const now = Date.UTC(2026, 10, 28)
  const subject = { relay: 'relay-1', installation: 'i1' }
  const tokens = await Promise.all([1, 2].map(() => relayToken(subject, signing, now)))
  const [first, second] = await Promise.all(
    tokens.map((token) =>
      jwtVerify(token, createPublicKey(signing), { algorithms: ['EdDSA'], audience: 'i1', currentDate: new Date(now) }),
    ),
  )
  assert.equal(first?.payload.iss, 'relay-1')
  assert.equal(first.payload.sub, 'relay-1')
  assert.equal((first.payload.exp ?? 0) - (first.payload.iat ?? 0), 60)
  assert.notEqual(first.payload.jti, second?.payload.jti)
  const other = createPublicKey(makeRelayKeys().signing)
  await assert.rejects(jwtVerify(tokens[0] ?? '', other, { currentDate: new Date(now) }))
})

test('waits double from a second to half a minute, and vary by half', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 7, 100].map((failures) => retryDelayMs(failures, 0.999_999)),
    [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000],
  )
  assert.equal(retryDelayMs(1, 0), 500)
})

test('RC-2 a new snapshot key is believed when the pinned one signed it, and only as it was signed', () => {
  const [pinned, next, stranger] = ['k1', 'k2', 'k1'].map(signingPair)
  assert.ok(pinned !== undefined && next !== undefined && stranger !== undefined)
  const signature = (by: typeof pinned, key = next.public) =>
    sign(null, Buffer.from(`${KEY_ROTATION_PREFIX}${key.id} ${key.publicKey}`), by.privateKey).toString('base64url')
  const rotation = (value: unknown) => rotatedKey(pinned.public, Buffer.from(JSON.stringify(value)))
  assert.deepEqual(rotation({ by: 'k1', next: next.public, signature: signature(pinned) }), next.public)
  const wrong: [value: unknown, why: string][] = [
    [{ by: 'k1', next: next.public, signature: signature(stranger) }, 'signed by another key of the same name'],
    [{ by: 'k2', next: next.public, signature: signature(next) }, 'signed by itself'],
    [
      { by: 'k1', next: { ...next.public, id: 'k3' }, signature: signature(pinned) },
      'under another name than was signed',
    ],
    [{ by: 'k1', next: stranger.public, signature: signature(pinned) }, 'another key than was signed'],
    [{ by: 'k1', next: next.public }, 'without a signature'],
    [{ by: 'k1', next: { id: 'k2', publicKey: 'AAAA' }, signature: '' }, 'no key'],
    [null, 'nothing'],
  ]
  for (const [value, why] of wrong) assert.equal(rotation(value), undefined, why)
  assert.equal(rotatedKey(pinned.public, Buffer.from('{')), undefined)
  const x25519 = makeRelayKeys().sealing
  assert.equal(snapshotKeyOf({ id: 'k', publicKey: publicText(x25519) }), undefined, 'not a key that signs')
})
