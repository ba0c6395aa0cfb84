// The last good snapshot on disk, sealed: a base, which holds all of a version, and the pushes that changed it since (RC-4). A push is durable before it
// is acknowledged; a base takes the place of another in one step; what a crash left unfinished was never acknowledged and is passed over.
//
//   snapshot-<n>            the base
//   changes-<n>-<m>         pushes since, in order of m: each run of the relay that has any begins a file of its own
import type { Log } from '../../common/log.ts'
import type { LocalAbilities } from '../pushed-project.ts'
import { Disk } from '../spool/disk.ts'
import { encodeFrame, FrameDecoder, partFrames } from './frames.ts'
import { readManifest } from './judge-push.ts'
import { nextSnapshot } from './next-snapshot.ts'
import type { HeldSnapshot } from './next-snapshot.ts'
import { PushIntake } from './push-intake.ts'
import type { ReceivedPush } from './push-intake.ts'
import { PushRefused } from './push-refused.ts'
import { PushedTable } from './read-pushed-table.ts'
import { readSealedLog, SealedLogWriter } from './sealed-log.ts'
import type { SealedFiles } from './sealed-log.ts'

export interface SnapshotCopyDeps {
  readonly stateDirectory: string
  readonly rootKey: Uint8Array
  /** The copy is this relay's. */
  readonly relay: string
  readonly local: LocalAbilities
  readonly log: Log
  /** For tests. */
  readonly disk?: Disk
}

const BASE = /^snapshot-(\d{1,9})$/
const CHANGES = /^changes-(\d{1,9})-(\d{1,9})$/
const UNFINISHED = /^snapshot-\d{1,9}\.new$/
/** So much of changes there may be whatever the base is. */
const MIN_CHANGES_BYTES = 4 * 1024 * 1024
const MAX_CHANGES = 4096
const READ_AGAIN = 3

/** A push as it is kept and passed on: parts, manifest, and an empty signature, for it was judged already. */
export function keptPush(push: {
  readonly manifest: Uint8Array
  readonly delta?: Uint8Array | undefined
  readonly settings?: Uint8Array | undefined
  readonly secrets?: Uint8Array | undefined
}): Buffer {
  const { manifest, delta, settings, secrets } = push
  const part = (name: string, bytes: Uint8Array | undefined) =>
    bytes === undefined ? [] : [...partFrames(name, bytes)]
  return Buffer.concat([
    ...part('table-delta', delta),
    ...part('settings', settings),
    ...part('secrets', secrets),
    encodeFrame('manifest', manifest),
    encodeFrame('signature'),
  ])
}

/** What follows upon `held` by a push that was kept or passed on. @throws PushRefused */
export async function takeKept(
  held: HeldSnapshot | undefined,
  push: ReceivedPush<PushedTable>,
  local: LocalAbilities,
): Promise<HeldSnapshot> {
  const manifest = readManifest(push.manifest)
  if (manifest === undefined) throw new PushRefused('its manifest is malformed')
  const table = await push.table?.table()
  const [delta, settings, secrets] = (['table-delta', 'settings', 'secrets'] as const).map((name) =>
    push.bytes.get(name),
  )
  const parts = {
    ...(table === undefined ? {} : { table }),
    ...(delta === undefined ? {} : { delta }),
    ...(settings === undefined ? {} : { settings }),
    ...(secrets === undefined ? {} : { secrets }),
  }
  // A base says what its last push built on: it is whole all the same.
  if (table === undefined && manifest.base !== held?.version)
    throw new PushRefused(`it builds on version ${manifest.base}, and ${held?.version ?? 'nothing'} is there`)
  return nextSnapshot(table === undefined ? held : undefined, { manifest, manifestBytes: push.manifest, parts }, local)
}

/** A base being written. */
export interface NewBase {
  /** Octets of the table file. */
  table(chunk: Uint8Array): Promise<void>
  /**
   * Completes it and puts it in the place of the one before; durable on return.
   * @param since  pushes that came after what it holds
   * @returns false when one that was begun later is in place already
   */
  commit(
    rest: Pick<HeldSnapshot, 'manifestBytes' | 'settings' | 'secrets'>,
    since?: readonly Buffer[],
  ): Promise<boolean>
  /** Idempotent; after `commit` it does nothing. Never rejects: what can't be removed is at the next start. */
  abort(): Promise<void>
}

