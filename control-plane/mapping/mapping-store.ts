// Reads the mapping table: what is in force, single entries, lists, and the difference between two revisions as relays take it.
// (control-plane.md §2, §3)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { addressKey, AddressFault, parseKnownAddress } from '../../rewrite-rules/index.ts'
import { copyOut } from '../db/copy-out.ts'
import { rowOf, rowsOf, setScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { MappingId, OrganisationId, ProjectId } from '../ids.ts'
import type { AcceptedDomains, Place, Source } from './mapping.ts'
import { RULE_LISTS, ruleLists } from './rule.ts'
import type { RuleKind } from './rule.ts'

/** The project's mapping revision; 0: nothing was ever mapped. The project is known to exist. */
export async function revisionOf(tx: Tx, { organisation, project }: Place): Promise<number> {
  const row = await rowOf<{ mapping_revision: number }>(
    tx,
    sql`select mapping_revision from project where organisation_id = ${organisation} and id = ${project}`,
  )
  if (row === undefined) throw new Error('unreachable: no such project in this scope')
  return row.mapping_revision
}

/** The newest revision, and the one that relays are told: the same but while it is held (held-table-store.ts). The project is known to exist. */
export async function revisionsOf(
  tx: Tx,
  { organisation, project }: Place,
): Promise<{ readonly newest: number; readonly told: number }> {
  const row = await rowOf<{ newest: number; told: number }>(
    tx,
    sql`select mapping_revision as newest, coalesce(held_revision, mapping_revision) as told from project
         where organisation_id = ${organisation} and id = ${project}`,
  )
  if (row === undefined) throw new Error('unreachable: no such project in this scope')
  return row
}

/** Entries in the table at a revision there has been. */
export async function entryCountAt(tx: Tx, { organisation, project }: Place, revision: number): Promise<number> {
  const row = await rowOf<{ entries: number }>(
    tx,
    sql`select entries from mapping_revision
         where organisation_id = ${organisation} and project_id = ${project} and revision = ${revision}`,
  )
  return row?.entries ?? 0
}

/** Tables of revisions before this one can't be had any more. */
export async function horizonOf(tx: Tx, { organisation, project }: Place): Promise<number> {
  const row = await rowOf<{ revision: number }>(
    tx,
    sql`select revision from mapping_horizon where organisation_id = ${organisation} and project_id = ${project}`,
  )
  return row?.revision ?? 0
}

/** control-plane.md §3.3 */
export async function acceptedDomains(tx: Tx, { organisation, project }: Place): Promise<AcceptedDomains> {
  const tenants = await rowsOf<{ accepted_domains: string[]; initial_domain: string | null }>(
    tx,
    sql`select accepted_domains, initial_domain from tenant_connection
         where organisation_id = ${organisation} and project_id = ${project}`,
  )
  const domains = new Set(tenants.flatMap((tenant) => [...tenant.accepted_domains, tenant.initial_domain ?? '']))
  domains.delete('')
  return { domains, isComplete: tenants.length > 0 && tenants.every((tenant) => tenant.accepted_domains.length > 0) }
}

/** One version of an entry. */
export interface StoredEntry {
  readonly id: MappingId
  /** Revision that made this version. */
  readonly revision: number
  readonly presentedKey: string
  readonly wire: string
  readonly source: Source
  readonly sourceRef: string
  readonly author: string
  readonly createdAt: Date
  /** When every live relay had it (control-plane.md §3.7). */
  readonly appliedAt: Date | undefined
}

interface EntryRecord {
  id: MappingId
  valid_from: number
  presented_key: string
  wire: string
  source: Source
  source_ref: string
  author: string
  created_at: Date
  applied_at: Date | null
}

/** Of the revision in a row's column. Relays skip revisions: the first snapshot they all had that isn't older has its changes in it. */
export function appliedAt(alias: string, column: string): RawBuilder<unknown> {
  const row = sql.ref(alias)
  return sql`(select a.applied_at from snapshot_applied a
               where a.organisation_id = ${row}.organisation_id and a.project_id = ${row}.project_id
                 and a.mapping_revision >= ${row}.${sql.ref(column)}
               order by a.mapping_revision, a.snapshot_version limit 1)`
}

const ENTRY = sql`e.id, e.valid_from, e.presented_key, e.wire, e.source, e.source_ref, e.author, e.created_at,
  ${appliedAt('e', 'valid_from')} as applied_at`

function toEntry(row: EntryRecord): StoredEntry {
  return {
    id: row.id,
    revision: row.valid_from,
    presentedKey: row.presented_key,
    wire: row.wire,
    source: row.source,
    sourceRef: row.source_ref,
    author: row.author,
    createdAt: row.created_at,
    appliedAt: row.applied_at ?? undefined,
  }
}

const inForce = ({ organisation, project }: Place): RawBuilder<unknown> =>
  sql`e.organisation_id = ${organisation} and e.project_id = ${project} and e.valid_to is null`

export async function findEntry(tx: Tx, place: Place, id: MappingId): Promise<StoredEntry | undefined> {
  const row = await rowOf<EntryRecord>(
    tx,
    sql`select ${ENTRY} from mapping_entry e where ${inForce(place)} and e.id = ${id}`,
  )
  return row && toEntry(row)
}

/** The entry that has one of these keys; they are of one address, so there is one at most of each. */
export async function findEntriesByKey(
  tx: Tx,
  place: Place,
  keys: readonly string[],
): Promise<Map<string, StoredEntry>> {
  const rows = await rowsOf<EntryRecord & { key: string }>(
    tx,
    sql`select a.key, ${ENTRY} from mapping_address a
          join mapping_entry e on ${inForce(place)} and e.id = a.entry_id
         where a.organisation_id = ${place.organisation} and a.project_id = ${place.project} and a.key = any(${[...keys]})`,
  )
  return new Map(rows.map((row) => [row.key, toEntry(row)]))
}

export interface EntryFilter {
  /** Any known address, as written; or an X.500 key. */
  readonly key?: string | undefined
  /** Beginning of the presented address, as compared. */
  readonly presentedPrefix?: string | undefined
  /** In A-labels. */
  readonly mailboxDomain?: string | undefined
  readonly source?: Source | undefined
}

/** The key of an address as it is written; undefined for what can't be known. */
export function keyOf(address: string): string | undefined {
  const known = parseKnownAddress(address)
  return known instanceof AddressFault ? undefined : addressKey(known)
}

/** In the order of the presented addresses; one more than the page holds where there are more. */
export async function listEntries(
  tx: Tx,
  place: Place,
  filter: EntryFilter,
  page: PageRequest,
): Promise<StoredEntry[]> {
  const { key, presentedPrefix, mailboxDomain, source } = filter
  if (key !== undefined && page.after === undefined) {
    const found = await findEntriesByKey(tx, place, [key])
    return [...found.values()].filter((entry) => isFiltered(entry, filter))
  }
  if (key !== undefined) return []
  const rows = await rowsOf<EntryRecord>(
    tx,
    sql`select ${ENTRY} from mapping_entry e
         where ${inForce(place)}
           ${page.after === undefined ? sql`` : sql`and e.presented_key > ${page.after[0]}`}
           ${presentedPrefix === undefined ? sql`` : sql`and e.presented_key >= ${presentedPrefix} and e.presented_key < ${afterPrefix(presentedPrefix)}`}
           ${mailboxDomain === undefined ? sql`` : sql`and e.mailbox_domain = ${mailboxDomain}`}
           ${source === undefined ? sql`` : sql`and e.source = ${source}`}
         order by e.presented_key limit ${page.limit + 1}`,
  )
  return rows.map(toEntry)
}

/** For the one entry that an address is known in. */
function isFiltered(entry: StoredEntry, { presentedPrefix, mailboxDomain, source }: EntryFilter): boolean {
  const { mailbox } = JSON.parse(entry.wire) as { mailbox: string }
  return (
    (presentedPrefix === undefined || entry.presentedKey.startsWith(presentedPrefix)) &&
    (source === undefined || entry.source === source) &&
    (mailboxDomain === undefined || keyOf(mailbox)?.endsWith(`@${mailboxDomain}`) === true)
  )
}

/** Beyond everything that begins so: no text holds the last code point. */
const afterPrefix = (prefix: string): string => `${prefix}\u{10ffff}`

// ── The whole table ────────────────────────────────────────────────────────────────────────────────────────────────

/** Lines a statement reads: some megabytes. */
const LINES_PER_BATCH = 10_000
/** A client that reads an export may rest for as long. */
const READ_IDLE_MS = 60_000
/** For the one statement that reads all entries: some seconds, and on a busy machine some more. */
const READ_ALL_MS = 300_000

export interface TableHead {
  readonly revision: number
  readonly entries: number
  readonly rules: ReturnType<typeof ruleLists>
}

/**
 * Reads a table as it is at one moment: in one transaction with a snapshot of its own, so what is changed meanwhile is not seen.
 * @param work  is given the head, and batches of lines (entries as a table file writes them, `,` and a line feed between them) by presented address
 */
export function readTable<T>(
  db: Db,
  place: Place,
  work: (head: TableHead, batches: AsyncGenerator<string>) => Promise<T>,
): Promise<T> {
  return atOneMoment(db, place, async (tx, head) => {
    await sql`select set_config('idle_in_transaction_session_timeout', ${`${READ_IDLE_MS}ms`}, true)`.execute(tx)
    return work(head, readBatches(tx, place))
  })
}

/**
 * As `readTable`, for whoever takes the entries as fast as they come, in any order; of any revision whose history is there.
 * @param work  is given blocks of octets: entries, a comma before each, a line feed behind; they hold until the next one is asked for
 */
export function readTableOctets<T>(
  db: Db,
  place: Place,
  revision: number,
  work: (head: TableHead, blocks: AsyncGenerator<Buffer>) => Promise<T>,
): Promise<T> {
  return atOneMoment(
    db,
    place,
    async (tx, head, newest) => {
      if (revision < (await horizonOf(tx, place)))
        throw new Error(`the history of revision ${revision} is gone: its table can't be had`)
      await setScope(tx, place)
      await sql`select set_config('statement_timeout', ${`${READ_ALL_MS}ms`}, true)`.execute(tx)
      // Looked up once: in the condition itself, once a row.
      const blocks = copyOut(
        tx,
        sql`copy (select ',' || e.wire from mapping_entry e
                 where e.organisation_id = (select current_scope('organisation')) and e.project_id = (select current_scope('project'))
                   and ${revision === newest ? sql`e.valid_to is null` : at('e', revision, 'literal')}) to stdout`,
      )
      return work(head, blocks)
    },
    revision,
  )
}

/** @param ofRevision  undefined: the newest */
function atOneMoment<T>(
  db: Db,
  place: Place,
  work: (tx: Tx, head: TableHead, newest: number) => Promise<T>,
  ofRevision?: number,
): Promise<T> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      await setScope(tx, { organisation: place.organisation })
      const newest = await revisionOf(tx, place)
      const revision = ofRevision ?? newest
      const head = {
        revision,
        entries: await entryCountAt(tx, place, revision),
        rules: await rulesAt(tx, place, revision),
      }
      return work(tx, head, newest)
    })
}

