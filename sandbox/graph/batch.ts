// POST /$batch: up to twenty requests in one, each judged, charged and answered by itself; those that depend on others wait for them ("Combine
// multiple HTTP requests using JSON batching").
import { json } from './graph-call.ts'
import type { GraphAnswer, GraphCall, GraphHandler } from './graph-call.ts'
import { GraphFault, badRequest } from './graph-error.ts'

interface Step {
  readonly id: string
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
  readonly dependsOn: readonly string[]
}

const MAX_STEPS = 20

export const batchHandlers: Readonly<Record<string, GraphHandler>> = {
  'POST /$batch': async (call) => {
    const steps = readSteps(call.body)
    const answers = new Map<string, GraphAnswer>()
    for (const step of steps) answers.set(step.id, await answerStep(call, step, answers))
    const broken = [...answers.values()].find(({ breaks }) => breaks !== undefined)?.breaks
    // In any order, and clients are not to rely on one: here the last comes first.
    const responses = steps.toReversed().map(({ id }) => stepAnswer(id, answers.get(id)))
    return { ...json({ responses }), ...(broken === undefined ? {} : { breaks: broken }) }
  },
}

async function answerStep(
  call: GraphCall,
  step: Step,
  answers: ReadonlyMap<string, GraphAnswer>,
): Promise<GraphAnswer> {
  const failed = step.dependsOn.some((id) => (answers.get(id)?.status ?? 500) >= 400)
  if (failed) return fault(new GraphFault(424, 'FailedDependency', 'A request that it depends on has failed.'))
  if (/^\/?\$batch\b/.test(step.url)) return fault(badRequest('A batch may not hold another one.'))
  const url = step.url.startsWith('/') ? step.url : `/${step.url}`
  return call.dispatch({ method: step.method, url, headers: step.headers, body: step.body })
}

function fault({ status, code, message }: GraphFault): GraphAnswer {
  return json({ error: { code, message } }, status)
}

function stepAnswer(id: string, answer: GraphAnswer | undefined): Record<string, unknown> {
  if (answer === undefined) throw new Error('unreachable: every step was answered')
  const { status, headers = {}, content } = answer
  const shown = Object.fromEntries(Object.entries(headers).map(([name, value]) => [headerName(name), value]))
  switch (content.kind) {
    case 'json':
      return { id, status, headers: { ...shown, 'Content-Type': 'application/json' }, body: content.body }
    case 'text':
      return {
        id,
        status,
        headers: { ...shown, 'Content-Type': content.type },
        body: Buffer.from(content.text).toString('base64'),
      }
    case 'none':
      return { id, status, headers: shown }
    default:
      return content satisfies never
  }
}

/** `retry-after` → `Retry-After` */
function headerName(name: string): string {
  return name.startsWith('x-ms') ? name : name.replaceAll(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())
}

/** In the order in which they run. @throws GraphFault 400 */
function readSteps(body: unknown): readonly Step[] {
  const requests = isObject(body) ? body['requests'] : undefined
  if (!Array.isArray(requests) || requests.length === 0) throw badRequest('Invalid batch payload format.')
  if (requests.length > MAX_STEPS) {
    throw badRequest(`Number of batch request steps exceeds the maximum value of ${MAX_STEPS}.`)
  }
  const steps = requests.map(readStep)
  const known = new Set<string>()
  for (const { id, dependsOn } of steps) {
    if (known.has(id)) throw badRequest('Request Id has to be unique in a batch.')
    // Only what stands before: so that nothing waits for itself.
    if (dependsOn.some((each) => !known.has(each))) throw badRequest('Invalid dependsOn in a batch.')
    known.add(id)
  }
  return steps
}

function readStep(step: unknown): Step {
  if (!isObject(step)) throw badRequest('Invalid batch payload format.')
  const { id, method, url, headers = {}, body, dependsOn = [] } = step
  const isWhole = typeof id === 'string' && id !== '' && typeof method === 'string' && typeof url === 'string'
  if (!isWhole || !isObject(headers) || !Array.isArray(dependsOn)) throw badRequest('Invalid batch payload format.')
  const texts = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)])
  return {
    id,
    method,
    url,
    headers: Object.fromEntries(texts) as Record<string, string>,
    body,
    dependsOn: dependsOn.map(String),
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
