// CPU time of processes and of the machine, for benches that say what the time went into. Linux only: it reads /proc.
import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/** /proc counts in these, whatever the kernel does. */
const TICKS_PER_SECOND = 100
const PARENT = 1
/** User and system time of it, and of its children that have ended. */
const TIMES = [11, 12, 13, 14] as const

/** Seconds that this process and all it has started have used. 0: it isn't there. */
export function cpuSecondsOf(pid: number): number {
  const all = new Map<number, { readonly parent: number; readonly ticks: number }>()
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    const fields = statOf(name)
    const ticks = TIMES.reduce((sum, place) => sum + Number(fields[place]), 0)
    if (fields.length > 0) all.set(Number(name), { parent: Number(fields[PARENT]), ticks })
  }
  const isOurs = (each: number | undefined): boolean =>
    each !== undefined && each > 0 && (each === pid || isOurs(all.get(each)?.parent))
  let ticks = 0
  for (const [each, found] of all) if (isOurs(each)) ticks += found.ticks
  return ticks / TICKS_PER_SECOND
}

/** Seconds that all of the machine's cores were busy since it started. */
export function machineCpuSeconds(): number {
  let busyMs = 0
  for (const { times } of cpus()) busyMs += times.user + times.nice + times.sys + times.irq
  return busyMs / 1_000
}

/** From the state on; empty: it has ended meanwhile. */
function statOf(pid: string): readonly string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return []
    throw error
  }
}
