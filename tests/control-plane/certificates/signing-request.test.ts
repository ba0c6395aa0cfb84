// Signing requests, read by openssl as an authority would read them. (RFC 2986)
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { test } from 'node:test'
import { MADE_ALGORITHMS, requestCertificate } from '../../../control-plane/certificates/signing-request.ts'

const KINDS = { 'ec-p256': 'Public-Key: (256 bit)', 'rsa-3072': 'Public-Key: (3072 bit)' }
const LONG = `${'a'.repeat(60)}.contoso.example`

for (const algorithm of MADE_ALGORITHMS) {
  test(`KM-6: openssl verifies a request of ${algorithm}, and finds the key and every name in it`, async () => {
    const made = await requestCertificate(algorithm, ['mx.contoso.example', 'mx2.contoso.example'])
    const text = execFileSync('openssl', ['req', '-verify', '-noout', '-text'], {
      input: made.request,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    assert.match(text, /Subject: CN ?= ?mx\.contoso\.example\n/)
    assert.match(text, /DNS:mx\.contoso\.example, DNS:mx2\.contoso\.example/)
    assert.ok(text.includes(KINDS[algorithm]))
    const publicKey = createPublicKey(createPrivateKey(made.privateKey)).export({ type: 'spki', format: 'der' })
    assert.equal(publicKey.toString('base64'), made.publicKey)
    const asked = execFileSync('openssl', ['req', '-pubkey', '-noout'], { input: made.request, encoding: 'utf8' })
    assert.equal(createPublicKey(asked).export({ type: 'spki', format: 'der' }).toString('base64'), made.publicKey)
  })
}

test('a name too long for a subject is asked for as alternative name only', async () => {
  const { request } = await requestCertificate('ec-p256', [LONG])
  const text = execFileSync('openssl', ['req', '-verify', '-noout', '-text'], {
    input: request,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  assert.ok(text.includes(`DNS:${LONG}`) && !text.includes('CN'))
})
