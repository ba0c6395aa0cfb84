// The state of one project that its relays are to have, read in one transaction that sees one moment: versions, relays, and settings and secrets
// where a push needs them. (RC-3: table revision, settings version and snapshot version always belong together)
import type { PushedSecrets, PushedSettings } from '../../common/relay-contract.ts'
import { setScope, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { listRuns } from '../coexistence/evidence-store.ts'
import { loadSwitch } from '../coexistence/switch-store.ts'
import type { Sealer } from '../keys/sealer.ts'
import { noteCertificatesUsed, readActiveCertificates } from '../certificates/certificate-store.ts'
import { loadProjectVersions } from './applied-store.ts'
import { derivedSettings } from './derived-settings.ts'
import { noteKeysUsed, readActiveKeys } from './dkim-key-store.ts'
import { listExchangeRanges } from './exchange-range-store.ts'
import { holdProject, lockProject } from './project-place-store.ts'
import type { ProjectVersions } from './relay.ts'
import { ensureMarker, ensureProofTokens, findMarker, readNonces, readProofTokens } from './relay-secret-store.ts'
import type { ProjectPlace } from './relay-secret-store.ts'
import { toPushedSecrets, toPushedSettings } from './relay-settings.ts'
import { listSettingsTenants, loadSettings } from './relay-settings-store.ts'
import { listStreamedRelays } from './relay-store.ts'
import type { StreamedRelay } from './relay-store.ts'

export interface ToldSettings {
  readonly settings: PushedSettings
  readonly secrets: PushedSecrets
}

export interface ProjectState extends ProjectVersions {
  /** Without the revoked ones. */
  readonly relays: readonly StreamedRelay[]
  /** undefined where it wasn't asked for. */
  readonly told: ToldSettings | undefined
}

export interface ProjectStateDeps {
  readonly db: Db
  readonly sealer: Sealer
  /** ms since the epoch */
  readonly now: () => number
}

/** undefined: the project is gone. */
export async function loadProjectState(
  place: ProjectPlace,
  needs: 'versions' | 'settings',
  deps: ProjectStateDeps,
): Promise<ProjectState | undefined> {
  const { db } = deps
  if (needs === 'settings') await prepareSettings(place, deps)
  // Repeatable read: every statement sees the same moment, and nobody is held up.
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      await setScope(tx, { organisation: place.organisation })
      return readState(tx, place, needs, deps)
    })
}

/**
 * The state, and what `then` makes of it while no change of the project can commit: for when changes come faster than they can be followed.
 * `then` has to be short.
 */
export async function holdProjectState<T>(
  place: ProjectPlace,
  needs: 'versions' | 'settings',
  deps: ProjectStateDeps,
  then: (state: ProjectState) => Promise<T>,
): Promise<T | undefined> {
  if (needs === 'settings') await prepareSettings(place, deps)
  return withScope(deps.db, { organisation: place.organisation }, async (tx) => {
    await holdProject(tx, place)
    const state = await readState(tx, place, needs, deps)
    return state && (await then(state))
  })
}

async function readState(
  tx: Tx,
  place: ProjectPlace,
  needs: 'versions' | 'settings',
  deps: ProjectStateDeps,
): Promise<ProjectState | undefined> {
  const { organisation, project } = place
  const versions = await loadProjectVersions(tx, organisation, project)
  if (versions === undefined) return undefined
  const relays = await listStreamedRelays(tx, organisation, project)
  const told = needs === 'settings' ? await readSettings(tx, place, versions.settingsVersion, deps) : undefined
  return { ...versions, relays, told }
}

async function readSettings(
  tx: Tx,
  place: ProjectPlace,
  version: number,
  { sealer, now }: ProjectStateDeps,
): Promise<ToldSettings> {
  const { organisation, project } = place
  const marker = await findMarker(tx, sealer, place)
  if (marker === undefined) throw new Error('unreachable: prepareSettings makes it')
  const tenants = await listSettingsTenants(tx, organisation, project)
  const source = {
    version,
    ...derivedSettings((await loadSettings(tx, organisation, project)).document, await loadSwitch(tx, place)),
    tenants,
    dkim: await readActiveKeys(tx, sealer, place),
    certificates: await readActiveCertificates(tx, sealer, place),
    exchangeRanges: await listExchangeRanges(
      tx,
      tenants.map(({ cloud }) => cloud),
    ),
    proofTokens: await readProofTokens(tx, sealer, place),
    nonces: await readNonces(tx, sealer, place, new Date(now())),
    runs: await listRuns(tx, place, new Date(now())),
    marker,
  }
  return { settings: toPushedSettings(source), secrets: toPushedSecrets(source) }
}

/** What has to be there before settings can be told: made at the first push, and for tenants that came since. */
async function prepareSettings(place: ProjectPlace, { db, sealer, now }: ProjectStateDeps): Promise<void> {
  const { organisation, project } = place
  const at = new Date(now())
  await withScope(db, { organisation }, async (tx) => {
    if ((await loadProjectVersions(tx, organisation, project)) === undefined) return
    // As every change does: the project first, then its keys. The other way round two that make the first key wait for each other.
    await lockProject(tx, place)
    await ensureMarker(tx, sealer, place, at)
    const made = await ensureProofTokens(tx, sealer, place, at)
    if (made > 0) await bumpSnapshot(tx, organisation, project, 'settings')
    await noteKeysUsed(tx, place, at)
    await noteCertificatesUsed(tx, place, at)
  })
}
