// What the simulated Graph remembers between requests, and the switches by which tests and operators make it behave badly. One for each sandbox.
import { randomUUID } from 'node:crypto'
import type { SandboxServices } from '../services.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { DirectoryIndex } from './directory-index.ts'
import { Projections } from './projection.ts'
import { Throttling } from './throttling.ts'
import type { PublishedThrottling } from './throttling.ts'

/** What a delta may do, and rarely does: clients have to take it. */
export interface DeltaDisorder {
  /** Every item twice in its page. */
  readonly duplicates: boolean
  /** Each page begins with the items of the one before. */
  readonly replays: boolean
  /** Objects in no order; what is told of one object stays in its order. */
  readonly shuffled: boolean
}

export const IN_ORDER: DeltaDisorder = { duplicates: false, replays: false, shuffled: false }

const MAX_SNAPSHOTS = 100

export class GraphState {
  readonly throttling: Throttling
  readonly projections: Projections
  deltaDisorder: DeltaDisorder = IN_ORDER
  readonly #indexes = new WeakMap<SimulatedTenant, DirectoryIndex>()
  readonly #snapshots = new Map<string, readonly number[]>()
  #nextSnapshot = 1

  constructor(services: SandboxServices) {
    const published = services.contracts.throttling as unknown as PublishedThrottling
    this.throttling = new Throttling(published, services.clock.nowMs)
    this.projections = new Projections(services.contracts.schema)
  }

  /** Up to date with the tenant. */
  indexOf(tenant: SimulatedTenant): DirectoryIndex {
    let index = this.#indexes.get(tenant)
    if (index === undefined) {
      index = new DirectoryIndex(tenant, randomUUID())
      this.#indexes.set(tenant, index)
    }
    index.sync()
    return index
  }

  /** Keeps the order of a sorted list while somebody pages through it. */
  keepSnapshot(positions: readonly number[]): string {
    const name = String(this.#nextSnapshot++)
    this.#snapshots.set(name, positions)
    for (const oldest of this.#snapshots.keys()) {
      if (this.#snapshots.size <= MAX_SNAPSHOTS) break
      this.#snapshots.delete(oldest)
    }
    return name
  }

  /** undefined: too many others were kept since. */
  snapshot(name: string): readonly number[] | undefined {
    return this.#snapshots.get(name)
  }
}

const states = new WeakMap<SandboxServices, GraphState>()

export function graphStateOf(services: SandboxServices): GraphState {
  let state = states.get(services)
  if (state === undefined) {
    state = new GraphState(services)
    states.set(services, state)
  }
  return state
}
