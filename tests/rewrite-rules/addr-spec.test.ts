import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  formatAddrSpec,
  normaliseDomain,
  normaliseLocalPart,
  parseAddrSpec,
  quoteLocalPartIfNeeded,
  stripSourceRoute,
  unquoteLocalPart,
} from '../../rewrite-rules/addr-spec.ts'

const domains: [domain: string, normal: string | undefined, why: string][] = [
  ['contoso.com', 'contoso.com', 'already normal'],
  ['Contoso.COM', 'contoso.com', 'lower case'],
  ['contoso.com.', 'contoso.com', 'one trailing dot goes'],
  ['contoso.com..', undefined, 'two are no domain'],
  ['.contoso.com', undefined, 'an empty label is no domain'],
  ['a..b', undefined, 'an empty label inside'],
  ['', undefined, 'nothing'],
  ['.', undefined, 'the root'],
  ['a_b.example', 'a_b.example', 'underscores occur'],
  ['localhost', 'localhost', 'one label'],
  ['münchen.example', 'xn--mnchen-3ya.example', 'U-label to A-label'],
  ['MÜNCHEN.example', 'xn--mnchen-3ya.example', 'UTS 46 folds case'],
  ['XN--MNCHEN-3YA.example', 'xn--mnchen-3ya.example', 'an A-label in capitals'],
  ['faß.de', 'xn--fa-hia.de', 'non-transitional: ß is not ss'],
  ['bücher。example', 'xn--bcher-kva.example', 'an ideographic full stop is a dot'],
  ['ü。', undefined, 'a full stop of another script leaves an empty label'],
  ['㈀.example', undefined, 'a character that maps to brackets'],
  ['[192.0.2.1]', undefined, 'R24: a literal'],
  ['192.0.2.1', undefined, 'an address is no domain name'],
  ['１92.0.2.1', undefined, 'nor when it is only so after mapping'],
  ['ü%2ecom', undefined, 'no percent-decoding on the way'],
  ['%63ontoso.com', undefined, 'nor without a U-label'],
  ['ü.com/x', undefined, 'a slash does not end it'],
  ['ü.com:25', undefined, 'nor does a colon'],
  ['a b.com', undefined, 'a space'],
  [`${'a'.repeat(251)}.com`, `${'a'.repeat(251)}.com`, '255 octets'],
  [`${'a'.repeat(252)}.com`, undefined, '256 octets'],
]
for (const [domain, normal, why] of domains) {
  test(`R20: normaliseDomain(${JSON.stringify(domain.slice(0, 40))}): ${why}`, () => {
    assert.equal(normaliseDomain(domain), normal)
  })
}

const specs: [text: string, isAddrSpec: boolean, why: string][] = [
  ['alice@contoso.com', true, 'plain'],
  ['"a b"@contoso.com', true, 'a quoted local part may hold a space'],
  ['"x@evil.example"@contoso.com', true, 'only the last @ splits off the domain'],
  ['x@y@contoso.com', false, 'an unquoted @ is no atext'],
  ['""@contoso.com', true, 'RFC 5321 §4.1.2: QcontentSMTP may be missing'],
  ['"a"b"@contoso.com', false, 'a bare quote inside quotes'],
  ['"a\\"b"@contoso.com', true, 'an escaped one'],
  ['"a\\"@contoso.com', false, 'the escape eats the closing quote'],
  ['"@contoso.com', false, 'one quote alone'],
  ['"a\tb"@contoso.com', false, 'a tab is no qtextSMTP'],
  ['alice', false, 'no domain'],
  ['alice@', false, 'empty domain'],
  ['@contoso.com', false, 'empty local part'],
  ['.a@x.example', false, 'a leading dot'],
  ['a.@x.example', false, 'a trailing dot'],
  ['a..b@x.example', false, 'two dots'],
  ['a@x..example', false, 'an empty label'],
  ['a@-x.example', false, 'a label begins with no hyphen'],
  ['a@x-.example', false, 'nor ends with one'],
  ['a@x.example.', false, 'SMTP knows no trailing dot'],
  ['a b@x.example', false, 'a space'],
  ['a@x .example', false, 'a space in the domain'],
  ['a<b@x.example', false, 'a bracket'],
  ['a@[192.0.2.1]', true, 'an address literal'],
  ['a@[IPv6:2001:db8::1]', true, 'an IPv6 literal'],
  ['a@[]', false, 'an empty literal'],
  ['a@[a]b]', false, 'a bracket in a literal'],
  ['a@192.0.2.1', false, 'an address without brackets'],
  ['jürgen@münchen.example', true, 'RFC 6531'],
  ['a\u0085b@x.example', false, 'a C1 control'],
  ['a@\u00ad.example', false, 'PS-6: a label that maps to nothing'],
  ['a\ud800@x.example', false, 'half a surrogate pair is no UTF-8'],
  ['alice@contoso.com\r\nRCPT TO:<x@y>', false, 'a line break never gets through'],
  ['a\0@x.example', false, 'NUL'],
  [`${'a'.repeat(320)}@x.example`, true, 'PH-5: 320 octets of local part'],
  [`${'a'.repeat(321)}@x.example`, false, 'PH-5: 321'],
  [`${'ü'.repeat(160)}@x.example`, true, '320 octets of UTF-8'],
  [`${'ü'.repeat(161)}@x.example`, false, '322'],
  [`a@${'b'.repeat(247)}.example`, true, 'PH-5: 255 octets of domain'],
  [`a@${'b'.repeat(248)}.example`, false, 'PH-5: 256'],
]
for (const [text, isAddrSpec, why] of specs) {
  test(`parseAddrSpec(${JSON.stringify(text.slice(0, 50))}): ${why}`, () => {
    const spec = parseAddrSpec(text)
    assert.equal(spec !== undefined, isAddrSpec)
    if (spec !== undefined) assert.equal(formatAddrSpec(spec.local, spec.domain), text)
  })
}

