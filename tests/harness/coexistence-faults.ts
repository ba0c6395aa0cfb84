// Harm that is done to a phase of coexistence — enable, a person's move, disable — at its k-th change of a tenant: the call fails, its answer is lost, or a
// process is killed with -9 before or after it takes effect. And what has to hold all the same. (coexistence.md §1.1, RC-9)
import assert from 'node:assert/strict'
import type { Fault, FaultEffect } from '../../sandbox/faults/faults.ts'
import { CAST } from '../../cli/tour/cast.ts'
import type { CoexistenceWorld, Switched, Victim } from './coexistence-world.ts'
import type { MailTraffic } from './mail-traffic.ts'

type When = Fault['when']

export type Harm =
  | { readonly kind: 'call'; readonly name: string; readonly when: When; readonly effect: FaultEffect }
  | { readonly kind: 'kill'; readonly name: string; readonly when: When; readonly victim: Victim }

export interface PlannedHarm {
  /** Of the calls in this phase that change a tenant, from 1. */
  readonly at: number
  readonly harm: Harm
}

const BUSY: FaultEffect = { kind: 'status', status: 503, retryAfter: '1' }
/** So that the process dies between call and answer. */
const HELD: FaultEffect = { kind: 'slow', ms: 400 }

const kill = (victim: Victim, when: When): Harm => ({
  kind: 'kill',
  name: `kill -9 of the ${victim} ${when}`,
  when,
  victim,
})

export const HARMS: readonly Harm[] = [
  { kind: 'call', name: 'an error before', when: 'before', effect: BUSY },
  { kind: 'call', name: 'a reset before', when: 'before', effect: { kind: 'reset' } },
  { kind: 'call', name: 'its answer lost', when: 'after', effect: { kind: 'reset' } },
  { kind: 'call', name: 'half of its answer lost', when: 'after', effect: { kind: 'cut' } },
  kill('worker', 'before'),
  kill('worker', 'after'),
  kill('api', 'after'),
  kill('relay', 'after'),
]

interface Phase {
  /** Harm that was done. */
  readonly done: readonly string[]
  /** Calls that changed a tenant. */
  readonly writes: number
}

type Place = { readonly world: CoexistenceWorld; readonly traffic: MailTraffic }

/** While `work` runs. Whoever was killed lives again on return. */
async function underHarm(
  { world, traffic }: Place,
  planned: readonly PlannedHarm[],
  work: () => Promise<void>,
): Promise<Phase> {
  const { faults } = world.sandbox
  const done: string[] = []
  let reviving: Promise<void> = Promise.resolve()
  const byFault = new Map<Fault, PlannedHarm>()
  for (const each of planned) {
    const { harm, at } = each
    const fault: Fault = {
      service: 'exchange',
      isWrite: true,
      nth: at,
      when: harm.when,
      effect: harm.kind === 'kill' ? HELD : harm.effect,
    }
    byFault.set(fault, each)
    faults.add(fault)
  }
  const stop = faults.onHit((fault, { operation }) => {
    const hit = byFault.get(fault)
    if (hit === undefined) return
    const { harm } = hit
    done.push(`${harm.name} at ${operation}, call ${hit.at}`)
    if (harm.kind === 'kill') reviving = reviving.then(() => killed(harm.victim))
  })
  const killed = async (victim: Victim): Promise<void> => {
    await world.kill(victim)
    if (victim === 'relay') traffic.relayWasKilled()
    await world.revive(victim)
  }
  const before = world.writes
  try {
    await work()
  } finally {
    stop()
    faults.clear()
    await reviving
  }
  return { done, writes: world.writes - before }
}

/** @param begin  asks for on; default: plainly */
export async function enableUnder(
  place: Place,
  planned: readonly PlannedHarm[],
  begin: (world: CoexistenceWorld) => Promise<void> = (world) => world.turnOn(),
): Promise<Phase> {
  const { world } = place
  return underHarm(place, planned, async () => {
    await begin(world)
    const { state, problems } = await world.until('it to be on', isSettled)
    assert.deepEqual([state, problems], ['on', []])
  })
}

const isSettled = ({ state, step }: Switched): boolean => (state === 'on' && step === undefined) || state === 'off'

/** Both tenants are as they were, and each undo done again is harmless. */
export async function disableUnder(place: Place, planned: readonly PlannedHarm[]): Promise<Phase> {
  const { world } = place
  const phase = await underHarm(place, planned, async () => {
    await world.turnOff()
    await world.untilOff()
  })
  await demandRestored(world)
  const { writes } = world
  await world.turnOff()
  await world.stop('twice is harmless')
  await world.untilOff()
  await demandRestored(world)
  assert.equal(world.writes, writes, 'what is off is not undone again')
  return phase
}

async function demandRestored(world: CoexistenceWorld): Promise<void> {
  const { proof } = await world.read()
  assert.deepEqual(
    [proof?.['isRestored'], proof?.['isEqual'], proof?.['ours'], proof?.['byOthers']],
    [true, true, [], []],
  )
  assert.deepEqual(await world.differences(), [])
}

/** Her mailbox is in the other tenant from one moment to the next, the table follows, then the groups; and back again. */
export async function moveUnder(place: Place, planned: readonly PlannedHarm[]): Promise<Phase> {
  const { world } = place
  return underHarm(place, planned, async () => {
    await world.moveCarol()
    await groupsFollow(world, 'Remove', () => world.carolIsIn('target'))
    await world.moveCarolBack()
    await groupsFollow(world, 'Add', () => world.carolIsIn('source'))
  })
}

/** A member of a group in each tenant. */
async function groupsFollow(
  world: CoexistenceWorld,
  verb: 'Add' | 'Remove',
  change: () => Promise<void>,
): Promise<void> {
  const counts = () =>
    CAST.map(
      ({ tenantId }) =>
        world.sandbox.control.writes(tenantId).filter(({ cmdlet }) => cmdlet === `${verb}-DistributionGroupMember`)
          .length,
    )
  const before = counts()
  await change()
  await world.until(
    `the groups of both tenants to follow (${verb})`,
    ({ state, step }) =>
      state === 'on' && step === undefined && counts().every((count, index) => count > (before[index] ?? 0)),
  )
}

export interface Round {
  readonly enable: readonly PlannedHarm[]
  readonly move: readonly PlannedHarm[]
  readonly disable: readonly PlannedHarm[]
}

/** Calls that change a tenant, as many as the simulated tenants take; of a move, there and back. */
const CALLS = { enable: 86, move: 4, disable: 25 } as const
/** Calls from one harm to the next, so that each is over before another comes. */
const APART = { enable: 6, move: 4, disable: 3 } as const

/** So many rounds are all: every harm at every call of every phase. */
export const ROUNDS = APART.enable * HARMS.length

export function roundOf(number: number): Round {
  const planned = (phase: keyof typeof CALLS): PlannedHarm[] => {
    const apart = APART[phase]
    const first = number % apart
    const turn = Math.floor(number / apart)
    const harms = Array.from({ length: Math.ceil((CALLS[phase] - first) / apart) }, (_, nth) => ({
      at: 1 + first + nth * apart,
      harm: HARMS[(turn + nth) % HARMS.length],
    }))
    return harms.filter((each): each is PlannedHarm => each.harm !== undefined)
  }
  return { enable: planned('enable'), move: planned('move'), disable: planned('disable') }
}
