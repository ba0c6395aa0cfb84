// What a certificate says, read from its DER (RFC 5280 §4): only what a judgement needs and Node doesn't tell without a detour. Node prints
// alternative names as one line of text, whose quoting has been wrong before (CVE-2021-44532); bytes leave nothing to unquote. Pure.
import { elements } from '../../common/der.ts'
import type { Element } from '../../common/der.ts'

/** As far as `readCertificate` understood everything that matters. Object identifiers are the hexadecimal digits of their DER content. */
export interface CertificateFacts {
  /** dNSNames of the subject alternative names, lower case; undefined: there is no such extension. */
  readonly dnsNames: readonly string[] | undefined
  /** Common names of the subject, lower case, those in ASCII. */
  readonly commonNames: readonly string[]
  /** undefined: any usage. */
  readonly extendedUsages: readonly string[] | undefined
  /** Most intermediate certificates below this one; undefined: any number. */
  readonly pathLength: number | undefined
  /** Host names it may be above; undefined: any. `excluded` wins. */
  readonly permittedNames: readonly string[] | undefined
  readonly excludedNames: readonly string[]
  readonly signatureAlgorithm: string
}

const EXTENSIONS = {
  alternativeNames: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  extendedUsage: '551d25',
} as const

/** Critical ones that change nothing here, or that Node judges: key usage, policies and their mapping, CRL distribution. (RFC 5280 §4.2) */
const HARMLESS_IF_CRITICAL = new Set(['551d0f', '551d20', '551d21', '551d24', '551d36', '551d1f', '551d23', '551d0e'])

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  oid: 0x06,
  sequence: 0x30,
  set: 0x31,
  extensions: 0xa3,
  dnsName: 0x82,
} as const
const COMMON_NAME = '550403'
/** UTF8String, PrintableString, IA5String: what is ASCII in them is ASCII. */
const ASCII_STRINGS = new Set([0x0c, 0x13, 0x16])

/**
 * @param der  of one certificate
 * @returns undefined where it can't be read, holds a critical extension that we don't know, or a name that is no plain ASCII
 */
export function readCertificate(der: Uint8Array): CertificateFacts | undefined {
  const [certificate] = elements(der) ?? []
  const [tbs, algorithm] = within(certificate, TAG.sequence) ?? []
  const fields = within(tbs, TAG.sequence)
  const signatureAlgorithm = oidOf(within(algorithm, TAG.sequence)?.[0])
  if (fields === undefined || signatureAlgorithm === undefined) return undefined
  // [0] version, serial number, signature, issuer, validity, subject, …
  const subject = fields[fields[0]?.tag === 0xa0 ? 5 : 4]
  const commonNames = readCommonNames(subject)
  const extensions = readExtensions(fields.find(({ tag }) => tag === TAG.extensions))
  if (commonNames === undefined || extensions === undefined) return undefined

  const names = extensions.get(EXTENSIONS.alternativeNames)
  const dnsNames = names && readNames(names)
  const usage = extensions.get(EXTENSIONS.extendedUsage)
  const extendedUsages = usage && readUsages(usage)
  const basic = extensions.get(EXTENSIONS.basicConstraints)
  const pathLength = basic && readPathLength(basic)
  const constraints = extensions.get(EXTENSIONS.nameConstraints)
  const subtrees = constraints === undefined ? { excludedNames: [] } : readSubtrees(constraints)
  if ((names && !dnsNames) || (usage && !extendedUsages) || (basic && !pathLength) || !subtrees) return undefined
  return {
    dnsNames,
    commonNames,
    extendedUsages,
    pathLength: pathLength?.most,
    permittedNames: subtrees.permittedNames,
    excludedNames: subtrees.excludedNames,
    signatureAlgorithm,
  }
}

function within(element: Element | undefined, tag: number): Element[] | undefined {
  return element?.tag === tag ? elements(element.content) : undefined
}

