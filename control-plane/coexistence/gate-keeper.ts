// Looks whether a gate of a plan is open: what relays reported and saw, read in one transaction and judged by gates.ts. (coexistence.md §2.1, §2.2)
import type { Tx } from '../db/database.ts'
import { loadProjectVersions } from '../relays/applied-store.ts'
import { isLive } from '../relays/relay.ts'
import type { ProjectPlace } from '../relays/relay-secret-store.ts'
import { listSettingsTenants } from '../relays/relay-settings-store.ts'
import { listRelays } from '../relays/relay-store.ts'
import { acceptedSince, countEvidence, listRuns } from './evidence-store.ts'
import { judgeHold, judgeProbes, judgePropagated, judgeRelays, judgeTable, judgeValidation } from './gates.ts'
import type { GateLook } from './gates.ts'
import type { GateStep } from './step.ts'

export type { GateLook } from './gates.ts'

export interface GateAbout {
  /** When what the gate waits for began: rules enabled or disabled, a run started, a member added. */
  readonly since: Date
  /** Of `validated`. */
  readonly validationNonce?: string | undefined
  /** Of `probes`; absent: all runs of probes there are. */
  readonly probeNonces?: readonly string[] | undefined
  /** Mapping revision that the relays must have; absent: what they are told. */
  readonly revision?: number | undefined
  /** Of `propagated`: whose rules were enabled; absent: it waits out its hour. */
  readonly routes?: readonly { readonly tenant: string; readonly direction: 'out' | 'in' }[] | undefined
  /** Of `hold`: that ends while others go on; absent: all of them end. */
  readonly ending?: { readonly tenant: string; readonly direction: 'out' | 'in' } | undefined
  /** Of `hold`. */
  readonly connectorHoldMs: number
}

export interface GateKeeper {
  look(tx: Tx, place: ProjectPlace, gate: GateStep, about: GateAbout): Promise<GateLook>
}

export interface GateKeeperDeps {
  /** ms since the epoch */
  readonly now: () => number
}

/** More relays than a project has. */
const MOST_RELAYS = 1_000

export function createGateKeeper({ now }: GateKeeperDeps): GateKeeper {
  return {
    async look(tx, place, { gate }, about) {
      const { organisation, project } = place
      const at = now()
      const relays = () =>
        listRelays(tx, organisation, project, {}, { after: undefined, limit: MOST_RELAYS }, at).then((all) =>
          all.filter(({ state }) => state !== 'revoked'),
        )
      switch (gate) {
        case 'relays-ready':
        case 'table-before':
        case 'table-after': {
          const wanted = await loadProjectVersions(tx, organisation, project)
          if (wanted === undefined) return { kind: 'closed', problem: 'project-gone' }
          const held = { ...wanted, mappingRevision: about.revision ?? wanted.mappingRevision }
          const all = await relays()
          // Nobody is left who has to forget them.
          if (gate === 'table-after' && !all.some((relay) => isLive(relay, at))) return { kind: 'open' }
          return gate === 'relays-ready' ? judgeRelays(all, held, at) : judgeTable(all, held, at)
        }
        case 'validated':
          return judgeValidation(await countEvidence(tx, place), about.validationNonce, about.since, at)
        case 'probes': {
          const runs = (await listRuns(tx, place, new Date(at))).filter(
            ({ kind, nonce }) => kind === 'probe' && (about.probeNonces?.includes(nonce) ?? true),
          )
          const missing = (about.probeNonces ?? []).some((nonce) => !runs.some((run) => run.nonce === nonce))
          if (missing) return { kind: 'closed', problem: 'probes-ended' }
          return judgeProbes(runs, await countEvidence(tx, place), await relays(), about.since, at)
        }
        case 'propagated': {
          const labels = await labelsOf(tx, place)
          const seen = await acceptedSince(tx, place, about.since)
          const routes = about.routes?.map(({ tenant, direction }) => ({ tenant: labels.get(tenant), direction }))
          return judgePropagated(seen, routes, about.since, at)
        }
        case 'hold': {
          const { ending } = about
          const label = ending && (await labelsOf(tx, place)).get(ending.tenant)
          const seen = (await acceptedSince(tx, place, about.since)).filter(
            ({ tenant, direction }) => ending === undefined || (tenant === label && direction === ending.direction),
          )
          return judgeHold(
            ending === undefined ? await relays() : [],
            seen.map(({ last }) => last),
            about.since,
            about.connectorHoldMs,
            at,
          )
        }
        default:
          return gate satisfies never
      }
    },
  }
}

/** By which relays' events name tenants. */
async function labelsOf(tx: Tx, { organisation, project }: ProjectPlace): Promise<ReadonlyMap<string, string>> {
  return new Map((await listSettingsTenants(tx, organisation, project)).map(({ id, label }) => [id as string, label]))
}
