// The spool: the raw designs it was chosen from (docs/decisions/0002-spool-design.md), and what it costs itself. One JSON line a case.
// Everything is synced, on the disk that holds the temporary directory: a tmpfs is refused, its figures would say nothing.
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { DEFAULT_LIMITS } from '../mta/limits.ts'
import type { DeliveryState, MessageRecord } from '../mta/message-record.ts'
import { newQueueId } from '../mta/queue-id.ts'
import type { QueueId } from '../mta/queue-id.ts'
import { openSpool } from '../mta/spool/spool.ts'
import type { OpenSpool } from '../mta/spool/spool.ts'

const KIB = 1024
const MIB = 1024 * KIB
const TMPFS_MAGIC = 0x01021994

interface Measured {
  readonly perSecond: number
  readonly cpuMs: number
}

/** `clients` at once, each beginning its next piece of work when the last is done; `count` pieces in all. */
async function measure(clients: number, count: number, work: (index: number) => Promise<void>): Promise<Measured> {
  const cpu = process.cpuUsage()
  const began = performance.now()
  let next = 0
  const client = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: clients }, client))
  const seconds = (performance.now() - began) / 1000
  const used = process.cpuUsage(cpu)
  return {
    perSecond: Math.round(count / seconds),
    cpuMs: Number(((used.user + used.system) / 1000 / count).toFixed(4)),
  }
}

function print(name: string, fields: Record<string, unknown>): void {
  console.log(JSON.stringify({ bench: 'spool', case: name, ...fields }))
}

interface LogDesign {
  readonly name: string
  /** Zeros were written before, so that no sync changes the file's length. */
  readonly isAhead: boolean
  /** Written from the event loop's thread. */
  readonly isSynchronous: boolean
}

const LOG_DESIGNS: readonly LogDesign[] = [
  { name: 'raw-log', isAhead: false, isSynchronous: false },
  { name: 'raw-log-ahead', isAhead: true, isSynchronous: false },
  { name: 'raw-log-ahead-synchronous', isAhead: true, isSynchronous: true },
]

/** One file, appended to; whoever waits while a sync runs is written and synced together by the next. */
async function rawLog(
  directory: string,
  { isAhead, isSynchronous }: LogDesign,
  clients: number,
  count: number,
  bytes: number,
): Promise<Measured> {
  const path = join(directory, 'log')
  const record = Buffer.alloc(bytes, 7)
  const fd = fs.openSync(path, 'w')
  if (isAhead) {
    const zeros = Buffer.alloc(MIB)
    for (let at = 0; at < count * bytes + MIB; at += MIB) fs.writeSync(fd, zeros, 0, MIB, at)
    fs.fsyncSync(fd)
  }
  let position = 0
  let waiting: (() => void)[] = []
  let isBusy = false
  const flush = () => {
    if (isBusy || waiting.length === 0) return
    isBusy = true
    const group = waiting
    waiting = []
    const pieces = group.map(() => record)
    const synced = (error: Error | null) => {
      if (error !== null) throw error
      isBusy = false
      for (const done of group) done()
      setImmediate(flush)
    }
    const from = position
    position += pieces.length * bytes
    if (isSynchronous) {
      fs.writevSync(fd, pieces, from)
      fs.fdatasync(fd, synced)
    } else {
      fs.writev(fd, pieces, from, (error) => (error === null ? fs.fdatasync(fd, synced) : synced(error)))
    }
  }
  const append = () =>
    new Promise<void>((resolve) => {
      waiting.push(resolve)
      if (!isBusy) setImmediate(flush)
    })
  const measured = await measure(clients, count, append)
  fs.closeSync(fd)
  fs.unlinkSync(path)
  return measured
}

/** A file a message: created, written, synced, the directory synced; then removed. */
async function rawFiles(directory: string, clients: number, count: number, bytes: number): Promise<Measured> {
  const record = Buffer.alloc(bytes, 7)
  const folder = fs.openSync(directory, 'r')
  const call = <T>(begin: (done: (error: Error | null, value?: T) => void) => void) =>
    new Promise<T>((resolve, reject) => begin((error, value) => (error === null ? resolve(value as T) : reject(error))))
  const measured = await measure(clients, count, async (index) => {
    const path = join(directory, `m${index}`)
    const fd = await call<number>((done) => fs.open(path, 'wx', 0o600, done))
    await call<number>((done) => fs.write(fd, record, 0, bytes, 0, done))
    await call<void>((done) => fs.fsync(fd, done))
    await call<void>((done) => fs.close(fd, done))
    await call<void>((done) => fs.fsync(folder, done))
    await call<void>((done) => fs.unlink(path, done))
  })
  fs.closeSync(folder)
  return measured
}

const silent = {
  debug() {},
  info() {},
  warn() {},
  error: (event: string, fields?: unknown) => console.error(event, fields),
}

function open(directory: string): Promise<OpenSpool> {
  return openSpool({
    directory,
    rootKey: Buffer.alloc(32, 1),
    project: 'bench',
    limits: DEFAULT_LIMITS,
    now: Date.now,
    log: silent,
  })
}

const HEADER = Buffer.from(
  `${'Received: from client.example by relay.example with ESMTPS id 0123456789\r\n'.repeat(10)}\r\n`,
)
const QUEUED: DeliveryState = {
  attempts: 0,
  nextAttemptAt: 0,
  isHeld: false,
  isDead: false,
  recipients: [{ kind: 'queued' }],
}