const locals: [written: string, text: string, why: string][] = [
  ['alice', 'alice', 'a dot-atom'],
  ['"alice"', 'alice', 'needless quotes'],
  ['"alic\\e"', 'alice', 'a quoted-pair (E15)'],
  ['"john smith"', 'john smith', 'a space'],
  ['"a\\"b\\\\c"', 'a"b\\c', 'escaped quote and backslash'],
  ['a."b c".d', 'a.b c.d', 'obsolete: quoted words (RFC 5322 §4.4)'],
  ['""', '', 'empty'],
  ['a\\b', 'a\\b', 'a backslash outside quotes is a character'],
]
for (const [written, text, why] of locals) {
  test(`unquoteLocalPart(${written}): ${why}`, () => assert.equal(unquoteLocalPart(written), text))
}

const outputs: [text: string, written: string, why: string][] = [
  ['john.smith', 'john.smith', 'a dot-atom stays one'],
  ['john smith', '"john smith"', 'a space needs quotes'],
  ['a"b\\c', '"a\\"b\\\\c"', 'quote and backslash are escaped'],
  ['a..b', '"a..b"', 'two dots'],
  ['.a', '".a"', 'a leading dot'],
  ['', '""', 'empty'],
  ['jürgen', 'jürgen', 'RFC 6532: UTF-8 is atext'],
]
for (const [text, written, why] of outputs) {
  test(`R28: quoteLocalPartIfNeeded(${JSON.stringify(text)}): ${why}`, () => {
    assert.equal(quoteLocalPartIfNeeded(text), written)
  })
}

const folded: [written: string, normal: string, why: string][] = [
  ['Alice', 'alice', 'ASCII letters'],
  ['"A"', 'a', 'unquoted first'],
  ['JÜRGEN', 'jÜrgen', 'no other letters'],
  ['u\u0308', '\u00fc', 'NFC'],
  ['\ufb01', '\ufb01', 'not NFKC'],
  ['\u212a', 'k', 'KELVIN SIGN is K in NFC'],
]
for (const [written, normal, why] of folded) {
  test(`R20: normaliseLocalPart(${JSON.stringify(written)}): ${why}`, () => {
    assert.equal(normaliseLocalPart(written), normal)
  })
}

test('R28: whatever is quoted unquotes to the same, and is a local part where it has no control characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
      const written = quoteLocalPartIfNeeded(text)
      assert.equal(unquoteLocalPart(written), text)
      if (!/[\p{Cc}]/u.test(text)) assert.ok(parseAddrSpec(`${written}@x.example`))
    }),
  )
})

test('R20: normalising a second time changes nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
      const normal = normaliseDomain(text)
      if (normal !== undefined) assert.equal(normaliseDomain(normal), normal)
      const local = normaliseLocalPart(text)
      if (!local.includes('"')) assert.equal(normaliseLocalPart(local), local)
    }),
  )
})

const routes: [path: string, mailbox: string][] = [
  ['@a.example,@b.example:carol@contoso.com', 'carol@contoso.com'],
  ['carol@contoso.com', 'carol@contoso.com'],
  ['"@a:b"@contoso.com', '"@a:b"@contoso.com'],
  ['@a.example', '@a.example'],
]
for (const [path, mailbox] of routes) {
  test(`R8: the mailbox of ${path} is ${mailbox}`, () => assert.equal(stripSourceRoute(path), mailbox))
}
