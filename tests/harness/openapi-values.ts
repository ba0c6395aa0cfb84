// Values for an OpenAPI 3.1 document: valid ones from a schema, and broken ones made of valid ones. For throwing at every route.
import fc from 'fast-check'

export interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly propertyNames?: Schema
  readonly items?: Schema
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly example?: unknown
  readonly examples?: readonly unknown[]
}

export interface Document {
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> }
}

const MAX_DEPTH = 5
const HOSTILE = [
  '',
  ' ',
  '\0',
  "'; drop table organisation; --",
  '<script>alert(1)</script>',
  '=1+1',
  '\u202e',
  '../../etc/passwd',
  '%00',
  '__proto__',
  'a'.repeat(5_000),
  '😀',
  '\ud800',
  'null',
  '-1',
  '1e400',
  '9007199254740993',
]

/** Anything that JSON can hold, hostile texts among it. */
export const anyJson = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<unknown>(...HOSTILE, null, true, 0, -1, 1e21, 2 ** 53, 0.5, [], {}) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
)

/** Values that the schema allows, as far as formats and patterns can be made. */
export function validValue(schema: Schema, document: Document, depth = 0): fc.Arbitrary<unknown> {
  const inner = (part: Schema) => validValue(part, document, depth + 1)
  if (schema.$ref !== undefined) return inner(resolve(schema.$ref, document))
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const [firstExample] = schema.examples ?? (schema.example === undefined ? [] : [schema.example])
  if (firstExample !== undefined) return fc.constantFrom(...(schema.examples ?? [schema.example]))
  const choices = schema.anyOf ?? schema.oneOf
  if (choices !== undefined) return fc.oneof(...choices.map(inner))
  if (schema.allOf !== undefined) {
    return fc.tuple(...schema.allOf.map(inner)).map((parts) => Object.assign({}, ...(parts as object[])) as unknown)
  }
  const [type] = Array.isArray(schema.type) ? (schema.type as string[]) : [schema.type as string | undefined]
  switch (type) {
    case 'string':
      return stringOf(schema)
    case 'integer':
      return fc.integer({ min: lowest(schema, -1000), max: highest(schema, 1000) })
    case 'number':
      return fc.double({ min: lowest(schema, -1000), max: highest(schema, 1000), noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array': {
      const maxLength =
        depth > MAX_DEPTH ? (schema.minItems ?? 0) : Math.min(schema.maxItems ?? 3, (schema.minItems ?? 0) + 3)
      return fc.array(inner(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength })
    }
    case 'object':
      return objectOf(schema, document, depth)
    default:
      return anyJson
  }
}

/** Mostly invalid: a valid value with a part replaced, dropped or added, or something else altogether. */
export function brokenValue(schema: Schema, document: Document): fc.Arbitrary<unknown> {
  const broken = fc
    .tuple(validValue(schema, document), anyJson, fc.nat(), fc.constantFrom('replace', 'drop', 'add', 'duplicate'))
    .map(([value, other, place, how]) => damage(value, other, place, how))
  return fc.oneof({ weight: 4, arbitrary: broken }, { weight: 1, arbitrary: anyJson })
}

function damage(value: unknown, other: unknown, place: number, how: string): unknown {
  if (typeof value !== 'object' || value === null) return other
  const keys = Object.keys(value)
  const key = keys[place % Math.max(1, keys.length)]
  if (Array.isArray(value)) {
    const items = value as unknown[]
    if (how === 'duplicate') return [...items, ...items]
    if (key === undefined) return [other]
    return items.map((item, i) => (String(i) === key ? damage(item, other, Math.floor(place / 3), how) : item))
  }
  const members = value as Record<string, unknown>
  if (key === undefined || how === 'add') return { ...members, [`unknown${place % 7}`]: other }
  const { [key]: member, ...rest } = members
  if (how === 'drop') return rest
  const isDeeper = typeof member === 'object' && member !== null && place % 2 === 0
  return { ...rest, [key]: isDeeper ? damage(member, other, Math.floor(place / 3), how) : other }
}

function objectOf(schema: Schema, document: Document, depth: number): fc.Arbitrary<unknown> {
  const properties = Object.entries(schema.properties ?? {})
  const required = new Set(schema.required)
  const kept = depth > MAX_DEPTH ? properties.filter(([name]) => required.has(name)) : properties
  const model = Object.fromEntries(kept.map(([name, part]) => [name, validValue(part, document, depth + 1)]))
  const record = fc.record(model, { requiredKeys: kept.map(([name]) => name).filter((name) => required.has(name)) })
  if (typeof schema.additionalProperties !== 'object' || depth > MAX_DEPTH) return record
  const more = fc.dictionary(
    fc.stringMatching(/^[a-z]{1,8}$/),
    validValue(schema.additionalProperties, document, depth + 1),
    { maxKeys: 2 },
  )
  return fc.tuple(record, more).map(([some, others]) => ({ ...others, ...some }))
}

function stringOf({ format, pattern, minLength = 0, maxLength = 40 }: Schema): fc.Arbitrary<string> {
  switch (format) {
    case 'date-time':
      return fc
        .date({ min: new Date('2020-01-01'), max: new Date('2030-01-01'), noInvalidDate: true })
        .map((date) => date.toISOString())
    case 'uri':
      return fc.constantFrom('https://hooks.example.com/x', 'https://example.org/')
    case 'uuid':
      return fc.uuid()
    case 'email':
      return fc.constantFrom('ann@contoso.com', 'ben@fabrikam.com')
  }
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern))
  const most = Math.max(minLength, Math.min(maxLength, minLength + 40))
  return fc.oneof(
    fc.string({ minLength, maxLength: most }),
    fc.constantFrom(
      ...HOSTILE.filter((text) => text.length >= minLength && text.length <= maxLength),
      'a'.repeat(Math.max(1, minLength)),
    ),
  )
}

const lowest = ({ minimum, exclusiveMinimum }: Schema, otherwise: number): number =>
  Math.max(
    minimum ?? -1e9,
    exclusiveMinimum === undefined ? -1e9 : exclusiveMinimum + 1,
    minimum === undefined && exclusiveMinimum === undefined ? otherwise : -1e9,
  )
const highest = ({ maximum, exclusiveMaximum }: Schema, otherwise: number): number =>
  Math.min(
    maximum ?? 1e9,
    exclusiveMaximum === undefined ? 1e9 : exclusiveMaximum - 1,
    maximum === undefined && exclusiveMaximum === undefined ? Math.max(otherwise, 1000) : 1e9,
  )

export function resolve(ref: string, document: Document): Schema {
  const schema = document.components?.schemas?.[ref.replace('#/components/schemas/', '')]
  if (schema === undefined) throw new Error(`${ref} is not in the document`)
  return schema
}
