// What every decision of one message's way through a tenant looks at.
import type { ExchangeObject } from '../tenants/objects.ts'
import type { AddressBook } from './address-book.ts'
import type { MailFlowBehaviour } from './behaviour.ts'
import type { ExternalLimit } from './external-limit.ts'

export interface MailView {
  readonly book: AddressBook
  /** In effect by now, in order of priority: a change of a rule may take half an hour to act. */
  readonly rules: readonly ExchangeObject[]
  readonly behaviour: MailFlowBehaviour
  readonly externals: ExternalLimit
  readonly nowMs: number
}

/** How a message came: from a mailbox of the tenant, by an OnPremises connector as the tenant's own, or from anybody. */
export type Origin = 'submission' | 'originating' | 'incoming'

export interface EnvelopedMessage {
  /** Empty: the null reverse-path. */
  readonly sender: string
  readonly recipients: readonly string[]
  readonly content: Uint8Array
  /** By recipient in lower case, what its sender asked to be told. */
  readonly notices?: ReadonlyMap<string, NoticeRequest>
}

/** RFC 3461 §4 */
export interface NoticeRequest {
  /** `NEVER`, or some of `SUCCESS`, `FAILURE`, `DELAY`; absent: as everybody. */
  readonly notify?: readonly string[]
  /** `rfc822;alice+2B@contoso.com`: whom the sender wrote to in truth. */
  readonly originalRecipient?: string
}
