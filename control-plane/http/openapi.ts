// The API's description (OpenAPI 3.1), made of the very schemas that validate. (control-plane.md §1)
import { z } from 'zod'
import { createDocument } from 'zod-openapi'
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject, ZodOpenApiResponseObject } from 'zod-openapi'
import { PROBLEMS } from './problem.ts'
import type { ProblemName } from './problem.ts'
import { isChanging, isStreamBody } from './route.ts'
import type { AnyRoute } from './route.ts'

export const API_BASE = '/api/v1'

const problemSchema = z
  .looseObject({
    type: z.string().meta({ description: 'Stable: `/problems/<name>`. GET it to read the explanation.' }),
    title: z.string().meta({ description: 'Without data of the request.' }),
    status: z.int(),
    detail: z.string().optional(),
    faults: z
      .array(
        z.strictObject({
          pointer: z.string(),
          code: z.string(),
          detail: z.string(),
          line: z.int().optional(),
          column: z.int().optional(),
          existing: z.string().optional(),
          other: z.string().optional(),
        }),
      )
      .optional()
      .meta({ description: 'All faults of a request, each with the place as JSON pointer.' }),
    requestId: z.string(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' })

/** Path below the root. */
export function pathOf({ path }: Pick<AnyRoute, 'path'>): string {
  return path.startsWith('//') ? path.slice(1) : API_BASE + path
}

/** Problems that a route can answer, by what it declares. */
export function problemsOf(spec: AnyRoute): readonly ProblemName[] {
  const names = new Set<ProblemName>(['internal', 'too-many-requests', 'unavailable', ...(spec.problems ?? [])])
  if (spec.query !== undefined || spec.body !== undefined) names.add('bad-request')
  if (spec.params !== undefined) names.add('not-found')
  if (spec.access !== 'public') names.add('not-signed-in')
  if (spec.access !== 'public' && spec.access !== 'signed-in') names.add('forbidden')
  if (spec.method !== 'get' && spec.access !== 'public') names.add('cross-site')
  if (spec.body !== undefined) {
    names.add('unsupported-media-type')
    names.add('too-large')
    if (!isStreamBody(spec.body)) names.add('malformed-body')
  }
  if (spec.method === 'post' && isChanging(spec)) names.add('idempotency-key-reused').add('bad-request')
  if (spec.ifMatch !== undefined) names.add('stale-etag')
  if (spec.ifMatch === 'needed') names.add('etag-needed')
  if (spec.isDangerous === true) names.add('sign-in-again')
  return [...names]
}

export function describeApi(routes: readonly AnyRoute[], version: string): Record<string, unknown> {
  const paths: ZodOpenApiPathsObject = {}
  for (const spec of routes) {
    const path = pathOf(spec)
    paths[path] = { ...paths[path], [spec.method]: operation(spec) }
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Causeway',
      version,
      description: 'Microsoft 365 tenant-to-tenant mergers: organisations, mapping tables, relays.',
    },
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'An API key.' },
        session: { type: 'apiKey', in: 'cookie', name: '__Host-causeway', description: 'A browser session.' },
        relay: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'A relay: EdDSA, at most 60 s.' },
      },
    },
  }) as unknown as Record<string, unknown>
}

function operation(spec: AnyRoute): ZodOpenApiOperationObject {
  const headers = headerParameters(spec)
  return {
    operationId: spec.id,
    summary: spec.summary,
    ...(spec.description === undefined ? {} : { description: spec.description }),
    tags: [spec.tag],
    security: spec.access === 'public' ? [] : [{ apiKey: [] }, { session: [] }],
    'x-permission': spec.access,
    requestParams: {
      ...(spec.params === undefined ? {} : { path: spec.params as z.ZodObject }),
      ...(spec.query === undefined ? {} : { query: spec.query as z.ZodObject }),
      ...(headers === undefined ? {} : { header: headers }),
    },
    ...requestBody(spec),
    responses: responses(spec),
  }
}

function headerParameters(spec: AnyRoute): z.ZodObject | undefined {
  const shape: Record<string, z.ZodType> = {}
  if (spec.method === 'post' && isChanging(spec))
    shape['Idempotency-Key'] = z.string().max(128).optional().meta({ description: 'Makes a retry safe for 24 h.' })
  if (spec.ifMatch === 'needed') shape['If-Match'] = z.string().meta({ description: 'ETag of the version you change.' })
  if (spec.ifMatch === 'optional')
    shape['If-Match'] = z.string().optional().meta({ description: 'ETag of the version you change.' })
  return Object.keys(shape).length === 0 ? undefined : z.object(shape)
}

function requestBody({ body }: AnyRoute): Pick<ZodOpenApiOperationObject, 'requestBody'> {
  if (body === undefined) return {}
  const content = isStreamBody(body)
    ? Object.fromEntries(body.stream.map((type) => [type, { schema: { type: 'string' as const, format: 'binary' } }]))
    : { 'application/json': { schema: body } }
  return { requestBody: { required: true, content } }
}

function responses(spec: AnyRoute): Record<string, ZodOpenApiResponseObject> {
  const described: Record<string, ZodOpenApiResponseObject> = {}
  for (const [status, { description, schema, contentType }] of Object.entries(spec.responses)) {
    const content =
      schema !== undefined
        ? { 'application/json': { schema } }
        : contentType !== undefined
          ? Object.fromEntries(
              [contentType]
                .flat()
                .map((type) => [type, { schema: /\bjson$/.test(type) ? {} : { type: 'string' as const } }]),
            )
          : undefined
    described[status] = { description, ...(content === undefined ? {} : { content }) }
  }
  for (const name of problemsOf(spec)) {
    const [status, title] = PROBLEMS[name]
    const before = described[String(status)]
    const description =
      before === undefined ? `/problems/${name}: ${title}` : `${before.description}; /problems/${name}: ${title}`
    described[String(status)] = {
      ...before,
      description,
      content: { ...before?.content, 'application/problem+json': { schema: problemSchema } },
    }
  }
  return described
}
