// Sends one message as a stranger's server would: by MX, host after host, with TLS where it is offered (RFC 5321 §5, 7435). One attempt: whoever
// sends decides about another.
import type { ConnectionOptions } from 'node:tls'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { isLoopback } from '../loopback-server.ts'
import type { DnsLookup } from './dns-lookup.ts'
import { canonicalAddress } from './mail-server.ts'

export interface OutgoingMail {
  /** Empty: the null reverse-path. */
  readonly from: string
  readonly to: readonly string[]
  /** With CR LF; a final one is added where it is missing. */
  readonly content: Buffer
}

export interface SendingOptions {
  readonly lookup: Pick<DnsLookup, 'mailHosts' | 'addresses'>
  /** All hosts live on loopback. @returns undefined: nobody listens */
  readonly portOf: (host: string) => number | undefined
  readonly helo: string
  /** The client address that others see; default 127.0.0.1. */
  readonly localAddress?: string
  /** Default: encryption against listeners only (RFC 7435), where it is offered: who is there, nobody asks. */
  readonly tls?: TlsTerms
  /** Breaks off what is under way: nobody has answered, then. */
  readonly signal?: AbortSignal
}

export interface TlsTerms {
  /** No message without it. */
  readonly isDemanded: boolean
  /** What is shown to the host, and what the host has to show. */
  readonly options: ConnectionOptions
}

/** What became of one recipient. `code` is 0 where nobody answered. */
export interface SendOutcome {
  readonly recipient: string
  readonly kind: 'accepted' | 'deferred' | 'refused'
  readonly code: number
  readonly reply: string
  /** Who said so, and whether under TLS; undefined: nobody did. */
  readonly host: string | undefined
  readonly isEncrypted: boolean
}

const CONNECT_MS = 5_000
const SOCKET_MS = 60_000

export async function sendMail(mail: OutgoingMail, options: SendingOptions): Promise<readonly SendOutcome[]> {
  const byDomain = Map.groupBy(mail.to.map(canonicalAddress), (address) => address.slice(address.lastIndexOf('@') + 1))
  const sent = [...byDomain].map(([domain, recipients]) => sendToDomain(domain, recipients, mail, options))
  return (await Promise.all(sent)).flat()
}

async function sendToDomain(
  domain: string,
  recipients: readonly string[],
  mail: OutgoingMail,
  options: SendingOptions,
): Promise<SendOutcome[]> {
  const all = (kind: SendOutcome['kind'], reply: string): SendOutcome[] =>
    recipients.map((recipient) => ({ recipient, kind, code: 0, reply, host: undefined, isEncrypted: false }))
  let hosts
  try {
    hosts = await options.lookup.mailHosts(domain)
  } catch (error) {
    return all('deferred', `4.4.3 ${messageOf(error)}`)
  }
  if (hosts.length === 0) return all('refused', '5.1.2 the domain takes no mail')
  return sendToHosts(hosts, { ...mail, to: recipients }, options)
}

/** To the first that is reached, whatever it says. @param mail  its recipients canonical */
export async function sendToHosts(
  hosts: readonly string[],
  mail: OutgoingMail,
  options: SendingOptions,
): Promise<SendOutcome[]> {
  let last = 'no host'
  for (const host of hosts) {
    let connection
    try {
      connection = await connectToHost(host, options)
    } catch (error) {
      last = `${host}: ${messageOf(error)}`
      continue
    }
    try {
      return await transact(connection, host, mail)
    } finally {
      connection.close()
    }
  }
  const reply = `4.4.1 ${last}`
  return mail.to.map((recipient) => ({
    recipient,
    kind: 'deferred',
    code: 0,
    reply,
    host: undefined,
    isEncrypted: false,
  }))
}

/** As far as EHLO, in TLS where that is. @throws what kept it from there */
export async function connectToHost(host: string, options: SendingOptions): Promise<SMTPConnection> {
  const { lookup, portOf, helo, localAddress, tls, signal } = options
  signal?.throwIfAborted()
  const port = portOf(host)
  const [address] = await lookup.addresses(host)
  if (port === undefined || address === undefined) throw new Error('nobody listens there')
  if (!isLoopback(address)) throw new Error('the sandbox sends to loopback addresses only')
  const connection = new SMTPConnection({
    host: address,
    port,
    name: helo,
    localAddress: localAddress ?? '127.0.0.1',
    ...(tls?.isDemanded === true ? { requireTLS: true } : { opportunisticTLS: true }),
    connectionTimeout: CONNECT_MS,
    greetingTimeout: CONNECT_MS,
    socketTimeout: SOCKET_MS,
    tls: { servername: host, rejectUnauthorized: false, ...tls?.options },
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const breakOff = () => {
    reject(new Error('broken off'))
    connection.close()
  }
  signal?.addEventListener('abort', breakOff)
  connection.once('end', () => signal?.removeEventListener('abort', breakOff))
  connection.on('error', reject) // stays: later ones also come by the callback of what is under way
  connection.connect((error) => (error ? reject(error) : resolve()))
  try {
    await promise
  } catch (error) {
    connection.close()
    throw error
  }
  return connection
}

interface Refused {
  readonly message: string
  readonly code?: string | undefined
  readonly recipient?: string | undefined
  readonly response?: string | undefined
  readonly responseCode?: number | undefined
  readonly rejectedErrors?: readonly Refused[] | undefined
}

async function transact(
  connection: SMTPConnection,
  host: string,
  { from, to: recipients, content }: OutgoingMail,
): Promise<SendOutcome[]> {
  const envelope = { from: canonicalAddress(from), to: [...recipients], size: content.length, use8BitMime: true }
  const done = Promise.withResolvers<{ readonly reply: string; readonly refused: readonly Refused[] }>()
  connection.once('end', () => done.reject(new Error('the connection ended')))
  connection.send(envelope, content, (error, info) => {
    if (error) done.reject(error)
    else done.resolve({ reply: info.response, refused: info.rejectedErrors ?? [] })
  })
  const outcome = (recipient: string, fault: Refused): SendOutcome => {
    const code = fault.responseCode ?? 0
    // Before it is sent: the host has said how much it takes, and will say so again (RFC 1870 §6).
    const isTooLarge = code === 0 && fault.code === 'EMESSAGE'
    const kind = code >= 500 || isTooLarge ? 'refused' : 'deferred'
    const reply = fault.response ?? (isTooLarge ? `5.3.4 ${fault.message}` : fault.message)
    return { recipient, kind, code, reply, host, isEncrypted: connection.secure }
  }
  try {
    const { reply, refused } = await done.promise
    return recipients.map((recipient): SendOutcome => {
      const fault = refused.find((one) => one.recipient === recipient)
      if (fault !== undefined) return outcome(recipient, fault)
      return { recipient, kind: 'accepted', code: 250, reply, host, isEncrypted: connection.secure }
    })
  } catch (error) {
    const fault: Refused = error instanceof Error ? error : new Error('the transaction failed', { cause: error })
    return recipients.map((recipient) =>
      outcome(recipient, fault.rejectedErrors?.find((one) => one.recipient === recipient) ?? fault),
    )
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
