// The control API's operations on mail: names and certificates of the simulated internet, the switches of mail flow, and what is on its way or arrived.
import { ControlFault, flag, oneOf, text, whole } from '../entra/control-routes.ts'
import type { Fields } from '../entra/control-routes.ts'
import { RequestRefused } from '../internet/certificate-request.ts'
import { defaultMailFlowBehaviour } from '../mail-flow/behaviour.ts'
import type { MailFlowBehaviour } from '../mail-flow/behaviour.ts'
import { RECORD_TYPES } from '../mail/operator-names.ts'
import { NotInSandbox } from './control.ts'
import type { SandboxControl } from './control.ts'
import { optional, texts } from './fields.ts'

const DAY_MS = 86_400_000
const CERTIFICATE_DAYS = 365
const MAX_CERTIFICATE_DAYS = 3650

export const MAIL_OPERATIONS: Readonly<Record<string, (control: SandboxControl, fields: Fields) => unknown>> = {
  'mail-addresses': ({ mail }) => ({
    frontDoor: { address: mail.frontDoor.address, port: mail.frontDoor.port },
    sendingAddress: mail.sendingAddress,
    dns: { address: mail.dns.address, port: mail.dns.port },
    outside: { port: mail.outside.port },
  }),
  'set-mail-host': ({ mail }, fields) => mail.setHost(text(fields, 'host'), port(fields)),
  'put-dns-record': ({ mail }, fields) =>
    mail.putRecord(text(fields, 'name'), oneOf(RECORD_TYPES, fields, 'type'), text(fields, 'data')),
  'remove-dns-record': ({ mail }, fields) =>
    mail.removeRecord(text(fields, 'name'), oneOf(RECORD_TYPES, fields, 'type'), optional(fields, 'data', text)),
  'add-verified-domain': (control, fields) => control.addVerifiedDomain(text(fields, 'tenant'), text(fields, 'domain')),
  authority: ({ mail }) => ({ root: mail.authority.certificate }),
  'sign-request': signRequest,
  'set-mail-behaviour': ({ mail }, fields) => {
    Object.assign(mail.behaviour, defaultMailFlowBehaviour(), behaviour(fields))
  },
  'mail-queue': ({ mail }) => ({
    messages: mail.queued().map(({ message, ...queued }) => ({
      ...queued,
      sender: message.sender,
      recipients: message.recipients,
    })),
  }),
  'retry-mail': ({ mail }) => mail.retryQueued(),
  'mail-externals': ({ mail }, fields) => mail.externals(text(fields, 'tenant')),
  'mail-log': ({ mail }, fields) => ({ hops: mail.log().filter(({ number }) => number > since(fields)) }),
  'mailbox-messages': ({ mail }, fields) => {
    const [tenant, address] = [text(fields, 'tenant'), text(fields, 'address')]
    const guid = mail.mailboxOf(tenant, address)
    if (guid === undefined) throw new NotInSandbox('the tenant has no such mailbox')
    const messages = mail.mailboxes.of(tenant, guid, since(fields))
    return {
      messages: messages.map(({ content, ...message }) => ({ ...message, content: content.toString('base64') })),
    }
  },
  'add-outside-mailbox': ({ mail }, fields) => addOutsideMailbox(mail, text(fields, 'address')),
  'outside-messages': ({ mail }, fields) => {
    const messages = mail.outside.mails.list().filter(({ number }) => number > since(fields))
    return {
      messages: messages.map(({ content, ...message }) => ({ ...message, content: content.toString('base64') })),
    }
  },
}

function addOutsideMailbox({ outside }: SandboxControl['mail'], address: string): void {
  if (!outside.isOurs(address)) throw new ControlFault('address has to be in a domain of the outside')
  outside.addMailbox(address)
}

/** For the names in the request, or for others. */
function signRequest({ mail }: SandboxControl, fields: Fields): unknown {
  const days = fields['days'] === undefined ? CERTIFICATE_DAYS : whole(fields['days'], 'days')
  if (days < 1 || days > MAX_CERTIFICATE_DAYS) throw new ControlFault(`days has to be 1 to ${MAX_CERTIFICATE_DAYS}`)
  const now = Date.now()
  const terms = {
    notBefore: now - DAY_MS,
    notAfter: now + days * DAY_MS,
    ...(fields['usages'] === undefined ? {} : { usages: texts(fields, 'usages').map(usage) }),
  }
  const names = optional(fields, 'names', texts)
  try {
    const certificate = mail.authority.sign(text(fields, 'pem'), terms, names)
    return { certificate, chain: `${certificate}${mail.authority.certificate}` }
  } catch (error) {
    if (error instanceof RequestRefused) throw new ControlFault(`pem: ${error.message}`)
    throw error
  }
}

function usage(name: string): 'server' | 'client' {
  if (name !== 'server' && name !== 'client') throw new ControlFault('usages are server and client')
  return name
}

function behaviour(fields: Fields): Partial<MailFlowBehaviour> {
  const given = <T>(name: string, read: () => T) => (fields[name] === undefined ? {} : { [name]: read() })
  return {
    ...given('mailUserAddress', () => oneOf(['presented', 'external'] as const, fields, 'mailUserAddress')),
    ...given('countsRoutedToAcceptedDomain', () => flag(fields, 'countsRoutedToAcceptedDomain')),
    ...given('routingCountsAsRedirect', () => flag(fields, 'routingCountsAsRedirect')),
    ...given('fromMemberOf', () => oneOf(['all', 'authenticated'] as const, fields, 'fromMemberOf')),
    ...given('serverOnlyCertificates', () => oneOf(['taken', 'refused'] as const, fields, 'serverOnlyCertificates')),
  }
}

/** Number of the last one seen; default: of none. */
function since(fields: Fields): number {
  return fields['since'] === undefined ? 0 : whole(fields['since'], 'since')
}

function port(fields: Fields): number {
  const value = whole(fields['port'], 'port')
  if (value < 1 || value > 65_535) throw new ControlFault('port has to be 1 to 65535')
  return value
}
