// One mapping entry (R2) as a table file or delta writes it (product.md §8), read and held against the invariants of R3 that
// concern it alone; that K sets are disjoint is for the store to see.
import { Buffer } from 'node:buffer'
import {
  foldLocalText,
  isAscii,
  normaliseDomain,
  parseAddrSpec,
  quoteLocalPartIfNeeded,
  unquoteLocalPart,
} from './addr-spec.ts'
import type { FaultList } from './input-fault.ts'

export const ROUTES = ['owner-tenant', 'return', 'mx'] as const
export type Route = (typeof ROUTES)[number]

export function isRoute(value: unknown): value is Route {
  return ROUTES.some((route) => route === value)
}

/** A known address, ready for the store. */
export interface KnownAddress {
  /** Local part as configured, unquoted. */
  readonly text: string
  /** `text` in the form that is compared (R20). */
  readonly folded: string
  /** As configured. */
  readonly domain: string
  /** In A-labels, lower case. */
  readonly normalDomain: string
}

export interface TableEntry {
  /** K without the X.500 names. An address may stand there twice, as `A@x` and `a@x`: it counts once. */
  readonly known: readonly KnownAddress[]
  /** As `presented` spells it, which may differ from its spelling in K by case. */
  readonly presented: KnownAddress
  readonly mailbox: KnownAddress
  /** X.500 names of K, as configured. */
  readonly x500: readonly string[]
  readonly eai: boolean
  /** Route of what this sender writes (rewriting.md §13); undefined: the policy's. */
  readonly route: Route | undefined
}

// RFC 5321 §4.5.3.1.1 and .3: what any server takes; a path has brackets around the address.
const MAX_LOCAL_OCTETS = 64
const MAX_ADDRESS_OCTETS = 254
// Beyond anything a legacyExchangeDN can hold; keeps a name within one arena segment.
const MAX_X500_OCTETS = 1024

const ENTRY_KEYS = new Set(['known', 'presented', 'mailbox', 'x500', 'eai', 'route'])

/** @returns undefined when a fault was added */
export function parseEntry(value: unknown, path: string, faults: FaultList): TableEntry | undefined {
  if (!isRecord(value)) {
    faults.add(path, value, 'format', 'an entry is an object')
    return undefined
  }
  const before = faults.faults.length
  for (const key of Object.keys(value)) {
    if (!ENTRY_KEYS.has(key)) faults.add(`${path}/${key}`, value[key], 'format', 'unknown key')
  }
  const eai = value['eai'] ?? false
  if (typeof eai !== 'boolean') faults.add(`${path}/eai`, eai, 'format', 'true or false')
  const route = value['route']
  if (route !== undefined && !isRoute(route)) faults.add(`${path}/route`, route, '§13', `one of ${ROUTES.join(', ')}`)
  const known = parseKnown(value['known'], path, faults)
  const presented = parseTarget(value['presented'], path, 'presented', eai === true, known, faults)
  const mailbox = parseTarget(value['mailbox'], path, 'mailbox', eai === true, known, faults)
  const x500 = parseX500(value['x500'], path, faults)
  if (presented === undefined || mailbox === undefined || faults.isFull || faults.faults.length > before)
    return undefined
  return { known, presented, mailbox, x500, eai: eai === true, route: isRoute(route) ? route : undefined }
}

function parseKnown(value: unknown, path: string, faults: FaultList): KnownAddress[] {
  if (!Array.isArray(value) || value.length === 0) {
    faults.add(`${path}/known`, value, 'R2', 'a list of at least one address')
    return []
  }
  const known: KnownAddress[] = []
  for (let i = 0; i < value.length && !faults.isFull; i++) {
    const address = parseKnownAddress(value[i])
    if (address instanceof AddressFault) faults.add(`${path}/known/${i}`, value[i], address.rule, address.reason)
    else known.push(address)
  }
  return known
}

/** Why a value is no address of K. */
export class AddressFault {
  readonly rule: string
  readonly reason: string

  constructor(rule: string, reason: string) {
    this.rule = rule
    this.reason = reason
  }
}

/** Reads one address of K. */
export function parseKnownAddress(value: unknown): KnownAddress | AddressFault {
  const spec = typeof value === 'string' ? parseAddrSpec(value) : undefined
  if (spec === undefined) return new AddressFault('R3', 'not an address')
  const normalDomain = normaliseDomain(spec.domain)
  if (normalDomain === undefined) return new AddressFault('R24', 'a domain literal never matches')
  const text = unquoteLocalPart(spec.local)
  return { text, folded: foldLocalText(text), domain: spec.domain, normalDomain }
}

/** P or M: an address of K that any server takes. */
function parseTarget(
  value: unknown,
  entryPath: string,
  member: 'presented' | 'mailbox',
  eai: boolean,
  known: readonly KnownAddress[],
  faults: FaultList,
): KnownAddress | undefined {
  const address = parseKnownAddress(value)
  const fault = (rule: string, reason: string): void => faults.add(`${entryPath}/${member}`, value, rule, reason)
  if (address instanceof AddressFault) {
    fault(address.rule, address.reason)
    return undefined
  }
  const local = quoteLocalPartIfNeeded(address.text)
  if (Buffer.byteLength(local) > MAX_LOCAL_OCTETS) {
    fault('R3', `the local part is longer than ${MAX_LOCAL_OCTETS} octets`)
  }
  if (Buffer.byteLength(local) + 1 + Buffer.byteLength(address.domain) > MAX_ADDRESS_OCTETS) {
    fault('R3', `the path is longer than ${MAX_ADDRESS_OCTETS + 2} octets`)
  }
  if (!eai && !(isAscii(address.text) && isAscii(address.domain))) {
    fault('R3', 'not pure ASCII, and the entry does not say `eai: true`')
  }
  if (!known.some((other) => isSameAddress(other, address))) fault('R2', 'not one of `known`')
  return address
}

function parseX500(value: unknown, path: string, faults: FaultList): readonly string[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) {
    faults.add(`${path}/x500`, value, 'format', 'a list of X.500 names')
    return []
  }
  const names: string[] = []
  for (let i = 0; i < value.length && !faults.isFull; i++) {
    const name: unknown = value[i]
    if (typeof name === 'string' && isX500Name(name)) names.push(name)
    else
      faults.add(
        `${path}/x500/${i}`,
        name,
        'R26',
        `an X.500 name begins with / and has at most ${MAX_X500_OCTETS} octets`,
      )
  }
  return names
}

/** What an entry can be known by beside its addresses (R26). */
export function isX500Name(name: string): boolean {
  if (!name.startsWith('/') || name.length > MAX_X500_OCTETS || !name.isWellFormed()) return false
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) < 0x20 || name.charCodeAt(i) === 0x7f) return false
  return Buffer.byteLength(name) <= MAX_X500_OCTETS
}

export function isSameAddress(a: KnownAddress, b: KnownAddress): boolean {
  return a.folded === b.folded && a.normalDomain === b.normalDomain
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
