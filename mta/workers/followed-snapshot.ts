// A worker's snapshot: read from the sealed copy at its start, then changed as the primary tells it: by what was pushed, or read again where that was a
// whole. One after the other, in the order told. (RC-3, RC-4)
import type { Log } from '../../common/log.ts'
import type { LocalAbilities } from '../pushed-project.ts'
import { FrameDecoder } from '../mapping/frames.ts'
import { PushIntake } from '../mapping/push-intake.ts'
import { PushRefused } from '../mapping/push-refused.ts'
import type { PushedSnapshot } from '../mapping/pushed-snapshot.ts'
import { PushedTable } from '../mapping/read-pushed-table.ts'
import { takeKept } from '../mapping/snapshot-copy.ts'
import type { SnapshotCopy } from '../mapping/snapshot-copy.ts'

export interface FollowDeps {
  readonly snapshot: PushedSnapshot
  readonly copy: Pick<SnapshotCopy, 'load'>
  readonly local: LocalAbilities
  readonly log: Log
  /** Told whenever another version is in force. */
  readonly active: (version: number) => void
}

export class FollowedSnapshot {
  readonly #deps: FollowDeps
  #last: Promise<unknown> = Promise.resolve()

  constructor(deps: FollowDeps) {
    this.#deps = deps
  }

  /** From disk, unless what is in force is as new. Never rejects. */
  whole(version: number): Promise<void> {
    return this.#next(async () => {
      if ((this.#deps.snapshot.held?.version ?? 0) >= version) return
      await this.#read()
    })
  }

  /** @param push  in the frames it is kept in. Never rejects. */
  push(version: number, push: Uint8Array): Promise<void> {
    return this.#next(async () => {
      const { snapshot, local } = this.#deps
      if ((snapshot.held?.version ?? 0) >= version) return
      try {
        await snapshot.alone(async () => {
          const intake = new PushIntake(async () => new PushedTable())
          for (const frame of new FrameDecoder().push(Buffer.from(push))) {
            const received = await intake.frame(frame)
            if (received !== undefined) await snapshot.activate(await takeKept(snapshot.held, received, local))
          }
        })
      } catch (error) {
        if (!(error instanceof PushRefused)) throw error
        // It missed one before: on disk there are all.
        await this.#read()
      }
    })
  }

  async #read(): Promise<void> {
    const { snapshot, copy } = this.#deps
    const kept = await copy.load()
    if (kept === undefined || kept.version <= (snapshot.held?.version ?? 0)) return
    await snapshot.alone(() => snapshot.activate(kept))
  }

  #next(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(async () => {
      try {
        await work()
        const version = this.#deps.snapshot.held?.version
        if (version !== undefined) this.#deps.active(version)
      } catch (error) {
        this.#deps.log.error('snapshot.not-followed', { error })
      }
    })
    return this.#last as Promise<void>
  }
}
