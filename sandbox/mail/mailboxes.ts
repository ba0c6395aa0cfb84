// What arrived in the mailboxes of the simulated tenants, the newest of it.
import { ArrivedMails } from '../internet/arrived-mail.ts'

export interface MailboxArrival {
  /** Counts up from 1, over all mailboxes. */
  readonly number: number
  readonly tenantId: string
  /** Exchange's `Guid`. */
  readonly mailboxGuid: string
  /** As it was written to. */
  readonly recipient: string
  /** Empty: the null reverse-path. */
  readonly sender: string
  readonly content: Buffer
  /** ms since the epoch, of the sandbox's clock */
  readonly atMs: number
}

const BOUNDS = { messages: 5_000, bytes: 256 * 2 ** 20 }

export class Mailboxes extends ArrivedMails<MailboxArrival> {
  constructor() {
    super(BOUNDS)
  }

  /** The oldest first. @param after  number of the last one seen */
  of(tenantId: string, mailboxGuid: string, after = 0): readonly MailboxArrival[] {
    return this.list().filter(
      (mail) => mail.tenantId === tenantId && mail.mailboxGuid === mailboxGuid && mail.number > after,
    )
  }
}
