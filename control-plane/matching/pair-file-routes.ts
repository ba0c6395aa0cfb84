// Mapping files of pairs over HTTP: import and export of the same format. (migration-semantics.md §3.6, control-plane.md §3.5)
import { z } from 'zod'
import { setScope, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { badRequest, Problem } from '../http/problem.ts'
import { boundedBody } from '../http/read-body.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { newId } from '../ids.ts'
import { refreshStatistics } from '../mapping/change-store.ts'
import { authorOf, confirmQuery, placeOf, projectParams } from '../mapping/mapping-schema.ts'
import type { Place } from '../mapping/mapping.ts'
import { createOperation, operationUrl } from '../operations/operation-store.ts'
import { applyPairFile, tryOut } from './apply-pairs.ts'
import { writeCsv } from './csv-stream.ts'
import { pairChangeSchema } from './pair-change.ts'
import { MAX_PAIR_ROWS, PAIR_COLUMNS, readPairFile } from './pair-file.ts'
import type { PairFile, PairFileRow } from './pair-file.ts'
import { exportRows } from './pair-export-store.ts'
import { deleteStagedPairs, insertPairRows, insertStagedPairs } from './pair-file-store.ts'
import type { StagedPairs } from './pair-file-store.ts'
import { pairsStartedSchema } from './pair-routes.ts'
import { sidesOf } from './pair-sides.ts'

export interface PairFileDeps {
  readonly db: Db
}

const MAX_IMPORT_BYTES = 512 * 1024 * 1024
/** A file of up to as many rows is applied within its request. */
const SMALL_ROWS = 1_000

const importQuery = z.strictObject({
  validateOnly: z
    .enum(['true', 'false'])
    .default('false')
    .meta({ description: 'Checks all and answers the same, but changes nothing.' }),
  ...confirmQuery,
})
type ImportContext = Context<unknown, z.output<typeof importQuery>, unknown>

export function pairFileRoutes({ db }: PairFileDeps): AnyRoute[] {
  return [importPairs(db), exportPairs(db)]
}

const importPairs = (db: Db): AnyRoute =>
  route({
    method: 'post',
    path: '/projects/{project}/pairs/import',
    id: 'importPairs',
    summary: 'Import a mapping file of pairs',
    description: [
      `CSV with the columns \`source,target[,collection][,action]\`, at most ${MAX_PAIR_ROWS} rows. Accounts are named by object id, user principal name`,
      'or address. `action` is `pair` (default), `unpair` or `exclude`; `collection` names one that the source account comes into, and makes it.',
      'The whole file is checked first: every fault comes with line and column. All of it is imported, or nothing.',
      `More than ${SMALL_ROWS} rows are checked against what is there and applied by an operation.`,
    ].join(' '),
    tag: 'pairs',
    access: 'directory.match',
    params: projectParams,
    query: importQuery,
    body: { stream: ['text/csv'], maxBytes: MAX_IMPORT_BYTES },
    isLongLived: true,
    problems: ['pair-conflict', 'confirm-count', 'limit-reached'],
    responses: {
      200: { description: 'What changed, or would change', schema: pairChangeSchema },
      202: { description: 'Goes on as an operation', schema: pairsStartedSchema },
    },
    handler: async (context) => {
      demandUtf8(context.request.headers['content-type'])
      const place = placeOf(context)
      const spool = new PairSpool(db, place, stagedOf(context), context.now)
      try {
        const file = await readPairFile(boundedBody(context.request, MAX_IMPORT_BYTES), (rows) => spool.take(rows))
        refuseFaulty(file)
        return spool.isStaged
          ? await startImport(context, place, spool.staged, file)
          : await importNow(context, place, spool)
      } catch (error) {
        await spool.discard()
        throw error
      }
    },
  })

const stagedOf = ({ caller, query }: ImportContext): StagedPairs => ({
  id: newId('pair-import'),
  kind: 'file',
  filter: undefined,
  confirm: query.confirm,
  validatesOnly: query.validateOnly === 'true',
  author: authorOf(caller),
})

/** What is not UTF-8 by its own word is not read as such: it could look right, and be wrong. */
function demandUtf8(contentType: string | undefined): void {
  const charset = /;\s*charset="?([^";\s]+)/i.exec(contentType ?? '')?.[1]
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset))
    throw new Problem('unsupported-media-type', { expected: ['text/csv; charset=utf-8'] })
}

