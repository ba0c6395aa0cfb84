// Whether a project's findings have to be judged, and how far the run is. Asking is cheap and can be done in any transaction: one job a project judges,
// and what is asked for while it is at it is done after it. Scope: the organisation.
import { sql } from 'kysely'
import { rowOf, rowsOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import type { OrganisationId, ProjectId, TenantId } from '../ids.ts'
import { isPending } from '../jobs/dispatch-store.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import type { CountsByTenant } from './judge-licences.ts'

/** Where in a project: the same as everywhere, said here so that whoever asks need not know more. */
interface Place {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

/** Of a run that was interrupted. */
export interface RunPlace {
  readonly pass: 'accounts' | 'nesting' | 'tenants'
  /** Id of the last account that was judged. */
  readonly after: string
  readonly counts: CountsByTenant
  /** Tenants with too many groups in groups. */
  readonly unjudged: readonly TenantId[]
  readonly opened: number
  readonly changed: number
  readonly resolved: number
}

export const RUN_START: RunPlace = {
  pass: 'accounts',
  after: '',
  counts: {},
  unjudged: [],
  opened: 0,
  changed: 0,
  resolved: 0,
}

const of = ({ organisation, project }: Place) => sql`organisation_id = ${organisation} and project_id = ${project}`

/** Something that findings go by has changed. Holds the project's row of runs until the commit. */
export async function requestFindings(tx: Tx, place: Place): Promise<void> {
  const { organisation, project } = place
  await sql`
    insert into finding_run (organisation_id, project_id, asked_at) values (${organisation}, ${project}, now())
    on conflict (organisation_id, project_id) do update set asked = finding_run.asked + 1, asked_at = now()`.execute(tx)
  const row = await rowOf<{ pending: boolean }>(
    tx,
    sql`select ${isPending(organisation, 'findings.run', project)} as pending`,
  )
  if (row?.pending !== true) await requestJob(tx, place, 'findings.run', project)
}

/** @returns where it goes on; undefined: there is nothing to judge */
export async function beginRun(tx: Tx, place: Place): Promise<RunPlace | undefined> {
  const row = await rowOf<{ place: RunPlace | null }>(
    tx,
    sql`update finding_run set began = coalesce(began, asked)
         where ${of(place)} and (began is not null or asked > judged) returning place`,
  )
  return row && (row.place ?? RUN_START)
}

export async function savePlace(tx: Tx, place: Place, at: RunPlace): Promise<void> {
  await sql`update finding_run set place = ${JSON.stringify(at)}::jsonb where ${of(place)}`.execute(tx)
}

/** Asks for the next one where something has changed since it began. */
export async function endRun(tx: Tx, place: Place, now: Date): Promise<void> {
  const row = await rowOf<{ isOld: boolean }>(
    tx,
    sql`update finding_run set judged = coalesce(began, judged), began = null, place = null, finished_at = ${now}
         where ${of(place)} returning asked > judged as "isOld"`,
  )
  if (row?.isOld === true) await requestJob(tx, place, 'findings.run', place.project)
}

export interface RunState {
  /** Of the last that went to its end. */
  readonly finishedAt: Date | undefined
  /** Whether something has changed since it began. */
  readonly isUnderWay: boolean
}

export async function findRun(tx: Tx, place: Place): Promise<RunState> {
  const row = await rowOf<{ finished_at: Date | null; open: boolean }>(
    tx,
    sql`select finished_at, asked > judged as open from finding_run where ${of(place)}`,
  )
  return { finishedAt: row?.finished_at ?? undefined, isUnderWay: row?.open === true }
}

const LOST_MS = 60_000
/** Certificates end and discoveries grow old without anybody doing anything. */
const DAILY_MS = 24 * 3_600_000
const BATCH = 100

/** Asks for runs that got lost, and for those whose day is over; not for one that was given up. */
export function findingsReconciler({ lostMs = LOST_MS, dailyMs = DAILY_MS } = {}): Reconciler {
  return {
    name: 'findings',
    async reconcile(db: Db) {
      const due = await withScope(db, { purpose: 'reconcile' }, (tx) =>
        rowsOf<Place>(
          tx,
          sql`
          select r.organisation_id as organisation, r.project_id as project from finding_run r
           where ((r.asked > r.judged and r.asked_at < now() - ${lostMs} * interval '1 millisecond')
               or r.finished_at < now() - ${dailyMs} * interval '1 millisecond')
             and not exists (select from outbox b where b.organisation_id = r.organisation_id and b.object_id = r.project_id and b.kind = 'findings.run')
             and not exists (select from job j where j.organisation_id = r.organisation_id and j.object_id = r.project_id and j.kind = 'findings.run')
           order by r.asked_at limit ${BATCH}`,
        ),
      )
      for (const place of due)
        await withScope(db, { organisation: place.organisation }, (tx) => requestFindings(tx, place))
    },
  }
}
