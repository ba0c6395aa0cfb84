// graph-schema.json as checkers, one per type, made when first asked for. A value that is right costs no memory to check: what is wrong is gathered
// on the way back only.
import { primitiveTest } from './primitive-types.ts'
import type { ViolationRule } from './violation.ts'

export interface Problem {
  readonly rule: ViolationRule
  /** From the value checked: `value[3].manager.id`; empty: the value itself. */
  readonly path: string
  readonly message: string
}

/** @param depth  of the value in its document. @returns undefined when all is right */
export type Checker = (value: unknown, depth: number) => readonly Problem[] | undefined

/** As the file has it. */
export interface GraphSchemaFile {
  readonly types: Readonly<Record<string, TypeFile>>
}

interface TypeFile {
  readonly kind: 'entity' | 'complex' | 'enum'
  readonly base?: string
  readonly open?: boolean
  readonly flags?: boolean
  readonly members?: readonly string[]
  readonly props?: Readonly<Record<string, string>>
  readonly nav?: Readonly<Record<string, string>>
}

interface ObjectType {
  readonly name: string
  /** With those of its bases. */
  readonly members: ReadonlyMap<string, Checker>
  readonly takesMember: (name: string) => boolean
}

const MAX_DEPTH = 64
const MAX_PROBLEMS = 20

export class GraphSchema {
  readonly #types: ReadonlyMap<string, TypeFile>
  /** `oauth2permissiongrant` → `oAuth2PermissionGrant`: generated code and schema spell some differently. */
  readonly #spelling: ReadonlyMap<string, string>
  readonly #derived = new Map<string, string[]>()
  readonly #checkers = new Map<string, Checker>()
  readonly #objectTypes = new Map<string, ObjectType>()
  readonly #selectable = new Map<string, ReadonlySet<string>>()
  readonly #inline = new WeakMap<object, Checker>()

  constructor(file: GraphSchemaFile) {
    this.#types = new Map(Object.entries(file.types))
    this.#spelling = new Map([...this.#types.keys()].map((name) => [name.toLowerCase(), name]))
    for (const [name, { base }] of this.#types) {
      if (base !== undefined) this.#derived.set(base, [...(this.#derived.get(base) ?? []), name])
    }
  }

  /** @param type  `user`, `Collection(String)!`, `microsoft.graph.group`. A type that the schema does not have takes any object. */
  checker(type: string): Checker {
    let checker = this.#checkers.get(type)
    if (checker === undefined) {
      checker = this.#newChecker(type)
      this.#checkers.set(type, checker)
    }
    return checker
  }

  /** Of an object that has these members and no other; a type with `!` has to be there. */
  inlineChecker(members: Readonly<Record<string, string>>): Checker {
    let checker = this.#inline.get(members)
    if (checker === undefined) {
      checker = this.#newInlineChecker(members)
      this.#inline.set(members, checker)
    }
    return checker
  }

  /** Members that may be asked for of this type or of one derived from it; undefined: the schema does not have it. */
  selectable(type: string): ReadonlySet<string> | undefined {
    const name = this.#nameOf(type)
    if (name === undefined) return undefined
    let names = this.#selectable.get(name)
    if (names === undefined) {
      const all = [name, ...this.#descendants(name)]
      names = new Set(all.flatMap((each) => [...this.#objectType(each).members.keys()]))
      this.#selectable.set(name, names)
    }
    return names
  }

  /** Properties of a type and its bases, with their types as published (`Collection(String)!`); empty: the schema does not have it. */
  propertyTypes(type: string): ReadonlyMap<string, string> {
    const name = this.#nameOf(type)
    const found = new Map<string, string>()
    if (name === undefined) return found
    for (const { props } of this.#line(name)) {
      for (const [member, its] of Object.entries(props ?? {})) found.set(member, its)
    }
    return found
  }

  #newChecker(type: string): Checker {
    if (type.endsWith('!')) return this.#bare(type.slice(0, -1))
    const bare = this.#bare(type)
    return (value, depth) => (value === null ? undefined : bare(value, depth))
  }

  #bare(type: string): Checker {
    const element = elementType(type)
    if (element !== undefined) return listChecker(this.checker(`${element.replace(/!$/, '')}!`))
    const test = primitiveTest(type)
    if (test !== undefined) {
      const wrong = [{ rule: 'wrong-type', path: '', message: `has to be ${type}` }] as const
      return (value) => (value !== null && test(value) ? undefined : wrong)
    }
    const name = this.#nameOf(type)
    if (name === undefined) return anyObject
    const declared = this.#types.get(name)
    return declared?.kind === 'enum' ? enumChecker(name, declared) : this.#objectChecker(name)
  }

  #objectChecker(name: string): Checker {
    let declared: ObjectType | undefined
    return (value, depth) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrongType(name)
      if (depth > MAX_DEPTH) return [{ rule: 'wrong-type', path: '', message: 'nested too deep' }]
      declared ??= this.#objectType(name)
      const called = (value as Record<string, unknown>)['@odata.type']
      if (called === undefined) return checkMembers(declared, value, depth)
      const actual = this.#actualType(name, called)
      if (actual !== undefined) return checkMembers(actual, value, depth)
      return [{ rule: 'unknown-type', path: '@odata.type', message: `has to be ${name} or a type derived from it` }]
    }
  }

