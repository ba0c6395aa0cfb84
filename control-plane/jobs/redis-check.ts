// Whether a Redis may hold the queue. Pure. Jobs survive losing it (JQ-1), so these are about delay and about who can read and write: a queue that
// evicts makes jobs late, one that is open makes them anybody's. (JQ-3)
import type { RedisFacts } from './redis-facts.ts'

const MINIMUM_VERSION = [6, 2] as const

/** @returns what is wrong, in words that say what to set; production refuses to start, an evaluation warns */
export function judgeRedis(facts: RedisFacts): string[] {
  const faults: string[] = []
  if (!isAtLeast(facts.version, MINIMUM_VERSION))
    faults.push(`Redis ${facts.version} is too old: it takes ${MINIMUM_VERSION.join('.')} or newer`)
  if (facts.maxmemoryPolicy !== 'noeviction')
    faults.push(
      `maxmemory-policy is ${facts.maxmemoryPolicy}: set it to noeviction, or Redis drops jobs when it is full`,
    )
  if (!facts.hasAppendOnlyFile)
    faults.push('appendonly is off: set appendonly yes, or a restart forgets what waits until the next pass finds it')
  if (!facts.isLocal && !facts.hasTls) faults.push('the connection is in clear text: use a rediss:// URL, or loopback')
  if (!facts.isLocal && !facts.hasPassword)
    faults.push('the URL has no password: everybody who reaches Redis can use it')
  return faults
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [itsMajor = 0, itsMinor = 0] = version.split('.').map(Number)
  return itsMajor > major || (itsMajor === major && itsMinor >= minor)
}