export class SnapshotCopy {
  readonly #deps: SnapshotCopyDeps
  readonly #files: SealedFiles
  readonly #disk: Disk
  #generation = 0
  /** Highest that was begun, finished or not. */
  #begun = 0
  #baseBytes = 0
  #changesBytes = 0
  #changesCount = 0
  #changes: SealedLogWriter | undefined
  #nextChanges = 1
  /** Pushes that came while a base is being made of what was before them. */
  #since: Buffer[] | undefined
  /** The disk failed when a base was put in place: after a crash it, or the one before, is there, and changes of one are none of the other's. */
  #isUncertain = false
  /** Whoever changes which files there are waits for the one before. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(deps: SnapshotCopyDeps) {
    this.#deps = deps
    this.#disk = deps.disk ?? new Disk(deps.stateDirectory)
    this.#files = { disk: this.#disk, rootKey: deps.rootKey, purpose: `causeway relay snapshot 1 ${deps.relay}` }
  }

  /** Tidies up after an earlier run. For the one process that writes, before anything else. */
  async open(): Promise<void> {
    this.#disk.makeDirectory('.')
    for (const name of this.#disk.list('.')) if (UNFINISHED.test(name)) await this.#disk.unlink(name)
  }

  /**
   * What is kept; undefined where there is nothing, or nothing that can be used: that is told in the log.
   * Any process may call it, while another writes.
   */
  async load(): Promise<HeldSnapshot | undefined> {
    for (let left = READ_AGAIN; ; left--) {
      try {
        return await this.#load()
      } catch (error) {
        // Another base took the place of the one that was being read.
        const isGone = error instanceof Error && 'code' in error && error.code === 'ENOENT'
        if (!isGone || left === 0) throw error
      }
    }
  }

  async #load(): Promise<HeldSnapshot | undefined> {
    const names = this.#disk.list('.')
    const generation = Math.max(0, ...names.map((name) => Number(BASE.exec(name)?.[1] ?? 0)))
    this.#generation = generation
    this.#begun = Math.max(this.#begun, generation)
    if (generation === 0) return undefined
    const base = `snapshot-${generation}`
    const changes = names
      .flatMap((name) => {
        const [, of, number] = CHANGES.exec(name) ?? []
        return Number(of) === generation ? [Number(number)] : []
      })
      .toSorted((a, b) => a - b)
    this.#nextChanges = (changes.at(-1) ?? 0) + 1
    this.#baseBytes = this.#disk.size(base) ?? 0
    this.#changesBytes = 0
    this.#changesCount = 0

    let held = await this.#read(base, undefined, true)
    for (const number of changes) {
      const name = `changes-${generation}-${number}`
      if (held !== undefined) held = await this.#read(name, held, false)
      this.#changesBytes += this.#disk.size(name) ?? 0
    }
    return held
  }

  /** @param isWhole  an end before its time is damage, not a push that was never acknowledged */
  async #read(name: string, before: HeldSnapshot | undefined, isWhole: boolean): Promise<HeldSnapshot | undefined> {
    const { log, local } = this.#deps
    const decoder = new FrameDecoder()
    let intake = new PushIntake(async () => new PushedTable())
    let held = before
    const records = readSealedLog(this.#files, name)
    try {
      for (let record = await records.next(); ; record = await records.next()) {
        if (record.done === true) {
          const isCut = !record.value || intake.isUnderWay || !decoder.isBetweenFrames
          if (isCut && isWhole) log.error('snapshot.copy-damaged', { file: name })
          else if (isCut) log.warn('snapshot.copy-cut', { file: name, version: held?.version })
          return held
        }
        for (const frame of decoder.push(record.value)) {
          const push = await intake.frame(frame)
          if (push === undefined) continue
          intake = new PushIntake(async () => new PushedTable())
          held = await takeKept(held, push, local)
          this.#changesCount++
        }
      }
    } catch (error) {
      if (error instanceof Error && 'code' in error) throw error
      // It was sealed by us, and yet can't be used: by another version, or with a configuration that can no longer do what it asks.
      log.error('snapshot.copy-refused', { file: name, version: held?.version, error })
      return held
    }
  }

