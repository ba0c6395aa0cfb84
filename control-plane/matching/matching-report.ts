// The matching report: what a matching says of each account of the sources, as JSON or CSV, always in the same order. (migration-semantics.md §11)
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import { setScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { idText } from '../directory/account-summary.ts'
import type { AccountSummary } from '../directory/account-summary.ts'
import { notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { placeOf, projectParams } from '../mapping/mapping-schema.ts'
import type { Place } from '../mapping/mapping.ts'
import { writeCsv, writeTo } from './csv-stream.ts'
import { shapeMatching } from './matching.ts'
import type { Matching, ResultBody } from './matching.ts'
import { demandMatching } from './matching-routes.ts'
import { findLatest, listResults } from './matching-store.ts'

const ROWS_PER_BATCH = 1_000

export interface ReportDeps {
  readonly db: Db
}

export function matchingReportRoutes({ db }: ReportDeps): AnyRoute[] {
  return [matchingReport(db)]
}

const matchingReport = (db: Db): AnyRoute =>
  route({
    method: 'get',
    path: '/projects/{project}/reports/matching',
    id: 'readMatchingReport',
    summary: 'The matching report',
    description:
      'Of each account of the sources: outcome, rule, confidence, target, candidates. By name, so that the same matching gives the same file; names are those of now.',
    tag: 'reports',
    access: 'report.read',
    params: projectParams,
    query: z.strictObject({
      format: z.enum(['json', 'csv']).default('json'),
      matching: idText.optional().meta({ description: 'Left out: the newest that is complete.' }),
    }),
    isLongLived: true,
    responses: {
      200: { description: 'The report; CSV as `format` asks for it', contentType: ['application/json', 'text/csv'] },
    },
    handler: async (context) => {
      const { query, read, note } = context
      const place = placeOf(context)
      const matching = await read(async (tx) => {
        const found =
          query.matching === undefined ? await findLatest(tx, place) : await demandMatching(tx, place, query.matching)
        if (found?.completedAt === undefined) throw notFound()
        return found
      })
      // Who took a list of all people away has to be known (AU-1).
      await note('report.read', { object: matching.id, details: { report: 'matching', format: query.format } })
      const isCsv = query.format === 'csv'
      return {
        status: 200,
        headers: {
          'Content-Type': isCsv ? 'text/csv; charset=utf-8; header=present' : 'application/json',
          'Content-Disposition': `attachment; filename="matching.${query.format}"`,
        },
        stream: (response, signal) =>
          inSnapshot(db, place, (tx) =>
            (isCsv ? writeCsvReport : writeJsonReport)(response, signal, matching, batches(tx, place, matching)),
          ),
      }
    },
  })

/** The whole report is of one moment. */
function inSnapshot(db: Db, place: Place, work: (tx: Tx) => Promise<void>): Promise<void> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      await setScope(tx, { organisation: place.organisation })
      await work(tx)
    })
}

async function* batches(tx: Tx, place: Place, { id }: Matching): AsyncGenerator<readonly ResultBody[]> {
  for (let after: readonly [string, string] | undefined; ;) {
    const rows = await listResults(tx, place, id, {}, { after, limit: ROWS_PER_BATCH })
    const page = rows.slice(0, ROWS_PER_BATCH)
    if (page.length > 0) yield page.map(({ body }) => body)
    const last = page.at(-1)
    if (rows.length <= ROWS_PER_BATCH || last === undefined) return
    after = [last.sortKey, last.source]
  }
}

type Write = (
  response: ServerResponse,
  signal: AbortSignal,
  matching: Matching,
  rows: AsyncIterable<readonly ResultBody[]>,
) => Promise<void>

const writeJsonReport: Write = async (response, signal, matching, rows) => {
  await writeTo(response, signal, `{"matching":${JSON.stringify(shapeMatching(matching))},"results":[\n`)
  let separator = ''
  for await (const batch of rows) {
    await writeTo(response, signal, separator + batch.map((row) => JSON.stringify(row)).join(',\n'))
    separator = ',\n'
  }
  await writeTo(response, signal, '\n]}\n')
  response.end()
}

const COLUMNS: Readonly<Record<string, (row: ResultBody) => string>> = {
  source: ({ source }) => nameOf(source),
  sourceName: ({ source }) => source.displayName,
  sourceKind: ({ source }) => source.kind,
  outcome: ({ outcome }) => outcome,
  reason: ({ reason = '' }) => reason,
  rule: ({ rule = '' }) => rule,
  confidence: ({ confidence = '' }) => confidence,
  target: ({ target }) => (target === undefined ? '' : nameOf(target)),
  targetName: ({ target }) => target?.displayName ?? '',
  targetKind: ({ target }) => target?.kind ?? '',
  candidateCount: ({ candidateCount }) => String(candidateCount),
  candidates: ({ candidates }) => candidates.map(nameOf).join('; '),
}

const nameOf = ({ userPrincipalName, address, objectId }: AccountSummary): string =>
  userPrincipalName ?? address ?? objectId

const writeCsvReport: Write = (response, signal, _matching, rows) => {
  const cellsOf = Object.values(COLUMNS)
  async function* lines(): AsyncGenerator<readonly (readonly string[])[]> {
    for await (const batch of rows) yield batch.map((row) => cellsOf.map((cellOf) => cellOf(row)))
  }
  return writeCsv(response, signal, Object.keys(COLUMNS), lines())
}
