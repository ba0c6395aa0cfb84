// One attempt to hand one message to one next hop, for those of its recipients that go there. It talks; outcome.ts judges; the queue keeps the result.
import type { RecipientRecord } from '../message-record.ts'
import type { Content, TransactionResult } from './client.ts'
import { Connections } from './connections.ts'
import type { ConnectionsDeps, Lease } from './connections.ts'
import type { Opened } from './mx.ts'
import type { NextHop } from './route.ts'
import { isPutOffAsTooMany, judgeConnectFailure, judgeDialogue, judgeRefusal, judgeSilence } from './outcome.ts'
import type { HostVerdict, Outcome } from './outcome.ts'
import type { Security } from './start-tls.ts'
import { RECIPIENTS_PER_TRANSACTION } from './transaction.ts'

export interface Attempt {
  /** In the order of the recipients that were asked for. */
  readonly outcomes: readonly Outcome[]
  readonly host: HostVerdict
  /** `mx.example:25`; empty when none was reached. */
  readonly remote: string
  /** undefined: in cleartext, or none was reached. */
  readonly tls: Security | undefined
  /** Success will be reported by this host or further on, for those who asked for it. */
  readonly offersDsn: boolean
  readonly connectMs: number
  readonly sendMs: number
}

/** The way out, as the queue uses it. */
export interface Outbound {
  /** A place for one attempt; undefined when the limits leave none, and then `onRoom` tells. */
  place(hop: NextHop): OutboundPlace | undefined
  /** Where there is no place: a turn right behind the message that a connection to the hop carries now. */
  follow(hop: NextHop): OutboundPlace | undefined
  /** Who to tell when a place may be had again. One listener. */
  onRoom(run: () => void): void
  /** Breaks off whatever is under way: it ends as deferred. */
  abort(): void
  /** Takes leave of all next hops; no place is given any more. */
  close(): Promise<void>
}

/** To be released after the attempt, and then told whether the results are durable. */
export interface OutboundPlace {
  deliver(message: Content, recipients: readonly number[]): Promise<Attempt>
  /** Asked before `release`: nobody takes the place over from this attempt. */
  freesPlace(): boolean
  /** The connection may serve the next message. */
  release(): void
  /** The results are durable: QUIT may be said (DU-4). */
  recorded(): void
  /** The results can't be made durable. */
  lost(): void
}

export function createOutbound(deps: ConnectionsDeps): Outbound {
  const connections = new Connections(deps)
  const placeOf = (lease: Lease | undefined): OutboundPlace | undefined =>
    lease && {
      freesPlace: () => lease.freesPlace,
      deliver: (message, recipients) => deliver(message, recipients, lease, deps.monotonicMs),
      release: () => lease.release(),
      recorded: () => lease.recorded(),
      lost: () => lease.lost(),
    }
  return {
    place: (hop) => placeOf(connections.lease(hop)),
    follow: (hop) => placeOf(connections.follow(hop)),
    onRoom: (run) => connections.onRoom(run),
    abort: () => connections.abort(),
    close: () => connections.close(),
  }
}

/**
 * Makes as many transactions as the recipients need. The lease is still the caller's when it resolves.
 * @param recipients  indices into the record's, at least one
 * @throws what reading the message throws, as long as nobody has got it; afterwards those who wait are deferred
 */
