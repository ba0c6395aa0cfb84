// Out of office: whether a message that arrived is answered by itself, and with which text (RFC 3834; `AllowedOOFType` of remote domains). Pure but for
// the look into the tenant.
import type { AddressBook } from '../mail-flow/address-book.ts'
import { domainOf, flagOf, textOf } from '../mail-flow/object-properties.ts'
import { remoteDomainOf } from '../mail-flow/remote-domains.ts'
import type { ReceivedMessage } from './read-message.ts'

export interface AutomaticReply {
  /** To colleagues. */
  readonly internalText: string
  readonly externalText: string
  /** Who else is answered, besides colleagues. */
  readonly audience: 'none' | 'all'
}

/** Of a remote domain; `Internal`: the sender is no stranger. */
export type OofType = 'Internal' | 'InternalLegacy' | 'External' | 'ExternalLegacy' | 'None'

/** @returns the text; undefined: silence */
export function automaticText(
  setting: AutomaticReply,
  message: Pick<ReceivedMessage, 'unanswerable'>,
  sender: {
    readonly oofType: OofType
    readonly isAnswered: boolean
    readonly isOwner: boolean
    readonly isByGroup: boolean
  },
): string | undefined {
  if (message.unanswerable !== undefined || sender.isAnswered || sender.isOwner || sender.isByGroup) return undefined
  switch (sender.oofType) {
    case 'Internal':
    case 'InternalLegacy':
      return setting.internalText
    case 'External':
    case 'ExternalLegacy':
      return setting.audience === 'all' ? setting.externalText : undefined
    case 'None':
      return undefined
    default:
      return sender.oofType satisfies never
  }
}

/** What the tenant says to people at `address`. */
export function oofTypeOf(book: AddressBook, address: string, nowMs: number): OofType {
  if (book.isOwn(address, nowMs)) return 'Internal'
  const fitting = remoteDomainOf(book, domainOf(address), nowMs)
  const type = fitting === undefined ? 'External' : textOf(fitting, 'AllowedOOFType')
  return type === 'None' || type === 'InternalLegacy' || type === 'ExternalLegacy' ? type : 'External'
}

/** Whether it came by a group whose members' automatic replies go to nobody: its owner alone decides otherwise. */
export function isByGroup(
  book: AddressBook,
  { to, cc }: Pick<ReceivedMessage, 'to' | 'cc'>,
  isOwner: (address: string) => boolean,
  nowMs: number,
): boolean {
  const mentioned = [...to, ...cc]
  if (mentioned.some(isOwner)) return false
  return mentioned.some((address) => {
    const recipient = book.find(address, nowMs)
    return (
      recipient !== undefined &&
      recipient.recipientTypeDetails.includes('Group') &&
      !flagOf(recipient, 'SendOofMessageToOriginatorEnabled')
    )
  })
}
