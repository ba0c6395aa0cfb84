// The keeper with everything around it but the network: real keys, a real folder, and pushes as the test control plane makes them.
import { generateKeyPairSync, createPublicKey, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { FrameDecoder } from '../../../mta/mapping/frames.ts'
import type { HeldSnapshot } from '../../../mta/mapping/next-snapshot.ts'
import { PushedSnapshot } from '../../../mta/mapping/pushed-snapshot.ts'
import { SnapshotCopy } from '../../../mta/mapping/snapshot-copy.ts'
import { SnapshotKeeper } from '../../../mta/mapping/snapshot-keeper.ts'
import type { Taken } from '../../../mta/mapping/snapshot-keeper.ts'
import { Disk } from '../../../mta/spool/disk.ts'
import type { DiskHooks } from '../../../mta/spool/disk.ts'
import { twoTenants } from '../../harness/enrolled-relay.ts'
import { INSTALLATION, PROJECT, PushServer } from '../../harness/push-server.ts'
import type { Content } from '../../harness/push-server.ts'

export const RELAY = 'relay-1'

export interface WorldOptions {
  readonly hooks?: DiskHooks
  readonly hasMx?: boolean
  readonly content?: Content
}

export class KeeperWorld implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'causeway-keeper-'))
  readonly rootKey = randomBytes(32)
  readonly sealing = generateKeyPairSync('x25519').privateKey
  readonly server: PushServer
  readonly log: Record<string, unknown>[] = []
  readonly activated: { version: number; push: Buffer | undefined }[] = []
  readonly refusals: { version: number | undefined; reason: string }[] = []
  readonly #options: WorldOptions
  snapshot: PushedSnapshot
  copy: SnapshotCopy
  keeper: SnapshotKeeper

  private constructor(server: PushServer, options: WorldOptions) {
    this.server = server
    this.#options = options
    server.enrolled = {
      request: { code: '', name: '', softwareVersion: '', signingKey: '', sealingKey: '' },
      signing: generateKeyPairSync('ed25519').publicKey,
      sealing: createPublicKey(this.sealing),
      relay: RELAY,
    }
    server.version = 1
    server.content = options.content ?? twoTenants(25)
    ;[this.snapshot, this.copy, this.keeper] = this.#open(options.hooks)
  }

  /** Nothing is held yet. */
  static async start(options: WorldOptions = {}): Promise<KeeperWorld> {
    const world = new KeeperWorld(await PushServer.start(), options)
    await world.copy.open()
    return world
  }

  /** Version 1 is in force. */
  static async holding(options: WorldOptions = {}): Promise<KeeperWorld> {
    const world = await KeeperWorld.start(options)
    const taken = await world.feed(world.server.whole())
    if (taken?.kind !== 'active')
      throw new Error(`not even the first push was taken: ${JSON.stringify(world.refusals)}`)
    return world
  }

  #open(hooks?: DiskHooks): [PushedSnapshot, SnapshotCopy, SnapshotKeeper] {
    const log = createLog({
      write: (line) => void this.log.push(JSON.parse(line) as Record<string, unknown>),
      level: 'debug',
      now: Date.now,
    })
    const local = { hasMx: this.#options.hasMx ?? false }
    const metrics = emptyMetrics()
    const snapshot = new PushedSnapshot({ log, metrics, now: Date.now })
    const copy = new SnapshotCopy({
      stateDirectory: this.directory,
      rootKey: this.rootKey,
      relay: RELAY,
      local,
      log,
      disk: new Disk(this.directory, hooks),
    })
    const keeper = new SnapshotKeeper({
      snapshot,
      copy,
      addressee: () => ({
        relay: RELAY,
        project: PROJECT,
        installation: INSTALLATION,
        snapshotKey: this.server.key.public,
      }),
      sealingKey: this.sealing,
      local,
      log,
      metrics,
      now: Date.now,
      activated: ({ version }, push) => void this.activated.push({ version, push }),
      refused: (version, reason) => void this.refusals.push({ version, reason }),
    })
    return [snapshot, copy, keeper]
  }

  /** Gives the octets of a push to the keeper. @returns undefined when no push was complete. @throws FrameFault */
  async feed(frames: readonly Buffer[]): Promise<Taken | undefined> {
    const intake = this.keeper.intake()
    try {
      for (const frame of new FrameDecoder().push(Buffer.concat(frames))) {
        const push = await intake.frame(frame)
        if (push !== undefined) return await this.keeper.take(push)
      }
      return undefined
    } finally {
      await intake.abort()
    }
  }

  get held(): HeldSnapshot | undefined {
    return this.snapshot.held
  }

  /** As after a start: what is on disk is in force. @param hooks  of the disk from when that is so */
  async restart(hooks: DiskHooks = {}): Promise<HeldSnapshot | undefined> {
    await this.copy.close().catch(() => {}) // of a disk that the test broke
    let isStarted = false
    ;[this.snapshot, this.copy, this.keeper] = this.#open({
      before: (step) => (isStarted ? hooks.before?.(step) : undefined),
    })
    await this.copy.open()
    const kept = await this.copy.load()
    isStarted = true
    if (kept !== undefined) await this.snapshot.activate(kept)
    return kept
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]()
    await this.copy.close().catch(() => {}) // of a disk that the test broke
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Alice under another presented address: revision by revision. */
export function alice(number: number): Record<string, unknown> {
  const entry = {
    known: ['alice@contoso.com', `alice${number}@fabrikam.com`],
    presented: `alice${number}@fabrikam.com`,
    mailbox: 'alice@contoso.com',
  }
  return { remove: [number === 1 ? 'alice.smith@fabrikam.com' : `alice${number - 1}@fabrikam.com`], upsert: [entry] }
}
