// Reads one YAML or JSON file into a typed value, or says every fault at once: file, line, path, value and the rule it breaks.
// A setting is declared once, with its form, default and reason; the documentation is made from the same declaration.
import { Document, isAlias, isCollection, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Node } from 'yaml'
import { SettingsFault } from './settings-fault.ts'
import type { FaultPlace } from './settings-fault.ts'

/** What a reader gives instead of a value after it has told its fault. */
export const FAULTY: unique symbol = Symbol('faulty')
export type Faulty = typeof FAULTY

/** A place in the file: `node` is undefined where a key is missing and its default is being made. */
export interface Place {
  readonly node: Node | undefined
  readonly path: string
}

/** Collects the faults of one file. */
export class Reading {
  readonly file: string
  readonly faults: FaultPlace[] = []
  readonly #document: Document
  readonly #lines: LineCounter

  constructor(file: string, document: Document, lines: LineCounter) {
    this.file = file
    this.#document = document
    this.#lines = lines
  }

  /** What stands there as JSON would say it: for values that another part of the product reads. */
  plain({ node }: Place): unknown {
    return node?.toJS(this.#document)
  }

  fault({ node, path }: Place, rule: string, value = shown(node)): Faulty {
    const offset = node?.range?.[0]
    this.faultAt(offset, path, value, rule)
    return FAULTY
  }

  /** A fault of something below `place`, by the keys and indices that lead there. What isn't written is shown where it is missing. */
  faultWithin(place: Place, keys: readonly (string | number)[], rule: string, value?: string): Faulty {
    let { node, path } = place
    for (const key of keys) {
      const child: unknown = isCollection(node) ? node.get(key, true) : undefined
      path = typeof key === 'number' ? `${path}[${key}]` : joinPath(path, key)
      if (!isNode(child)) return this.fault({ node, path }, rule, value ?? '')
      node = child
    }
    return this.fault({ node, path }, rule, value ?? shown(node))
  }

  /** Whether something stands there in the file, a default not counted. */
  isWritten({ node }: Place, keys: readonly string[]): boolean {
    let at: unknown = node
    for (const key of keys) {
      if (!isMap(at) || !at.has(key)) return false
      at = at.get(key, true)
    }
    return true
  }

  faultAt(offset: number | undefined, path: string, value: string, rule: string): void {
    const line = offset === undefined ? undefined : this.#lines.linePos(offset).line
    this.faults.push({ file: this.file, ...(line === undefined ? {} : { line }), path, value, rule })
  }
}

/** How one value is written. */
export interface Form<T> {
  /** For the documentation: `integer, 0 to 65535`. */
  readonly text: string
  /** Keys below it, or below each item of a list, for the documentation. */
  readonly settings?: Settings
  /** Written without a value it is empty: everything below it has its default. */
  readonly isSection?: boolean
  read(place: Place, reading: Reading): T | Faulty
}

/** One key: its form, why it is there, and what holds without it. */
export interface Setting<T> {
  readonly form: Form<T>
  readonly why: string
  /** Absent: the key must be there. */
  readonly fallback?: { readonly value: () => T; readonly text: string }
}

type Settings = Readonly<Record<string, Setting<unknown>>>
/** The typed value of a section. */
export type Values<S extends Settings> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never }

export function required<T>(form: Form<T>, why: string): Setting<T> {
  return { form, why }
}

/** @param text  how the documentation writes the default, where its JSON isn't it */
export function optional<T>(form: Form<T>, fallback: T, why: string, text = JSON.stringify(fallback)): Setting<T> {
  return { form, why, fallback: { value: () => fallback, text } }
}

/** A section that may be left out when each of its keys may. */
export function optionalSection<T>(form: Form<T>, why: string, text = 'as below'): Setting<T> {
  const value = (): T => {
    const read = form.read({ node: undefined, path: '' }, new Reading('', parseDocument(''), new LineCounter()))
    if (read === FAULTY) throw new Error('unreachable: a section of optional keys has a default')
    return read
  }
  return { form, why, fallback: { value, text } }
}

/**
 * A section with these keys and no others.
 * @param refusals  keys that are known but can't be honoured, with the reason
 */
export function section<S extends Settings>(
  settings: S,
  refusals: ReadonlyMap<string, string> = new Map(),
): Form<Values<S>> {
  return {
    text: 'section',
    settings,
    isSection: true,
    read(place, reading) {
      const found = new Map<string, Node | undefined>()
      if (!isSectionOrNothing(place.node)) {
        // The value isn't shown: a secret written where its file belongs must not reach a log (KM-5).
        return reading.fault(place, `must be a section with the keys ${Object.keys(settings).join(', ')}`, '')
      }
      let isFaulty = !collectKeys(place, settings, refusals, found, reading)
      const values = Object.entries(settings).map(([key, setting]) => {
        const value = readSetting(setting, key, place, found, reading)
        if (value === FAULTY) isFaulty = true
        return [key, value] as const
      })
      return isFaulty ? FAULTY : (Object.fromEntries(values) as Values<S>)
    },
  }
}

function isSectionOrNothing(node: Node | undefined): boolean {
  return node === undefined || isNothing(node) || isMap(node)
}

/** @returns whether all keys are known */
function collectKeys(
  place: Place,
  settings: Settings,
  refusals: ReadonlyMap<string, string>,
  found: Map<string, Node | undefined>,
  reading: Reading,
): boolean {
  const { node, path } = place
  if (!isMap(node)) return true
  let isSound = true
  for (const { key: keyNode, value } of node.items) {
    const key = isScalar(keyNode) ? String(keyNode.value) : ''
    const at = { node: nodeOf(keyNode), path: joinPath(path, key) }
    const refusal = refusals.get(key)
    if (refusal !== undefined) reading.fault(at, refusal, '')
    else if (!Object.hasOwn(settings, key)) reading.fault(at, unknownKey(settings), '')
    else {
      found.set(key, nodeOf(value))
      continue
    }
    isSound = false
  }
  return isSound
}

