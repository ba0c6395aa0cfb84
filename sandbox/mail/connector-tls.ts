// What a connector demands of the TLS with the host it sends to (microsoft-365.md §15): encryption, a certificate of a trusted authority, or one for
// a certain name. Pure.
import { checkServerIdentity } from 'node:tls'
import type { ConnectionOptions, PeerCertificate, SecureContext } from 'node:tls'
import type { TlsTerms } from '../internet/send-mail.ts'
import { textOf } from '../mail-flow/object-properties.ts'
import type { ExchangeObject } from '../tenants/objects.ts'

export interface OwnTls {
  /** The certificate that is shown to who asks, and who is believed: made once and not for each message. */
  readonly context: SecureContext
}

/** @param connector  undefined: to the internet, where encryption is a matter of luck */
export function tlsTermsOf(connector: ExchangeObject | undefined, { context }: OwnTls): TlsTerms {
  const own: ConnectionOptions = { secureContext: context }
  switch (connector === undefined ? '' : textOf(connector, 'TlsSettings')) {
    case 'EncryptionOnly':
      return { isDemanded: true, options: { ...own, rejectUnauthorized: false } }
    case 'CertificateValidation':
      return {
        isDemanded: true,
        options: { ...own, rejectUnauthorized: true, checkServerIdentity: () => undefined },
      }
    case 'DomainValidation': {
      const name = connector === undefined ? '' : textOf(connector, 'TlsDomain').toLowerCase()
      return {
        isDemanded: true,
        options: {
          ...own,
          rejectUnauthorized: true,
          checkServerIdentity: (_host, shown) =>
            isUnder(name, shown) ? undefined : checkServerIdentity(name.replace(/^\*\./, 'any.'), shown),
        },
      }
    }
    default:
      return { isDemanded: false, options: { ...own, rejectUnauthorized: false } }
  }
}

/** `*.contoso.com` stands for each host of the domain, whether the certificate names it or a pattern in turn. */
function isUnder(pattern: string, { subjectaltname = '' }: PeerCertificate): boolean {
  if (!pattern.startsWith('*.')) return false
  return subjectaltname
    .split(', ')
    .map((name) => name.replace(/^DNS:/, '').toLowerCase())
    .some((name) => name.slice(name.indexOf('.')) === pattern.slice(1))
}
