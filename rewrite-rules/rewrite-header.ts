// Rewrites the addresses of a header block by splicing (rewriting.md §3, §4): what stands between them stays byte for byte.
import { Buffer } from 'node:buffer'
import { readAddress, scanAddressList } from './address-list.ts'
import type { AddrSpec } from './addr-spec.ts'
import { ReportRecorder } from './change-report.ts'
import type { Direction } from './change-report.ts'
import { applyEdits, fieldTextEnd, isEmptyField, NO_HEADER_LIMITS, scanHeader } from './header-block.ts'
import type { Edit, HeaderBlock, HeaderField } from './header-block.ts'
import { fieldFunction, findAddressField } from './header-fields.ts'
import type { AddressMap } from './lookup.ts'
import type { Policy } from './policy.ts'
import { FieldRewriter } from './rewrite-field.ts'

export interface HeaderOptions {
  readonly direction: Direction
  readonly map: AddressMap
  readonly policy: Pick<Policy, 'displayNameAddress'>
  readonly smtpUtf8: boolean
  readonly recorder: ReportRecorder
  /** Fields of class R that stay although the direction would change them: those the author's signature covers (R35 `keep-dkim`). */
  readonly unchangedFields?: (field: HeaderField) => boolean
  /** Whether the reverse-path was changed, for R32; undefined: not known, not judged. */
  readonly reversePathChanged?: boolean | undefined
  /** Other edits of the same block, in ascending order, in fields that hold no addresses (R55). */
  readonly extraEdits?: readonly Edit[]
}

/**
 * Rewrites all address fields of a header block; changes and codes go to the recorder.
 * @returns the new block; undefined where not one byte changes (R46)
 * @throws Refusal 451 4.6.0 where an unreadable From shows an address of the table, 552 5.3.4 for too many addresses in a field (§12)
 */
export function rewriteHeader(header: HeaderBlock, options: HeaderOptions): Buffer | undefined {
  const { direction, recorder, unchangedFields, reversePathChanged } = options
  const rewriter = fieldRewriter(header, options)
  let fromCount = 0
  let hasAuthor = false
  let wantsReceipt = false
  let receiptChanged = false
  for (const field of header.fields) {
    const kind = findAddressField(field.name)
    if (kind === undefined) continue
    if (kind.name === 'From') {
      fromCount++
      hasAuthor ||= !isEmptyField(header, field)
    }
    const fn = fieldFunction(kind, direction)
    if (fn === undefined || (kind.class === 'R' && unchangedFields?.(field) === true)) {
      rewriter.skip(field, kind)
      continue
    }
    const changed = rewriter.rewrite(field, kind, fn)
    if (kind.name === 'Disposition-Notification-To') {
      wantsReceipt = true
      receiptChanged ||= changed
    }
  }
  if (!hasAuthor) recorder.code('from-missing')
  if (fromCount > 1) recorder.code('from-multiple')
  if (direction === 'out' && wantsReceipt && (reversePathChanged ?? receiptChanged) !== receiptChanged) {
    recorder.code('mdn-mismatch')
  }
  const edits = withExtraEdits(rewriter.edits, options.extraEdits ?? [])
  return edits.length === 0 ? undefined : applyEdits(header.bytes, edits)
}

/** The header block with the addresses of class R presented and all else as it is: what a DSN quotes of `in` mail (R74). */
export function presentRecipientFields(bytes: Buffer, map: AddressMap, smtpUtf8: boolean): Buffer {
  const header = scanHeader(bytes, NO_HEADER_LIMITS)
  const policy = { displayNameAddress: true }
  const rewriter = fieldRewriter(header, { direction: 'out', map, policy, smtpUtf8, recorder: new ReportRecorder() })
  for (const field of header.fields) {
    const kind = findAddressField(field.name)
    if (kind?.class === 'R') rewriter.rewrite(field, kind, 'present')
  }
  return rewriter.edits.length === 0 ? bytes : applyEdits(bytes, rewriter.edits)
}

/** The mailboxes of all From fields in order, without domain literals; quotes kept, UTF-8 decoded. */
export function fromMailboxes(header: HeaderBlock): AddrSpec[] {
  const mailboxes: AddrSpec[] = []
  for (const field of header.fields) {
    if (field.name !== 'from') continue
    for (const found of scanAddressList(header.text, field.valueStart, fieldTextEnd(header, field)).addresses) {
      const address = found.isLiteral ? undefined : readAddress(header.text, found, 'both')
      if (address !== undefined) mailboxes.push(address)
    }
  }
  return mailboxes
}

function fieldRewriter(header: HeaderBlock, options: HeaderOptions): FieldRewriter {
  const { direction, map, smtpUtf8, recorder } = options
  const { displayNameAddress } = options.policy
  return new FieldRewriter(header, { direction, map, displayNameAddress, smtpUtf8, recorder })
}

function withExtraEdits(edits: readonly Edit[], extraEdits: readonly Edit[]): readonly Edit[] {
  return extraEdits.length === 0 ? edits : [...edits, ...extraEdits].toSorted((a, b) => a.start - b.start)
}
