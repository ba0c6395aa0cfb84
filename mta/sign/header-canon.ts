// Header fields in the canonical form `relaxed` (RFC 6376 §3.4.2), and which of them an h= list takes (§5.4.2).
import { fieldValue } from '../../rewrite-rules/index.ts'
import type { HeaderBlock, HeaderField } from '../../rewrite-rules/index.ts'

/** The field as it is signed, as latin1 text without a line break at its end. */
export function relaxedField(block: HeaderBlock, field: HeaderField): string {
  return `${field.name}:${collapseWhiteSpace(fieldValue(block, field))}`
}

/** The same for a field that we write, with or without folds; `text` is without a line break at its end. */
export function relaxedText(name: string, text: string): string {
  return `${name.toLowerCase()}:${collapseWhiteSpace(text.replaceAll('\r\n', '')).trim()}`
}

/**
 * The fields that an h= list covers, in its order: each entry takes the lowest field of its name that is left. Entries that find none cover
 * that there is none (§5.4.2).
 * @param names  in lower case
 */
export function coveredFields(block: HeaderBlock, names: readonly string[]): HeaderField[] {
  const left = new Map<string, HeaderField[]>()
  for (const name of names) left.set(name, [])
  for (const field of block.fields) left.get(field.name)?.push(field)
  const covered: HeaderField[] = []
  for (const name of names) {
    const field = left.get(name)?.pop()
    if (field !== undefined) covered.push(field)
  }
  return covered
}

/** All runs of spaces and tabs become one space. */
function collapseWhiteSpace(text: string): string {
  return text.includes('  ') || text.includes('\t') ? text.replaceAll(/[ \t]+/g, ' ') : text
}