export async function deliver(
  message: Content,
  recipients: readonly number[],
  lease: Lease,
  monotonicMs: () => number,
): Promise<Attempt> {
  const outcomes = new Map<number, Outcome>()
  let host: HostVerdict = 'well'
  let offersDsn = false
  const beganAt = monotonicMs()
  let opened = await lease.connection()
  let connectedAt = monotonicMs()
  let mayFindBetter = lease.hop.kind === 'mx' && message.record.requireTls === true

  for (let waiting = recipients; waiting.length > 0;) {
    if ('failure' in opened) {
      const judged = judgeConnectFailure(opened.failure)
      host = judged.host
      for (const recipient of waiting) outcomes.set(recipient, judged.outcome)
      break
    }
    const { connection } = opened
    const batch = waiting.slice(0, RECIPIENTS_PER_TRANSACTION)
    const isKept = connection.transactions > 0
    const { isBehind } = lease
    offersDsn = connection.offersDsn
    const result = await connection
      .transact(message, recordsOf(message, batch), batch.length === waiting.length)
      .catch((error: unknown) => {
        if (outcomes.size === 0) throw error
        return undefined
      })
    if (result === undefined) {
      for (const recipient of waiting)
        outcomes.set(recipient, judgeSilence({ kind: 'stopped', text: 'the message could not be read' }))
      break
    }
    if (isKept && isStale(result, isBehind)) {
      // The host had closed the kept connection before we spoke: it has heard nothing of the message.
      opened = await lease.freshConnection()
      connectedAt = monotonicMs()
      continue
    }
    if (result.kind === 'refused' && mayFindBetter) {
      // RFC 8689 §4.2.1: another of the domain's hosts may honour what this one does not.
      mayFindBetter = false
      opened = await lease.freshConnection((other) => other.refusalOf(message.record))
      connectedAt = monotonicMs()
      continue
    }
    if (result.kind === 'refused') {
      for (const recipient of waiting) outcomes.set(recipient, judgeRefusal(result.reply))
      break
    }
    const judged = judgeResult(result)
    host = judged.host
    for (const [index, recipient] of batch.entries()) outcomes.set(recipient, at(judged.outcomes, index))
    const isTaken = judged.outcomes.some(({ kind }) => kind === 'delivered')
    if (isTaken) lease.hasCarried()
    // A transaction that took nobody would be full the next time as well.
    const putOff = isTaken ? batch.filter((_, index) => judged.putOff[index]) : []
    waiting = [...putOff, ...waiting.slice(batch.length)]
    if (!connection.isUsable || lease.hasNext) {
      const outcome = judgeSilence(result.dialogue.fault)
      for (const recipient of waiting) if (!outcomes.has(recipient)) outcomes.set(recipient, outcome)
      break
    }
  }
  return {
    outcomes: recipients.map((recipient) => outcomes.get(recipient) ?? judgeSilence(undefined)),
    host,
    remote: remoteOf(opened),
    tls: 'failure' in opened ? undefined : opened.connection.security,
    offersDsn,
    connectMs: connectedAt - beganAt,
    sendMs: monotonicMs() - connectedAt,
  }
}

function remoteOf(opened: Opened): string {
  if ('connection' in opened) return opened.connection.peer.hostPort
  return 'reply' in opened.failure ? (opened.failure.remote ?? '') : ''
}

/**
 * The connection ended, or was being ended, before anything of the transaction was answered.
 * @param isBehind  another message was being carried on it: what ended it before this one's content was that one's, whatever was answered
 */
function isStale(result: TransactionResult, isBehind: boolean): boolean {
  if (result.kind === 'refused') return false
  const { mail, fault } = result.dialogue
  if (mail?.code === 421 || (mail === undefined && fault?.kind === 'closed')) return true
  return isBehind && fault !== undefined && !result.hasSentContent
}

function judgeResult({ dialogue, leftOut }: TransactionResult & { kind: 'spoken' }): {
  outcomes: Outcome[]
  putOff: boolean[]
  host: HostVerdict
} {
  const judged = judgeDialogue(dialogue)
  const outcomes: Outcome[] = []
  const putOff: boolean[] = []
  let spoken = 0
  for (const reply of leftOut) {
    outcomes.push(reply === undefined ? at(judged.outcomes, spoken) : judgeRefusal(reply))
    putOff.push(reply === undefined && isPutOffAsTooMany(dialogue, spoken))
    if (reply === undefined) spoken++
  }
  return { outcomes, putOff, host: judged.host }
}

function recordsOf({ record }: Content, recipients: readonly number[]): RecipientRecord[] {
  return recipients.map((recipient) => at(record.recipients, recipient))
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new Error(`unreachable: nothing at ${index}`)
  return item
}
