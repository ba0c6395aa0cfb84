// The one process of a relay that takes pushes: it judges them, makes the next version, keeps it on disk, and only then puts it in force and tells of it.
// A push that is refused leaves everything as it was. (RC-2 to RC-5)
import { openBox } from '../../common/sealed-box.ts'
import { sealContext } from '../../common/relay-contract.ts'
import type { Manifest } from '../../common/relay-contract.ts'
import type { KeyObject } from 'node:crypto'
import type { Log } from '../../common/log.ts'
import { Counter } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { LocalAbilities } from '../pushed-project.ts'
import { judgePush } from './judge-push.ts'
import type { Addressee } from './judge-push.ts'
import { nextSnapshot } from './next-snapshot.ts'
import type { HeldSnapshot, PushedParts } from './next-snapshot.ts'
import { PushIntake } from './push-intake.ts'
import type { ReceivedPush } from './push-intake.ts'
import { PushRefused } from './push-refused.ts'
import type { Remedy } from './push-refused.ts'
import type { PushedSnapshot } from './pushed-snapshot.ts'
import { PushedTable } from './read-pushed-table.ts'
import { keptPush } from './snapshot-copy.ts'
import type { NewBase, SnapshotCopy } from './snapshot-copy.ts'

export interface KeeperDeps {
  readonly snapshot: PushedSnapshot
  readonly copy: SnapshotCopy
  /** Asked at each push: the pinned key may have been replaced. */
  readonly addressee: () => Addressee
  /** Secrets are sealed to it. */
  readonly sealingKey: KeyObject
  readonly local: LocalAbilities
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** A version is in force. `push`: what changed the one before into it; undefined: it is to be read from disk as a whole. */
  readonly activated: (held: HeldSnapshot, push: Buffer | undefined) => void
  readonly refused: (version: number | undefined, reason: string) => void
}

export type Taken =
  { readonly kind: 'active'; readonly version: number } | { readonly kind: 'refused'; readonly remedy: Remedy }

/** Read, and written into a new base as it is read. */
export class KeptTable extends PushedTable {
  readonly base: NewBase

  constructor(base: NewBase) {
    super(
      (chunk) => base.table(chunk),
      () => base.abort(),
    )
    this.base = base
  }
}

export class SnapshotKeeper {
  readonly #deps: KeeperDeps
  readonly #pushes: Counter<'result'>

  constructor(deps: KeeperDeps) {
    this.#deps = deps
    this.#pushes = new Counter({
      name: 'causeway_snapshot_pushes_total',
      help: 'Pushes of the control plane, by what came of them.',
      labelNames: ['result'],
      registers: [deps.metrics],
    })
    for (const result of ['activated', 'refused', 'failed']) this.#pushes.inc({ result }, 0)
  }

  /** For the frames of the next push. */
  intake(): PushIntake<KeptTable> {
    return new PushIntake(async () => new KeptTable(await this.#deps.copy.beginBase()))
  }

  /** What came is no push at all. */
  malformed(reason: string): void {
    this.#refuse(undefined, reason)
  }

  /** Judges a push and, when it is sound, puts it in force. @throws what the disk says: then everything is as it was */
  async take(push: ReceivedPush<KeptTable>): Promise<Taken> {
    const { snapshot, copy, log } = this.#deps
    try {
      const held = await snapshot.alone(() => this.#put(push))
      this.#pushes.inc({ result: 'activated' })
      if (copy.needsCompaction) {
        void copy.compact(held).catch((error: unknown) => log.error('snapshot.compaction-failed', { error }))
      }
      return { kind: 'active', version: held.version }
    } catch (error) {
      await push.table?.abort()
      if (!(error instanceof PushRefused)) {
        this.#pushes.inc({ result: 'failed' })
        throw error
      }
      this.#refuse(versionOf(push.manifest), error.message)
      return { kind: 'refused', remedy: error.remedy }
    }
  }

  async #put(push: ReceivedPush<KeptTable>): Promise<HeldSnapshot> {
    const { snapshot, copy, addressee, local, now, activated } = this.#deps
    const { held } = snapshot
    const manifest = judgePush(push, addressee(), held)
    const { table: sink, bytes } = push
    const delta = bytes.get('table-delta')
    const settings = bytes.get('settings')
    const secrets = this.#opened(manifest, bytes.get('secrets'))
    const parts: PushedParts = {
      ...(sink === undefined ? {} : { table: await sink.table() }),
      ...(delta === undefined ? {} : { delta }),
      ...(settings === undefined ? {} : { settings }),
      ...(secrets === undefined ? {} : { secrets }),
    }
    const next = await nextSnapshot(held, { manifest, manifestBytes: push.manifest, parts }, local)
    const kept = sink === undefined ? keptPush({ manifest: push.manifest, delta, settings, secrets }) : undefined
    if (kept === undefined) await sink?.base.commit(next)
    else await copy.append(kept)
    snapshot.confirm(now())
    await snapshot.activate(next)
    activated(next, kept)
    return next
  }

  #opened(manifest: Manifest, box: Buffer | undefined): Buffer | undefined {
    if (box === undefined) return undefined
    const secrets = openBox(this.#deps.sealingKey, sealContext(manifest), box)
    if (secrets === undefined) throw new PushRefused('its secrets are not sealed to this relay', 'distrust')
    return secrets
  }

  #refuse(version: number | undefined, reason: string): void {
    const { log, snapshot, refused } = this.#deps
    this.#pushes.inc({ result: 'refused' })
    log.error('snapshot.refused', { version, reason, versionInForce: snapshot.held?.version })
    refused(version, reason)
  }
}

/** As it says, believed or not: for the report only. */
function versionOf(manifest: Uint8Array): number | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(manifest).toString())
    const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined
    return typeof version === 'number' && Number.isSafeInteger(version) && version >= 0 ? version : undefined
  } catch {
    return undefined // no manifest
  }
}