function oidOf(element: Element | undefined): string | undefined {
  return element?.tag === TAG.oid && element.content.length > 0 ? hex(element.content) : undefined
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** By identifier; the value is what stands in its OCTET STRING. */
function readExtensions(field: Element | undefined): Map<string, Element> | undefined {
  const found = new Map<string, Element>()
  if (field === undefined) return found
  const [list, ...more] = elements(field.content) ?? []
  const extensions = within(list, TAG.sequence)
  if (extensions === undefined || more.length > 0) return undefined
  for (const extension of extensions) {
    const parts = within(extension, TAG.sequence)
    const id = oidOf(parts?.[0])
    const value = elements(parts?.at(-1)?.content ?? new Uint8Array())
    if (parts === undefined || id === undefined || found.has(id)) return undefined
    const isKnown = Object.values<string>(EXTENSIONS).includes(id)
    const isCritical = parts.length === 3 && parts[1]?.tag === TAG.boolean && parts[1].content[0] !== 0
    if (!isKnown && isCritical && !HARMLESS_IF_CRITICAL.has(id)) return undefined
    if (!isKnown) continue
    const [only] = value ?? []
    if (only === undefined || value?.length !== 1) return undefined
    found.set(id, only)
  }
  return found
}

/** A name that isn't printable ASCII spoils the certificate: nobody can say whom it was issued to. */
function readNames(extension: Element): string[] | undefined {
  const names = within(extension, TAG.sequence)?.filter(({ tag }) => tag === TAG.dnsName)
  if (names?.every(({ content }) => isPrintable(content)) !== true) return undefined
  return names.map(({ content }) => asciiOf(content))
}

function readCommonNames(subject: Element | undefined): string[] | undefined {
  return within(subject, TAG.sequence)?.flatMap((set) => {
    return (within(set, TAG.set) ?? []).flatMap((attribute) => {
      const [type, value] = within(attribute, TAG.sequence) ?? []
      if (oidOf(type) !== COMMON_NAME || value === undefined) return []
      return ASCII_STRINGS.has(value.tag) && isPrintable(value.content) ? [asciiOf(value.content)] : []
    })
  })
}

function readUsages(extension: Element): string[] | undefined {
  const usages = within(extension, TAG.sequence)?.map(oidOf)
  return usages?.every((usage) => usage !== undefined) === true ? usages : undefined
}

/** Wrapped, so that "any number" isn't taken for "can't be read". */
function readPathLength(extension: Element): { readonly most: number | undefined } | undefined {
  const parts = within(extension, TAG.sequence)
  if (parts === undefined) return undefined
  const length = parts.find(({ tag }) => tag === TAG.integer)
  if (length === undefined) return { most: undefined }
  const [octet] = length.content
  return length.content.length === 1 && octet !== undefined && octet < 0x80 ? { most: octet } : undefined
}

interface Subtrees {
  readonly permittedNames?: readonly string[] | undefined
  readonly excludedNames: readonly string[]
}

/** RFC 5280 §4.2.1.10. Constraints on other kinds of names bind none that we look at. */
function readSubtrees(extension: Element): Subtrees | undefined {
  const lists = within(extension, TAG.sequence)
  if (lists === undefined) return undefined
  const namesOf = (list: Element | undefined): string[] | undefined => {
    const bases = elements(list?.content ?? new Uint8Array())?.map((subtree) => within(subtree, TAG.sequence)?.[0])
    if (bases?.every((base) => base !== undefined) !== true) return undefined
    const names = bases.filter(({ tag }) => tag === TAG.dnsName)
    return names.every(({ content }) => isPrintable(content)) ? names.map(({ content }) => asciiOf(content)) : undefined
  }
  const permitted = namesOf(lists.find(({ tag }) => tag === 0xa0))
  const excludedNames = namesOf(lists.find(({ tag }) => tag === 0xa1))
  if (permitted === undefined || excludedNames === undefined) return undefined
  return { permittedNames: permitted.length > 0 ? permitted : undefined, excludedNames }
}

function isPrintable(octets: Uint8Array): boolean {
  return octets.every((octet) => octet > 0x20 && octet < 0x7f)
}

function asciiOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('latin1').toLowerCase()
}
