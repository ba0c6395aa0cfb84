// What a run writes: findings that are new, have changed, or are gone. Scope: the organisation.
import { sql } from 'kysely'
import { canonicalJson } from '../audit/audit.ts'
import { countOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { newId } from '../ids.ts'
import type { FindingId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { fingerprint } from './finding.ts'
import type { Details, JudgedFinding } from './finding.ts'
import type { Severity } from './finding-kind.ts'
import { kindOf } from './finding-kinds.ts'
import { lastSeen } from './finding-store.ts'

const of = ({ organisation, project }: ProjectPlace) =>
  sql`f.organisation_id = ${organisation} and f.project_id = ${project}`

/** Of what a run has looked at anew, so that what was found there before and is not now is resolved. */
export type Scope =
  /** Of accounts whose ids are greater than `after`, up to `upTo`; undefined: to the end. Ids order alike here and there: lower case, of one length. */
  | { readonly pass: 'accounts' | 'nesting'; readonly after: string; readonly upTo: string | undefined }
  | { readonly pass: 'tenants' }

export interface Written {
  readonly opened: number
  readonly changed: number
  readonly resolved: number
}

interface Kept {
  readonly id: FindingId
  readonly fingerprint: Buffer
  readonly severity: Severity
  readonly details: Details
  readonly sortKey: string
}

/** Writes what is new, differs or is gone; what is as it was is not touched. One that comes back keeps its id, and has to be acknowledged anew. */
export async function writeFindings(
  tx: Tx,
  place: ProjectPlace,
  scope: Scope,
  judged: readonly JudgedFinding[],
  now: Date,
): Promise<Written> {
  const kept = new Map((await keptIn(tx, place, scope)).map((row) => [row.fingerprint.toString('hex'), row]))
  const found = new Map(judged.map((finding) => [fingerprint(finding).toString('hex'), finding]))
  const fresh = [...found].filter(([print, finding]) => {
    const before = kept.get(print)
    return before === undefined || !isSame(before, finding)
  })
  const gone = [...kept].filter(([print]) => !found.has(print)).map(([, { id }]) => id)
  if (fresh.length > 0) await putFindings(tx, place, scope.pass, fresh, now)
  if (gone.length > 0)
    await sql`update finding f set resolved_at = ${now}, last_seen_at = ${lastSeen}, version = version + 1
               where ${of(place)} and f.id = any(${gone})`.execute(tx)
  const opened = fresh.filter(([print]) => !kept.has(print)).length
  return { opened, changed: fresh.length - opened, resolved: gone.length }
}

const isSame = (before: Kept, { code, details, sortKey }: JudgedFinding): boolean =>
  before.severity === kindOf(code).severity &&
  before.sortKey === sortKey &&
  canonicalJson(before.details) === canonicalJson(details)

function keptIn(tx: Tx, place: ProjectPlace, scope: Scope): Promise<Kept[]> {
  const where =
    scope.pass === 'tenants'
      ? sql`f.pass = 'tenants'`
      : sql`f.account_id > ${scope.after} and ${scope.upTo === undefined ? sql`true` : sql`f.account_id <= ${scope.upTo}`} and f.pass = ${scope.pass}`
  return rowsOf<Kept>(
    tx,
    sql`select f.id, f.fingerprint, f.severity, f.details, f.sort_key as "sortKey" from finding f
         where ${of(place)} and ${where} and f.resolved_at is null`,
  )
}

const ROWS_PER_INSERT = 2_000

async function putFindings(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  pass: Scope['pass'],
  findings: readonly (readonly [string, JudgedFinding])[],
  now: Date,
): Promise<void> {
  const rows = findings.map(([print, { code, tenant, account, other, domain, details, sortKey }]) => ({
    i: newId('finding'),
    f: print,
    c: code,
    s: kindOf(code).severity,
    b: kindOf(code).about,
    t: tenant,
    a: account ?? null,
    o: other ?? null,
    d: domain ?? null,
    j: details,
    k: sortKey,
  }))
  for (let at = 0; at < rows.length; at += ROWS_PER_INSERT)
    await sql`
      insert into finding (organisation_id, project_id, id, fingerprint, pass, code, severity, about, tenant_id, account_id, other_account_id,
                           domain, details, sort_key, first_seen_at, last_seen_at)
      select ${organisation}, ${project}, r.i, decode(r.f, 'hex'), ${pass}, r.c, r.s, r.b, r.t, r.a, r.o, r.d, r.j, r.k, ${now}, ${now}
        from jsonb_to_recordset(${JSON.stringify(rows.slice(at, at + ROWS_PER_INSERT))}::jsonb)
               as r(i text, f text, c text, s text, b text, t text, a text, o text, d text, j jsonb, k text)
      on conflict (organisation_id, project_id, fingerprint) do update
         set severity = excluded.severity, details = excluded.details, sort_key = excluded.sort_key, last_seen_at = excluded.last_seen_at,
             acknowledged_at = case when finding.resolved_at is null then finding.acknowledged_at end,
             acknowledged_by = case when finding.resolved_at is null then finding.acknowledged_by end,
             note = case when finding.resolved_at is null then finding.note else '' end,
             resolved_at = null, version = finding.version + 1`.execute(tx)
}

/** Of all projects of the organisation. */
export function sweepResolved(tx: Tx, organisation: string, before: Date, limit: number): Promise<number> {
  return countOf(
    tx,
    sql`delete from finding where ctid = any(array(
          select ctid from finding where organisation_id = ${organisation} and resolved_at < ${before} limit ${limit}))`,
  )
}