  /** @param called  `#microsoft.graph.user` */
  #actualType(declared: string, called: unknown): ObjectType | undefined {
    if (typeof called !== 'string' || !/^#?microsoft\.graph\./.test(called)) return undefined
    const name = called.replace(/^#?microsoft\.graph\./, '')
    return this.#isA(name, declared) ? this.#objectType(name) : undefined
  }

  #isA(name: string, ancestor: string): boolean {
    for (let at: string | undefined = name; at !== undefined; at = this.#types.get(at)?.base) {
      if (!this.#types.has(at)) return false
      if (at === ancestor) return true
    }
    return false
  }

  #descendants(name: string): string[] {
    return (this.#derived.get(name) ?? []).flatMap((each) => [each, ...this.#descendants(each)])
  }

  #objectType(name: string): ObjectType {
    let type = this.#objectTypes.get(name)
    if (type === undefined) {
      const line = [...this.#line(name)]
      const members = new Map<string, Checker>()
      for (const { props, nav } of line) {
        for (const [member, its] of Object.entries({ ...nav, ...props })) members.set(member, this.checker(its))
      }
      const isOpen = line.some(({ open }) => open === true)
      // A directory object is open for the extensions that a tenant registered, which all have an underscore in their name; a misspelt
      // member is refused (400).
      const takesOthers = !isOpen ? () => false : this.#isA(name, 'directoryObject') ? isExtensionName : () => true
      type = { name, members, takesMember: takesOthers }
      this.#objectTypes.set(name, type)
    }
    return type
  }

  *#line(name: string): Generator<TypeFile> {
    for (let at: string | undefined = name; at !== undefined;) {
      const type = this.#types.get(at)
      if (type === undefined) return
      yield type
      at = type.base
    }
  }

  #newInlineChecker(types: Readonly<Record<string, string>>): Checker {
    const members = new Map(Object.entries(types).map(([name, type]) => [name, this.checker(type)]))
    const required = Object.keys(types).filter((name) => types[name]?.endsWith('!'))
    const type: ObjectType = { name: 'the parameters', members, takesMember: () => false }
    return (value, depth) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrongType('an object')
      const missing = required
        .filter((name) => !Object.hasOwn(value, name))
        .map((path): Problem => ({ rule: 'missing-member', path, message: 'has to be there' }))
      const wrong = checkMembers(type, value, depth)
      return missing.length === 0 ? wrong : [...missing, ...(wrong ?? [])]
    }
  }

  #nameOf(type: string): string | undefined {
    return this.#spelling.get(
      type
        .replace(/^#?microsoft\.graph\./, '')
        .replace(/!$/, '')
        .toLowerCase(),
    )
  }
}

/** `X` of `Collection(X)`, with or without `!`; undefined: no collection. */
export function elementType(type: string): string | undefined {
  return /^Collection\((.+)\)!?$/.exec(type)?.[1]
}

function checkMembers(type: ObjectType, value: object, depth: number): readonly Problem[] | undefined {
  let problems: Problem[] | undefined
  for (const name of Object.keys(value)) {
    const checker = type.members.get(name)
    const wrong =
      checker === undefined ? unknownMember(type, name) : checker((value as Record<string, unknown>)[name], depth + 1)
    if (wrong !== undefined) problems = gather(problems, shown(name), wrong)
    if (problems !== undefined && problems.length >= MAX_PROBLEMS) return problems
  }
  return problems
}

const UNKNOWN_MEMBER: readonly Problem[] = [
  { rule: 'unknown-member', path: '', message: 'the type has no such member' },
]

function unknownMember({ members, takesMember }: ObjectType, name: string): readonly Problem[] | undefined {
  const at = name.indexOf('@')
  // Annotations: of the object, by OData, or of a member (`members@delta`).
  if (at === 0 || name.includes('@odata.') || (at > 0 && members.has(name.slice(0, at)))) return undefined
  return takesMember(name) ? undefined : UNKNOWN_MEMBER
}

function listChecker(element: Checker): Checker {
  return (value, depth) => {
    if (!Array.isArray(value)) return wrongType('a list')
    let problems: Problem[] | undefined
    for (let index = 0; index < value.length; index++) {
      const wrong = element(value[index], depth + 1)
      if (wrong !== undefined) problems = gather(problems, `[${index}]`, wrong)
      if (problems !== undefined && problems.length >= MAX_PROBLEMS) return problems
    }
    return problems
  }
}

function enumChecker(name: string, { members = [], flags = false }: TypeFile): Checker {
  const known = new Set(members)
  const wrong: readonly Problem[] = [{ rule: 'unknown-enum-member', path: '', message: `is no member of ${name}` }]
  return (value) => {
    if (typeof value !== 'string') return wrongType(name)
    if (known.has(value)) return undefined
    return flags && value.split(',').every((each) => known.has(each.trim())) ? undefined : wrong
  }
}

function anyObject(value: unknown): readonly Problem[] | undefined {
  return typeof value === 'object' && value !== null ? undefined : wrongType('an object')
}

function wrongType(wanted: string): readonly Problem[] {
  return [{ rule: 'wrong-type', path: '', message: `has to be ${wanted}` }]
}

function gather(problems: Problem[] | undefined, name: string, wrong: readonly Problem[]): Problem[] {
  const all = problems ?? []
  for (const { rule, path, message } of wrong) {
    const between = path === '' || path.startsWith('[') ? '' : '.'
    all.push({ rule, message, path: `${name}${between}${path}`.slice(0, 300) })
  }
  return all
}

/** A hostile name is as long as it likes. */
function shown(name: string): string {
  return name.length > 60 ? `${name.slice(0, 60)}…` : name
}

/** `extension_{appid}_{name}`, and schema extensions: `ext…_name`, `contoso_name`. */
export function isExtensionName(name: string): boolean {
  return /^[a-z][a-z\d]*_\w+$/i.test(name)
}
