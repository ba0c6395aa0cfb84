// The switch of a project in the database, and every transition it made. Whoever changes it locks the project first, so that changes of one project come one
// after another. Scope: the organisation. (migration-semantics.md §2, coexistence.md §1)
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import type { OperationId, TenantId } from '../ids.ts'
import { releaseTable } from '../mapping/held-table-store.ts'
import { lockProject } from '../relays/project-place-store.ts'
import { tellRelays } from '../relays/tell-relays.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { FIRST_FREE_BUSY, FIRST_SETTING, nextState } from './coexistence.ts'
import type { CoexistenceSetting, FreeBusySetting, SwitchEvent, SwitchState } from './coexistence.ts'
import type { EqualityProof } from './equality-proof.ts'
import type { Gate } from './step.ts'
import type { Problem } from './planning.ts'

export type SwitchName = 'coexistence' | 'free-busy'

/** What keeps the switch from what was asked for: a code, and what it is about. */
export interface SwitchProblem {
  /** Of a plan (`drift`, `conflict` …), of a gate, of Microsoft (migration-semantics.md §8), or of what is missing before: `no-relay-certificate` … */
  readonly code: string
  readonly tenant?: TenantId | undefined
  readonly noun?: string | undefined
  readonly key?: string | undefined
  readonly properties?: readonly string[] | undefined
  /** As the service says it, never its message. */
  readonly serviceCode?: string | undefined
}

/** Since when a run waits, and for what. Times are ISO 8601: kept as JSON. */
export interface RunMarks {
  /** Where the last attempt stopped. */
  readonly waiting?: { readonly gate: Gate; readonly tenant?: TenantId; readonly key?: string; readonly since: string }
  /** Routing rules were last enabled, and disabled. */
  readonly enabledAt?: string
  readonly disabledAt?: string
  /** Rules were enabled, and it isn't known yet that they act. */
  readonly propagates?: boolean
  /** Probe rules stand since then. */
  readonly probesAt?: string
  /** Validations of outbound connectors that were asked for. */
  readonly validations?: readonly Validation[]
  /** Whose rules were enabled: mail by each of them shows that they act. */
  readonly routes?: readonly { readonly tenant: TenantId; readonly direction: 'out' | 'in' }[]
  /** Every routing rule of ours was disabled, for the off that is under way. */
  readonly isStopped?: boolean
  /** Why the enable of a switch is being undone, or was, until something else is asked of it. */
  readonly refusals?: Partial<Readonly<Record<SwitchName, SwitchProblem>>>
  /** Begun last for each switch (turns.ts). */
  readonly operations?: Partial<Readonly<Record<SwitchName, OperationId>>>
  /** Last seen: no relay was live while one was waited for. */
  readonly noRelayAt?: string
}

export interface Validation {
  readonly tenant: TenantId
  readonly key: string
  readonly nonce: string
  readonly recipient: string
  /** When it was asked for first. */
  readonly at: string
  /** And last; absent: once. */
  readonly askedAt?: string
}

export interface SwitchRow {
  readonly setting: CoexistenceSetting
  readonly state: SwitchState
  readonly since: Date
  readonly freeBusy: FreeBusySetting
  readonly freeBusyState: SwitchState
  readonly freeBusySince: Date
  readonly step: string | undefined
  readonly waitingFor: string | undefined
  readonly problems: readonly SwitchProblem[]
  readonly drift: readonly Problem[]
  readonly confirmsDrift: boolean
  readonly operation: OperationId | undefined
  readonly baseline: OperationId | undefined
  readonly proof: EqualityProof | undefined
  readonly marks: RunMarks
  readonly observedAt: Date | undefined
  /** Of the mapping table, when the tenants were last compared with it. */
  readonly lookedRevision: number | undefined
  /** 0: nobody has ever set it. */
  readonly version: number
  readonly author: string
}

type Stored = {
  [K in keyof SwitchRow]: undefined extends SwitchRow[K] ? Exclude<SwitchRow[K], undefined> | null : SwitchRow[K]
}

const COLUMNS = sql`setting, state, since, free_busy as "freeBusy", free_busy_state as "freeBusyState", free_busy_since as "freeBusySince", step,
  waiting_for as "waitingFor", problems, drift, confirms_drift as "confirmsDrift", operation_id as operation, baseline_operation_id as baseline,
  proof, marks, observed_at as "observedAt", looked_revision as "lookedRevision", version, author`
