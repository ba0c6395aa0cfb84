// A chain as the records of a trail, read from Postgres in steps: for exports and for verifying it here. What is appended while it is read doesn't
// move its end. (AU-3)
import { sql } from 'kysely'
import { rowOf, rowsOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import { EMPTY_HEAD } from './audit.ts'
import type { AuditHeader } from './audit.ts'
import { readAuditKeys } from './audit-key-store.ts'
import { PUBLIC_KEY_BYTES } from './audit-key.ts'
import type { AuditKey } from './audit-key.ts'
import { searchColumns } from './audit-store.ts'
import { formatNote, originOf } from './checkpoint.ts'
import { chainSize, lastCheckpoint, listCheckpointsBetween, withOrigin } from './checkpoint-store.ts'
import { toTrailKey, TRAIL_FORMAT } from './trail.ts'
import type { TrailRecord } from './trail.ts'

const EVENTS_A_STEP = 500

export interface TrailRange {
  /** Sequence of the first event, ≥ 1. */
  readonly from: number
  /** Sequence of the last event; cut to the length of the chain. */
  readonly to: number
}

/** The chain has no event before the first one that was asked for. */
export class NoSuchTrail extends Error {
  override readonly name = 'NoSuchTrail'
}

/** The installation has no audit key: nothing was signed yet. */
export class NoKeysYet extends Error {
  override readonly name = 'NoKeysYet'
}

/** The columns that are searched by say something else than the header that is hashed. */
export class ColumnsChanged extends Error {
  override readonly name = 'ColumnsChanged'
  readonly sequence: number

  constructor(sequence: number) {
    super(`event ${sequence} is found by other values than it has`)
    this.sequence = sequence
  }
}

/**
 * @throws NoSuchTrail, NoKeysYet before the first record; ColumnsChanged after the event concerned, where `checksColumns` asks for that. An organisation
 * that is deleted meanwhile ends it with an error.
 */
export async function* readTrail(
  db: Db,
  organisation: OrganisationId,
  { from, to }: TrailRange,
  checksColumns = false,
): AsyncGenerator<TrailRecord> {
  const start = await withScope(db, { organisation }, (tx) => findStart(tx, organisation, from))
  // After the end is known: the keys of all checkpoints up to there are among them.
  const keys = await readAuditKeys(db)
  const firstKey = keys[0]?.id
  if (start === undefined) throw new NoSuchTrail('there is no such part of the trail')
  if (firstKey === undefined) throw new NoKeysYet('no audit key was made yet')
  const end = Math.min(to, start.size)
  const origin = originOf(firstKey, organisation)
  yield {
    kind: 'trail',
    format: TRAIL_FORMAT,
    origin,
    from,
    previous: start.previous.toString('hex'),
    keys: keys.length,
  }
  for (const key of keys) yield toTrailKey(key)
  let signedTo = 0
  for (let next = from; next <= end; next += EVENTS_A_STEP) {
    const last = Math.min(next + EVENTS_A_STEP - 1, end)
    const [rows, checkpoints] = await withScope(db, { organisation }, async (tx) => [
      await listEvents(tx, organisation, next, last),
      await listCheckpointsBetween(tx, organisation, next, Math.min(last, start.lastCheckpoint)),
      // Gaps are for the verifier to name; an organisation that was deleted has no trail that ends well.
      await demandChain(tx, organisation),
    ])
    for (const row of rows) {
      yield { kind: 'event', header: row.header, payload: row.payload, hash: row.hash.toString('hex') }
      if (checksColumns && !agrees(row)) throw new ColumnsChanged(row.sequence)
      while (checkpoints[0] !== undefined && checkpoints[0].size <= row.sequence) {
        const stored = checkpoints.shift()
        if (stored === undefined) break
        const key = keys.find(({ id }) => id === stored.keyId) ?? lostKey(stored.keyId)
        yield { kind: 'checkpoint', note: formatNote(withOrigin(stored, firstKey, organisation), key) }
        signedTo = stored.size
      }
    }
  }
  yield { kind: 'end', size: Math.max(end, from - 1), checkpoint: signedTo }
}

interface Start {
  /** Events of the chain. */
  readonly size: number
  /** Hash of the event before the first. */
  readonly previous: Buffer
  readonly lastCheckpoint: number
}

/** undefined when there is no event before `from`. */
async function findStart(tx: Tx, organisation: OrganisationId, from: number): Promise<Start | undefined> {
  const chain = {
    size: await chainSize(tx, organisation),
    lastCheckpoint: (await lastCheckpoint(tx, organisation))?.size ?? 0,
  }
  if (from === 1) return { ...chain, previous: EMPTY_HEAD }
  const row = await rowOf<{ hash: Buffer }>(
    tx,
    sql`select hash from audit_event where organisation_id = ${organisation} and sequence = ${from - 1}`,
  )
  return row && { ...chain, previous: row.hash }
}

async function demandChain(tx: Tx, organisation: OrganisationId): Promise<void> {
  if ((await chainSize(tx, organisation)) === 0) throw new Error(`the chain of ${organisation} is gone`)
}

/** In the place of a key that somebody removed: the verifier says that it is not there. */
const lostKey = (id: string): AuditKey => ({
  ordinal: 0,
  id,
  publicKey: Buffer.alloc(PUBLIC_KEY_BYTES),
  createdAt: '',
  signature: Buffer.alloc(0),
})

interface TrailRow {
  sequence: number
  id: string
  time: Date
  action: string
  actor: string
  project_id: string
  object: string
  result: string
  header: string
  payload: string | null
  hash: Buffer
}

function listEvents(tx: Tx, organisation: OrganisationId, from: number, to: number): Promise<TrailRow[]> {
  return rowsOf<TrailRow>(
    tx,
    sql`select sequence, id, time, action, actor, project_id, object, result, header, payload, hash from audit_event
         where organisation_id = ${organisation} and sequence between ${from} and ${to} order by sequence`,
  )
}

/** Whether the columns are what the header says. A header that can't be read is found by its hash. */
function agrees(row: TrailRow): boolean {
  let header: AuditHeader
  try {
    header = JSON.parse(row.header) as AuditHeader
    const columns = searchColumns(header)
    return (
      row.id === header.id &&
      row.sequence === header.sequence &&
      row.time.toISOString() === header.time &&
      row.result === header.result &&
      Object.entries(columns).every(([name, value]) => row[name as keyof typeof columns] === value)
    )
  } catch {
    return true
  }
}
