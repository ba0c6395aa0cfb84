// PH-5: which paths MAIL and RCPT take.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatMailbox, readPath } from '../../../mta/inbound/address-grammar.ts'

/** The path as it goes on, `<>` for the null one; undefined when it is refused or doesn't end with the text. */
function path(text: string): string | undefined {
  const read = readPath(text, 0)
  if (read === undefined || read.end !== text.length) return undefined
  return read.mailbox === undefined ? '<>' : formatMailbox(read.mailbox)
}

const taken: [text: string, path: string, why: string][] = [
  ['<>', '<>', 'the null reverse-path'],
  ['<alice@contoso.com>', 'alice@contoso.com', 'the usual one'],
  ['<"a b"@contoso.com>', '"a b"@contoso.com', 'a quoted local part may hold a space'],
  ['<"x@evil.example"@contoso.com>', '"x@evil.example"@contoso.com', 'and an @'],
  ['<"a>b"@contoso.com>', '"a>b"@contoso.com', 'and a bracket'],
  ['<"a\\"b\\\\"@contoso.com>', '"a\\"b\\\\"@contoso.com', 'and quoted pairs'],
  ['<@a.example,@b.example:carol@contoso.com>', 'carol@contoso.com', 'a source route is stripped (R8, E66)'],
  ['<@a.example:carol@contoso.com>', 'carol@contoso.com', 'also of one host'],
  ['<@[192.0.2.1]:carol@contoso.com>', 'carol@contoso.com', 'and of a literal'],
  ['<@[IPv6:2001:db8::1]:carol@contoso.com>', 'carol@contoso.com', 'whose colons are its own'],
  ['<alice@[192.0.2.1]>', 'alice@[192.0.2.1]', 'an IPv4 literal'],
  ['<alice@[IPv6:2001:db8::1]>', 'alice@[IPv6:2001:db8::1]', 'an IPv6 literal'],
  ['<postmaster>', 'postmaster', 'RFC 5321 §4.1.1.3'],
  ['<PostMaster>', 'PostMaster', 'in any case'],
  ['<müller@münchen.example>', 'müller@münchen.example', 'Unicode; SMTPUTF8 is judged elsewhere'],
  [`<${'x'.repeat(320)}@contoso.com>`, `${'x'.repeat(320)}@contoso.com`, '320 octets of local part'],
  ["<o'brien+tag=x@contoso.com>", "o'brien+tag=x@contoso.com", 'all of atext'],
]
for (const [text, expected, why] of taken) {
  test(`PH-5 takes ${text.slice(0, 60)}: ${why}`, () => assert.equal(path(text), expected))
}

const refused: [text: string, why: string][] = [
  ['alice@contoso.com', 'no brackets'],
  ['<alice@contoso.com', 'no closing bracket'],
  ['<alice>', 'no domain'],
  ['<@contoso.com>', 'no local part'],
  ['<alice@>', 'an empty domain'],
  ['<alice@b@contoso.com>', 'two unquoted @'],
  ['<al ice@contoso.com>', 'an unquoted space'],
  ['< alice@contoso.com>', 'a space in the bracket'],
  ['<<alice@contoso.com>>', 'two brackets'],
  ['<alice..b@contoso.com>', 'an empty atom'],
  ['<.alice@contoso.com>', 'a dot first'],
  ['<"alice@contoso.com>', 'an open quote'],
  ['<"a"b@contoso.com>', 'text after the quotes'],
  ['<"a\tb"@contoso.com>', 'a control character, even quoted'],
  ['<"a\u0085b"@contoso.com>', 'a C1 control'],
  ['<a\u2028b@contoso.com>', 'a line separator'],
  ['<alice@contoso..com>', 'an empty label'],
  ['<alice@.contoso.com>', 'a dot before the domain'],
  ['<alice@contoso.com.>', 'a dot after it'],
  ['<alice@-contoso.com>', 'a hyphen first'],
  ['<alice@contoso.com/x>', 'what no domain holds'],
  ['<alice@192.0.2.1>', 'an address that is no literal'],
  ['<alice@[192.0.2.300]>', 'a literal that is no address'],
  ['<alice@[2001:db8::1]>', 'an IPv6 literal without its tag'],
  ['<alice@\u200b.example>', 'a label that maps to nothing (PS-6)'],
  ['<@a.example>', 'a route without a mailbox'],
  ['<@a.example,b.example:carol@contoso.com>', 'a route without its second @'],
  ['<@:carol@contoso.com>', 'an empty route'],
  [`<${'x'.repeat(321)}@contoso.com>`, '321 octets of local part'],
  [`<${'ü'.repeat(161)}@contoso.com>`, '322 octets in 161 characters'],
  [`<a@${'x.'.repeat(126)}exam>`, '256 octets of domain'],
]
for (const [text, why] of refused) {
  test(`PH-5 refuses ${JSON.stringify(text.slice(0, 60))}: ${why}`, () => assert.equal(path(text), undefined))
}

test('an accepted path, less its source route, re-serialises to itself', () => {
  const piece = fc.constantFrom(
    'a',
    'B',
    '7',
    '.',
    '@',
    '"',
    '\\',
    ' ',
    '>',
    '<',
    '+',
    '-',
    '_',
    '[',
    ']',
    ':',
    ',',
    'ü',
    'contoso.com',
    '@contoso.com',
    '@a.example:',
    '192.0.2.1',
  )
  let seen = 0
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const text = `<${pieces.join('')}>`
      const read = readPath(text, 0)
      if (read?.mailbox === undefined) return
      seen++
      const written = formatMailbox(read.mailbox)
      const inside = text.slice(1, read.end - 1)
      assert.ok(inside === written || (inside.startsWith('@') && inside.endsWith(`:${written}`)), text)
      assert.equal(path(`<${written}>`), written)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(seen > 100, `only ${seen} paths were accepted: the property proves nothing`)
})
