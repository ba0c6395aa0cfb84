// Whole tables over HTTP: import of a table file in JSON or CSV, and export in both. (control-plane.md §3.5, product.md §8)
import { z } from 'zod'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { badRequest, Problem } from '../http/problem.ts'
import { boundedBody } from '../http/read-body.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { newId } from '../ids.ts'
import { createOperation, operationUrl } from '../operations/operation-store.ts'
import { refreshStatistics } from './change-store.ts'
import { changeEntries } from './entry-change.ts'
import { writeCsvTable, writeJsonTable } from './export-table.ts'
import { tableChangeBody, tableChangeSchema } from './import-result.ts'
import { MAX_IMPORT_ROWS, readUpload } from './intake.ts'
import type { Upload } from './intake.ts'
import { authorOf, confirmQuery, placeOf, projectParams } from './mapping-schema.ts'
import { acceptedDomains, revisionOf } from './mapping-store.ts'
import type { AcceptedDomains, Place } from './mapping.ts'
import { deleteStaged, insertStaged, insertStagedRows, setStagedRules } from './staging-store.ts'
import type { Staged, StagedRow } from './staging-store.ts'

export interface ImportDeps {
  readonly db: Db
}

const MAX_IMPORT_BYTES = 512 * 1024 * 1024
/** A file of up to as many rows is applied within its request. */
const SMALL_ROWS = 5_000

const importQuery = z.strictObject({
  mode: z.enum(['upsert', 'replace']).default('upsert').meta({
    description:
      '`replace`: entries that the file does not name go, and with a JSON file all its rules are those of the file.',
  }),
  validateOnly: z
    .enum(['true', 'false'])
    .default('false')
    .meta({ description: 'Checks all and answers the same, but changes nothing.' }),
  ...confirmQuery,
})
type ImportContext = Context<unknown, z.output<typeof importQuery>, unknown>

export const startedSchema = z
  .strictObject({ operation: z.string().meta({ description: 'See Location.' }) })
  .meta({ id: 'MappingOperationStarted' })

export function importRoutes({ db }: ImportDeps): AnyRoute[] {
  return [importMappings(db), exportRoute(db, 'json'), exportRoute(db, 'csv')]
}

const importMappings = (db: Db): AnyRoute =>
  route({
    method: 'post',
    path: '/projects/{project}/mappings/import',
    id: 'importMappings',
    summary: 'Import a table file, JSON or CSV',
    description: [
      `At most ${MAX_IMPORT_ROWS} rows. The whole file is checked first: every fault comes with line and column. All of it is imported, or nothing.`,
      'Entries are matched by their presented address. `project`, `version` and `digest` of a JSON file are not looked at.',
      `More than ${SMALL_ROWS} rows are checked against the table and applied by an operation. If-Match is the ETag of the table, or \`*\`.`,
    ].join(' '),
    tag: 'mappings',
    access: 'mapping.import',
    params: projectParams,
    query: importQuery,
    body: { stream: ['application/json', 'text/csv'], maxBytes: MAX_IMPORT_BYTES },
    ifMatch: 'needed',
    isLongLived: true,
    problems: ['mapping-conflict', 'confirm-count'],
    responses: {
      200: { description: 'What changed, or would change', schema: tableChangeSchema },
      202: { description: 'Goes on as an operation', schema: startedSchema },
    },
    handler: async (context) => {
      demandUtf8(context.request.headers['content-type'])
      const place = placeOf(context)
      const { revision, accepted } = await context.read(async (tx) => ({
        revision: await revisionOf(tx, place),
        accepted: await acceptedDomains(tx, place),
      }))
      context.checkVersion(revision)
      const spool = new RowSpool(db, place, stagedOf(context, revision), context.now)
      try {
        const upload = await readUpload(boundedBody(context.request, MAX_IMPORT_BYTES), accepted, (rows) =>
          spool.take(rows),
        )
        refuseFaulty(upload)
        return spool.isStaged
          ? await startImport(context, place, spool, upload)
          : await importNow(context, place, spool.rows, upload, accepted)
      } catch (error) {
        await spool.discard()
        throw error
      }
    },
  })

function stagedOf({ caller, query, request }: ImportContext, revision: number): Staged {
  const { mode, validateOnly, confirm } = query
  return {
    id: newId('mapping-import'),
    mode,
    validatesOnly: validateOnly === 'true',
    confirm,
    expectedRevision: request.headers['if-match']?.includes('*') === true ? undefined : revision,
    restoredRevision: undefined,
    rules: undefined,
    author: authorOf(caller),
  }
}

/** What is not UTF-8 by its own word is not read as such: it could look right, and be wrong. */
function demandUtf8(contentType: string | undefined): void {
  const charset = /;\s*charset="?([^";\s]+)/i.exec(contentType ?? '')?.[1]
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset))
    throw new Problem('unsupported-media-type', { expected: ['application/json', 'text/csv; charset=utf-8'] })
}