async function* readBatches(tx: Tx, place: Place): AsyncGenerator<string> {
  for (let after = ''; ;) {
    const batch = await rowOf<{ lines: string | null; last: string; count: number }>(
      tx,
      sql`select string_agg(line.wire, E',\n') as lines, max(line.presented_key) as last, count(*) as count
            from (select e.wire, e.presented_key from mapping_entry e
                   where ${inForce(place)} and e.presented_key > ${after}
                   order by e.presented_key limit ${LINES_PER_BATCH}) as line`,
    )
    if (batch?.lines === null || batch === undefined) return
    yield batch.lines
    if (batch.count < LINES_PER_BATCH) return
    after = batch.last
  }
}

// ── Between revisions ──────────────────────────────────────────────────────────────────────────────────────────────

/** @param as  `literal`: for statements that take no parameters */
function at(alias: string, revision: number, as: 'parameter' | 'literal' = 'parameter'): RawBuilder<unknown> {
  const name = sql.ref(alias)
  const value = as === 'literal' ? sql.lit(revision) : revision
  return sql`${name}.valid_from <= ${value} and (${name}.valid_to is null or ${name}.valid_to > ${value})`
}

/** Rules of a revision, as the lists of a table file. */
export async function rulesAt(tx: Tx, place: Place, revision: number): Promise<ReturnType<typeof ruleLists>> {
  const rows = await rowsOf<{ kind: RuleKind; wire: string }>(
    tx,
    sql`select kind, wire from mapping_rule r
         where r.organisation_id = ${place.organisation} and r.project_id = ${place.project} and ${at('r', revision)}
         order by kind, rule_key`,
  )
  return ruleLists(rows)
}

