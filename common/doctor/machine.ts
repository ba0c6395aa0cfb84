// The machine below a process: its clock, and the ways by which what is in memory could reach a disk in clear. (OP-5, SF-3, DU-9)
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
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
  /** Whose limit: the running process's, or this command's when none is known. */
  readonly coreLimitOf: 'process' | 'command'
  readonly swaps: readonly string[]
}

/** Whose machine it is: what runs there, and what its memory holds. */
export interface MachineUse {
  readonly runs: string
  readonly memory: string
}
const RELAY: MachineUse = { runs: 'the relay', memory: 'mail and keys' }

/** Nothing of ours is older: a clock before it has lost its battery. */
const EARLIEST = Date.UTC(2026, 0, 1)
const TOLERANCE_MS = 60_000

export function judgeMachine(facts: MachineFacts, use: MachineUse = RELAY): Finding[] {
  return [judgeClock(facts), judgeSynchronisation(facts), judgeCoreDumps(facts, use), judgeSwap(facts, use)]
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

function judgeCoreDumps({ coreLimit, coreLimitOf }: MachineFacts, { runs, memory }: MachineUse): Finding {
  const whose = coreLimitOf === 'process' ? `the running ${runs.replace('the ', '')}` : 'this shell'
  if (coreLimit === undefined)
    return warning('core-dumps', 'the system does not tell', `set LimitCORE=0 (\`ulimit -c 0\`) for ${runs}`)
  return coreLimit === '0'
    ? ok('core-dumps', `off for ${whose}`)
    : warning(
        'core-dumps',
        `core files up to ${coreLimit} for ${whose}: one would hold ${memory} in clear (SF-3)`,
        `start ${runs} with LimitCORE=0 (\`ulimit -c 0\`)`,
      )
}

function judgeSwap({ swaps }: MachineFacts, { runs }: MachineUse): Finding {
  return swaps.length === 0
    ? ok('swap', 'none')
    : warning(
        'swap',
        `memory can be written to ${swaps.join(', ')} (SF-3)`,
        `turn it off, or see that it is encrypted, or set MemorySwapMax=0 for ${runs}`,
      )
}

/** @param pid  of the running process */
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
    coreLimitOf: pid === undefined ? 'command' : 'process',
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

async function readIfThere(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch(() => undefined)
}