  /**
   * Keeps a push that changes what is there; durable on return.
   * @throws PushRefused when only a whole one can be kept; what the disk says
   */
  append(push: Buffer): Promise<void> {
    return this.#alone(async () => {
      if (this.#isUncertain) throw new PushRefused('the disk failed while another snapshot was put in place', 'whole')
      try {
        const writer = (this.#changes ??= await this.#beginChanges(this.#generation, this.#nextChanges++))
        const before = writer.sizeBytes
        await writer.append(push)
        await writer.sync()
        this.#changesBytes += writer.sizeBytes - before
        this.#changesCount++
        this.#since?.push(push)
      } catch (error) {
        // What of it reached the disk nobody knows: the next one goes to another file.
        await this.#endChanges()
        throw error
      }
    })
  }

  async #beginChanges(generation: number, number: number): Promise<SealedLogWriter> {
    const writer = await SealedLogWriter.create(this.#files, `changes-${generation}-${number}`)
    await this.#disk.syncDirectory('.')
    return writer
  }

  async #endChanges(): Promise<void> {
    const writer = this.#changes
    this.#changes = undefined
    await writer?.close().catch((error: unknown) => this.#deps.log.warn('snapshot.close-failed', { error }))
  }

  /** Begins another base, beside the one in use. */
  async beginBase(): Promise<NewBase> {
    const generation = ++this.#begun
    const name = `snapshot-${generation}`
    const unfinished = `${name}.new`
    await this.#disk.unlink(unfinished)
    const writer = await SealedLogWriter.create(this.#files, unfinished)
    let isOver = false
    const end = async (): Promise<void> => {
      isOver = true
      await writer.close()
    }
    await writer.append(encodeFrame('part', Buffer.from('{"name":"table"}')))
    return {
      table: async (chunk) => writer.append(encodeFrame('chunk', chunk)),
      commit: (rest, since = []) =>
        this.#alone(async () => {
          if (generation < this.#generation) return false
          const { manifestBytes: manifest, settings, secrets } = rest
          await writer.append(keptPush({ manifest, settings, secrets }))
          await writer.sync()
          const { sizeBytes } = writer
          await end()
          await this.#install(generation, sizeBytes, since)
          return true
        }),
      abort: async () => {
        if (isOver) return
        try {
          await end()
          await this.#disk.unlink(unfinished)
        } catch (error) {
          this.#deps.log.warn('snapshot.abort-failed', { error })
        }
      },
    }
  }

  async #install(generation: number, sizeBytes: number, since: readonly Buffer[]): Promise<void> {
    const name = `snapshot-${generation}`
    await this.#endChanges()
    let changes: SealedLogWriter | undefined
    if (since.length > 0) {
      changes = await this.#beginChanges(generation, 1)
      for (const push of since) await changes.append(push)
      await changes.sync()
    }
    this.#isUncertain = true
    await this.#disk.rename(`${name}.new`, name)
    await this.#disk.syncDirectory('.')
    this.#isUncertain = false
    this.#generation = generation
    this.#baseBytes = sizeBytes
    this.#changes = changes
    this.#changesBytes = changes?.sizeBytes ?? 0
    this.#changesCount = since.length
    this.#nextChanges = since.length > 0 ? 2 : 1
    this.#since = undefined
    await this.#removeOthers(generation)
  }

  async #removeOthers(generation: number): Promise<void> {
    for (const file of this.#disk.list('.')) {
      const of = BASE.exec(file)?.[1] ?? CHANGES.exec(file)?.[1]
      if (of !== undefined && Number(of) < generation) await this.#disk.unlink(file)
    }
  }

  /** Reading all changes at a start would take long. */
  get needsCompaction(): boolean {
    return (
      this.#generation > 0 &&
      this.#since === undefined &&
      (this.#changesBytes > MIN_CHANGES_BYTES + this.#baseBytes / 4 || this.#changesCount > MAX_CHANGES)
    )
  }

  /** Makes a base of what is held, which must be the newest that was kept. Pushes may be kept meanwhile. Nothing is lost when it fails. */
  async compact({ table, ...rest }: HeldSnapshot): Promise<void> {
    const since: Buffer[] = (this.#since = [])
    const base = await this.beginBase()
    try {
      for (const chunk of table.snapshotChunks()) await base.table(chunk)
      await base.commit(rest, since)
    } finally {
      if (this.#since === since) this.#since = undefined
      await base.abort()
    }
  }

  /** Runs `work` when what was begun before is over. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  async close(): Promise<void> {
    await this.#alone(() => this.#endChanges())
  }
}
