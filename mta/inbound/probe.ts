// Connector validation and probes: mail to a nonce of the settings is answered 250, recorded and delivered nowhere. Of a probe that a relay made it is also
// told how it came back. (SP-11, coexistence.md §2.1 rows 5b, 12)
import { createHash } from 'node:crypto'
import type { Log } from '../../common/log.ts'
import type { ActiveSnapshot } from '../active-snapshot.ts'
import { nonceOf } from '../nonces.ts'
import { judgeProbe } from './judge-probe.ts'
import type { ProbeJudgement, ProbeRun } from './judge-probe.ts'
import { queuedReply, REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'
import type { QueueId } from '../queue-id.ts'
import type { Client, Receiving } from './receiving.ts'
import type { Transaction } from './transaction.ts'

const MOST_BYTES = 64 * 1024
const MOST_A_MINUTE = 100
const MINUTE_MS = 60_000

/** How many probes were taken in the last minute: one for all listeners of a relay. */
export class ProbeRate {
  readonly #takenMs: number[] = []

  /** @param nowMs  of a clock that never goes back. @returns whether one more may be taken; it counts then */
  take(nowMs: number): boolean {
    while ((this.#takenMs[0] ?? Infinity) <= nowMs - MINUTE_MS) this.#takenMs.shift()
    if (this.#takenMs.length >= MOST_A_MINUTE) return false
    this.#takenMs.push(nowMs)
    return true
  }
}

/** What came of mail to a nonce. */
export type NonceMail =
  | { readonly kind: 'validation'; readonly nonce: string }
  | ({ readonly kind: 'probe'; readonly run: ProbeRun } & ProbeJudgement)

export interface ProbeDeps {
  readonly log: Log
  readonly rate: ProbeRate
  readonly monotonic: () => number
  /** ms since the epoch */
  readonly now: () => number
  readonly taken: () => void
  readonly noted: (mail: NonceMail) => void
}

export class ProbeReception implements Receiving {
  readonly #deps: ProbeDeps
  readonly #pinned: Pick<ActiveSnapshot, 'nonces' | 'probes' | 'tokens' | 'tenants' | 'policy'>
  readonly #transaction: Transaction
  readonly #client: Client
  readonly #queueId: QueueId
  readonly #content: Buffer[] = []
  #bytes = 0
  #isTaken = false

  constructor(
    deps: ProbeDeps,
    pinned: Pick<ActiveSnapshot, 'nonces' | 'probes' | 'tokens' | 'tenants' | 'policy'>,
    transaction: Transaction,
    client: Client,
    queueId: QueueId,
  ) {
    this.#deps = deps
    this.#pinned = pinned
    this.#transaction = transaction
    this.#client = client
    this.#queueId = queueId
  }

  write(content: Buffer): undefined {
    this.#bytes += content.length
    // Copied: it is a view of what the socket reads into.
    if (this.#bytes <= MOST_BYTES) this.#content.push(Buffer.from(content))
    else this.#content.length = 0
    return undefined
  }

  async finish(): Promise<Reply> {
    if (this.#bytes > MOST_BYTES) return REPLIES.probeTooBig
    if (!this.#deps.rate.take(this.#deps.monotonic())) return REPLIES.tooManyProbes
    this.#isTaken = true
    return queuedReply(this.#queueId)
  }

  async refuse(reply: Reply): Promise<Reply> {
    return reply
  }

  abort(): void {} // nothing was kept

  disown(): void {
    this.#isTaken = false
  }

  announce(): void {
    if (!this.#isTaken) return
    const { log, taken, noted } = this.#deps
    const content = Buffer.concat(this.#content)
    const recipients = this.#transaction.envelope().forwardPaths.map(({ path }) => path)
    const verdicts = this.#judge(recipients, content)
    taken()
    log.info('probe.received', {
      queueId: this.#queueId,
      client: this.#client.address,
      // A nonce is no secret and no person: it is what the control plane looks for.
      recipients,
      bytes: this.#bytes,
      sha256: createHash('sha256').update(content).digest('hex'),
      ...(verdicts.length === 0
        ? {}
        : { verdicts: verdicts.map((mail) => (mail.kind === 'probe' ? mail.verdict : mail.kind)) }),
    })
    for (const verdict of verdicts) noted(verdict)
  }

  /** Of each nonce once, whatever number of recipients name it. */
  #judge(recipients: readonly string[], content: Buffer): NonceMail[] {
    const { nonces, probes = [], tokens, tenants, policy } = this.#pinned
    const named = new Map(
      recipients.flatMap((path) => {
        const found = nonceOf(path, undefined, nonces, this.#deps.now())
        return found === undefined ? [] : [[`${found.kind} ${found.nonce}`, found] as const]
      }),
    )
    return [...named.values()].flatMap(({ kind, nonce }): NonceMail[] => {
      if (kind === 'validation') return [{ kind, nonce }]
      const run = probes.find((each) => each.nonce === nonce)
      if (run === undefined || tenants === undefined) return []
      const judged = judgeProbe(content, run, { tokens, tenants, policy })
      return judged === undefined ? [] : [{ kind, run, ...judged }]
    })
  }
}