function refuseFaulty({ faults, faultCount }: PairFile): void {
  if (faultCount === 0) return
  throw faultCount > faults.length
    ? new Problem('bad-request', { faults, more: faultCount - faults.length })
    : badRequest(faults)
}

/** Rows of an upload: in memory while they are few, then staged, in transactions of their own since uploads can take minutes. */
class PairSpool {
  readonly rows: PairFileRow[] = []
  readonly staged: StagedPairs
  isStaged = false
  readonly #db: Db
  readonly #place: Place
  readonly #now: number

  constructor(db: Db, place: Place, staged: StagedPairs, now: number) {
    this.#db = db
    this.#place = place
    this.staged = staged
    this.#now = now
  }

  async take(rows: readonly PairFileRow[]): Promise<void> {
    this.rows.push(...rows)
    if (!this.isStaged && this.rows.length <= SMALL_ROWS) return
    await withScope(this.#db, { organisation: this.#place.organisation }, async (tx) => {
      if (!this.isStaged) await insertStagedPairs(tx, this.#place, this.staged, this.#now)
      await insertPairRows(tx, this.#place, this.staged.id, this.rows.splice(0))
    })
    this.isStaged = true
  }

  async discard(): Promise<void> {
    if (!this.isStaged) return
    await withScope(this.#db, { organisation: this.#place.organisation }, (tx) =>
      deleteStagedPairs(tx, this.#place, this.staged.id),
    )
  }
}

async function importNow({ caller, change, now, read }: ImportContext, place: Place, { staged, rows }: PairSpool) {
  const by = { author: authorOf(caller), now }
  const apply = async (tx: Tx) => {
    await insertStagedPairs(tx, place, staged, now)
    await insertPairRows(tx, place, staged.id, rows)
    const result = await applyPairFile(tx, place, staged, by)
    await deleteStagedPairs(tx, place, staged.id)
    return result
  }
  await read((tx) => refreshStatistics(tx, rows.length))
  if (staged.validatesOnly) return { status: 200, body: await tryOut(read, apply) }
  return change('pair.imported', async (tx) => {
    const result = await apply(tx)
    return { answer: { status: 200, body: result }, details: { ...result } }
  })
}

function startImport(
  { caller, change }: ImportContext,
  place: Place,
  { id, validatesOnly }: StagedPairs,
  { rows }: PairFile,
) {
  return change('pair.import-started', async (tx) => {
    const operation = await createOperation(tx, place, {
      kind: 'pair.change',
      permission: 'directory.match',
      object: id,
      total: rows,
      unit: 'rows',
      isCancellable: true,
      startedBy: authorOf(caller),
    })
    return {
      answer: { status: 202, body: { operation }, headers: { Location: operationUrl(operation) } },
      object: operation,
      details: { rows, validateOnly: validatesOnly },
    }
  })
}

const exportPairs = (db: Db): AnyRoute =>
  route({
    method: 'get',
    path: '/projects/{project}/pairs/export',
    id: 'exportPairs',
    summary: 'Export confirmed pairs as a mapping file',
    description:
      'What the import takes: confirmed pairs by name, one row for each collection of the source account, then excluded accounts. Cells that a spreadsheet would take for formulas are written behind an apostrophe, which the import takes away again.',
    tag: 'pairs',
    access: 'directory.read',
    params: projectParams,
    isLongLived: true,
    responses: { 200: { description: 'The file', contentType: 'text/csv' } },
    handler: async (context) => {
      const place = placeOf(context)
      // A GET changes nothing, but who took the whole list away has to be known (AU-1).
      await context.note('pair.exported')
      return {
        status: 200,
        headers: {
          'Content-Type': 'text/csv; charset=utf-8; header=present',
          'Content-Disposition': 'attachment; filename="pairs.csv"',
        },
        stream: (response, signal) =>
          db
            .transaction()
            .setIsolationLevel('repeatable read')
            .execute(async (tx) => {
              await setScope(tx, { organisation: place.organisation })
              await writeCsv(response, signal, PAIR_COLUMNS, exportedCells(tx, place))
            }),
      }
    },
  })

async function* exportedCells(tx: Tx, place: Place): AsyncGenerator<readonly (readonly string[])[]> {
  for await (const rows of exportRows(tx, place, await sidesOf(tx, place)))
    yield rows.map((row) => PAIR_COLUMNS.map((column) => row[column]))
}
