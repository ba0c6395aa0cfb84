// Exchange Online's front door, one for all simulated tenants: SMTP with STARTTLS that asks clients for a certificate, finds out recipient by recipient
// whose mail it is, and refuses what is nobody's before any rule is asked. (coexistence.md §3)
import type { DnsLookup } from '../internet/dns-lookup.ts'
import type { CertificateAuthority, KeyedCertificate } from '../internet/authority.ts'
import { judgeMail } from '../internet/mail-verdict.ts'
import { mailServer, refuse } from '../internet/mail-server.ts'
import type { MailClient, ReceivedMail, SmtpRefusal } from '../internet/mail-server.ts'
import type { AddressBook } from '../mail-flow/address-book.ts'
import { attribute } from '../mail-flow/attribution.ts'
import type { Attribution } from '../mail-flow/attribution.ts'
import type { MailFlowBehaviour } from '../mail-flow/behaviour.ts'
import type { EnvelopedMessage } from '../mail-flow/mail-view.ts'
import { domainOf, textOf } from '../mail-flow/object-properties.ts'
import { clientNames } from './client-certificate.ts'
import { RECEIVING_HOST } from './exchange-hosts.ts'
import { asReceived } from './trace-fields.ts'

export interface FrontDoorOptions {
  /** A loopback address. */
  readonly address: string
  /** 0: any. */
  readonly port: number
  readonly authority: CertificateAuthority
  readonly certificate: KeyedCertificate
  readonly lookup: DnsLookup
  readonly books: readonly AddressBook[]
  readonly behaviour: MailFlowBehaviour
  /** ms since the epoch, of the sandbox's clock */
  readonly nowMs: () => number
  /** Whom bounces of forwarded mail are for in truth. */
  readonly originalSender: (tenantId: string, address: string) => string | undefined
  readonly onRefused: (refused: { readonly sender: string; readonly recipient: string; readonly reply: string }) => void
  /** Taken into the tenant's transport: from then on Exchange answers for it. */
  readonly onAccepted: (accepted: AcceptedMail) => void
}

export interface AcceptedMail {
  readonly tenantId: string
  readonly origin: 'originating' | 'incoming'
  readonly message: EnvelopedMessage
  /** Name of the connector by which it came. */
  readonly connector: string | undefined
}

export interface FrontDoor {
  readonly address: string
  readonly port: number
  close(): Promise<void>
}

type Owned = Exclude<Attribution, { kind: 'refused' }>

const MAX_BYTES = 40 * 2 ** 20
/** Directory-based edge blocking: in an authoritative domain only who has an object takes mail. */
const NO_OBJECT = '550 5.4.1 Recipient address rejected: Access denied.'

export async function openFrontDoor(options: FrontDoorOptions): Promise<FrontDoor> {
  const { address, port, authority, certificate, lookup, books, behaviour, nowMs } = options
  const server = mailServer({
    hostName: RECEIVING_HOST,
    certificate,
    maxBytes: MAX_BYTES,
    banner: 'Microsoft ESMTP MAIL Service ready',
    clientAuthority: authority.certificate,
    offersNotices: true,
    refusal: (recipient, client) => {
      const found = attributed(recipient, client)
      if (typeof found !== 'string') return undefined
      options.onRefused({ sender: client.reversePath, recipient, reply: found })
      return refusalOf(found)
    },
    onMail: take,
  })

  /** Whose it is, or the reply to who may not bring it. */
  function attributed(recipient: string, client: MailClient): Owned | string {
    const certificateNames = clientNames(client.certificate, {
      authority: authority.certificate,
      serverOnly: behaviour.serverOnlyCertificates,
      nowMs: Date.now(),
    })
    const found = attribute(books, { certificateNames, sender: client.reversePath, recipient }, nowMs())
    if (found.kind === 'refused') return found.reply
    return found.kind === 'incoming' && !hasObject(found.book, recipient) ? NO_OBJECT : found
  }

  function hasObject(book: AddressBook, recipient: string): boolean {
    return (
      book.domainType(domainOf(recipient), nowMs()) !== 'Authoritative' ||
      book.find(recipient, nowMs()) !== undefined ||
      options.originalSender(book.tenant.id, recipient) !== undefined
    )
  }

  async function take(mail: ReceivedMail): Promise<void> {
    const owned = mail.recipients.map((recipient) => {
      const found = attributed(recipient, mail)
      // It was taken a moment ago; what has changed since counts.
      return typeof found === 'string' ? refuse(refusalOf(found)) : { recipient, ...found }
    })
    const isFromOutside = owned.some(({ kind }) => kind === 'incoming')
    const verdict = isFromOutside
      ? await judgeMail(mail.content, mail, { lookup, hostName: RECEIVING_HOST })
      : undefined
    for (const [, group] of Map.groupBy(owned, ({ kind, book }) => `${kind} ${book.tenant.id}`)) {
      const [first] = group
      if (first === undefined) continue
      const { kind: origin, book, connector } = first
      const content = asReceived(mail.content, mail, {
        host: RECEIVING_HOST,
        verdict:
          origin === 'incoming' && verdict !== undefined ? { ...verdict, mailFrom: mail.reversePath } : undefined,
        nowMs: nowMs(),
      })
      options.onAccepted({
        tenantId: book.tenant.id,
        origin,
        message: {
          sender: mail.reversePath,
          recipients: group.map(({ recipient }) => recipient),
          content,
          notices: mail.notices,
        },
        connector: connector === undefined ? undefined : textOf(connector, 'Name'),
      })
    }
  }

  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.server.once('error', reject)
  server.listen(port, address, resolve)
  await promise
  const bound = server.server.address()
  return {
    address,
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    close: () => new Promise<void>((closed) => server.close(closed)),
  }
}

/** `550 5.7.64 TenantAttribution; …` */
function refusalOf(reply: string): SmtpRefusal {
  return [Number(reply.slice(0, 3)), reply.slice(4)]
}
