// The bodies of Graph, both ways, by their published types.
import type { Contracts } from './contracts.ts'
import type { GraphOperation, PublishedOperation } from './graph-paths.ts'
import { elementType } from './graph-schema.ts'
import type { Checker, GraphSchema, Problem } from './graph-schema.ts'
import { primitiveTest } from './primitive-types.ts'
import type { Violation, ViolationRule } from './violation.ts'

/** A step of a batch: JSON batching, graph-paths.json at POST /$batch. */
const BATCH: Readonly<Record<string, string>> = { requests: 'Collection(batchRequestStep)!' }
const BATCH_STEP: Readonly<Record<string, string>> = {
  id: 'String!',
  method: 'String!',
  url: 'String!',
  headers: 'Map',
  body: 'Object',
  dependsOn: 'Collection(String)',
}
const MAX_BATCH = 20

export function judgeRequestBody(
  schema: GraphSchema,
  operation: PublishedOperation,
  body: unknown,
  contentType: string | undefined,
): Violation[] {
  const { requestType, requestBody, requestContentTypes } = operation
  if (requestType === undefined && requestBody === undefined) {
    return body === undefined || isEmptyObject(body) ? [] : [wrong('body-not-taken', '', 'the operation takes no body')]
  }
  const isOctets = requestContentTypes.includes('application/octet-stream')
  const given = contentType?.split(';')[0]?.trim().toLowerCase()
  if (isOctets) {
    return body === undefined ? [wrong('missing-member', '', 'the operation is nothing without a body')] : []
  }
  if (given !== undefined && given !== 'application/json') {
    const isTaken = requestContentTypes.includes(given)
    return isTaken ? [] : [wrong('body-not-taken', 'content-type', 'the operation takes JSON')]
  }
  if (body === undefined) {
    const isNeeded = requestBody === undefined || Object.values(requestBody).some((type) => type.endsWith('!'))
    return isNeeded ? [wrong('missing-member', '', 'the operation is nothing without a body')] : []
  }
  if (operation.name === 'POST /$batch') return judgeBatch(schema, body)
  const checker =
    requestBody === undefined ? requestChecker(schema, requestType ?? '') : schema.inlineChecker(requestBody)
  return violationsOf(checker(body, 0))
}

export function judgeAnswerBody(
  { schema, graph }: Pick<Contracts, 'schema' | 'graph'>,
  operation: GraphOperation | undefined,
  status: number,
  body: unknown,
): Violation[] {
  if (status >= 400) return violationsOf(checkError(body))
  if (status >= 300) return []
  if (operation === undefined) {
    return [wrong('unknown-operation', '', 'an operation that does not exist was answered with success')]
  }
  // 201, 202 and 204 may come without.
  if (body === undefined) {
    const isList = operation.responseType !== undefined && elementType(operation.responseType) !== undefined
    return status === 200 && isList ? [wrong('missing-member', 'value', 'has to be there')] : []
  }
  const inline = graph.published(operation.name)?.responseBody
  if (inline !== undefined) return violationsOf(checkBatchAnswer(body))
  if (operation.responseType === undefined) {
    return isEmptyObject(body) ? [] : [wrong('body-not-taken', '', 'the operation answers without a body')]
  }
  return violationsOf(answerChecker(schema, operation.responseType)(body, 0))
}

const answerCheckers = new WeakMap<GraphSchema, Map<string, Checker>>()

function answerChecker(schema: GraphSchema, type: string): Checker {
  let ofSchema = answerCheckers.get(schema)
  if (ofSchema === undefined) answerCheckers.set(schema, (ofSchema = new Map()))
  let checker = ofSchema.get(type)
  if (checker === undefined) ofSchema.set(type, (checker = newAnswerChecker(schema, type)))
  return checker
}

function newAnswerChecker(schema: GraphSchema, type: string): Checker {
  // Bytes, and reports, which are text: no JSON to check.
  if (type === 'Stream') return () => undefined
  if (type === 'number') {
    return (value) =>
      /^\d{1,10}$/.test(String(value)) ? undefined : [{ rule: 'wrong-type', path: '', message: 'has to be a count' }]
  }
  const element = elementType(type)
  if (element?.toLowerCase() === 'string') return wrapped(textOrReference)
  if (element !== undefined) return wrapped(schema.checker(`Collection(${element})!`))
  if (primitiveTest(type) !== undefined) return wrapped(schema.checker(type === 'string' ? 'String' : type))
  return schema.checker(`${type}!`)
}

