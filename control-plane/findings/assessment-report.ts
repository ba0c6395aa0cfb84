// The assessment report: every finding that is there, as JSON, CSV or a page to print, always in the same order; what it counts is what it lists.
// (migration-semantics.md §11, WS-3)
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import { setScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { AccountSummary } from '../directory/account-summary.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { nonceOf } from '../http/security-headers.ts'
import { placeOf, projectParams } from '../mapping/mapping-schema.ts'
import { writeCsv, writeTo } from '../matching/csv-stream.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { assess } from './assessment.ts'
import type { Assessment } from './assessment.ts'
import { writePage } from './assessment-page.ts'
import type { Details, FindingBody } from './finding.ts'

const FORMATS = {
  json: 'application/json',
  csv: 'text/csv; charset=utf-8; header=present',
  html: 'text/html; charset=utf-8',
} as const

export function assessmentReportRoutes({ db }: { readonly db: Db }): AnyRoute[] {
  return [assessmentReport(db)]
}

const assessmentReport = (db: Db): AnyRoute =>
  route({
    method: 'get',
    path: '/projects/{project}/reports/assessment',
    id: 'readAssessmentReport',
    summary: 'The assessment report',
    description:
      'Every finding that is there: code, severity, what it is about, explanation, remedy. The worst first, then by kind and name, so that the same findings give the same file. `html` is a page to be printed; it shows the first 500 of a kind.',
    tag: 'reports',
    access: 'report.read',
    params: projectParams,
    query: z.strictObject({ format: z.enum(['json', 'csv', 'html']).default('json') }),
    isLongLived: true,
    responses: {
      200: {
        description: 'The report; CSV or HTML as `format` asks for it',
        contentType: ['application/json', 'text/csv', 'text/html'],
      },
    },
    handler: async (context) => {
      const { format } = context.query
      const place = placeOf(context)
      // Who took a list of all people away has to be known (AU-1).
      await context.note('report.read', { object: place.project, details: { report: 'assessment', format } })
      return {
        status: 200,
        headers: {
          'Content-Type': FORMATS[format],
          'Content-Disposition': `${format === 'html' ? 'inline' : 'attachment'}; filename="assessment.${format}"`,
        },
        stream: (response, signal) =>
          inSnapshot(db, place, async (tx) => WRITERS[format](response, signal, await assess(tx, place))),
      }
    },
  })

/** The whole report is of one moment. */
function inSnapshot(db: Db, place: ProjectPlace, work: (tx: Tx) => Promise<void>): Promise<void> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      await setScope(tx, { organisation: place.organisation })
      await work(tx)
    })
}

type Write = (response: ServerResponse, signal: AbortSignal, assessment: Assessment) => Promise<void>

const writeJson: Write = async (response, signal, { project, tenants, summary, findings }) => {
  await writeTo(response, signal, `${JSON.stringify({ project, tenants, summary }).slice(0, -1)},"findings":[\n`)
  let separator = ''
  for await (const batch of findings) {
    await writeTo(response, signal, separator + batch.map((row) => JSON.stringify(row)).join(',\n'))
    separator = ',\n'
  }
  await writeTo(response, signal, '\n]}\n')
  response.end()
}

type Labels = ReadonlyMap<string, string>

const COLUMNS: Readonly<Record<string, (row: FindingBody, labels: Labels) => string>> = {
  severity: ({ severity }) => severity,
  code: ({ code }) => code,
  state: ({ state }) => state,
  tenant: ({ tenant }, labels) => labels.get(tenant) ?? tenant,
  about: ({ about }) => about,
  object: ({ account, domain, tenant }, labels) =>
    account === undefined ? (domain ?? labels.get(tenant) ?? tenant) : nameOf(account),
  objectName: ({ account }) => account?.displayName ?? '',
  objectKind: ({ account }) => account?.kind ?? '',
  other: ({ other }) => (other === undefined ? '' : nameOf(other)),
  otherName: ({ other }) => other?.displayName ?? '',
  otherTenant: ({ other }, labels) => (other === undefined ? '' : (labels.get(other.tenant) ?? other.tenant)),
  title: ({ title }) => title,
  explanation: ({ explanation }) => explanation,
  remedy: ({ remedy }) => remedy,
  details: ({ details }) => formatDetails(details),
  firstSeenAt: ({ firstSeenAt }) => firstSeenAt,
  acknowledgedAt: ({ acknowledgedAt = '' }) => acknowledgedAt,
  acknowledgedBy: ({ acknowledgedBy = '' }) => acknowledgedBy,
  note: ({ note = '' }) => note,
  id: ({ id }) => id,
}

const nameOf = ({ userPrincipalName, address, objectId }: AccountSummary): string =>
  userPrincipalName ?? address ?? objectId

/** `addresses: 2; names: a, b` */
const formatDetails = (details: Details): string =>
  Object.entries(details)
    .map(([name, value]) => `${name}: ${typeof value === 'object' ? value.join(', ') : String(value)}`)
    .join('; ')

const writeCsvReport: Write = (response, signal, { tenants, findings }) => {
  const labels = new Map<string, string>(tenants.map(({ id, label }) => [id, label]))
  const cellsOf = Object.values(COLUMNS)
  async function* lines(): AsyncGenerator<readonly (readonly string[])[]> {
    for await (const batch of findings) yield batch.map((row) => cellsOf.map((cellOf) => cellOf(row, labels)))
  }
  return writeCsv(response, signal, Object.keys(COLUMNS), lines())
}

const writeHtml: Write = async (response, signal, assessment) => {
  const nonce = nonceOf(response as unknown as Parameters<typeof nonceOf>[0])
  for await (const part of writePage(assessment, nonce)) await writeTo(response, signal, part)
  response.end()
}

const WRITERS: Readonly<Record<keyof typeof FORMATS, Write>> = { json: writeJson, csv: writeCsvReport, html: writeHtml }
