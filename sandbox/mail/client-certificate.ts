// The names under which a client of the front door is known: those of its certificate, if it is of the authority, in date, and for what it is used for.
// Pure. (coexistence.md §3; §4 on certificates for servers alone)
import { X509Certificate } from 'node:crypto'
import type { MailFlowBehaviour } from '../mail-flow/behaviour.ts'

const FOR_SERVERS = '1.3.6.1.5.5.7.3.1'
const FOR_CLIENTS = '1.3.6.1.5.5.7.3.2'

/** DNS names, lower case. Empty: none was shown, or none that counts, which is the same to Exchange. */
export function clientNames(
  certificate: X509Certificate | undefined,
  {
    authority,
    serverOnly,
    nowMs,
  }: {
    /** PEM */
    readonly authority: string
    readonly serverOnly: MailFlowBehaviour['serverOnlyCertificates']
    /** Of the machine. */
    readonly nowMs: number
  },
): readonly string[] {
  if (certificate === undefined) return []
  const issuer = new X509Certificate(authority)
  const isOfAuthority = certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  const isInDate = certificate.validFromDate.getTime() <= nowMs && nowMs < certificate.validToDate.getTime()
  return isOfAuthority && isInDate && isForClients(certificate, serverOnly) ? dnsNamesOf(certificate) : []
}

function isForClients({ keyUsage }: X509Certificate, serverOnly: MailFlowBehaviour['serverOnlyCertificates']): boolean {
  // The extended usages, whatever Node calls them; absent: for all.
  const usages: readonly string[] | undefined = keyUsage
  if (usages === undefined || usages.includes(FOR_CLIENTS)) return true
  return serverOnly === 'taken' && usages.includes(FOR_SERVERS)
}

function dnsNamesOf({ subjectAltName = '' }: X509Certificate): readonly string[] {
  return subjectAltName
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice('DNS:'.length).toLowerCase())
}
