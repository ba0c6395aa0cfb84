// The machine below a relay: its clock, and the ways by which mail in memory could reach a disk in clear. (OP-5, SF-3, DU-9)
import { existsSync } from 'node:fs'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, ok, warning } from './finding.ts'
import type { Finding } from './finding.ts'

export interface MachineFacts {
  readonly wallMs: number
  /** When the newest file of the spool was written; undefined when there is none. */
  readonly newestFileMs: number | undefined
  /** Of systemd-timesyncd; `other`: chronyd or ntpd runs, and only it can say more; `unknown`: nothing that would set it was seen. */
  readonly synchronisation: 'synchronised' | 'pending' | 'other' | 'unknown'
  /** Soft limit of core files; undefined where the system doesn't tell. */
  readonly coreLimit: string | undefined
  /** Whose limit: the running relay's, or this command's when no relay runs. */
  readonly coreLimitOf: 'relay' | 'command'
  readonly swaps: readonly string[]
}

/** Nothing of ours is older: a clock before it has lost its battery. */
const EARLIEST = Date.UTC(2026, 0, 1)
const TOLERANCE_MS = 60_000

export function judgeMachine(facts: MachineFacts): Finding[] {
  return [judgeClock(facts), judgeSynchronisation(facts), judgeCoreDumps(facts), judgeSwap(facts)]
}

function judgeClock({ wallMs, newestFileMs }: MachineFacts): Finding {
  const says = new Date(wallMs).toISOString()
  if (wallMs < EARLIEST) return fault('clock', says, 'set the clock: certificates and retries go by it')
  if (newestFileMs !== undefined && newestFileMs > wallMs + TOLERANCE_MS)
    return fault(
      'clock',
      `${says}, but the spool was written to at ${new Date(newestFileMs).toISOString()}`,
      'the clock was ahead or has gone back: set it, and see that it is kept by NTP',
    )
  return ok('clock', says)
}

function judgeSynchronisation({ synchronisation }: MachineFacts): Finding {
  switch (synchronisation) {
    case 'synchronised':
      return ok('time-sync', 'systemd-timesyncd has synchronised the clock')
    case 'pending':
      return warning('time-sync', 'systemd-timesyncd runs, but has not synchronised the clock', 'see `timedatectl`')
    case 'other':
      return ok('time-sync', 'chronyd or ntpd keeps the clock')
    case 'unknown':
      return warning(
        'time-sync',
        'nothing was seen that keeps the clock',
        'run chronyd or systemd-timesyncd, here or on the host of this container',
      )
    default:
      return synchronisation satisfies never
  }
}

function judgeCoreDumps({ coreLimit, coreLimitOf }: MachineFacts): Finding {
  const whose = coreLimitOf === 'relay' ? 'the running relay' : 'this shell (no relay runs)'
  if (coreLimit === undefined)
    return warning('core-dumps', 'the system does not tell', 'set LimitCORE=0 (`ulimit -c 0`) for the relay')
  return coreLimit === '0'
    ? ok('core-dumps', `off for ${whose}`)
    : warning(
        'core-dumps',
        `core files up to ${coreLimit} for ${whose}: one would hold mail and keys in clear (SF-3)`,
        'start the relay with LimitCORE=0 (`ulimit -c 0`)',
      )
}

function judgeSwap({ swaps }: MachineFacts): Finding {
  return swaps.length === 0
    ? ok('swap', 'none')
    : warning(
        'swap',
        `memory can be written to ${swaps.join(', ')} (SF-3)`,
        'turn it off, or see that it is encrypted, or set MemorySwapMax=0 for the relay',
      )
}

/** @param pid  of the running relay */
export async function observeMachine(
  pid: number | undefined,
  newestFileMs: number | undefined,
  now: number,
): Promise<MachineFacts> {
  const limits = await readIfThere(`/proc/${pid ?? 'self'}/limits`)
  const swaps = (await readIfThere('/proc/swaps')) ?? ''
  return {
    wallMs: now,
    newestFileMs,
    synchronisation: observedSynchronisation(),
    coreLimit: limits === undefined ? undefined : /^Max core file size +(\S+)/m.exec(limits)?.[1],
    coreLimitOf: pid === undefined ? 'command' : 'relay',
    swaps: swaps
      .split('\n')
      .slice(1)
      .flatMap((line) => line.split(/\s/, 1)[0] || []),
  }
}

function observedSynchronisation(): MachineFacts['synchronisation'] {
  if (existsSync('/run/systemd/timesync/synchronized')) return 'synchronised'
  if (['/run/chrony', '/run/chronyd.pid', '/run/ntpd.pid', '/run/ntpsec'].some((path) => existsSync(path)))
    return 'other'
  return existsSync('/run/systemd/timesync') ? 'pending' : 'unknown'
}

/** The process that has the spool's lock open; undefined when there is none, or when only its owner may see. */
export async function holderOf(spoolDirectory: string): Promise<number | undefined> {
  const lock = join(spoolDirectory, 'lock')
  for (const name of await namesIn('/proc')) {
    if (!/^\d+$/.test(name)) continue
    for (const fd of await namesIn(`/proc/${name}/fd`)) {
      const target = await readlink(`/proc/${name}/fd/${fd}`).catch(() => '') // closed meanwhile
      if (target === lock) return Number(name)
    }
  }
  return undefined
}

async function namesIn(directory: string): Promise<string[]> {
  // Other people's processes can't be looked into, and any may end while we look.
  return readdir(directory).catch(() => [])
}

async function readIfThere(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch(() => undefined)
}
