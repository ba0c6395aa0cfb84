// The outside world as far as mail goes: an organisation that is neither of the two, with a mail server, mailboxes and people who write. What
// arrives is judged as any stranger judges it, and kept as evidence.
import { dkimSign } from 'mailauth/lib/dkim/sign.js'
import type { SMTPServer } from 'smtp-server'
import { ArrivedMails } from './arrived-mail.ts'
import type { MailBounds } from './arrived-mail.ts'
import type { KeyedCertificate } from './authority.ts'
import { dnsLookup } from './dns-lookup.ts'
import type { DnsLookup } from './dns-lookup.ts'
import type { DnsServer } from './dns-server.ts'
import { judgeMail } from './mail-verdict.ts'
import { canonicalAddress, mailServer } from './mail-server.ts'
import type { ReceivedMail, SmtpRefusal } from './mail-server.ts'
import { sendMail } from './send-mail.ts'
import type { SendOutcome } from './send-mail.ts'

export interface OutsideMailOptions {
  /** Its MX host: `mx.example.net`. */
  readonly hostName: string
  /** Lower case, in A-labels. */
  readonly domains: readonly string[]
  /** For `hostName`. */
  readonly certificate: KeyedCertificate
  readonly dns: Pick<DnsServer, 'address' | 'port'>
  /** Where an MX host listens, since all of them live on loopback. */
  readonly portOf: (host: string) => number | undefined
  /** ms since the epoch */
  readonly now: () => number
  /** Where it listens and what it sends from, a loopback address; default 127.0.0.1. */
  readonly address?: string
  /** Default 0: any. */
  readonly port?: number
  /** Of one message; default 40 MiB. */
  readonly maxBytes?: number
  /** Of what is kept; default 2,000 messages, 256 MiB. */
  readonly bounds?: MailBounds
  /** A message that arrived and could not be judged or kept. */
  readonly onFault?: (error: unknown) => void
}

export interface DkimSigner {
  readonly domain: string
  readonly selector: string
  /** PKCS #8 PEM */
  readonly privateKey: string
}

export interface OutsideMessage {
  /** Empty: the null reverse-path. */
  readonly from: string
  readonly to: readonly string[]
  /** Line ends become CR LF. */
  readonly content: string | Buffer
  /** Default: not signed. */
  readonly signer?: DkimSigner
}

const MIB = 2 ** 20

export class OutsideMail implements AsyncDisposable {
  readonly mails: ArrivedMails
  readonly #options: OutsideMailOptions
  readonly #lookup: DnsLookup
  readonly #server: SMTPServer
  readonly #mailboxes = new Set<string>()
  #port = 0

  private constructor(options: OutsideMailOptions) {
    this.#options = options
    this.#lookup = dnsLookup(options.dns)
    this.mails = new ArrivedMails(options.bounds ?? { messages: 2_000, bytes: 256 * MIB })
    this.#server = mailServer({
      hostName: options.hostName,
      certificate: options.certificate,
      maxBytes: options.maxBytes ?? 40 * MIB,
      banner: 'outside',
      refusal: (recipient) => this.#refusal(recipient),
      onMail: (mail) => this.#take(mail),
    })
  }

  static async start(options: OutsideMailOptions): Promise<OutsideMail> {
    const outside = new OutsideMail(options)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const server = outside.#server.server
    server.once('error', reject)
    outside.#server.listen(options.port ?? 0, options.address ?? '127.0.0.1', resolve)
    await promise
    const bound = server.address()
    outside.#port = typeof bound === 'object' && bound !== null ? bound.port : 0
    return outside
  }

  get port(): number {
    return this.#port
  }

  addMailbox(address: string): void {
    const mailbox = keyOf(address)
    if (!this.isOurs(mailbox)) throw new Error('the domain is not one of the outside mail server')
    this.#mailboxes.add(mailbox)
  }

  /** From now on 550 5.1.1. */
  removeMailbox(address: string): void {
    this.#mailboxes.delete(keyOf(address))
  }

  /** One attempt at each domain. @returns one outcome a recipient */
  async send({ from, to, content, signer }: OutsideMessage): Promise<readonly SendOutcome[]> {
    const { hostName, portOf, address } = this.#options
    const lines = withCrLf(content)
    const signature = signer === undefined ? '' : await signatureOf(lines, signer)
    return sendMail(
      { from, to, content: Buffer.concat([Buffer.from(signature), lines]) },
      { lookup: this.#lookup, portOf, helo: hostName, ...(address === undefined ? {} : { localAddress: address }) },
    )
  }

  async close(): Promise<void> {
    this.mails.close()
    await new Promise<void>((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #refusal(recipient: string): SmtpRefusal | undefined {
    const mailbox = keyOf(recipient)
    if (!this.isOurs(mailbox)) return [550, '5.7.1 mail for that domain is not taken here']
    return this.#mailboxes.has(mailbox) ? undefined : [550, '5.1.1 no such mailbox']
  }

  /** Whether it is in one of its domains. */
  isOurs(address: string): boolean {
    const mailbox = keyOf(address)
    return this.#options.domains.includes(mailbox.slice(mailbox.lastIndexOf('@') + 1))
  }

  async #take(mail: ReceivedMail): Promise<void> {
    try {
      const at = this.#options.now()
      const verdict = await judgeMail(mail.content, mail, { lookup: this.#lookup, hostName: this.#options.hostName })
      const { clientAddress, helo, reversePath, recipients, content, tls } = mail
      this.mails.add({ clientAddress, helo, reversePath, recipients, content, tls, at, verdict })
    } catch (error) {
      this.#options.onFault?.(error)
      throw error
    }
  }
}

/** Mailboxes here know no upper case. */
function keyOf(address: string): string {
  return canonicalAddress(address).toLowerCase()
}

/** Signed and sent are the same octets. */
function withCrLf(content: string | Buffer): Buffer {
  const text = Buffer.from(content)
    .toString('latin1')
    .replaceAll(/\r\n|\r|\n/g, '\r\n')
  return Buffer.from(text.endsWith('\r\n') ? text : `${text}\r\n`, 'latin1')
}

/** Fields to stand before it. @param content  with CR LF */
export async function signatureOf(content: Buffer, { domain, selector, privateKey }: DkimSigner): Promise<string> {
  const { signatures, errors } = await dkimSign(content, {
    canonicalization: 'relaxed/relaxed',
    signingDomain: domain,
    selector,
    privateKey,
    signatureData: [{ signingDomain: domain, selector, privateKey }],
  })
  if (errors.length > 0) throw new Error('the message could not be signed', { cause: errors })
  return signatures
}
