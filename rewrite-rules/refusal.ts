// The one thing the engine throws (rewriting.md §12): a message or envelope that must not go on as it is.

/** RFC 3463 status; its first digit equals the reply code's. */
export type EnhancedStatus = `${2 | 4 | 5}.${number}.${number}`

export class Refusal extends Error {
  override readonly name = 'Refusal'
  /** RFC 5321 §4.2 reply code, for example 554. */
  readonly code: number
  readonly status: EnhancedStatus

  /** @param reason  for the peer: bland, without any part of the message */
  constructor(code: number, status: EnhancedStatus, reason: string) {
    super(reason)
    this.code = code
    this.status = status
  }
}