/**
 * What relays at one revision lack of another, in the form of `causeway-mapping-delta/1` (rewrite-rules/table-delta.ts), without a digest.
 *
 * @param fromRevision  before `toRevision`, which there is
 * @param maxChanges  entries that go and come, and rules of the lists that changed: these go over whole
 * @returns undefined where it would be larger, or what is needed for it is gone: then relays take the whole table
 */
export async function readDelta(
  tx: Tx,
  project: { readonly organisation: OrganisationId; readonly project: ProjectId },
  fromRevision: number,
  toRevision: number,
  maxChanges: number,
): Promise<Record<string, unknown> | undefined> {
  if (fromRevision < (await horizonOf(tx, project))) return undefined
  const budget = { left: maxChanges }
  const upsert = await changedEntries(tx, project, fromRevision, toRevision, 'begun', budget)
  if (upsert === undefined) return undefined
  const ended = await changedEntries(tx, project, fromRevision, toRevision, 'ended', budget)
  if (ended === undefined) return undefined
  const lists = await changedRuleLists(tx, project, fromRevision, toRevision, budget)
  if (lists === undefined) return undefined
  const kept = new Set(upsert.map((entry) => entry.presented_key))
  return {
    format: 'causeway-mapping-delta/1',
    project: project.project,
    fromVersion: fromRevision,
    toVersion: toRevision,
    remove: ended.filter((entry) => !kept.has(entry.presented_key)).map((entry) => entry.presented),
    upsert: upsert.map((entry): unknown => JSON.parse(entry.wire)),
    ...lists,
  }
}

