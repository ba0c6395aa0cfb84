// Which fields our signatures cover (R80): those a reader sees or a mail program acts on, as often as they are there, and one more time those
// that nobody must be able to add afterwards (RFC 6376 §5.4, §8.15).
import type { HeaderBlock } from '../../rewrite-rules/index.ts'

const NAMES: readonly [name: string, oversigned: boolean][] = [
  ['From', true],
  ['Sender', false],
  ['Reply-To', true],
  ['To', true],
  ['Cc', true],
  ['Subject', true],
  ['Date', true],
  ['Message-ID', false],
  ['In-Reply-To', false],
  ['References', false],
  ['MIME-Version', false],
  ['Content-Type', false],
  ['Content-Transfer-Encoding', false],
]

// Names come from the sender and go into our tag list: letters, digits and hyphens can't end a tag, and no line gets too long.
const RESENT_OR_LIST = /^(?:resent|list)-[a-z0-9-]{1,56}$/

/** The names for h=, in the order in which the fields are hashed. */
export function signedFieldNames({ fields }: HeaderBlock): string[] {
  const counts = new Map<string, number>()
  for (const { name } of fields) counts.set(name, (counts.get(name) ?? 0) + 1)
  const names: string[] = []
  for (const [name, oversigned] of NAMES) {
    const count = (counts.get(name.toLowerCase()) ?? 0) + (oversigned ? 1 : 0)
    for (let i = 0; i < count; i++) names.push(name)
  }
  for (const [name, count] of counts) {
    if (RESENT_OR_LIST.test(name)) for (let i = 0; i < count; i++) names.push(name)
  }
  return names
}
