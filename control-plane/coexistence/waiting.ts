// Waiting at a gate: looked at cheaply and often, and written down so that an attempt which comes back does not read the tenants for nothing.
// (coexistence.md §2.1, §2.2)
import type { Tx } from '../db/database.ts'
import { RetryLater } from '../jobs/retry.ts'
import { listRuns } from './evidence-store.ts'
import type { Run as ProbeRun } from './evidence-store.ts'
import type { GateAbout, GateLook } from './gate-keeper.ts'
import { changeSwitch, Lasting, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import type { GateStep } from './step.ts'
import type { RunMarks, SwitchRow, Validation } from './switch-store.ts'

const FIRST_WAIT_MS = 500
const LAST_WAIT_MS = 30_000
const VALIDATE_AGAIN_MS = 60_000

/** Longer the longer it has taken: a tenth of it. */
function waitMs(sinceMs: number): number {
  return Math.min(Math.max(sinceMs / 10, FIRST_WAIT_MS), LAST_WAIT_MS)
}

export type Routes = GateAbout['routes']

/** Passes, or waits. @param revision  that `table-before` waits for @throws RetryLater; Lasting */
export async function passGate(
  run: Run,
  deps: ReconcileDeps,
  gate: GateStep,
  routes: Routes,
  revision?: number,
): Promise<void> {
  const now = deps.now()
  const looked = await changeSwitch(run, async (tx, row) => {
    const since = sinceOf(row, gate, now)
    const seen = await lookAt(tx, run, deps, row, gate, since, routes, revision)
    const { waiting, ...others } = marksSeen(row, seen, now)
    const isSame = waiting?.gate === gate.gate && waiting.tenant === gate.tenant && waiting.key === gate.key
    const { tenant, key } = gate
    const mark: NonNullable<RunMarks['waiting']> = isSame
      ? waiting
      : {
          gate: gate.gate,
          ...(tenant === undefined ? {} : { tenant }),
          ...(key === undefined ? {} : { key }),
          since: since.toISOString(),
        }
    const isWaiting = seen.kind === 'waiting'
    await patchSwitch(
      tx,
      run.place,
      row,
      {
        marks: isWaiting ? { ...others, waiting: mark } : others,
        waitingFor: isWaiting ? seen.reason : undefined,
        ...(isWaiting ? { step: `waiting: ${gate.gate}` } : {}),
      },
      new Date(now),
    )
    return { seen, since }
  })
  const { seen, since } = looked
  if (seen.kind === 'waiting') throw new RetryLater(waitMs(now - since.getTime()))
  const { tenant, key } = gate
  if (seen.kind === 'closed') throw new Lasting({ code: seen.problem, tenant, key })
}

/** What the last attempt waited for, looked at before anything else. @returns whether it still waits, and how long to */
export async function stillWaiting(
  tx: Tx,
  run: Run,
  deps: ReconcileDeps,
  row: SwitchRow,
  routes: Routes,
): Promise<number | undefined> {
  const { waiting } = row.marks
  if (waiting === undefined) return undefined
  const { tenant, key } = waiting
  const validation = waiting.gate === 'validated' ? validationOf(row.marks, waiting) : undefined
  if (validation !== undefined && isDueAgain(validation, deps.now())) return undefined
  const gate: GateStep = {
    kind: 'gate',
    gate: waiting.gate,
    ...(tenant === undefined ? {} : { tenant }),
    ...(key === undefined ? {} : { key }),
  }
  const since = sinceOf(row, gate, deps.now())
  const seen = await lookAt(tx, run, deps, row, gate, since, routes)
  if (seen.kind !== 'waiting') return undefined
  const now = deps.now()
  const marks = marksSeen(row, seen, now)
  if (seen.reason !== row.waitingFor || marks !== row.marks)
    await patchSwitch(tx, run.place, row, { waitingFor: seen.reason, marks }, new Date(now))
  return waitMs(now - since.getTime())
}

async function lookAt(
  tx: Tx,
  { place }: Run,
  { gates, now }: ReconcileDeps,
  row: SwitchRow,
  gate: GateStep,
  since: Date,
  routes: Routes,
  revision?: number,
): Promise<GateLook> {
  const { setting, marks } = row
  // Where no rule ever acted nothing can have come.
  if (gate.gate === 'hold' && marks.enabledAt === undefined) return { kind: 'open' }
  const at = new Date(now())
  return gates.look(tx, place, gate, {
    since: gate.gate === 'probes' ? laterOf(since, marks.noRelayAt) : since,
    connectorHoldMs: setting.connectorHoldMs,
    ...(gate.gate === 'validated' ? { validationNonce: validationOf(marks, gate)?.nonce } : {}),
    ...(gate.gate === 'probes'
      ? {
          probeNonces: (await listRuns(tx, place, at))
            .filter((run) => run.kind === 'probe' && isWanted(run, setting, routes))
            .map(({ nonce }) => nonce),
        }
      : {}),
    ...(gate.gate === 'hold' && gate.tenant !== undefined
      ? { ending: { tenant: gate.tenant, direction: gate.key === 'out' ? 'out' : 'in' } }
      : {}),
    ...(gate.gate === 'propagated' ? { routes } : {}),
    ...(gate.gate === 'table-before' && revision !== undefined ? { revision } : {}),
  })
}

/** While no relay lives none can hand its probes over, nor take them back: that time is not theirs. */
const laterOf = (since: Date, noRelayAt: string | undefined): Date =>
  new Date(Math.max(since.getTime(), noRelayAt === undefined ? 0 : Date.parse(noRelayAt)))

const marksSeen = ({ marks }: SwitchRow, seen: GateLook, now: number): RunMarks =>
  seen.kind === 'waiting' && seen.reason === 'no-live-relay'
    ? { ...marks, noRelayAt: new Date(now).toISOString() }
    : marks

/** One for other names of the relay, or for a route that nobody takes any more, comes back to no one. */
const isWanted = (
  { tenant, direction, host }: Pick<ProbeRun, 'tenant' | 'direction' | 'host'>,
  { relayHosts }: SwitchRow['setting'],
  routes: Routes,
): boolean =>
  host === relayHosts[direction] &&
  (routes?.some((route) => route.tenant === tenant && route.direction === direction) ?? true)

/** What it waits for began; else it is this look. */
function sinceOf({ marks }: SwitchRow, gate: GateStep, now: number): Date {
  const { waiting } = marks
  const asMarked = waiting?.gate === gate.gate && waiting.tenant === gate.tenant && waiting.key === gate.key
  const began = {
    hold: disabledSince(marks),
    probes: marks.probesAt,
    propagated: marks.enabledAt,
    validated: validationOf(marks, gate)?.at,
  }
  const said = gate.gate in began ? began[gate.gate as keyof typeof began] : undefined
  return new Date(said ?? (asMarked ? waiting.since : now))
}

/** Of an off before the rules were last enabled nothing is left; ISO 8601 of one length sorts by time. */
const disabledSince = ({ enabledAt = '', disabledAt }: RunMarks): string | undefined =>
  disabledAt !== undefined && disabledAt >= enabledAt ? disabledAt : undefined

const validationOf = ({ validations = [] }: RunMarks, { tenant, key }: Pick<GateStep, 'tenant' | 'key'>) =>
  validations.find((each) => each.tenant === tenant && each.key === key)

/** Exchange sends it once, and it comes within seconds: what a relay that was away has missed is sent again. */
export const isDueAgain = ({ at, askedAt = at }: Validation, now: number): boolean =>
  now - Date.parse(askedAt) >= VALIDATE_AGAIN_MS
