// Self-signed certificates, read by somebody else's parser.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { makeSelfSigned } from '../../common/self-signed.ts'

test('OpenSSL reads a self-signed certificate: name, dates, signature, and the key that belongs to it', async () => {
  const now = Date.parse('2026-11-28T12:00:00Z')
  for (let i = 0; i < 5; i++) {
    const { certificate, privateKey } = await makeSelfSigned('causeway évaluation', 365, now)
    const read = new X509Certificate(certificate)
    assert.equal(read.subject, 'CN=causeway évaluation')
    assert.equal(read.issuer, read.subject)
    assert.ok(read.verify(read.publicKey))
    assert.ok(read.checkPrivateKey(createPrivateKey(privateKey)))
    assert.equal(new Date(read.validFrom).toISOString(), '2026-11-27T12:00:00.000Z')
    assert.equal(new Date(read.validTo).toISOString(), '2027-11-28T12:00:00.000Z')
  }
})