const of = ({ organisation, project }: ProjectPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project}`

/** A job that was given up is not followed by the next at once. */
const FAILED_REST_MS = 15 * 60_000
const NEVER = new Date(0)
const FIRST_ROW: SwitchRow = {
  setting: FIRST_SETTING,
  state: 'off',
  since: NEVER,
  freeBusy: FIRST_FREE_BUSY,
  freeBusyState: 'off',
  freeBusySince: NEVER,
  step: undefined,
  waitingFor: undefined,
  problems: [],
  drift: [],
  confirmsDrift: false,
  operation: undefined,
  baseline: undefined,
  proof: undefined,
  marks: {},
  observedAt: undefined,
  lookedRevision: undefined,
  version: 0,
  author: '',
}

/** As nobody has set it, where nobody has. */
export async function loadSwitch(tx: Tx, place: ProjectPlace): Promise<SwitchRow> {
  const row = await rowOf<Stored>(tx, sql`select ${COLUMNS} from coexistence_switch where ${of(place)}`)
  if (row === undefined) return FIRST_ROW
  return {
    ...row,
    // Members that came with a later version have their first value.
    setting: { ...FIRST_SETTING, ...row.setting },
    freeBusy: { ...FIRST_FREE_BUSY, ...row.freeBusy },
    step: row.step ?? undefined,
    waitingFor: row.waitingFor ?? undefined,
    operation: row.operation ?? undefined,
    baseline: row.baseline ?? undefined,
    proof: row.proof ?? undefined,
    observedAt: row.observedAt ?? undefined,
    lookedRevision: row.lookedRevision ?? undefined,
  }
}

/** Nobody else changes it until the commit, nor anything that relays of the project are told. */
export async function lockSwitch(tx: Tx, place: ProjectPlace): Promise<SwitchRow> {
  await lockProject(tx, place)
  return loadSwitch(tx, place)
}

/** Writes it whole; lock it before. */
export async function storeSwitch(tx: Tx, place: ProjectPlace, row: SwitchRow, at: Date): Promise<void> {
  const json = (value: unknown) => sql`${value === undefined ? null : JSON.stringify(value)}::jsonb`
  await sql`
    insert into coexistence_switch as s (organisation_id, project_id, setting, state, since, free_busy, free_busy_state, free_busy_since, step, waiting_for,
        problems, drift, confirms_drift, operation_id, baseline_operation_id, proof, marks, observed_at, looked_revision, version, author, changed_at)
    values (${place.organisation}, ${place.project}, ${json(row.setting)}, ${row.state}, ${row.since}, ${json(row.freeBusy)}, ${row.freeBusyState},
        ${row.freeBusySince}, ${row.step ?? null}, ${row.waitingFor ?? null}, ${json(row.problems)}, ${json(row.drift)}, ${row.confirmsDrift},
        ${row.operation ?? null}, ${row.baseline ?? null}, ${json(row.proof)}, ${json(row.marks)}, ${row.observedAt ?? null},
        ${row.lookedRevision ?? null}, ${row.version}, ${row.author}, ${at})
    on conflict (organisation_id, project_id) do update set
        setting = excluded.setting, state = excluded.state, since = excluded.since, free_busy = excluded.free_busy,
        free_busy_state = excluded.free_busy_state, free_busy_since = excluded.free_busy_since, step = excluded.step,
        waiting_for = excluded.waiting_for, problems = excluded.problems, drift = excluded.drift, confirms_drift = excluded.confirms_drift,
        operation_id = excluded.operation_id, baseline_operation_id = excluded.baseline_operation_id, proof = excluded.proof,
        marks = excluded.marks, observed_at = excluded.observed_at, looked_revision = excluded.looked_revision, version = excluded.version,
        author = excluded.author,
        changed_at = case when s.version = excluded.version then s.changed_at else excluded.changed_at end`.execute(tx)
}

export interface Cause {
  /** As in the audit trail. */
  readonly actor: string
  readonly cause: string
  readonly at: Date
}

/**
 * One transition, written down and told. @returns the row as it is then, to be stored; unchanged where the event does not belong to the state
 */
export async function transit(
  tx: Tx,
  place: ProjectPlace,
  row: SwitchRow,
  which: SwitchName,
  event: SwitchEvent,
  { actor, cause, at }: Cause,
): Promise<SwitchRow> {
  const from = which === 'coexistence' ? row.state : row.freeBusyState
  const to = nextState(from, event)
  if (to === undefined) return row
  await sql`
    insert into coexistence_event (organisation_id, project_id, sequence, switch, event, from_state, to_state, actor, cause, operation_id, created_at)
    select ${place.organisation}, ${place.project}, 1 + coalesce(max(sequence), 0), ${which}, ${event}, ${from}, ${to}, ${actor}, ${cause},
           ${row.operation ?? null}, ${at}
      from coexistence_event where organisation_id = ${place.organisation} and project_id = ${place.project}`.execute(
    tx,
  )
  // What relays are told follows it (relays/derived-settings.ts).
  if (which === 'coexistence' && (from === 'off' || to === 'off' || event === 'turn-on')) await tellRelays(tx, place)
  // Nobody leaves a group before the table any more: what relays have yet to be told waits for nothing.
  if (which === 'coexistence' && (to === 'turning_off' || to === 'off')) await releaseTable(tx, place)
  const changed =
    which === 'coexistence' ? { ...row, state: to, since: at } : { ...row, freeBusyState: to, freeBusySince: at }
  await publishEvent(tx, place, 'coexistence.changed', { state: changed.state, freeBusyState: changed.freeBusyState })
  return changed
}

/** Whether it was on since it was last off, whatever it is on its way to. */
export async function wasOn(tx: Tx, place: ProjectPlace, which: SwitchName): Promise<boolean> {
  const last = await rowOf<{ to: SwitchState }>(
    tx,
    sql`select to_state as "to" from coexistence_event where ${of(place)} and switch = ${which} and to_state in ('on', 'off')
         order by sequence desc limit 1`,
  )
  return last?.to === 'on'
}

export interface SwitchTransition {
  readonly sequence: number
  readonly switch: SwitchName
  readonly event: SwitchEvent
  readonly from: SwitchState
  readonly to: SwitchState
  readonly actor: string
  readonly cause: string
  readonly operation: OperationId | null
  readonly at: Date
}

/** The newest first. @param which  undefined: of both */
export function listTransitions(
  tx: Tx,
  place: ProjectPlace,
  limit: number,
  which?: SwitchName,
): Promise<SwitchTransition[]> {
  return rowsOf<SwitchTransition>(
    tx,
    sql`select sequence, switch, event, from_state as "from", to_state as "to", actor, cause, operation_id as operation, created_at as at
          from coexistence_event where ${of(place)} and ${which === undefined ? sql`true` : sql`switch = ${which}`}
         order by sequence desc limit ${limit}`,
  )
}

/**
 * One job at a time works in the tenants of a project. Whose attempt has ended, whatever became of it, has it no more.
 * @returns whether this one has it
 */
export async function takeRunner(tx: Tx, place: ProjectPlace, job: number): Promise<boolean> {
  const taken = await countOf(
    tx,
    sql`update coexistence_switch s set runner = ${job}
         where ${of(place)} and (s.runner is null or s.runner = ${job}
            or not exists (select from job j where j.organisation_id = s.organisation_id and j.id = s.runner and j.state = 'running'))`,
  )
  return taken === 1
}

/** What is on or on its way, and was not compared for long or not with this revision of the mapping table, and that no job is about. */
export async function findDueLooks(tx: Tx, everyMs: number, limit: number): Promise<ProjectPlace[]> {
  return rowsOf<ProjectPlace>(
    tx,
    sql`select s.organisation_id as organisation, s.project_id as project
          from coexistence_switch s join project p on p.organisation_id = s.organisation_id and p.id = s.project_id
         where (s.state <> 'off' or s.free_busy_state <> 'off') and p.deletion_started_at is null
           and (s.observed_at is null or s.observed_at < now() - ${everyMs} * interval '1 millisecond'
             or s.looked_revision is distinct from p.mapping_revision)
           and not exists (select from outbox b where b.organisation_id = s.organisation_id and b.project_id = s.project_id and b.kind = 'coexistence.reconcile')
           and not exists (select from job j where j.organisation_id = s.organisation_id and j.project_id = s.project_id and j.kind = 'coexistence.reconcile'
                              and (j.state <> 'failed' or j.failed_at > now() - ${FAILED_REST_MS} * interval '1 millisecond'))
         order by s.observed_at nulls first limit ${limit}`,
  )
}
