// Rewrites the addresses of one header field after the other and collects the edits (rewriting.md R36, R41–R43, §6).
import { Buffer } from 'node:buffer'
import { formatAddrSpec } from './addr-spec.ts'
import { isWordByte, MAX_ADDRESSES, readAddress, readWideAddress, scanAddressList } from './address-list.ts'
import type { FoundAddress, Span } from './address-list.ts'
import type { Direction, ReportRecorder } from './change-report.ts'
import { escapeQuoted, findAddressAsName } from './display-name.ts'
import { mapAddress, replaceUriAddress, utf8Bytes } from './found-address.ts'
import type { AddressTask } from './found-address.ts'
import { applyEdits, fieldTextEnd, isWhiteSpace } from './header-block.ts'
import type { Edit, HeaderBlock, HeaderField } from './header-block.ts'
import type { AddressField } from './header-fields.ts'
import { holdsKnownAddress } from './known-address.ts'
import type { AddressMap, MapFunction, Mapped } from './lookup.ts'
import { MAX_LINE, placesInAddressList, placesInUriList, refold } from './refold.ts'
import type { Growth } from './refold.ts'
import { Refusal } from './refusal.ts'

export interface FieldOptions {
  readonly direction: Direction
  readonly map: AddressMap
  readonly displayNameAddress: boolean
  readonly smtpUtf8: boolean
  readonly recorder: ReportRecorder
}

type Replaced = Extract<Mapped, { kind: 'replaced' }>
type TextEdit = Edit & { readonly text: string }

/** What words can be joined by, white space or not. */
const JOINING = new Set(['.', '@', ')'])

export class FieldRewriter {
  /** In ascending order. */
  readonly edits: TextEdit[] = []
  readonly #header: HeaderBlock
  readonly #text: string
  readonly #options: FieldOptions
  readonly #instances = new Map<AddressField, number>()

  constructor(header: HeaderBlock, options: FieldOptions) {
    this.#header = header
    this.#text = header.text
    this.#options = options
  }

  /** Passes over a field that stays as it is; all fields must come, in order, for their numbers in the report. */
  skip(field: HeaderField, kind: AddressField): void {
    this.#countInstance(kind)
    this.#refuseTooMany(field)
  }

  /** For what is not read as an address list: the limit of that one holds for all. */
  #refuseTooMany({ valueStart, end }: HeaderField): void {
    // An address and its comma are four bytes at least: a shorter field can't hold too many.
    if (end - valueStart >= 4 * MAX_ADDRESSES) scanAddressList(this.#text, valueStart, end)
  }

