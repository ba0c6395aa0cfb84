// What Exchange writes into the header of each message on its way: where it came from and when, how it was authenticated, of which tenant it is. Pure.
import type { MailClient } from '../internet/mail-server.ts'
import type { MailVerdict } from '../internet/mail-verdict.ts'
import { parseMessage, prependField, serialise, setField, valuesOf } from '../mail-flow/header.ts'
import { domainOf } from '../mail-flow/object-properties.ts'

/** RFC 5322 §3.3 @param ms  since the epoch */
export function mailDate(ms: number): string {
  return new Date(ms).toUTCString().replace('GMT', '+0000')
}

/** From a mailbox; with the date and the id that its program left out. @param id  a new GUID */
export function asSubmitted(content: Uint8Array, host: string, id: string, nowMs: number): Uint8Array {
  const message = parseMessage(content)
  const dated = has('Date') ? message : prependField(message, 'Date', mailDate(nowMs))
  const named = has('Message-ID') ? dated : prependField(dated, 'Message-ID', `<${id}@${host}>`)
  const trace = `from ${host} ([fe80::1]) by ${host} with mapi id 15.20.0.0; ${mailDate(nowMs)}`
  return serialise(prependField(named, 'Received', trace))

  function has(name: string): boolean {
    return valuesOf(message, name).length > 0
  }
}

/** From somebody else's server. @param verdict  undefined: it is of the tenant itself, and nobody asks */
export function asReceived(
  content: Uint8Array,
  { clientAddress, helo, tls }: MailClient,
  by: {
    readonly host: string
    readonly verdict: (MailVerdict & { readonly mailFrom: string }) | undefined
    readonly nowMs: number
  },
): Uint8Array {
  const { host, verdict, nowMs } = by
  const secured = tls === undefined ? '' : ` (version=${tls.protocol.replace('.', '_')}, cipher=${tls.cipher})`
  const trace = `from ${helo} (${clientAddress}) by ${host} with Microsoft SMTP Server${secured} id 15.20.0.0 via Frontend Transport; ${mailDate(nowMs)}`
  const message = parseMessage(content)
  const judged =
    verdict === undefined
      ? message
      : prependField(message, 'Authentication-Results', authenticationResults(verdict, clientAddress))
  return serialise(prependField(judged, 'Received', trace))
}

/** As it leaves for somebody else's server. */
export function asLeaving(content: Uint8Array, tenantId: string, domain: string): Uint8Array {
  const message = setField(parseMessage(content), 'X-OriginatorOrg', domain)
  return serialise(setField(message, 'X-MS-Exchange-CrossTenant-Id', tenantId))
}

/** As it is put into a mailbox. */
export function asDelivered(content: Uint8Array, sender: string): Buffer {
  return Buffer.from(serialise(setField(parseMessage(content), 'Return-Path', `<${sender}>`)))
}

function authenticationResults(
  { spf, dkim, dmarc, mailFrom }: MailVerdict & { readonly mailFrom: string },
  clientAddress: string,
): string {
  const signature = dkim.find(({ result }) => result === 'pass') ?? dkim[0]
  const signed =
    signature === undefined
      ? 'dkim=none (message not signed) header.d=none'
      : `dkim=${signature.result} header.d=${signature.domain ?? 'none'}`
  return [
    `spf=${spf.result} (sender IP is ${clientAddress}) smtp.mailfrom=${domainOf(mailFrom) || (spf.domain ?? 'none')}`,
    signed,
    `dmarc=${dmarc.result} action=none header.from=${dmarc.fromDomain ?? 'none'}`,
  ].join('; ')
}
