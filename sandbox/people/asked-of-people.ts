// What people are asked to do, and what they have done. Plain data.
import type { SendOutcome } from '../internet/send-mail.ts'
import type { Answer } from './calendar-entry.ts'
import type { Meeting, When } from './meeting.ts'
import type { Attachment } from './mime-part.ts'

/** Addressees as `Name <address>` or `address`. */
export interface LetterToSend {
  /** Of an answer: default who wrote, and with `isToAll` everybody else in it. */
  readonly to?: readonly string[]
  readonly cc?: readonly string[]
  readonly bcc?: readonly string[]
  /** Of an answer: default `RE:` and what it answers. */
  readonly subject?: string
  readonly text: string
  readonly attachments?: readonly Attachment[]
  /** Message-ID in the writer's mailbox. */
  readonly inReplyTo?: string
  readonly isToAll?: boolean
  readonly wantsReceipt?: boolean
  /** Address of the colleague who sends it for him. */
  readonly sentBy?: string
}

export interface MeetingToPlan {
  readonly required: readonly string[]
  readonly optional?: readonly string[]
  readonly subject: string
  readonly text?: string
  readonly location?: string
  readonly when: When
  readonly sentBy?: string
}

export type MeetingChange = Partial<Pick<Meeting, 'subject' | 'text' | 'location'> & { readonly when: When }>

export interface MeetingAnswer {
  readonly answer: Exclude<Answer, 'none'>
  readonly text?: string
  /** Of `counter`. */
  readonly proposal?: When
}

export interface Sent {
  readonly messageId: string
  /** As it was handed over. */
  readonly content: Buffer
  /** From outside: what became of each recipient. From a tenant the queue sees to it. */
  readonly outcomes?: readonly SendOutcome[]
}

export interface SentMeeting extends Sent {
  readonly uid: string
  readonly sequence: number
}
