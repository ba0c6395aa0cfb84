// Which process has which part of the spool. One worker has the spool directory itself, several have a folder each in it, `worker-<n>`. What an
// earlier number of workers left is delivered by processes that take nothing new, so that the number can change at any restart.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

export interface Partition {
  /** Of the worker; 0 has the spool directory itself. */
  readonly worker: number
  readonly directory: string
  /** false: left by an earlier number of workers. It is emptied. */
  readonly takesMail: boolean
}

const WORKER_DIRECTORY = /^worker-([1-9]\d{0,2})$/

/** Of all processes of a relay one makes the probes, and none that only empties what was left; any of them may take them back. */
export const makesProbes = ({ worker, takesMail }: Pick<Partition, 'worker' | 'takesMail'>): boolean =>
  takesMail && worker <= 1

/** Pure. @param found  workers whose partitions hold something */
export function planPartitions(spoolDirectory: string, workers: number, found: readonly number[]): Partition[] {
  const wanted = workers === 1 ? [0] : Array.from({ length: workers }, (_, index) => index + 1)
  const left = found.filter((worker) => !wanted.includes(worker)).toSorted((a, b) => a - b)
  const planned = [
    ...wanted.map((worker) => ({ worker, takesMail: true })),
    ...left.map((worker) => ({ worker, takesMail: false })),
  ]
  return planned.map(({ worker, takesMail }) => ({ worker, takesMail, directory: directoryOf(spoolDirectory, worker) }))
}

function directoryOf(spoolDirectory: string, worker: number): string {
  return worker === 0 ? spoolDirectory : join(spoolDirectory, `worker-${worker}`)
}

/** Those the configuration wants, then those that are left with something in them. */
export function findPartitions(spoolDirectory: string, workers: number): Partition[] {
  return planPartitions(spoolDirectory, workers, numbersThere(spoolDirectory).filter(mayHoldMail))

  function mayHoldMail(worker: number): boolean {
    const directory = directoryOf(spoolDirectory, worker)
    // A spool that was emptied and closed has no segment; anything else is for whoever opens it to judge.
    return (
      namesIn(directory).some((name) => name.startsWith('segment-')) || namesIn(join(directory, 'large')).length > 0
    )
  }
}

/** Where a spool is, whatever number of workers made it, also such as only has a quarantine. */
export function findSpools(spoolDirectory: string): string[] {
  const directories = numbersThere(spoolDirectory).map((worker) => directoryOf(spoolDirectory, worker))
  return directories.filter((directory) => namesIn(directory).includes('keys'))
}

function numbersThere(spoolDirectory: string): number[] {
  const numbers = namesIn(spoolDirectory).flatMap((name) => {
    const [, number] = WORKER_DIRECTORY.exec(name) ?? []
    return number === undefined ? [] : [Number(number)]
  })
  return [0, ...numbers.toSorted((a, b) => a - b)]
}

/** @throws what node:fs throws, but not for a directory that isn't there */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
