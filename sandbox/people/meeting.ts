// A meeting as its organiser sees it, and what mail says of one. Plain data.
import type { NamedAddress } from './named-address.ts'

/** ms since the epoch */
export interface When {
  readonly startMs: number
  readonly endMs: number
}

export interface Attendee extends NamedAddress {
  readonly isOptional: boolean
}

export interface Meeting {
  readonly uid: string
  /** Counts its changes. */
  readonly sequence: number
  readonly subject: string
  readonly text: string
  readonly location: string
  /** undefined: told in a zone that nobody here knows. */
  readonly when: When | undefined
  readonly organizer: NamedAddress
  readonly attendees: readonly Attendee[]
}

export type Participation = 'ACCEPTED' | 'TENTATIVE' | 'DECLINED'

/** iTIP's methods that people use (RFC 5546 §3.2). */
export type MeetingMessage =
  | { readonly method: 'REQUEST' | 'CANCEL'; readonly meeting: Meeting; readonly sentBy?: NamedAddress | undefined }
  | {
      readonly method: 'REPLY'
      readonly meeting: Meeting
      readonly attendee: NamedAddress
      readonly participation: Participation
      readonly comment: string
    }
  | {
      readonly method: 'COUNTER'
      readonly meeting: Meeting
      readonly attendee: NamedAddress
      readonly proposal: When
      readonly comment: string
    }