function unknownKey(settings: Settings): string {
  return `unknown key; known here: ${Object.keys(settings).join(', ')}`
}

function readSetting(
  setting: Setting<unknown>,
  key: string,
  parent: Place,
  found: ReadonlyMap<string, Node | undefined>,
  reading: Reading,
): unknown {
  const path = joinPath(parent.path, key)
  const node = found.get(key)
  const isSection = setting.form.isSection === true
  if (node !== undefined && (!isNothing(node) || isSection)) return setting.form.read({ node, path }, reading)
  if (found.has(key) && !isSection) return reading.fault({ node, path }, `needs a value: ${setting.form.text}`, '')
  if (setting.fallback !== undefined) return setting.fallback.value()
  return reading.fault({ node: parent.node, path }, `is missing; it must be given: ${setting.form.text}`, '')
}

/** A form whose parts must fit together: `check` tells the faults of a value that is sound part by part. */
export function checked<T>(form: Form<T>, check: (value: T, place: Place, reading: Reading) => void): Form<T> {
  return {
    ...form,
    read(place, reading) {
      const value = form.read(place, reading)
      if (value === FAULTY) return FAULTY
      const before = reading.faults.length
      check(value, place, reading)
      return reading.faults.length > before ? FAULTY : value
    },
  }
}

/** @param atLeast  fewest items */
export function list<T>(item: Form<T>, atLeast = 0): Form<readonly T[]> {
  const text = `list of ${item.text}${atLeast > 0 ? `, at least ${atLeast}` : ''}`
  return {
    text: item.settings === undefined ? text : `list${atLeast > 0 ? `, at least ${atLeast}` : ''}`,
    ...(item.settings === undefined ? {} : { settings: item.settings }),
    read(place, reading) {
      if (!isSeq(place.node)) return reading.fault(place, `must be a ${text}`)
      if (place.node.items.length < atLeast) return reading.fault(place, `must be a ${text}`)
      const values: T[] = []
      let isFaulty = false
      for (const [index, child] of place.node.items.entries()) {
        const value = item.read({ node: nodeOf(child), path: `${place.path}[${index}]` }, reading)
        if (value === FAULTY) isFaulty = true
        else values.push(value)
      }
      return isFaulty ? FAULTY : values
    },
  }
}

/** @throws SettingsFault with every fault of the file */
export function readSettingsText<T>(file: string, source: string, form: Form<T>): T {
  const lines = new LineCounter()
  const document = parseYaml(file, source, lines)
  const reading = new Reading(file, document, lines)
  for (const error of [...document.errors, ...document.warnings]) {
    reading.faultAt(error.pos[0], '', '', error.code === 'DUPLICATE_KEY' ? 'the same key stands twice' : error.message)
  }
  const node = document.contents ?? undefined
  if (reading.faults.length === 0 && hasAlias(node))
    reading.fault({ node, path: '' }, 'anchors and aliases are not read: write the value out', '')
  const value = reading.faults.length === 0 ? form.read({ node, path: '' }, reading) : FAULTY
  if (value === FAULTY || reading.faults.length > 0) throw new SettingsFault(reading.faults)
  return value
}

/**
 * Reads a parsed JSON value as if it stood in a file.
 * @param what  takes the place of the file's name
 * @throws SettingsFault with every fault; what is written may be in it
 */
export function readSettingsValue<T>(what: string, json: unknown, form: Form<T>): T {
  const document = new Document(json, { aliasDuplicateObjects: false })
  const reading = new Reading(what, document, new LineCounter())
  const value = form.read({ node: document.contents ?? undefined, path: '' }, reading)
  if (value === FAULTY || reading.faults.length > 0) throw new SettingsFault(reading.faults)
  return value
}

function parseYaml(file: string, source: string, lineCounter: LineCounter) {
  try {
    return parseDocument(source, {
      lineCounter,
      prettyErrors: false,
      schema: 'core',
      stringKeys: true,
      logLevel: 'error',
    })
  } catch (error) {
    throw new SettingsFault([{ file, path: '', value: '', rule: 'is nested too deeply, or is not YAML or JSON' }], {
      cause: error,
    })
  }
}

function hasAlias(root: Node | undefined): boolean {
  const open: unknown[] = [root]
  while (open.length > 0) {
    const node = open.pop()
    if (isAlias(node)) return true
    if (isSeq(node)) open.push(...node.items)
    else if (isMap(node)) for (const { key, value } of node.items) open.push(key, value)
  }
  return false
}

/** What the library gives as a key, value or item: a node, or nothing where nothing was written. */
function nodeOf(value: unknown): Node | undefined {
  return isNode(value) ? value : undefined
}

function isNothing(node: Node): boolean {
  return isScalar(node) && node.value === null
}

const MAX_SHOWN = 60

function shown(node: Node | undefined): string {
  if (node === undefined || isMap(node) || isSeq(node)) return ''
  const written = isScalar(node) ? (JSON.stringify(node.value) ?? '') : ''
  return written.length > MAX_SHOWN ? `${written.slice(0, MAX_SHOWN)}…` : written
}

function joinPath(path: string, key: string): string {
  return [path, key].filter((part) => part !== '').join('.')
}
