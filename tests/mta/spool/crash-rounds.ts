// The spool's script of the crash tests, stopped at every system call in turn. Two kinds of stop: the disk takes no more calls from a given
// one on, which is what a kill -9 leaves behind; and a power cut, which takes unsynced pages and names with it.
// `npm test` takes a sample, `npm run torture` all of them.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { DiskFault, DiskHooks, DiskStep } from '../../../mta/spool/disk.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import type { SpoolOptions } from '../../../mta/spool/spool.ts'
import { PowerCut } from './power-cut.ts'
import { Promises, accept, errno, liveThrough, inDirectory, optionsFor, recordingLog } from './spool-harness.ts'

const CHANGING: readonly DiskStep['call'][] = ['open', 'write', 'sync', 'syncDirectory', 'rename', 'unlink', 'truncate']

/** Lets the first `steps` calls that change the disk through; the next may write `cutBytes`, and none after it is made. */
export function stopAfter(steps: number, cutBytes?: number): { hooks: DiskHooks; count: () => number } {
  let made = 0
  const halted: DiskFault['error'] = errno('EIO')
  const before = ({ call }: DiskStep): DiskFault | undefined => {
    if (!CHANGING.includes(call)) return made > steps ? { error: halted } : undefined
    made++
    if (made <= steps) return undefined
    const isCut = made === steps + 1 && call === 'write' && cutBytes !== undefined
    return isCut ? { error: halted, writtenBytes: cutBytes } : { error: halted }
  }
  return { hooks: { before }, count: () => made }
}

/** Lives through the script until the disk stops; what has been promised by then. */
async function liveUntilStop(directory: string, hooks: DiskHooks, live: Life = liveThrough): Promise<Promises> {
  const promises = new Promises()
  await live(optionsFor(directory, { diskHooks: hooks }), promises).catch(() => {})
  return promises
}

async function assertRecovered(directory: string, promises: Promises, what: string): Promise<void> {
  const log = recordingLog()
  const spool = await openSpool(optionsFor(directory, { log })).catch((cause: unknown) => {
    throw new Error(`${what}: the spool doesn't open`, { cause })
  })
  try {
    await promises.assertKept(spool)
    // What was committed but not answered may be there too, and whole (DU-2).
    for (const { queueId } of spool.entries()) await (await spool.read(queueId)).close()
    assert.deepEqual(await spool.quarantine.list(), [], what)
    assert.deepEqual(
      log.lines.filter(({ event }) => event !== 'spool.torn-write'),
      [],
      what,
    )
    await accept(spool, 100)
  } catch (cause) {
    throw new Error(what, { cause })
  } finally {
    await spool.close()
  }
}

/** A script that uses the spool, and notes what it is promised. */
export type Life = (options: SpoolOptions, promises: Promises) => Promise<void>

/** System calls of the script that change the disk; give or take a few, since what shares a commit group is a matter of timing. */
export function countSteps(live: Life = liveThrough): Promise<number> {
  return inDirectory(async (directory) => {
    const { hooks, count } = stopAfter(Infinity)
    await live(optionsFor(directory, { diskHooks: hooks }), new Promises())
    return count()
  })
}

/** @param cutBytes  of a write that doesn't come to its end, how much is written */
export function stopRound(last: number, cutBytes: number | undefined): Promise<void> {
  return inDirectory(async (directory) => {
    const promises = await liveUntilStop(directory, stopAfter(last, cutBytes).hooks)
    fs.rmSync(`${directory}/lock`, { force: true }) // its holder still lives in this process
    await assertRecovered(directory, promises, `stopped after call ${last}, ${cutBytes ?? 0} bytes of the next`)
  })
}

export function powerCutRound(last: number, seed: number, live: Life = liveThrough): Promise<void> {
  return inDirectory(async (directory) => {
    const cut = new PowerCut(directory)
    const stop = stopAfter(last)
    const hooks: DiskHooks = {
      before: (step) => stop.hooks.before?.(step) ?? cut.hooks.before?.(step),
      after: (step) => cut.hooks.after?.(step),
    }
    const promises = await liveUntilStop(directory, hooks, live)
    await inDirectory(async (found) => {
      cut.writeTo(found, seeded(seed))
      await assertRecovered(found, promises, `power cut after call ${last}, seed ${seed}`)
    })
  })
}

/** Numbers in [0, 1) from a seed (mulberry32), so that a failure can be repeated. */
export function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
