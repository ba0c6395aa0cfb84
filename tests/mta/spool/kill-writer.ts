// A real process that uses a spool until it is killed with -9. Run as a program it is that process: it says on a pipe what it was promised,
// each line after the promise; imported, it starts such a process, kills it, and holds the spool to what was said.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseQueueId } from '../../../mta/queue-id.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import type { DiskHooks } from '../../../mta/spool/disk.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import { Promises, eventsOf, liveThrough, optionsFor, recordingLog, stateAfter } from './spool-harness.ts'

const SIZES = [0, 300, 2_000, 4_000, 4_000, 8_000, 60_000, 270_000, 400_000]
const SESSIONS = 8
/** Deferred messages that the next process finds. */
const CARRIED = 50
const STDOUT = 1

/** Written at once and whole, so that it is either out or the process is dead. */
const say = (...words: readonly (string | number)[]) => fs.writeSync(STDOUT, `${words.join(' ')}\n`)

/** Says what it is told. */
class SaidPromises extends Promises {
  override async accept(...args: Parameters<Promises['accept']>): Promise<QueueId> {
    const queueId = await super.accept(...args)
    say('accepted', queueId, args[1])
    return queueId
  }

  override async update(...args: Parameters<Promises['update']>): Promise<void> {
    await super.update(...args)
    say('updated', args[1], args[2])
  }

  override async remove(...args: Parameters<Promises['remove']>): Promise<void> {
    say('removing', args[1])
    await super.remove(...args)
    say('removed', args[1])
  }
}

function hear(promises: Promises, line: string): void {
  const [what, id = '', number = '0'] = line.split(' ')
  const queueId = parseQueueId(id)
  if (queueId === undefined) return // a line that the kill cut off
  if (what === 'accepted') promises.accepted.set(queueId, { bytes: Number(number), attempts: 0 })
  else if (what === 'updated') Object.assign(promises.accepted.get(queueId) ?? {}, { attempts: Number(number) })
  else if (what === 'removing') promises.removing.add(queueId)
  else if (what === 'removed') promises.removed.add(queueId)
}

/** Takes, delivers, defers and removes messages until somebody ends it. */
async function useForEver(directory: string): Promise<void> {
  // A process whose parent is gone has nobody to end it.
  process.stdin.on('end', () => process.exit(3)).resume()
  const spool = await openSpool(optionsFor(directory, { log: recordingLog(), now: Date.now, sweepEveryMs: 20 }))
  const promises = new SaidPromises()
  const session = async (number: number) => {
    for (let i = number; ; i++) {
      const queueId = await promises.accept(spool, SIZES[i % SIZES.length] ?? 0)
      if (i % 3 === 0) await promises.update(spool, queueId, 1)
      if (i % 9 === 0) await spool.take(queueId)
      if (i % 5 !== 0) await promises.remove(spool, queueId)
      if (i % 40 === 0) await spool.sweep(0)
    }
  }
  await Promise.all(Array.from({ length: SESSIONS }, (_, number) => session(number)))
}

/** Lives through the script of the crash tests, and ends itself at a given step: before the call, after it, or in the middle of a write. */
async function dieAtStep(directory: string, step: number, moment: string): Promise<void> {
  let made = 0
  const die = () => process.kill(process.pid, 'SIGKILL')
  const hooks: DiskHooks = {
    before: ({ call, bytes }) => {
      if (++made !== step) return undefined
      if (moment === 'before') die()
      if (moment !== 'within' || call !== 'write') return undefined
      return { error: new Error('unreachable: the process is dead'), writtenBytes: Math.floor((bytes ?? 0) / 2) }
    },
    after: () => {
      if (made >= step) die()
    },
  }
  await liveThrough(optionsFor(directory, { diskHooks: hooks, log: recordingLog() }), new SaidPromises())
  say('survived', made)
}

/** Starts the process, and waits for its end. @returns whether it came to the end of its script by itself */
async function runWriter(
  args: readonly string[],
  promises: Promises,
  killAfterMs: number | undefined,
): Promise<boolean> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let said = ''
  let timer: NodeJS.Timeout | undefined
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    // The process takes a while to come up; its spool's moments begin with its first promise.
    if (said === '' && killAfterMs !== undefined) timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    said += text
  })
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (exitCode, by) => resolve([exitCode, by])),
  )
  clearTimeout(timer)
  for (const line of said.split('\n')) hear(promises, line)
  if (signal === null && !said.includes('survived'))
    throw new Error(`the writer ended by itself (${String(code)}):\n${said.slice(-500)}`)
  return signal === null
}

/** Opens what the dead process left, and holds it to everything that was promised so far. @returns how many unpromised messages it found */
async function assertKept(directory: string, promises: Promises, what: string): Promise<number> {
  const log = recordingLog()
  const spool = await openSpool(optionsFor(directory, { log, now: Date.now }))
  try {
    await promises.assertKept(spool)
    const quarantined = await spool.quarantine.list()
    assert.deepEqual(
      quarantined.filter(({ reason }) => reason === 'damaged'),
      [],
      what,
    )
    assert.ok(!eventsOf(log).includes('spool.damaged'), what)
    const unpromised = [...spool.entries()].filter(({ queueId }) => !promises.accepted.has(queueId))
    // Some deferred messages go on from round to round; all would make the spool only grow.
    const entries = [...spool.entries()]
    const deferred = entries.filter(({ state }) => state.attempts > 0).slice(-CARRIED)
    for (const { queueId, state } of entries) {
      const isCarried = deferred.some((entry) => entry.queueId === queueId)
      await (isCarried ? spool.update(queueId, stateAfter(state.attempts)) : promises.remove(spool, queueId))
    }
    return unpromised.length
  } catch (cause) {
    throw new Error(`${what}: ${String(cause)}`, { cause })
  } finally {
    await spool.close()
  }
}

/** A process that is killed `killAfterMs` after its first promise. @returns how many messages were stored but not answered for (DU-2) */
export async function killRound(
  directory: string,
  promises: Promises,
  killAfterMs: number,
  what: string,
): Promise<number> {
  await runWriter(['for-ever', directory], promises, killAfterMs)
  return assertKept(directory, promises, what)
}

/** A process that kills itself at the given system call. @returns false when the script has fewer */
export async function killAtStep(
  directory: string,
  step: number,
  moment: 'before' | 'within' | 'after',
): Promise<boolean> {
  const promises = new Promises()
  const hasSurvived = await runWriter(['at-step', directory, String(step), moment], promises, undefined)
  await assertKept(directory, promises, `killed ${moment} call ${step}`)
  return !hasSurvived
}

if (import.meta.main) {
  const [mode, directory = '', step = '0', moment = 'before'] = process.argv.slice(2)
  if (mode === 'for-ever') await useForEver(directory)
  else await dieAtStep(directory, Number(step), moment)
}
