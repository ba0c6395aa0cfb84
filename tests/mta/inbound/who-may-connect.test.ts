// docs/who-may-connect.md tells every reason that an operator can meet in log and metrics, and no other.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { CERTIFICATE_REFUSALS } from '../../../mta/inbound/client-certificate.ts'
import { certificateRefusal, REPLIES } from '../../../mta/inbound/replies.ts'
import { HANDSHAKE_FAILURES } from '../../../mta/inbound/tls-handshake.ts'

const page = readFileSync(new URL('../../../docs/who-may-connect.md', import.meta.url), 'utf8')
const [, refusals = '', handshakes = ''] = page.split('\n## ')

/** First column of a table. */
function reasonsOf(section: string): string[] {
  return [...section.matchAll(/^\| `([a-z-]+)`/gm)].map(([, reason = '']) => reason).toSorted()
}

test('every refusal of a client is told, with its reply', () => {
  const all = [
    REPLIES.addressRefused,
    REPLIES.tlsFirst,
    REPLIES.tlsNotYet,
    ...[...CERTIFICATE_REFUSALS, 'unknown' as const].map(certificateRefusal),
  ]
  assert.deepEqual(reasonsOf(refusals), all.map(({ reason }) => reason).toSorted())
  for (const { reason, line } of all) {
    const row = refusals.split('\n').find((text) => text.startsWith(`| \`${reason}\``)) ?? ''
    assert.equal(row.split('|')[2]?.trim(), line.slice(0, '550 5.7.1'.length))
  }
})

test('every end of a handshake is told', () => {
  assert.deepEqual(reasonsOf(handshakes), [...HANDSHAKE_FAILURES].toSorted())
})