function refuseFaulty({ faults, faultCount }: Upload): void {
  if (faultCount === 0) return
  throw faultCount > faults.length
    ? new Problem('bad-request', { faults, more: faultCount - faults.length })
    : badRequest(faults)
}

/** Rows of an upload: in memory while they are few, then staged, in transactions of their own since uploads can take minutes. */
class RowSpool {
  readonly rows: StagedRow[] = []
  readonly staged: Staged
  isStaged = false
  readonly #db: Db
  readonly #place: Place
  readonly #now: number

  constructor(db: Db, place: Place, staged: Staged, now: number) {
    this.#db = db
    this.#place = place
    this.staged = staged
    this.#now = now
  }

  async take(rows: readonly StagedRow[]): Promise<void> {
    this.rows.push(...rows)
    if (!this.isStaged && this.rows.length <= SMALL_ROWS) return
    const taken = this.rows.splice(0)
    await withScope(this.#db, { organisation: this.#place.organisation }, async (tx) => {
      if (!this.isStaged) await insertStaged(tx, this.#place, this.staged, this.#now)
      await insertStagedRows(tx, this.#place, this.staged.id, taken)
    })
    this.isStaged = true
  }

  async discard(): Promise<void> {
    if (!this.isStaged) return
    await withScope(this.#db, { organisation: this.#place.organisation }, (tx) =>
      deleteStaged(tx, this.#place, this.staged.id),
    )
  }
}

async function importNow(
  context: ImportContext,
  place: Place,
  rows: readonly StagedRow[],
  { rules }: Upload,
  accepted: AcceptedDomains,
) {
  const { caller, change, checkVersion, now, query, read } = context
  const { mode, confirm } = query
  const entryChange = {
    rows,
    rules,
    mode,
    confirm,
    author: authorOf(caller),
    cause: 'import',
    source: 'import',
    checkRevision: checkVersion,
    now,
  } as const
  await read((tx) => refreshStatistics(tx, rows.length))
  if (query.validateOnly === 'true') {
    const result = await read((tx) => changeEntries(tx, place, { ...entryChange, validatesOnly: true }))
    return { status: 200, body: tableChangeBody(result, accepted) }
  }
  return change('mapping.imported', async (tx) => {
    const result = await changeEntries(tx, place, entryChange)
    const { warnings, ...counts } = tableChangeBody(result, accepted)
    return {
      answer: { status: 200, body: { ...counts, warnings }, version: result.revision },
      details: { ...counts, mode },
    }
  })
}

function startImport({ caller, change, query }: ImportContext, place: Place, { staged }: RowSpool, upload: Upload) {
  const id = staged.id
  return change('mapping.import-started', async (tx) => {
    if (upload.rules !== undefined) await setStagedRules(tx, place, id, upload.rules)
    const operation = await createOperation(tx, place, {
      kind: 'mapping.import',
      permission: 'mapping.import',
      object: id,
      total: upload.rows,
      unit: 'rows',
      isCancellable: true,
      startedBy: authorOf(caller),
    })
    return {
      answer: { status: 202, body: { operation }, headers: { Location: operationUrl(operation) } },
      object: operation,
      details: { rows: upload.rows, mode: query.mode, validateOnly: query.validateOnly === 'true' },
    }
  })
}

const EXPORTS = {
  json: { type: 'application/json', name: 'mapping-table.json', write: writeJsonTable },
  csv: { type: 'text/csv; charset=utf-8; header=present', name: 'mapping-table.csv', write: writeCsvTable },
} as const

const exportRoute = (db: Db, form: keyof typeof EXPORTS): AnyRoute => {
  const { type, name, write } = EXPORTS[form]
  return route({
    method: 'get',
    path: `/projects/{project}/mappings/export/${form}`,
    id: form === 'json' ? 'exportMappings' : 'exportMappingsCsv',
    summary: form === 'json' ? 'Export the table as a table file' : 'Export the entries as CSV',
    description:
      form === 'json'
        ? 'The table as it is at one moment, rules included. Imported with `mode=replace` it is the same table again.'
        : 'Cells that a spreadsheet would take for formulas are written behind an apostrophe, which the import takes away again. Rules are not in it.',
    tag: 'mappings',
    access: 'mapping.read',
    params: projectParams,
    isLongLived: true,
    responses: { 200: { description: 'The file', contentType: type.split(';', 1)[0] ?? type } },
    handler: async (context) => {
      const { caller, now, organisation, requestId, sourceAddress } = context
      const place = placeOf(context)
      // A GET changes nothing, but who took the whole table away has to be known (AU-1).
      await withScope(db, { organisation }, (tx) =>
        appendAudit(
          tx,
          organisation,
          {
            action: 'mapping.exported',
            actor: authorOf(caller),
            project: place.project,
            result: 'done',
            requestId,
            payload: { form, sourceAddress },
          },
          now,
        ),
      )
      return {
        status: 200,
        headers: { 'Content-Type': type, 'Content-Disposition': `attachment; filename="${name}"` },
        stream: (response, signal) => write(db, place, response, signal),
      }
    },
  })
}
