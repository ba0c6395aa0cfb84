// Keys of the configuration that say where peers connect and what of them is checked there. (reliability-security.md §2)
import { isLoopback } from './network-names.ts'
import { oneOf, parsed } from './settings-forms.ts'
import { address, hostName, port, range } from './settings-parts.ts'
import { checked, list, optional, required, section } from './settings-reader.ts'
import type { Values } from './settings-reader.ts'

/** Name in Exchange Online's client certificate (SP-3). */
const EXCHANGE_NAME = 'mail.protection.outlook.com'

/** Gives it without colons, lower case. */
const fingerprint = parsed('a SHA-256 fingerprint: 64 hexadecimal digits, colons allowed', (written) => {
  const digits = written.replaceAll(':', '').toLowerCase()
  return /^[0-9a-f]{64}$/.test(digits) ? digits : undefined
})

const staticPeerSettings = {
  address: required(range, 'Where the peer connects from.'),
  fingerprint: required(
    fingerprint,
    "SHA-256 of the peer's certificate, as `openssl x509 -fingerprint -sha256` prints it.",
  ),
}
export type StaticPeer = Values<typeof staticPeerSettings>

const listenerSettings = {
  address: required(
    address,
    'Where to listen. Without TLS only a loopback address: whoever reaches another could send through us (SP-2, SP-8).',
  ),
  port: required(port, 'Port to listen on. `0` takes a free one and logs it.'),
  direction: optional<'out' | 'in' | undefined>(
    oneOf('out', 'in'),
    undefined,
    'What the peers of this listener send: `out` = mail written by people of the project, `in` = mail for them (R5).',
    'from the proof token of each message (R5); `tenants` needed',
  ),
  tls: required(
    oneOf('none', 'starttls'),
    '`starttls`: peers show a client certificate and their mail a tenant proof. `none`: cleartext, on a loopback address only; there `allow` alone admits. ' +
      'So it does on a loopback address with `starttls` and `routes` in place of `tenants`, over TLS or not: nobody but this machine gets there.',
  ),
  allow: optional(
    list(range),
    [],
    "Peers that may connect: Exchange Online's published ranges. Everybody else gets 554. An empty list means nobody (SP-3).",
  ),
  clientNames: optional(
    list(hostName, 1),
    [EXCHANGE_NAME],
    'Names in the client certificate (SAN dNSName) that are let in; compared exactly, no wildcards (SP-3).',
  ),
  staticPeers: optional(
    list(section(staticPeerSettings)),
    [],
    'Further peers, each by its address and its very certificate, in place of `allow` and `clientNames` (SP-8).',
  ),
}
export type ListenerSettings = Values<typeof listenerSettings>

/** What would make the relay open, one listener seen for itself. */
export const listener = checked(section(listenerSettings), (value, place, reading) => {
  if (value.tls === 'none' && !isLoopback(value.address)) {
    reading.faultWithin(
      place,
      ['address'],
      'a listener with `tls: none` is accepted on loopback addresses only (127.0.0.0/8, ::1): any other address would make an open ' +
        'relay. Write `tls: starttls`, with `certificates` and `tenants`',
    )
  }
  if (value.tls === 'none' && value.staticPeers.length > 0) {
    reading.faultWithin(
      place,
      ['staticPeers'],
      'needs `tls: starttls`: a certificate is how these peers are known (SP-8)',
    )
  }
})
