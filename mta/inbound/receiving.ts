// What a session does with the content of DATA, whatever becomes of it: Reception takes a message, ProbeReception a probe.
import type { Peer } from './admission.ts'
import type { Reply } from './replies.ts'

/** What is known of who sends the message. */
export interface Client {
  readonly helloName: string
  readonly address: string
  readonly isEsmtp: boolean
  /** undefined: it came in cleartext. */
  readonly tls: { readonly protocol: string; readonly cipher: string } | undefined
  /** Which way it was admitted. */
  readonly peer: Peer
}

export interface Receiving {
  /**
   * Takes the next octets of content. Never throws: what goes wrong becomes the reply at the end of DATA.
   * @returns a promise when nothing more should come before it is settled
   */
  write(content: Buffer): Promise<void> | undefined
  /** After the final dot. Never throws. */
  finish(has8Bit: boolean): Promise<Reply>
  /** The message is not taken, whatever it holds. */
  refuse(reply: Reply): Promise<Reply>
  /** The rest won't come, or isn't wanted. */
  abort(): void
  /** The client was told 451: what becomes durable all the same must not be delivered, for the client will send it again. */
  disown(): void
  /** To be called when the reply has been written. */
  announce(): void
}