function recordOf(queueId: QueueId, bodyBytes: number): MessageRecord {
  return {
    queueId,
    project: 'bench',
    direction: 'out',
    tableVersion: 1,
    receivedAt: Date.now(),
    intakeMs: 1,
    reversePath: 'user123@new.example',
    receivedReversePath: 'user123@old.example',
    smtpUtf8: false,
    body8BitMime: false,
    has8Bit: false,
    isOwnReport: false,
    recipients: [
      {
        path: 'user456@new.example',
        received: 'user456@old.example',
        orcpt: 'rfc822;user456@old.example',
        route: 'owner-tenant',
      },
    ],
    headerBytes: HEADER.length,
    bodyBytes,
  }
}

async function accept(spool: OpenSpool, body: Buffer): Promise<QueueId> {
  const queueId = newQueueId(Date.now())
  const intake = spool.begin(queueId)
  for (let at = 0; at < body.length; at += 64 * KIB) {
    const wait = intake.write(body.subarray(at, at + 64 * KIB))
    if (wait !== undefined) await wait
  }
  await intake.commit(HEADER, recordOf(queueId, body.length), QUEUED)
  return queueId
}

/** begin + commit + remove of messages that are delivered at once. */
async function throughput(directory: string, clients: number, count: number, bytes: number): Promise<void> {
  const spool = await open(directory)
  const body = randomBytes(bytes - HEADER.length)
  await measure(clients, Math.ceil(count / 10), async () => spool.remove(await accept(spool, body)))
  const measured = await measure(clients, count, async () => spool.remove(await accept(spool, body)))
  print('accept-remove', { clients, bytes, count, ...measured, spoolBytes: spool.health().bytes })
  await spool.close()
}

/** The same with a read from disk in between, as after a restart. */
async function coldRead(directory: string, clients: number, count: number, bytes: number): Promise<void> {
  const first = await open(directory)
  const body = randomBytes(bytes - HEADER.length)
  await measure(100, count, async () => void (await accept(first, body)))
  await first.close()
  const spool = await open(directory)
  const ids = [...spool.entries()].map(({ queueId }) => queueId)
  const measured = await measure(clients, count, async (index) => {
    const queueId = ids[index]
    if (queueId === undefined) throw new Error('a message is missing')
    await spool.take(queueId)
    const message = await spool.read(queueId)
    for await (const chunk of message.body()) if (chunk.length === 0) throw new Error('an empty chunk')
    await message.close()
    await spool.remove(queueId)
  })
  print('take-read-remove', { clients, bytes, count, ...measured })
  await spool.close()
}

/** A start with `count` messages queued, after a crash's worth of marks: every record is verified (DU-5). */
async function start(directory: string, count: number): Promise<void> {
  const filling = await open(directory)
  const body = randomBytes(3 * KIB)
  await measure(200, count, async () => void (await accept(filling, body)))
  const spoolBytes = filling.health().bytes
  await filling.close()
  global.gc?.()
  const heapBefore = process.memoryUsage().heapUsed
  const began = performance.now()
  const spool = await open(directory)
  const seconds = Number(((performance.now() - began) / 1000).toFixed(2))
  global.gc?.()
  const heapPerMessage = Math.round((process.memoryUsage().heapUsed - heapBefore) / count)
  const found = spool.health().messages
  print('start', { count, seconds, spoolBytes, found, ...(global.gc === undefined ? {} : { heapPerMessage }) })
  await spool.close()
}

export async function run({ quick }: { readonly quick: boolean }): Promise<void> {
  if (fs.statfsSync(os.tmpdir()).type === TMPFS_MAGIC)
    throw new Error(`${os.tmpdir()} is a tmpfs: set TMPDIR to a folder on a disk`)
  const root = fs.mkdtempSync(join(os.tmpdir(), 'causeway-bench-spool-'))
  const directory = (name: string) => fs.mkdtempSync(join(root, name))
  const share = quick ? 0.2 : 1
  const count = (full: number) => Math.ceil(full * share)
  try {
    for (const clients of [1, 20, 100]) {
      for (const design of LOG_DESIGNS) {
        const n = count(clients === 1 ? 3000 : 30_000)
        print(design.name, { clients, bytes: 4600, ...(await rawLog(root, design, clients, n, 4600)) })
      }
      print('raw-file', { clients, bytes: 4600, ...(await rawFiles(directory('files'), clients, count(3000), 4600)) })
    }
    for (const bytes of [100 * KIB, 256 * KIB, MIB]) {
      const n = count(bytes >= MIB ? 400 : 1500)
      for (const design of LOG_DESIGNS.slice(0, 1)) {
        print(design.name, { clients: 20, bytes, ...(await rawLog(root, design, 20, n, bytes)) })
      }
      print('raw-file', { clients: 20, bytes, ...(await rawFiles(directory('files'), 20, n, bytes)) })
    }
    for (const [clients, bytes, n] of [
      [1, 4 * KIB, 5000],
      [20, 4 * KIB, 40_000],
      [100, 4 * KIB, 40_000],
      [20, 100 * KIB, 4000],
      [20, MIB, 600],
      [20, 10 * MIB, 60],
    ] as const) {
      await throughput(directory('spool'), clients, count(n), bytes)
    }
    await coldRead(directory('spool'), 20, count(10_000), 4 * KIB)
    await coldRead(directory('spool'), 20, count(300), MIB)
    await start(directory('spool'), 10_000)
    if (!quick) await start(directory('spool'), 100_000)
  } finally {
    fs.rmSync(root, { recursive: true, force: true })
  }
}

if (import.meta.main) await run({ quick: process.argv.includes('--quick') })
