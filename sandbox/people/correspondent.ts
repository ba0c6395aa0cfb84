// Whoever writes and is written to: somebody with a mailbox in one of the tenants, or outside. Both look alike to what people do.
import { AddressBook } from '../mail-flow/address-book.ts'
import type { EnvelopedMessage } from '../mail-flow/mail-view.ts'
import { textOf, withoutPrefix } from '../mail-flow/object-properties.ts'
import { entraProperty } from '../exchange/recipient-facts.ts'
import type { DkimSigner, OutsideMail } from '../internet/outside-mail.ts'
import type { SendOutcome } from '../internet/send-mail.ts'
import type { Recipient } from '../tenants/objects.ts'
import { isByGroup, oofTypeOf } from './automatic-reply.ts'
import type { OofType } from './automatic-reply.ts'
import type { WritingStyle } from './compose-message.ts'
import { isSameAddress } from './named-address.ts'
import type { NamedAddress } from './named-address.ts'
import type { ReceivedMessage } from './read-message.ts'

/** By any address of his. */
export interface TenantPerson {
  readonly tenantId: string
  readonly person: string
}

/** `Olga Berg <olga@example.net>` */
export interface Outsider {
  readonly outside: string
}

export type Who = TenantPerson | Outsider

export interface Correspondent {
  /** Of the mailbox. */
  readonly key: string
  /** Name and primary address. */
  readonly self: NamedAddress
  readonly style: WritingStyle
  /** Of his Message-IDs. */
  readonly idDomain: string
  /** Whether an address is of his mailbox. */
  readonly isOwn: (address: string) => boolean
  /** Whether two addresses are of one mailbox, as far as he can tell. */
  readonly isSame: (one: string, other: string) => boolean
  readonly oofType: (sender: string) => OofType
  readonly isByGroup: (message: ReceivedMessage) => boolean
  /** @returns what became of each recipient; undefined: the tenant has taken it */
  readonly send: (message: EnvelopedMessage) => Promise<readonly SendOutcome[] | undefined>
}

/** The part of MailWorld that people need. */
export interface PeopleMail {
  readonly outside: Pick<OutsideMail, 'send' | 'isOurs' | 'addMailbox' | 'mails'>
  submit(tenantId: string, message: EnvelopedMessage): Promise<void>
  /** @returns ends it */
  onDelivered(
    listener: (arrival: {
      readonly tenantId: string
      readonly mailboxGuid: string
      readonly sender: string
      readonly content: Uint8Array
      readonly atMs: number
    }) => void,
  ): () => void
}

const EXCHANGE_ID_DOMAIN = 'sandbox.prod.outlook.com'

export function tenantCorrespondent(
  book: AddressBook,
  recipient: Recipient,
  { mail, nowMs }: { readonly mail: PeopleMail; readonly nowMs: () => number },
): Correspondent {
  const { tenant } = book
  const isOwn = (address: string) => book.find(address, nowMs())?.guid === recipient.guid
  return {
    key: mailboxKey(tenant.id, recipient.guid),
    self: { name: displayNameOf(book, recipient), address: primaryAddress(book, recipient) },
    style: 'exchange',
    idDomain: EXCHANGE_ID_DOMAIN,
    isOwn,
    isSame: (one, other) => {
      const found = book.find(one, nowMs())
      return isSameAddress(one, other) || (found !== undefined && book.find(other, nowMs())?.guid === found.guid)
    },
    oofType: (sender) => oofTypeOf(book, sender, nowMs()),
    isByGroup: (message) => isByGroup(book, message, isOwn, nowMs()),
    send: async (message) => {
      await mail.submit(tenant.id, message)
      return undefined
    },
  }
}

/** Has a mailbox from now on. @throws RangeError when his domain is not one of the outside's */
export function outsideCorrespondent(
  self: NamedAddress,
  {
    mail,
    signerOf,
    waits,
  }: {
    readonly mail: PeopleMail
    readonly signerOf: (domain: string) => DkimSigner | undefined
    /** One for each new attempt at who could not take it; false: no more of them. */
    readonly waits: readonly (() => Promise<boolean>)[]
  },
): Correspondent {
  const domain = self.address.slice(self.address.lastIndexOf('@') + 1).toLowerCase()
  if (!mail.outside.isOurs(self.address)) throw new RangeError('the domain is not one of the outside')
  mail.outside.addMailbox(self.address)
  const signer = signerOf(domain)
  return {
    key: outsideKey(self.address),
    self,
    style: 'internet',
    idDomain: domain,
    isOwn: (address) => isSameAddress(address, self.address),
    isSame: isSameAddress,
    oofType: (sender) => (sender.toLowerCase().endsWith(`@${domain}`) ? 'Internal' : 'External'),
    isByGroup: () => false,
    send: async ({ sender, recipients, content }) => {
      const outcomes = new Map<string, SendOutcome>()
      let open = recipients
      for (const wait of [...waits, undefined]) {
        const attempt = {
          from: sender,
          to: open,
          content: Buffer.from(content),
          ...(signer === undefined ? {} : { signer }),
        }
        for (const outcome of await mail.outside.send(attempt)) outcomes.set(outcome.recipient, outcome)
        open = [...outcomes.values()].filter(({ kind }) => kind === 'deferred').map(({ recipient }) => recipient)
        if (open.length === 0 || !(await (wait?.() ?? false))) break
      }
      return [...outcomes.values()]
    },
  }
}

/** @throws RangeError: nobody of that address has a mailbox in the tenant */
export function mailboxOf(book: AddressBook, address: string, nowMs: number): Recipient {
  const recipient = book.find(address, nowMs)
  if (recipient === undefined || !isMailbox(recipient))
    throw new RangeError('the tenant has no mailbox of that address')
  return recipient
}

export function isMailbox({ recipientTypeDetails }: Recipient): boolean {
  return recipientTypeDetails.endsWith('Mailbox') && recipientTypeDetails !== 'GroupMailbox'
}

export function mailboxKey(tenantId: string, guid: string): string {
  return `${tenantId}/${guid}`
}

export function outsideKey(address: string): string {
  return `outside/${address.toLowerCase()}`
}

/** As it is written there, capitals and all. */
function primaryAddress(book: AddressBook, recipient: Recipient): string {
  const primary = book.addressesOf(recipient).find((address) => address.startsWith('SMTP:'))
  return withoutPrefix(primary ?? textOf(recipient, 'PrimarySmtpAddress'))
}

function displayNameOf({ tenant }: AddressBook, recipient: Recipient): string {
  const own = textOf(recipient, 'DisplayName')
  const entra = entraProperty(recipient, tenant, 'displayName')
  return own === '' && typeof entra === 'string' ? entra : own
}
