// The limits of the configuration are the whole relay's: what each of its processes may take of them. Pure.
import type { Limits } from '../limits.ts'

/**
 * Counts are divided and rounded up, so that the sum is never below what was configured and at most one a process above it. What holds for one
 * message, session or next-hop reply, and what looks at the volume as a whole, is each process's in full.
 * @param workers  processes that take mail
 * @param processes  all that deliver, those included that only empty what an earlier number of workers left
 */
export function shareOfLimits(limits: Limits, workers: number, processes: number): Limits {
  const share = (whole: number) => Math.ceil(whole / workers)
  return {
    ...limits,
    connections: share(limits.connections),
    connectionsPerAddress: share(limits.connectionsPerAddress),
    newConnectionsPerSecondAndAddress: share(limits.newConnectionsPerSecondAndAddress),
    memoryHighWaterRatio: limits.memoryHighWaterRatio / processes,
    queuedMessages: share(limits.queuedMessages),
    queuedVolumeRatio: limits.queuedVolumeRatio / workers,
    largePartsWaiting: share(limits.largePartsWaiting),
    nextHopConnections: Math.ceil(limits.nextHopConnections / processes),
    nextHopConnectionsPerHost: Math.ceil(limits.nextHopConnectionsPerHost / processes),
  }
}
