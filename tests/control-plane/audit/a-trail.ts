// A small trail made by hand, with real hashes and signatures: what an export of a chain is, without a database. And what verification says.
import { Readable } from 'node:stream'
import { chainEvent, EMPTY_HEAD } from '../../../control-plane/audit/audit.ts'
import type { AuditEntry, ChainedEvent } from '../../../control-plane/audit/audit.ts'
import { makeAuditKey } from '../../../control-plane/audit/audit-key.ts'
import type { AuditKey, Signer } from '../../../control-plane/audit/audit-key.ts'
import { formatNote, originOf, signCheckpoint } from '../../../control-plane/audit/checkpoint.ts'
import { readLines } from '../../../control-plane/audit/trail-lines.ts'
import { formatRecord, toTrailKey, TRAIL_FORMAT } from '../../../control-plane/audit/trail.ts'
import type { TrailRecord } from '../../../control-plane/audit/trail.ts'
import { verifyTrail } from '../../../control-plane/audit/verify-trail.ts'
import type { TrailReport, VerifyOptions } from '../../../control-plane/audit/verify-trail.ts'

export const CHAIN = 'org_0123456789abcdefghjkmnpq'
export const START = Date.UTC(2026, 10, 22, 10)

/** `rotations` + 1 keys. */
export function aSigner(rotations = 0): Signer {
  let signer: Signer | undefined
  for (let made = 0; made <= rotations; made++) {
    const { key, privateKey } = makeAuditKey(signer, new Date(START + made).toISOString())
    signer = { keys: [...(signer?.keys ?? []), key], privateKey }
  }
  if (signer === undefined) throw new Error('unreachable: one key at least')
  return signer
}

export interface Made {
  readonly records: readonly TrailRecord[]
  readonly events: readonly ChainedEvent[]
  readonly signer: Signer
}

export interface TrailPlan {
  readonly events: number
  /** Sizes. */
  readonly checkpoints: readonly number[]
  readonly signer?: Signer
  /** Who signs the checkpoint of a size, where it is another. */
  readonly signers?: Readonly<Record<number, Signer>>
  readonly entry?: (sequence: number) => Partial<AuditEntry>
  /** Sequence from which on entries say something else: another history with the same beginning. */
  readonly otherFrom?: number
  readonly chain?: string
}

export function aTrail(plan: TrailPlan): Made {
  const { signer = aSigner(), signers = {}, chain = CHAIN } = plan
  const events: ChainedEvent[] = []
  const body: TrailRecord[] = []
  let head: Buffer = EMPTY_HEAD
  let previous = 0
  for (let sequence = 1; sequence <= plan.events; sequence++) {
    const isOther = sequence >= (plan.otherFrom ?? Infinity)
    const entry: AuditEntry = {
      action: 'thing.changed',
      actor: 'person:11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222',
      object: `prj_${sequence}`,
      result: 'done',
      requestId: `req_${sequence}`,
      payload: { sourceAddress: isOther ? '192.0.2.66' : '192.0.2.1' },
      ...plan.entry?.(sequence),
    }
    const event = chainEvent({ chain, size: sequence - 1, head }, entry, {
      id: `evt_${String(sequence).padStart(24, '0')}`,
      time: new Date(START + sequence * 1000).toISOString(),
      salt: `salt-${sequence}`,
    })
    events.push(event)
    head = event.hash
    body.push({ kind: 'event', header: event.headerText, payload: event.payloadText, hash: head.toString('hex') })
    if (plan.checkpoints.includes(sequence)) {
      body.push({ kind: 'checkpoint', note: aNote(sequence, head, previous, signers[sequence] ?? signer, chain) })
      previous = sequence
    }
  }
  const origin = originOf(signer.keys[0]?.id ?? '', chain)
  const records: TrailRecord[] = [
    {
      kind: 'trail',
      format: TRAIL_FORMAT,
      origin,
      from: 1,
      previous: EMPTY_HEAD.toString('hex'),
      keys: signer.keys.length,
    },
    ...signer.keys.map(toTrailKey),
    ...body,
    { kind: 'end', size: plan.events, checkpoint: previous },
  ]
  return { records, events, signer }
}

export function aNote(size: number, hash: Buffer, previous: number, signer: Signer, chain = CHAIN): string {
  const time = new Date(START + size * 1000 + 1).toISOString()
  return formatNote(signCheckpoint({ size, hash, time, previous }, chain, signer), lastKey(signer))
}

function lastKey(signer: Signer): AuditKey {
  const key = signer.keys.at(-1)
  if (key === undefined) throw new Error('unreachable: a signer has a key')
  return key
}

export const linesOf = (records: readonly TrailRecord[]): string[] =>
  records.map((record) => `${formatRecord(record)}\n`)

export function verifyBytes(bytes: Uint8Array | string, options?: VerifyOptions): Promise<TrailReport> {
  return verifyTrail(readLines(Readable.from([Buffer.from(bytes)])), options)
}

export const verifyRecords = (records: readonly TrailRecord[], options?: VerifyOptions): Promise<TrailReport> =>
  verifyBytes(linesOf(records).join(''), options)
