// Everything of a sandbox that outlives a restart: its tenants, the consents and registrations of Entra, the roles in Exchange, and how far its clock is
// ahead. In a directory, or in memory only.
import { join } from 'node:path'
import { SandboxClock } from '../clock.ts'
import type { EntraKept } from '../entra/directory.ts'
import { ExchangeRoles } from './exchange-roles.ts'
import type { KeptExchangeRoles } from './exchange-roles.ts'
import { KeptFile } from './kept-file.ts'
import type { TenantData } from './objects.ts'
import { openTenant } from './save.ts'
import type { SavedTenant } from './save.ts'
import { SimulatedTenant } from './tenant.ts'

export interface SandboxState {
  /** By tenant id. */
  readonly tenants: ReadonlyMap<string, SimulatedTenant>
  readonly clock: SandboxClock
  readonly exchangeRoles: ExchangeRoles
  /** For startEntra. */
  readonly entra: { readonly kept: EntraKept | undefined; readonly onChange: (kept: EntraKept) => void }
  /** Durable on return. */
  close(): Promise<void>
}

/** Gone when the process ends. */
export function stateInMemory(tenants: readonly TenantData[], clock: SandboxClock): SandboxState {
  return {
    tenants: new Map(tenants.map((data) => [data.id, new SimulatedTenant(data)])),
    clock,
    exchangeRoles: new ExchangeRoles(),
    entra: { kept: undefined, onChange: () => {} },
    close: () => Promise.resolve(),
  }
}

/**
 * As an earlier run left it in `directory`; what that doesn't hold, as `tenants` say. One process at a time.
 * @param machineMs  ms since the epoch
 * @throws when what is there can't be read
 */
export async function stateIn(
  directory: string,
  tenants: readonly TenantData[],
  machineMs: () => number,
): Promise<SandboxState> {
  await using stack = new AsyncDisposableStack()
  const saved: SavedTenant[] = []
  for (const data of tenants) {
    const each = await openTenant(directory, data.id, () => data)
    stack.defer(() => each.close())
    saved.push(each)
  }
  const keep = <T>(name: string): KeptFile<T> => {
    const file = new KeptFile<T>(join(directory, `${name}.json`))
    stack.defer(() => file.flush())
    return file
  }
  const entra = keep<EntraKept>('entra')
  const roles = keep<KeptExchangeRoles>('exchange-roles')
  const time = keep<{ readonly aheadMs: number }>('clock')
  const running = stack.move()
  return {
    tenants: new Map(saved.map(({ tenant }) => [tenant.id, tenant])),
    clock: new SandboxClock(machineMs, {
      aheadMs: time.load()?.aheadMs ?? 0,
      onAdvance: (aheadMs) => time.save({ aheadMs }),
    }),
    exchangeRoles: new ExchangeRoles(roles.load(), (kept) => roles.save(kept)),
    entra: { kept: entra.load(), onChange: (kept) => entra.save(kept) },
    close: () => running.disposeAsync(),
  }
}
