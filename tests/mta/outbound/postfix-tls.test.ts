// A real Postfix as TLS next hop: its STARTTLS, our certificate in its log, and what it does with a client that it wants a certificate of.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { TestAuthority } from '../../harness/certificates.ts'
import { MAILBOX_MAIN_CF, startPostfix, whyNoPostfix } from '../../harness/postfix.ts'
import { eventually } from '../../harness/wait.ts'
import { connections, message } from './fixtures.ts'
import { attempt, credentialsWith, HOST_NAME, statuses, verifiedHop } from './tls-world.ts'

const missing = whyNoPostfix()
if (missing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI this test must run; this machine ${missing}`)
const skip = missing ?? false
const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())

test('DL-1, R85: mail goes through a Postfix that insists on TLS and a client certificate', { skip }, async () => {
  const server = authority.issue({ names: [`DNS:${HOST_NAME}`] })
  const contoso = authority.issue({ names: ['DNS:contoso.example'], commonName: 'contoso', usage: ['clientAuth'] })
  const postfix = await startPostfix({
    mainCf: [
      ...MAILBOX_MAIN_CF,
      'smtpd_tls_security_level = encrypt',
      `smtpd_tls_cert_file = ${server.certificate}`,
      `smtpd_tls_key_file = ${server.key}`,
      `smtpd_tls_CAfile = ${authority.certificate}`,
      'smtpd_tls_req_ccert = yes',
      'smtpd_tls_loglevel = 1',
      'smtpd_tls_received_header = yes',
    ],
  })
  try {
    const pool = connections({ credentials: () => credentialsWith(authority, { contoso }) })
    const contosoHop = verifiedHop(authority, postfix.port, { tenant: 'contoso' })
    const body = Array.from({ length: 20 }, (_, i) => Buffer.from(`line ${i}\r\n`.repeat(1_000)))
    for (let i = 0; i < 3; i++) {
      const made = await attempt(pool, contosoHop, message(`Subject: ${i}\r\n\r\n`, body))
      assert.deepEqual([statuses(made), made.tls?.verifiedBy], [['delivered 2.0.0'], 'name'])
    }
    const stranger = await attempt(pool, verifiedHop(authority, postfix.port, { tenant: 'northwind' }))
    assert.deepEqual(
      statuses(stranger).map((each) => each.slice(0, 8)),
      ['deferred'],
    )
    await pool.close()
    const [first] = await eventually('three messages', async () => {
      const messages = await postfix.messages()
      return messages.length === 3 ? messages : undefined
    })
    assert.match(first?.toString() ?? '', /Client CN "contoso", Issuer "Causeway Test Authority" \(verified OK\)/)
  } finally {
    await postfix.stop()
  }
})