interface ChangedEntry {
  readonly presented_key: string
  readonly presented: string
  readonly wire: string
}

/** Versions in force at the one revision and not at the other; undefined when the budget doesn't allow as many. */
async function changedEntries(
  tx: Tx,
  { organisation, project }: Place,
  from: number,
  to: number,
  which: 'begun' | 'ended',
  budget: { left: number },
): Promise<ChangedEntry[] | undefined> {
  const condition =
    which === 'begun'
      ? sql`e.valid_from > ${from} and e.valid_from <= ${to} and (e.valid_to is null or e.valid_to > ${to})`
      : sql`e.valid_to > ${from} and e.valid_to <= ${to} and e.valid_from <= ${from}`
  const rows = await rowsOf<ChangedEntry>(
    tx,
    sql`select e.presented_key, e.presented, e.wire from mapping_entry e
         where e.organisation_id = ${organisation} and e.project_id = ${project} and ${condition}
         limit ${budget.left + 1}`,
  )
  budget.left -= rows.length
  return budget.left < 0 ? undefined : rows
}

async function changedRuleLists(
  tx: Tx,
  place: Place,
  from: number,
  to: number,
  budget: { left: number },
): Promise<Record<string, readonly unknown[]> | undefined> {
  const kinds = await rowsOf<{ kind: RuleKind }>(
    tx,
    sql`select distinct kind from mapping_rule r
         where r.organisation_id = ${place.organisation} and r.project_id = ${place.project}
           and ((r.valid_from > ${from} and r.valid_from <= ${to}) or (r.valid_to > ${from} and r.valid_to <= ${to}))`,
  )
  if (kinds.length === 0) return {}
  const lists = await rulesAt(tx, place, to)
  const changed = kinds.map(({ kind }) => RULE_LISTS[kind])
  for (const name of changed) budget.left -= lists[name].length
  return budget.left < 0 ? undefined : Object.fromEntries(changed.map((name) => [name, lists[name]]))
}
