// Every write that the simulated Exchange carried out, in order, so that what the product says it did can be held against what was done. What was
// refused is not in it; what was done and then answered by a fault is.
import type { SandboxServices } from '../services.ts'

export interface ExchangeWrite {
  readonly tenantId: string
  /** As published: `New-InboundConnector`. */
  readonly cmdlet: string
  /** By their published names, as they were given. */
  readonly parameters: Readonly<Record<string, unknown>>
  /** ms since the epoch, of the sandbox's clock */
  readonly atMs: number
  /** Of what was made, changed or removed; of members, of their group. */
  readonly guid?: string
}

const logs = new WeakMap<SandboxServices, ExchangeWrite[]>()

export function logWrite(services: SandboxServices, write: ExchangeWrite): void {
  const log = logs.get(services)
  if (log === undefined) logs.set(services, [write])
  else log.push(write)
}

/** Of one tenant, oldest first; since the sandbox was started. */
export function writesOf(services: SandboxServices, tenantId: string): readonly ExchangeWrite[] {
  return (logs.get(services) ?? []).filter((write) => write.tenantId === tenantId)
}
