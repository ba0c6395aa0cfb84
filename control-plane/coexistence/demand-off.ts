// What takes a tenant or a whole project away first has coexistence off: rules that route mail to relays which are no more would keep it. (RC-9)
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { loadSwitch } from './switch-store.ts'

export const despiteCoexistence = z.enum(['true', 'false']).default('false').meta({
  description:
    'Needed while coexistence or free/busy is not off. What they keep in the tenants stays there, for administrators to remove.',
})

/** @throws Problem 409 coexistence-on */
export async function demandCoexistenceOff(tx: Tx, place: ProjectPlace, despite: 'true' | 'false'): Promise<void> {
  const { state, freeBusyState } = await loadSwitch(tx, place)
  if (despite === 'true' || (state === 'off' && freeBusyState === 'off')) return
  throw new Problem('coexistence-on', { state, freeBusyState })
}
