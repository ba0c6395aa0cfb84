// What the spool's tests share: a spool in a directory of its own on a real disk, messages whose content their id gives, and a record
// of what the spool has promised, so that any later spool in the same directory can be held to it.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Log, LogFields } from '../../../common/log.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { DeliveryState } from '../../../mta/message-record.ts'
import { newQueueId } from '../../../mta/queue-id.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import type { SpooledMessage, Spool } from '../../../mta/spool/contract.ts'
import type { DiskFault } from '../../../mta/spool/disk.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import type { OpenSpool, SpoolOptions } from '../../../mta/spool/spool.ts'
import { aRecord } from '../a-record.ts'

const TMPFS_MAGIC = 0x01021994

export const ROOT_KEY = Buffer.alloc(32, 0x5a)
export const T0 = Date.UTC(2026, 10, 22, 10, 0)

/** A new directory on a real disk: on a tmpfs a sync proves nothing. */
export function makeDirectory(): string {
  assert.notEqual(
    fs.statfsSync(os.tmpdir()).type,
    TMPFS_MAGIC,
    `${os.tmpdir()} is a tmpfs: set TMPDIR to a folder on a disk`,
  )
  return fs.mkdtempSync(join(os.tmpdir(), 'causeway-spool-'))
}

export function tempDirectory(t: TestContext): string {
  const directory = makeDirectory()
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A directory for as long as the work takes. */
export async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = makeDirectory()
  try {
    return await work(directory)
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

export interface LogLine {
  readonly level: string
  readonly event: string
  readonly fields: LogFields
}

export function recordingLog(lines: LogLine[] = []): Log & { readonly lines: LogLine[] } {
  const at =
    (level: string) =>
    (event: string, fields: LogFields = {}) =>
      void lines.push({ level, event, fields })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export const eventsOf = (log: { readonly lines: LogLine[] }) => log.lines.map(({ event }) => event)

/** Options of a spool that sweeps only when told to, on a clock that stands still. */
export function optionsFor(directory: string, overrides: Partial<SpoolOptions> = {}): SpoolOptions {
  return {
    directory,
    rootKey: ROOT_KEY,
    project: 'p1',
    limits: DEFAULT_LIMITS,
    now: () => T0,
    log: recordingLog(),
    sweepEveryMs: 0,
    ...overrides,
  }
}

export async function openTemp(t: TestContext, overrides: Partial<SpoolOptions> = {}): Promise<OpenSpool> {
  const spool = await openSpool(optionsFor(overrides.directory ?? tempDirectory(t), overrides))
  t.after(() => spool.close())
  return spool
}

/** Closes the spool in order and opens it again. */
export async function reopen(spool: OpenSpool, options: SpoolOptions): Promise<OpenSpool> {
  await spool.close()
  return openSpool(options)
}

export const headerOf = (queueId: QueueId) =>
  Buffer.from(`Message-ID: <${queueId}@relay.example>\r\nSubject: canary\r\n\r\n`)

/** Bytes that only this message has, and that don't repeat. */
export function bodyOf(queueId: QueueId, bytes: number): Buffer {
  if (bytes === 0) return Buffer.alloc(0)
  return createHash('shake256', { outputLength: bytes }).update(queueId).digest()
}

export const stateAfter = (attempts: number, nextAttemptAt = T0): DeliveryState => ({
  attempts,
  nextAttemptAt,
  isHeld: false,
  isDead: false,
  recipients: [{ kind: 'queued' }],
})

// Another time in each process, so that no two of a test's processes can draw the same id.
let clock = T0 + (process.pid % 100_000) * 1_000_000
export const nextQueueId = () => newQueueId(clock++)

/** Takes a message of `bytes` of body in, in chunks of 50,000. */
export async function accept(spool: Spool, bytes: number, queueId = nextQueueId()): Promise<QueueId> {
  const intake = spool.begin(queueId)
  const body = bodyOf(queueId, bytes)
  try {
    for (let at = 0; at < bytes; at += 50_000) await intake.write(body.subarray(at, at + 50_000))
    const header = headerOf(queueId)
    const record = aRecord({ queueId, receivedAt: clock, headerBytes: header.length, bodyBytes: bytes })
    await intake.commit(header, record, stateAfter(0))
  } catch (error) {
    await intake.abort()
    throw error
  }
  return queueId
}

export async function wholeBody(message: SpooledMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message.body()) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Reads the message and compares all of it. @returns its delivery state */
export async function assertIntact(spool: Spool, queueId: QueueId, bytes: number): Promise<DeliveryState> {
  const message = await spool.read(queueId)
  try {
    assert.deepEqual(message.header, headerOf(queueId))
    assert.ok((await wholeBody(message)).equals(bodyOf(queueId, bytes)), `the body of ${queueId} differs`)
    assert.equal(message.record.queueId, queueId)
    return message.state
  } finally {
    await message.close()
  }
}

export function errno(code: 'EIO' | 'ENOSPC'): DiskFault['error'] {
  return Object.assign(new Error(`${code}: injected`), { code })
}

/** What a spool has promised to whoever used it. */
export class Promises {
  readonly accepted = new Map<QueueId, { bytes: number; attempts: number }>()
  /** Removals that were asked for: the message may be there or not. */
  readonly removing = new Set<QueueId>()
  readonly removed = new Set<QueueId>()

  async accept(spool: Spool, bytes: number): Promise<QueueId> {
    const queueId = await accept(spool, bytes)
    this.accepted.set(queueId, { bytes, attempts: 0 })
    return queueId
  }

  async update(spool: Spool, queueId: QueueId, attempts: number): Promise<void> {
    await spool.update(queueId, stateAfter(attempts))
    const promised = this.accepted.get(queueId)
    if (promised !== undefined) promised.attempts = attempts
  }

  async remove(spool: Spool, queueId: QueueId): Promise<void> {
    this.removing.add(queueId)
    await spool.remove(queueId)
    this.removed.add(queueId)
  }

  /** Every message that was accepted and not removed is there, whole, with at least the state that was promised. */
  async assertKept(spool: Spool): Promise<void> {
    for (const [queueId, { bytes, attempts }] of this.accepted) {
      if (this.removed.has(queueId)) {
        assert.equal(spool.find(queueId), undefined, `${queueId} was removed and has come back`)
      } else if (!this.removing.has(queueId)) {
        assert.ok(spool.find(queueId), `${queueId} was accepted and is lost`)
        const state = await assertIntact(spool, queueId, bytes)
        assert.ok(state.attempts >= attempts, `${queueId} has ${state.attempts} attempts, not ${attempts}`)
      }
    }
  }
}

/** A life of the spool that takes each path of its code: both kinds of messages, every change of state, wiping, and a second start. */
export async function liveThrough(options: SpoolOptions, promises: Promises): Promise<void> {
  let first: QueueId[] = []
  await withSpool(options, async (spool) => {
    first = await Promise.all([100, 2_000, 5_000].map((bytes) => promises.accept(spool, bytes)))
    const [large, d] = await Promise.all([promises.accept(spool, 300_000), promises.accept(spool, 70_000)])
    const [a, b] = first
    if (a === undefined || b === undefined) throw new Error('unreachable')
    first.push(d)
    await promises.update(spool, a, 1)
    await Promise.all([spool.take(a), promises.remove(spool, b)])
    await promises.update(spool, a, 2)
    await promises.remove(spool, large)
    await spool.sweep(0)
    await promises.accept(spool, 400_000)
    await promises.accept(spool, 10)
  })
  await withSpool(options, async (spool) => {
    const [, , c, d] = first
    if (c === undefined || d === undefined) throw new Error('unreachable')
    await spool.take(d)
    await promises.update(spool, c, 1)
    await promises.remove(spool, d)
    await promises.accept(spool, 1_000)
  })
}

export async function withSpool(options: SpoolOptions, work: (spool: OpenSpool) => Promise<void>): Promise<void> {
  const spool = await openSpool(options)
  try {
    await work(spool)
  } finally {
    await spool.close()
  }
}
