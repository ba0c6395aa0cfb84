// Previews over HTTP: a message goes in, what a relay would make of it comes out. Neither is kept or logged. (control-plane.md §2, BP-2)
import { z } from 'zod'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import type { Envelope } from '../../rewrite-rules/index.ts'
import { Problem } from '../http/problem.ts'
import { boundedBody } from '../http/read-body.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import type { CompiledTables } from './compiled-tables.ts'
import { viewMessage, viewSchema } from './human-view.ts'
import { placeOf, projectParams } from './mapping-schema.ts'
import { acceptedDomains } from './mapping-store.ts'
import { previewMessage } from './preview.ts'
import type { Preview, PreviewedMessage } from './preview.ts'
import { activeDkimDomains } from './preview-store.ts'
import { projectPolicy } from './project-policy.ts'

const MAX_MESSAGE_BYTES = 25 * 1024 * 1024
/** Each may hold a message several times. */
const MAX_AT_ONCE = 4
const MAX_SHOWN_HEADER = 64 * 1024
const MAX_SHOWN_CHANGES = 1_000

const path = z.string().max(600)

const previewQuery = z.strictObject({
  direction: z.enum(['out', 'in']),
  smtpUtf8: z.enum(['true', 'false']).default('false'),
  reversePath: path
    .optional()
    .meta({ description: 'With `forwardPath` the envelope is rewritten too; empty: the null reverse-path.' }),
  forwardPath: z
    .union([path, z.array(path).max(1_000)])
    .optional()
    .meta({ description: 'May be given several times.' }),
})

const envelopeSchema = z.strictObject({
  reversePath: z.string(),
  parameters: z.record(z.string(), z.union([z.string(), z.literal(true)])),
  forwardPaths: z.array(
    z.strictObject({ path: z.string(), parameters: z.record(z.string(), z.union([z.string(), z.literal(true)])) }),
  ),
})

const messageSchema = z
  .strictObject({
    header: z.string().meta({ description: `The header block, at most ${MAX_SHOWN_HEADER} characters.` }),
    bytes: z.int(),
    sha256: z.string(),
    view: viewSchema,
  })
  .meta({ id: 'PreviewedMessage' })

const previewSchema = z
  .strictObject({
    direction: z.enum(['out', 'in']),
    revision: z.int().meta({ description: 'Of the mapping table that was used.' }),
    refusal: z
      .strictObject({ code: z.int(), status: z.string(), reason: z.string() })
      .optional()
      .meta({ description: 'The relay would not take it, and answer this. Then there is nothing else.' }),
    before: messageSchema.optional(),
    after: messageSchema.optional(),
    envelope: envelopeSchema.optional(),
    changes: z
      .array(z.strictObject({ where: z.string(), old: z.string(), new: z.string(), rule: z.string() }))
      .optional()
      .meta({ description: `The first ${MAX_SHOWN_CHANGES}, in the order they are made.` }),
    changeCount: z.int().optional(),
    codes: z.array(z.string()).optional().meta({ description: 'What an operator should know of the message.' }),
    signatures: z
      .array(
        z.strictObject({
          field: z.string(),
          domain: z.string(),
          selector: z.string(),
          verdict: z.enum(['holds', 'breaks', 'removed']),
          because: z.array(z.string()),
        }),
      )
      .optional()
      .meta({ description: 'Of those that are in it, whether they would hold if they are valid now.' }),
    signedFor: z.string().optional().meta({ description: 'Domain that the relay would sign for; absent: for none.' }),
  })
  .meta({ id: 'RewritePreview' })

export function previewRoutes(tables: CompiledTables): AnyRoute[] {
  let running = 0
  return [
    route({
      method: 'post',
      path: '/projects/{project}/rewrite-previews',
      id: 'previewRewriting',
      summary: 'See what a relay would make of a message',
      description: 'The message is kept nowhere. The table and the policy in force are used.',
      tag: 'mappings',
      access: 'preview.use',
      params: projectParams,
      query: previewQuery,
      body: { stream: ['message/rfc822'], maxBytes: MAX_MESSAGE_BYTES },
      changesNothing: true,
      responses: { 200: { description: 'What it would become', schema: previewSchema } },
      handler: async (context) => {
        const { query, read, request } = context
        const place = placeOf(context)
        if (running >= MAX_AT_ONCE)
          throw new Problem('unavailable', { retryAfter: 2, detail: 'Others are looking at previews just now.' })
        running++
        try {
          const { policy, ownDomains, keys } = await read(async (tx) => ({
            policy: await projectPolicy(tx, place),
            ownDomains: (await acceptedDomains(tx, place)).domains,
            keys: await activeDkimDomains(tx, place),
          }))
          const table = await tables.current(place.organisation, place.project)
          const { direction } = query
          const smtpUtf8 = query.smtpUtf8 === 'true'
          const envelope = readEnvelope(query, smtpUtf8)
          const options = { direction, table, policy, smtpUtf8, envelope, ownDomains }
          const preview = await previewMessage(boundedBody(request, MAX_MESSAGE_BYTES), options)
          return { status: 200, body: { direction, revision: table.version, ...(await shownPreview(preview, keys)) } }
        } finally {
          running--
        }
      },
    }),
  ]
}

/** undefined where the query names no path. */
function readEnvelope(
  { reversePath, forwardPath = [] }: z.output<typeof previewQuery>,
  smtpUtf8: boolean,
): Envelope | undefined {
  const paths = typeof forwardPath === 'string' ? [forwardPath] : forwardPath
  if (reversePath === undefined && paths.length === 0) return undefined
  return {
    reversePath: reversePath ?? '',
    parameters: smtpUtf8 ? { SMTPUTF8: true } : {},
    forwardPaths: paths.map((forward) => ({ path: forward, parameters: {} })),
  }
}

async function shownPreview(
  preview: Preview,
  keys: ReadonlySet<string>,
): Promise<Partial<z.output<typeof previewSchema>>> {
  if (preview.kind === 'refused') {
    const { code, status, reason } = preview
    return { refusal: { code, status, reason } }
  }
  const { before, after, report, signatures, fromDomains } = preview
  const signedFor = fromDomains.map((domain) => normaliseDomain(domain) ?? '').find((domain) => keys.has(domain))
  return {
    before: await shownMessage(before),
    after: await shownMessage(after),
    ...(report.envelope && { envelope: structuredClone(report.envelope) as z.output<typeof envelopeSchema> }),
    changes: report.changes.slice(0, MAX_SHOWN_CHANGES).map((change) => ({ ...change })),
    changeCount: report.changeCount,
    codes: [...report.codes],
    signatures: signatures.map(({ because, ...verdict }) => ({ ...verdict, because: [...because] })),
    ...(signedFor === undefined ? {} : { signedFor }),
  }
}

async function shownMessage({
  header,
  bytes,
  sha256,
  chunks,
}: PreviewedMessage): Promise<z.output<typeof messageSchema>> {
  return { header: header.slice(0, MAX_SHOWN_HEADER), bytes, sha256, view: await viewMessage(chunks) }
}