  /**
   * @returns whether anything in the field changes
   * @throws Refusal 451 4.6.0, 552 5.3.4 (§12)
   */
  rewrite(field: HeaderField, kind: AddressField, fn: MapFunction): boolean {
    const { direction, map, smtpUtf8, recorder } = this.#options
    const where = `header:${kind.name}:${this.#countInstance(kind)}`
    const task: AddressTask = { map, fn, smtpUtf8, recorder, where }
    const firstEdit = this.edits.length
    const end = fieldTextEnd(this.#header, field)
    if (kind.class === 'U') {
      this.#refuseTooMany(field)
      this.#rewriteUriList(field.valueStart, end, task)
    } else if (kind.class === 'A') this.#rewriteAutocrypt(field.valueStart, end, task)
    else this.#rewriteAddressList(field.valueStart, end, task, direction === 'out' && kind.name === 'From')
    if (this.edits.length === firstEdit) return false
    this.#refold(field, kind, firstEdit)
    return true
  }

  #countInstance(kind: AddressField): number {
    const instance = (this.#instances.get(kind) ?? 0) + 1
    this.#instances.set(kind, instance)
    return instance
  }

  #rewriteAddressList(start: number, end: number, task: AddressTask, isAuthor: boolean): void {
    const { addresses, unparsed } = scanAddressList(this.#text, start, end)
    for (const found of addresses) {
      if (found.phraseEnd > 0 && this.#options.displayNameAddress) this.#rewriteDisplayName(found, task)
      if (!this.#rewriteAddress(found, task)) this.#reportUnparsed(found, task, isAuthor)
    }
    for (const span of unparsed) this.#reportUnparsed(span, task, isAuthor)
  }

  /** @returns false where the bytes are no address after all: 8-bit without SMTPUTF8, or not UTF-8 */
  #rewriteAddress(found: FoundAddress, task: AddressTask): boolean {
    if (found.isLiteral) return true
    const unicode = task.smtpUtf8 ? 'both' : 'none'
    const wide = readWideAddress(this.#text, found, unicode)
    const mappedWide = wide && mapAddress(wide, task)
    if (mappedWide !== undefined) {
      this.#splice(found, found.wideStart, mappedWide)
      return true
    }
    const address = readAddress(this.#text, found, unicode)
    const mapped = address && mapAddress(address, task)
    if (mapped !== undefined) this.#splice(found, found.start, mapped)
    return address !== undefined
  }

  /** R41 */
  #splice(found: FoundAddress, start: number, mapped: Replaced): void {
    const { localEnd, domainStart, end } = found
    if (mapped.keep === 'nothing') {
      return this.#edit(start, end, formatAddrSpec(this.#apart(start, mapped.local), mapped.domain))
    }
    if (mapped.keep === 'extension') {
      // In spelling that is not simply the address a `+` may stand in a comment: then the local part is written as a whole.
      const plus = found.hasCfws ? -1 : this.#text.slice(start, localEnd).indexOf('+')
      if (plus < 0) this.#edit(start, localEnd, mapped.local)
      else this.#edit(start, start + plus, mapped.local.split('+', 1)[0] ?? '')
    }
    this.#edit(domainStart, end, mapped.domain)
  }

  /**
   * Quotes can be all that keeps a local part from becoming one with what stands before it: a word, as in `x"john smith"@contoso.com`, or
   * after a dot, an @ or a comment the words before that.
   */
  #apart(start: number, local: string): string {
    if (this.#text[start] !== '"' || local.startsWith('"')) return local
    let before = start - 1
    while (isWhiteSpace(this.#text.charCodeAt(before))) before--
    const joins = before === start - 1 ? isWordByte(this.#text, before) : false
    return joins || JOINING.has(this.#text.charAt(before)) ? `"${local}"` : local
  }

  /** R43 */
  #rewriteDisplayName(found: FoundAddress, task: AddressTask): void {
    // Before a bracket an address can be a name and a list member at once: what has been rewritten as a member is done.
    if ((this.edits.at(-1)?.end ?? 0) > found.phraseStart) return
    const name = findAddressAsName(this.#text, found.phraseStart, found.phraseEnd, task.smtpUtf8 ? 'both' : 'none')
    const address = name && readAddress(name.text, name.found, name.unicode)
    const mapped = address && mapAddress(address, task)
    if (name === undefined || mapped === undefined) return
    const written = formatAddrSpec(mapped.local, mapped.domain)
    this.#edit(name.start, name.end, name.before + (name.isQuoted ? escapeQuoted(written) : written) + name.after)
  }

  /** RFC 2369 §2: URIs in angle brackets, of which only mailto holds addresses (R36). */
  #rewriteUriList(start: number, end: number, task: AddressTask): void {
    const value = this.#text.slice(start, end)
    for (let open = value.indexOf('<'); open >= 0;) {
      const uriStart = skipWhiteSpace(value, open + 1)
      if (value[uriStart] === '<') {
        open = uriStart
        continue
      }
      const close = value.indexOf('>', uriStart)
      const uriEnd = close < 0 ? value.length : close
      if (value.slice(uriStart, uriStart + 7).toLowerCase() === 'mailto:') {
        this.#rewriteMailto(start + uriStart + 7, start + uriEnd, task)
      }
      open = value.indexOf('<', uriEnd)
    }
  }

  /** RFC 6068 §2: addresses between commas, up to the query. */
  #rewriteMailto(start: number, end: number, task: AddressTask): void {
    const uri = this.#text.slice(start, end)
    const query = uri.indexOf('?')
    let from = start
    for (const part of (query < 0 ? uri : uri.slice(0, query)).split(',')) {
      // RFC 2369 §2: white space that a fold has put into a URI is not part of it.
      const written = part.trim()
      const address = withoutWhiteSpace(written)
      const replacements = replaceUriAddress(address, task)
      const addressStart = from + part.indexOf(written)
      if (address === written) {
        for (const { start: at, end: to, text } of replacements) this.#edit(addressStart + at, addressStart + to, text)
      } else if (replacements.length > 0) {
        const rewritten = applyEdits(Buffer.from(address, 'latin1'), replacements).toString('latin1')
        this.#edit(addressStart, addressStart + written.length, rewritten)
      }
      from += part.length + 1
    }
  }

  /** Autocrypt Level 1 §2.1: attributes between semicolons. */
  #rewriteAutocrypt(start: number, end: number, task: AddressTask): void {
    let from = start
    for (const attribute of this.#text.slice(start, end).split(';')) {
      const equals = attribute.indexOf('=')
      if (equals > 0 && attribute.slice(0, equals).trim().toLowerCase() === 'addr') {
        const { addresses } = scanAddressList(this.#text, from + equals + 1, from + attribute.length)
        for (const found of addresses) this.#rewriteAddress(found, task)
      }
      from += attribute.length + 1
    }
  }

  #reportUnparsed(span: Span, { map, smtpUtf8, recorder }: AddressTask, isAuthor: boolean): void {
    recorder.code('addr-unparsed')
    // Fail closed on identity (§12): it would go out under an address that nobody shall see.
    if (isAuthor && holdsKnownAddress(this.#text, span, map, smtpUtf8)) {
      throw new Refusal(451, '4.6.0', 'Author address cannot be read')
    }
  }

  /** @param replacement  Unicode text */
  #edit(start: number, end: number, replacement: string): void {
    const text = utf8Bytes(replacement)
    if (this.#text.slice(start, end) !== text) this.edits.push({ start, end, text })
  }

  /** R42 */
  #refold(field: HeaderField, kind: AddressField, firstEdit: number): void {
    let length = field.end - field.start
    const edits = this.edits.slice(firstEdit)
    for (const { start, end, text } of edits) length += text.length - (end - start)
    if (length <= MAX_LINE) return
    const growths: Growth[] = []
    let rewritten = ''
    let from = field.start
    for (const { start, end, text } of edits) {
      const replaced = this.#text.slice(start, end)
      rewritten += this.#text.slice(from, start)
      // Where a fold inside an address went, two lines have become one.
      growths.push({ at: rewritten.length, bytes: replaced.includes('\n') ? MAX_LINE : text.length - replaced.length })
      rewritten += text
      from = end
    }
    rewritten += this.#text.slice(from, field.end)
    const valueStart = field.valueStart - field.start
    const valueEnd = rewritten.length - (field.end - fieldTextEnd(this.#header, field))
    const placesIn = kind.class === 'U' ? placesInUriList : placesInAddressList
    const places = kind.class === 'A' ? [] : placesIn(rewritten, valueStart, valueEnd)
    const folded = refold(rewritten, growths, places, this.#lineBreakBefore(field))
    if (folded === rewritten) return
    this.#options.recorder.code('refolded')
    this.edits.splice(firstEdit, this.edits.length, { start: field.start, end: field.end, text: folded })
  }

  #lineBreakBefore(field: HeaderField): string | undefined {
    if (field.start === 0) return undefined
    return this.#text[field.start - 2] === '\r' ? '\r\n' : '\n'
  }
}

function withoutWhiteSpace(text: string): string {
  let kept = ''
  for (let at = 0; at < text.length; at++) if (!isWhiteSpace(text.charCodeAt(at))) kept += text.charAt(at)
  return kept
}

function skipWhiteSpace(text: string, start: number): number {
  let at = start
  while (isWhiteSpace(text.charCodeAt(at))) at++
  return at
}
