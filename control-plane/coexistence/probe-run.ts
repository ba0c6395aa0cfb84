// Runs of probes and validations of connectors: each has a nonce of its own, which relays hear of with the next snapshot. (coexistence.md §2.1 rows 5b, 12)
import type { Tx } from '../db/database.ts'
import { newId } from '../ids.ts'
import type { TenantId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { lockProject } from '../relays/project-place-store.ts'
import { addNonce } from '../relays/relay-secret-store.ts'
import type { ProjectPlace } from '../relays/relay-secret-store.ts'
import { tellRelays } from '../relays/tell-relays.ts'
import { addRun, removeRuns } from './evidence-store.ts'

/** Rules may take more than an hour to act, and a run isn't repeated for that. */
const PROBE_MS = 4 * 3_600_000
const VALIDATION_MS = 3_600_000

export interface NewProbeRun {
  readonly tenant: TenantId
  readonly direction: 'out' | 'in'
  /** The relays' name that this direction's connector leads to: recipients are there. */
  readonly host: string
  readonly at: Date
}

/**
 * Every relay of the project hands the tenant its probes, now and again later, until the run ends.
 *
 * @returns the word that the probe rule looks for in `X-Causeway-Probe`
 */
export async function startProbeRun(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  run: NewProbeRun,
): Promise<{ readonly nonce: string }> {
  return start(tx, sealer, place, 'probe', run, PROBE_MS)
}

export interface NewValidation {
  readonly tenant: TenantId
  /** Of the outbound connector. */
  readonly key: 'out' | 'elsewhere'
  /** The relays' name that it leads to. */
  readonly host: string
  readonly at: Date
}

/**
 * Relays refuse its mail until they have the settings that name it: see to that (gate `relays-ready`) between the commit and the cmdlet.
 *
 * @returns the nonce, and the address for Validate-OutboundConnector
 */
export async function startValidation(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  { tenant, key, host, at }: NewValidation,
): Promise<{ readonly nonce: string; readonly recipient: string }> {
  const direction = key === 'out' ? 'out' : 'in'
  const { nonce } = await start(tx, sealer, place, 'validation', { tenant, direction, host, at }, VALIDATION_MS)
  return { nonce, recipient: `connector-validation-${nonce}@${host}` }
}

/** Ends all of the project's runs and forgets what was seen of them. Safe at any time. @returns how many there were */
export async function endProbeRuns(tx: Tx, place: ProjectPlace): Promise<number> {
  await lockProject(tx, place)
  const ended = await removeRuns(tx, place)
  if (ended > 0) await tellRelays(tx, place)
  return ended
}

async function start(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  kind: 'probe' | 'validation',
  { tenant, direction, host, at }: NewProbeRun,
  lifeMs: number,
): Promise<{ readonly nonce: string }> {
  await lockProject(tx, place)
  const nonceId = newId('nonce')
  const expiresAt = new Date(at.getTime() + lifeMs)
  const nonce = await addNonce(tx, sealer, place, expiresAt, at, nonceId)
  await addRun(tx, place, { nonce, kind, tenant, direction, host, nonceId, startedAt: at, expiresAt })
  await tellRelays(tx, place)
  return { nonce }
}
