// Throws random valid and invalid requests at every operation of an OpenAPI document and holds every answer against it: no 5xx, no undeclared
// status, no body that its schema doesn't allow. Independent of the server's own checks: Ajv judges.
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc from 'fast-check'
import { anyJson, brokenValue, validValue } from './openapi-values.ts'
import type { Document, Schema } from './openapi-values.ts'

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly schema: Schema
}

export interface Operation {
  readonly operationId: string
  readonly method: string
  /** With `{names}`. */
  readonly path: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >
}

export interface ApiDocument extends Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Omit<Operation, 'method' | 'path'>>>>>
}

export interface FuzzedRequest {
  readonly operation: Operation
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

export interface FuzzedAnswer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

export function operationsOf(document: ApiDocument): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
  )
}

/** @param real  values of path parameters that exist, by name */
export function requestsFor(
  operation: Operation,
  document: ApiDocument,
  real: Readonly<Record<string, readonly string[]>>,
): fc.Arbitrary<FuzzedRequest> {
  const parameters = operation.parameters ?? []
  const pathValues = parameters
    .filter((parameter) => parameter.in === 'path')
    .map(({ name }) => {
      const known = real[name] ?? []
      const invented = anyJson.map(
        (value) => encodeURIComponent(wellFormed(typeof value === 'string' ? value : JSON.stringify(value))) || 'x',
      )
      return known.length === 0
        ? invented
        : fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: invented })
    })
  const queryValues = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, schema, required }) =>
      fc
        .tuple(
          fc.oneof({ weight: 4, arbitrary: validValue(schema, document) }, { weight: 1, arbitrary: anyJson }),
          required === true ? fc.constant(true) : fc.boolean(),
        )
        .map(([value, isThere]): [string, unknown] | undefined => (isThere ? [name, value] : undefined)),
    )
  const [mediaType, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? []
  const body =
    content === undefined
      ? fc.constant(undefined)
      : mediaType === 'application/json'
        ? fc
            .oneof(validValue(content.schema, document), brokenValue(content.schema, document))
            .map((value) => JSON.stringify(value) ?? 'null')
        : fc.string({ maxLength: 300 })
  const ifMatch = parameters.some(({ name }) => name === 'If-Match')
    ? fc.constantFrom('*', '*', '*', '"1"', 'x', undefined)
    : fc.constant(undefined)
  return fc
    .record({ path: fc.tuple(...pathValues), query: fc.tuple(...queryValues), body, ifMatch })
    .map(({ path, query, body: text, ifMatch: tag }) => {
      let at = 0
      const filled = operation.path.replaceAll(/\{\w+\}/g, () => String(path[at++]))
      const search = new URLSearchParams(
        query
          .filter((pair) => pair !== undefined)
          .map(([name, value]): [string, string] => [
            name,
            wellFormed(typeof value === 'string' ? value : JSON.stringify(value)),
          ]),
      ).toString()
      return {
        operation,
        url: search === '' ? filled : `${filled}?${search}`,
        headers: {
          ...(text === undefined ? {} : { 'content-type': mediaType ?? '' }),
          ...(tag === undefined ? {} : { 'if-match': tag }),
        },
        body: text,
      }
    })
}

const wellFormed = (text: string): string => text.toWellFormed()

/** Judges answers of one document. */
export class AnswerJudge {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true })
  readonly #document: ApiDocument

  constructor(document: ApiDocument) {
    this.#document = document
    ;(addFormats as unknown as (ajv: Ajv2020) => void)(this.#ajv)
    this.#ajv.addSchema({ $id: 'https://document.invalid/', ...document })
  }

  /** What is wrong with the answer; undefined: nothing. */
  fault({ operation }: FuzzedRequest, { status, contentType, text }: FuzzedAnswer): string | undefined {
    if (status >= 500) return `${status}: ${text.slice(0, 500)}`
    const declared = operation.responses[String(status)]
    if (declared === undefined) return `status ${status} is not declared: ${text.slice(0, 300)}`
    const mediaType = contentType.split(';', 1)[0] ?? ''
    if (declared.content === undefined) return text === '' ? undefined : `${status} is declared without a body`
    if (declared.content[mediaType] === undefined) return `${status} came as ${mediaType || 'nothing'}`
    if (!/\bjson$/.test(mediaType)) return undefined
    const pointer = [
      'paths',
      operation.path,
      operation.method.toLowerCase(),
      'responses',
      status,
      'content',
      mediaType,
      'schema',
    ]
      .map((part) => encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1')))
      .join('/')
    const validate = this.#ajv.getSchema(`https://document.invalid/#/${pointer}`)
    if (validate === undefined) return `no schema for ${status} ${mediaType}`
    return validate(JSON.parse(text)) === true
      ? undefined
      : `${status} does not match its schema: ${this.#ajv.errorsText(validate.errors)}`
  }

  get operations(): Operation[] {
    return operationsOf(this.#document)
  }
}
