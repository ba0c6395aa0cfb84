// Waits until relays know a nonce that was just made: a connector's validation mail comes within a second of the cmdlet, once, and relays refuse what they
// don't know. (coexistence.md §2.1 row 5b, SP-11)
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReconcileDeps, Run } from './run.ts'

const LOOK_EVERY_MS = 100
/** A push takes less by far; a relay that is away is the gate's business. */
const PATIENCE_MS = 15_000

/** @throws the signal's reason */
export async function awaitRelays({ context, place }: Run, { gates, now }: ReconcileDeps): Promise<void> {
  const since = new Date(now())
  const about = { since, connectorHoldMs: 0 }
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_EVERY_MS) {
    const seen = await context.read((tx) => gates.look(tx, place, { kind: 'gate', gate: 'table-before' }, about))
    if (seen.kind !== 'waiting') return
    await sleep(LOOK_EVERY_MS, undefined, { signal: context.signal })
  }
}
