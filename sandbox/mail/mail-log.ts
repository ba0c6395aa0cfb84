// Every step of every message through the simulated tenants, the newest of them, for tests and for whoever looks.

export interface MailHop {
  /** Counts up from 1. */
  readonly number: number
  /** ms since the epoch, of the sandbox's clock */
  readonly atMs: number
  /** undefined: of none, or of several. */
  readonly tenantId: string | undefined
  readonly what: 'submitted' | 'received' | 'refused' | 'delivered' | 'sent' | 'deferred' | 'rejected' | 'dropped'
  /** With its angle brackets; empty: it has none. */
  readonly messageId: string
  /** Empty: the null reverse-path. */
  readonly sender: string
  readonly recipients: readonly string[]
  /** Name of the connector, `internet`, or what else says by which way. */
  readonly way?: string
  /** Why, or what the other side said. */
  readonly reply?: string
}

const MAX_HOPS = 10_000

export class MailLog {
  #hops: MailHop[] = []
  #count = 0

  add(hop: Omit<MailHop, 'number'>): void {
    this.#hops.push({ ...hop, number: ++this.#count })
    if (this.#hops.length > MAX_HOPS) this.#hops = this.#hops.slice(-MAX_HOPS / 2)
  }

  /** The oldest first. */
  list(): readonly MailHop[] {
    return [...this.#hops]
  }
}
