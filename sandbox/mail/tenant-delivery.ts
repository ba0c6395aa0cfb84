// One attempt to hand a message of a simulated tenant to somebody else: by a connector to its smart hosts, or over the internet to the recipients'
// mail exchangers, signed.
import { sendMail, sendToHosts } from '../internet/send-mail.ts'
import type { SendingOptions, SendOutcome } from '../internet/send-mail.ts'
import { canonicalAddress } from '../internet/mail-server.ts'
import type { EnvelopedMessage } from '../mail-flow/mail-view.ts'
import { flagOf, listOf } from '../mail-flow/object-properties.ts'
import type { ExchangeObject } from '../tenants/objects.ts'
import { tlsTermsOf } from './connector-tls.ts'
import type { OwnTls } from './connector-tls.ts'
import type { Attempted } from './mail-queue.ts'

export interface TenantDeliveryDeps {
  readonly sending: Omit<SendingOptions, 'tls' | 'signal'>
  readonly tls: OwnTls
}

/** Exchange Online no longer mends them, and no host of the sandbox takes BDAT. */
const BARE_LINE_FEEDS =
  '550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA and receiving system does not support BDAT'

export async function overConnector(
  { sending, tls }: TenantDeliveryDeps,
  connector: ExchangeObject,
  { sender, recipients, content }: EnvelopedMessage,
  signal: AbortSignal,
): Promise<readonly SendOutcome[]> {
  const options = { ...sending, tls: tlsTermsOf(connector, tls), signal }
  const mail = { from: sender, to: recipients.map(canonicalAddress), content: Buffer.from(content) }
  if (flagOf(connector, 'UseMXRecord')) return sendMail(mail, options)
  return sendToHosts(smartHostsOf(connector), mail, options)
}

export async function overInternet(
  { sending, tls }: TenantDeliveryDeps,
  { sender, recipients, content }: EnvelopedMessage,
  signal: AbortSignal,
): Promise<readonly SendOutcome[]> {
  const options = { ...sending, tls: tlsTermsOf(undefined, tls), signal }
  return sendMail({ from: sender, to: recipients, content: Buffer.from(content) }, options)
}

export function smartHostsOf(connector: ExchangeObject): readonly string[] {
  return listOf(connector, 'SmartHosts').map((host) => host.toLowerCase())
}

/** undefined: nothing speaks against sending it. */
export function unsendable({ recipients, content }: EnvelopedMessage): Attempted | undefined {
  if (!/(?<!\r)\n/.test(Buffer.from(content).toString('latin1'))) return undefined
  const failures = recipients.map((recipient) => ({ recipient, reply: BARE_LINE_FEEDS }))
  return { waiting: [], failures, reply: '' }
}

export function attemptedOf(outcomes: readonly SendOutcome[]): Attempted {
  const waiting = outcomes.filter(({ kind }) => kind === 'deferred')
  const [first] = waiting
  return {
    waiting: waiting.map(({ recipient }) => recipient),
    reply: first === undefined ? '' : replyOf(first),
    failures: outcomes
      .filter(({ kind }) => kind === 'refused')
      .map((outcome) => ({
        recipient: outcome.recipient,
        reply: replyOf(outcome),
        ...(outcome.host === undefined ? {} : { host: outcome.host }),
      })),
  }
}

/** Where nobody answered, Exchange says in its place what it thinks of that. */
export function replyOf({ code, kind, reply }: SendOutcome): string {
  return code === 0 && !/^[45]\d\d /.test(reply) ? `${kind === 'refused' ? '550' : '450'} ${reply}` : reply
}