/** `{ value: … }` and annotations. */
function wrapped(value: Checker): Checker {
  return (body, depth) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      return [{ rule: 'wrong-type', path: '', message: 'has to be an object with value' }]
    }
    if (!Object.hasOwn(body, 'value')) return [{ rule: 'missing-member', path: 'value', message: 'has to be there' }]
    const problems: Problem[] = []
    for (const [name, member] of Object.entries(body)) {
      if (name === 'value') {
        for (const { rule, path, message } of value(member, depth + 1) ?? []) {
          problems.push({ rule, message, path: path.startsWith('[') || path === '' ? `value${path}` : `value.${path}` })
        }
      } else if (!name.startsWith('@')) {
        problems.push({
          rule: 'unknown-member',
          path: name.slice(0, 60),
          message: 'a list has value and annotations only',
        })
      }
    }
    return problems.length === 0 ? undefined : problems
  }
}

/** Lists of strings; of `$ref` the service answers objects with `@odata.id`. */
function textOrReference(value: unknown): readonly Problem[] | undefined {
  const isOne = (each: unknown) =>
    typeof each === 'string' || (isObject(each) && Object.keys(each).every((name) => name.startsWith('@odata.')))
  if (Array.isArray(value) && value.every(isOne)) return undefined
  return [{ rule: 'wrong-type', path: '', message: 'has to be a list of strings' }]
}

function requestChecker(schema: GraphSchema, type: string): Checker {
  // `{"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/{id}"}`: what to point at, and nothing else.
  if (type === 'referenceCreate' || type === 'referenceUpdate') {
    return (value) => {
      const isReference = isObject(value) && typeof value['@odata.id'] === 'string'
      if (!isReference) return [{ rule: 'missing-member', path: '@odata.id', message: 'has to be there' }]
      const others = Object.keys(value).filter((name) => !name.startsWith('@odata.'))
      if (others.length === 0) return undefined
      return others.map((name) => ({
        rule: 'unknown-member',
        path: name.slice(0, 60),
        message: 'a reference has none',
      }))
    }
  }
  return schema.checker(`${type}!`)
}

function judgeBatch(schema: GraphSchema, body: unknown): Violation[] {
  const { requests: _, ...others } = isObject(body) ? body : {}
  const steps = isObject(body) ? body['requests'] : undefined
  const outer = schema.inlineChecker({ ...BATCH, requests: 'Collection(Object)!' })({ ...others, requests: steps }, 0)
  if (!Array.isArray(steps)) return violationsOf(outer)
  if (steps.length === 0 || steps.length > MAX_BATCH) {
    return [wrong('wrong-type', 'requests', `a batch has 1 to ${MAX_BATCH} requests`)]
  }
  const step = schema.inlineChecker(BATCH_STEP)
  const inner = steps.flatMap((each, index) =>
    (step(each, 1) ?? []).map((problem) => ({ ...problem, path: `requests[${index}].${problem.path}` })),
  )
  return violationsOf([...(outer ?? []), ...inner])
}

/** What an inner answer says is judged by the operation that it answers. */
function checkBatchAnswer(body: unknown): readonly Problem[] | undefined {
  const responses = isObject(body) ? body['responses'] : undefined
  const isOne = (each: unknown) => isObject(each) && typeof each['id'] === 'string' && Number.isInteger(each['status'])
  if (Array.isArray(responses) && responses.every(isOne)) return undefined
  return [{ rule: 'wrong-type', path: 'responses', message: 'has to be a list of answers with id and status' }]
}

/** The envelope of graph-errors.json. */
function checkError(body: unknown): readonly Problem[] | undefined {
  const error = isObject(body) ? body['error'] : undefined
  if (!isObject(error)) return [{ rule: 'missing-member', path: 'error', message: 'an error comes in an envelope' }]
  const problems: Problem[] = []
  for (const name of ['code', 'message']) {
    if (typeof error[name] !== 'string') {
      problems.push({ rule: 'wrong-type', path: `error.${name}`, message: 'has to be a string' })
    }
  }
  for (const name of Object.keys(error)) {
    if (!['code', 'message', 'innerError', 'details', 'target'].includes(name)) {
      problems.push({
        rule: 'unknown-member',
        path: `error.${name.slice(0, 60)}`,
        message: 'the envelope has no such member',
      })
    }
  }
  return problems.length === 0 ? undefined : problems
}

function violationsOf(problems: readonly Problem[] | undefined): Violation[] {
  return (problems ?? []).map(({ rule, path, message }) => wrong(rule, path, message))
}

function wrong(rule: ViolationRule, where: string, message: string): Violation {
  return { rule, where, message, status: 400 }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isEmptyObject(value: unknown): boolean {
  return isObject(value) && Object.keys(value).length === 0
}
