import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { dkimSign } from 'mailauth/lib/dkim/sign.js'
import { scanHeader } from '../../../rewrite-rules/index.ts'
import { hasSignatures } from '../../../mta/sign/verification.ts'
import type { JudgedSignature } from '../../../mta/sign/verification.ts'
import { MAX_SIGNATURES, MessageVerifier } from '../../../mta/sign/verify.ts'
import type { ResolveTxt } from '../../../mta/sign/verify.ts'
import { SHARED, testShared } from '../../harness/shared.ts'
import { ED25519, keyRecord, pemOf, PROJECT_DOMAIN, RECORDS, resolverOf, RSA, RSA_SELECTOR } from './project-keys.ts'
import { AT, signed, splitMessage, verified } from './signed-message.ts'

const KEY_NAME = `${RSA_SELECTOR}._domainkey.${PROJECT_DOMAIN}`
const MESSAGE = Buffer.from(
  `From: Alice <alice@${PROJECT_DOMAIN}>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello  there \r\n\r\n`,
)

/** A signature of another's making, by mailauth's signer. */
async function foreign(message: Buffer, options: SignOptions): Promise<Buffer> {
  const { signatures, errors } = await dkimSign(message, { ...options })
  assert.deepEqual(errors, [])
  return Buffer.concat([Buffer.from(signatures, 'latin1'), message])
}

type SignOptions = Parameters<typeof dkimSign>[1]

function signatureData(domain = PROJECT_DOMAIN, more: { readonly maxBodyLength?: number } = {}): SignOptions {
  const signer = { signingDomain: domain, selector: RSA_SELECTOR, privateKey: pemOf(RSA), algorithm: 'rsa-sha256' }
  return { signatureData: [{ ...signer, ...more }] } as unknown as SignOptions // the package's types know one signer only
}

async function only(message: Buffer, resolve: ResolveTxt = resolverOf()): Promise<JudgedSignature> {
  const { signatures, fault } = await verified(message, resolve)
  assert.equal(fault, undefined)
  assert.equal(signatures.length, 1)
  const [signature] = signatures
  assert.ok(signature)
  return signature
}

test('R79 a signature that verifies: its domain, selector, algorithm, fields, alignment', async () => {
  assert.deepEqual(await only(await signed(MESSAGE)), {
    index: 0,
    result: 'pass',
    reason: undefined,
    domain: PROJECT_DOMAIN,
    selector: RSA_SELECTOR,
    algorithm: 'rsa-sha256',
    alignment: 'exact',
    signedFields: 'from:from:reply-to:to:to:cc:subject:subject:date'.split(':'),
    headerCanonicalization: 'relaxed',
    bodyCanonicalization: 'relaxed',
    bodyHash: createHash('sha256').update('Hello there\r\n').digest('base64'),
    signatureStart: (await signed(MESSAGE)).toString().match(/\r\n b=(.{8})/)?.[1],
  })
})

for (const canonicalization of ['simple/simple', 'simple/relaxed', 'relaxed/simple', 'relaxed/relaxed']) {
  test(`R79 another signer's ${canonicalization}, cut anywhere, verifies, and a changed body doesn't`, async () => {
    const message = await foreign(MESSAGE, { ...signatureData(), canonicalization })
    const { header, body } = splitMessage(message)
    for (let cut = 0; cut <= body.length; cut++) {
      const verifier = new MessageVerifier(header, { resolve: resolverOf(), now: AT })
      verifier.update(body.subarray(0, cut))
      verifier.update(body.subarray(cut))
      assert.equal((await verifier.finish()).signatures[0]?.result, 'pass')
    }
    const { result, reason } = await only(Buffer.from(message.toString().replace('there', 'where')))
    assert.deepEqual([result, reason], ['fail', 'body hash'])
  })
}

type Field = (field: string) => string
const MISSING: ResolveTxt = () => Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' }))
const failing =
  (code: string): ResolveTxt =>
  () =>
    Promise.reject(Object.assign(new Error(), { code }))
const keyIs = (record: string): ResolveTxt => resolverOf({ [KEY_NAME]: record })
const weak = () =>
  keyIs(
    'v=DKIM1; k=rsa; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKVtNXqgEQaW5g2yIvXJqbBW2ezz9uPlvWMcT0zcEyMZOmKdbO5c0BBTEpnvvgQtKvzwFYgnFGcLuZcGq/xwkRUCAwEAAQ==',
  )

const outcomes: [change: Field, resolve: ResolveTxt, result: string, why: string][] = [
  [(field) => field, failing('ETIMEOUT'), 'temperror', 'the DNS does not answer'],
  [(field) => field, failing('ESERVFAIL'), 'temperror', 'the DNS fails'],
  [(field) => field, () => Promise.reject(new Error('resolver closed')), 'temperror', 'an error without a code'],
  [(field) => field, MISSING, 'permerror', 'no key'],
  [(field) => field, failing('ENODATA'), 'permerror', 'no TXT record'],
  [(field) => field, () => Promise.resolve([]), 'permerror', 'no record'],
  [(field) => field, keyIs('v=DKIM1; p='), 'permerror', 'revoked (RFC 6376 §3.6.1)'],
  [(field) => field, keyIs('v=spf1 -all'), 'permerror', 'no key record'],
  [(field) => field, keyIs(`v=DKIM1; p=${'A'.repeat(4000)}`), 'permerror', 'a key of absurd size'],
  [(field) => field, keyIs(keyRecord(ED25519)), 'permerror', 'a key of another kind'],
  [(field) => field, keyIs(`${keyRecord(RSA)}; h=sha1`), 'permerror', 'the key may not be used with SHA-256'],
  [(field) => field, weak(), 'policy', 'a key of 512 bits (RFC 8301 §3.2)'],
  [(field) => field.replace('rsa-sha256', 'rsa-sha1'), resolverOf(), 'policy', 'SHA-1 (RFC 8301 §3.1)'],
  [(field) => field.replace('rsa-sha256', 'dsa-sha256'), resolverOf(), 'neutral', 'an unknown algorithm'],
  [(field) => field.replace('v=1', 'v=2'), resolverOf(), 'neutral', 'an unknown version'],
  [(field) => field.replace('; s=', '; x=1; s='), resolverOf(), 'neutral', 'expired'],
  [(field) => field.replace('; s=', '; l=5; s='), resolverOf(), 'fail', 'l= changes what was signed'],
  [(field) => field.replace(/ s=[^;]*;/, ''), resolverOf(), 'neutral', 'a tag is missing'],
  [(field) => field.replace(/h=[^;]*;/, 'h=to:subject;'), resolverOf(), 'neutral', 'From not signed (RFC 6376 §5.4)'],
  [(field) => field.replace(/b=.{8}/, 'b=AAAAAAAA'), resolverOf(), 'fail', 'another signature'],
  [
    (field) => field.replace('d=fabrikam.example', 'd=other.example'),
    resolverOf(),
    'permerror',
    'a domain without that key',
  ],
  [
    (field) => field.replace('DKIM-Signature: ', `DKIM-Signature: ${'x=y; '.repeat(2000)}`),
    resolverOf(),
    'policy',
    'larger than any real one',
  ],
  [(field) => field.replace(/h=/, `h=${'a:'.repeat(300)}`), resolverOf(), 'policy', 'more names than any real one'],
  [(field) => field.replace('v=1;', `v=1;${' '.repeat(200)}`), resolverOf(), 'policy', 'white space of quadratic cost'],
]
for (const [change, resolve, result, why] of outcomes) {
  test(`SP-4 a signature is ${result}: ${why}`, async () => {
    const message = await foreign(MESSAGE, signatureData())
    const end = message.length - MESSAGE.length
    const changed = Buffer.concat([Buffer.from(change(message.toString('latin1', 0, end)), 'latin1'), MESSAGE])
    assert.equal((await only(changed, resolve)).result, result)
  })
}

test('SP-4 l= does not make a signature cover a part of the body: what is appended breaks it', async () => {
  const message = await foreign(MESSAGE, signatureData(PROJECT_DOMAIN, { maxBodyLength: 5 }))
  assert.match(message.toString(), /\bl=5\b/)
  assert.equal((await only(message)).result, 'fail')
  const whole = await foreign(MESSAGE, signatureData(PROJECT_DOMAIN, { maxBodyLength: 13 }))
  assert.match(whole.toString(), /\bl=13\b/)
  assert.equal((await only(whole)).result, 'pass', 'an l= that covers all is one like any other')
  assert.equal((await only(Buffer.concat([whole, Buffer.from('more\r\n')]))).result, 'fail')
})

const froms: [from: string, d: string, alignment: string, why: string][] = [
  ['a@fabrikam.example', 'fabrikam.example', 'exact', 'the same'],
  ['a@Fabrikam.EXAMPLE', 'fabrikam.example', 'exact', 'without case'],
  ['a@mail.fabrikam.co.uk', 'fabrikam.co.uk', 'relaxed', 'below it'],
  ['a@fabrikam.co.uk', 'mail.fabrikam.co.uk', 'relaxed', 'above it'],
  ['a@fabrikam.co.uk', 'contoso.co.uk', 'none', 'a public suffix is no organization'],
  ['a@evilfabrikam.com', 'fabrikam.com', 'none', 'a suffix of letters'],
  ['a@fabrikam.com, b@example.net', 'fabrikam.com', 'none', "one author is another's"],
  ['a@fabrikam.com, b@mail.fabrikam.com', 'fabrikam.com', 'relaxed', 'all authors'],
  ['a@fabrikam.com>\r\nFrom: <b@fabrikam.com', 'fabrikam.com', 'none', 'two From fields: readers differ'],
]
for (const [from, domain, alignment, why] of froms) {
  test(`R35 From ${JSON.stringify(from)}, d=${domain}: ${alignment}, ${why}`, async () => {
    const message = Buffer.from(`From: <${from.replaceAll(', ', '>, <')}>\r\n\r\nx\r\n`)
    const record = { [`${RSA_SELECTOR}._domainkey.${domain}`]: keyRecord(RSA) }
    const signature = await only(await foreign(message, signatureData(domain)), resolverOf(record))
    assert.equal(signature.result, 'pass')
    assert.equal(signature.alignment, alignment)
  })
}

test('R79 a line that is no field, put into a signed header, breaks the signature, as some readers see it', async () => {
  const message = (await signed(MESSAGE)).toString()
  assert.equal(
    (await only(Buffer.from(message.replace('Subject: hi\r\n', 'Subject: hi\r\nno field\r\n')))).result,
    'fail',
  )
})

test('SP-4 at most ten signatures are judged, the topmost ones, and the DNS is asked for no more', async () => {
  let message: Buffer = MESSAGE
  const names = new Set<string>()
  for (let i = 0; i < 30; i++) message = await foreign(message, signatureData(`d${i}.example`))
  const resolve: ResolveTxt = (name) => {
    names.add(name)
    return Promise.resolve([[keyRecord(RSA)]])
  }
  const { signatures } = await verified(message, resolve)
  assert.deepEqual(
    signatures.map(({ index, domain, result }) => [index, domain, result]),
    Array.from({ length: MAX_SIGNATURES }, (_, i) => [i, `d${29 - i}.example`, 'pass']),
  )
  assert.equal(names.size, MAX_SIGNATURES)
})

test('R79 keys are asked for while the body comes, all at once', async () => {
  const { header, body } = splitMessage(await foreign(await signed(MESSAGE), signatureData('other.example')))
  const asked: string[] = []
  const verifier = new MessageVerifier(header, {
    resolve: (name) => {
      asked.push(name)
      return resolverOf()(name)
    },
    now: AT,
  })
  await Promise.resolve()
  assert.deepEqual(asked.toSorted(), [KEY_NAME, `${RSA_SELECTOR}._domainkey.other.example`])
  verifier.update(body)
  assert.deepEqual(
    (await verifier.finish()).signatures.map(({ result }) => result),
    ['permerror', 'pass'],
  )
  assert.equal(asked.length, 2, 'and only once')
})

test('SP-4 names that are none are not asked for', async () => {
  const bad = [
    'a_b.example',
    'a b.example',
    '-.example',
    'a..example',
    `${'a.'.repeat(150)}example`,
    'localhost/..',
    '*',
  ]
  for (const domain of bad) {
    const message = (await signed(MESSAGE)).toString().replace('d=fabrikam.example', `d=${domain}`)
    const { signatures } = await verified(Buffer.from(message), () => assert.fail('asked'))
    assert.notEqual(signatures[0]?.result, 'pass')
  }
})

test('a message without signatures or seals has nothing to judge', () => {
  assert.equal(hasSignatures(scanHeader(MESSAGE)), false)
  for (const name of ['DKIM-Signature', 'ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results']) {
    assert.equal(hasSignatures(scanHeader(Buffer.from(`${name}: x\r\n`))), true)
  }
})

const RFC_8463_KEYS = {
  'brisbane._domainkey.football.example.com': 'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
  'test._domainkey.football.example.com':
    'v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB',
}
const published: [file: string, results: string[], why: string][] = [
  ['albertito+chasquid__internal__dkim__testdata__01-rfc8463.eml', ['pass', 'pass'], 'the example of RFC 8463 App. A'],
  [
    'jstedfast+MimeKit__UnitTests__TestData__dkim__rfc8463-example.eml',
    ['pass', 'pass'],
    'the same, from another source',
  ],
  [
    'albertito+chasquid__internal__dkim__testdata__08-our_signature.eml',
    ['permerror', 'pass', 'pass'],
    'signed once more, with a key that is not given here',
  ],
]
for (const [file, results, why] of published) {
  testShared(`R79 published signatures of the corpus verify: ${file}, ${why}`, async () => {
    const text = readFileSync(join(SHARED, 'corpus/arc-dkim', file), 'latin1').replaceAll(/\r?\n/g, '\r\n')
    const { signatures } = await verified(Buffer.from(text, 'latin1'), resolverOf(RFC_8463_KEYS))
    assert.deepEqual(
      signatures.map(({ result }) => result),
      results,
    )
  })
}

test('SP-4 hostile fields never throw, and never pass', async () => {
  const tag = fc.constantFrom(
    'v=1',
    'a=rsa-sha256',
    `d=${PROJECT_DOMAIN}`,
    `s=${RSA_SELECTOR}`,
    'h=from',
    'bh=',
    'b=',
    'c=relaxed/relaxed',
    'i=1',
    'cv=none',
    'l=0',
    '__proto__=1',
    'constructor=1',
    't=x',
    'q=dns/txt',
    'z=\0',
  )
  const junk = fc.string({
    unit: fc.constantFrom('a', '=', ';', ':', ' ', '\t', '"', '(', ')', '\\', '\r\n ', 'é', '@', '\x01'),
    maxLength: 80,
  })
  const name = fc.constantFrom(
    'DKIM-Signature',
    'ARC-Seal',
    'ARC-Message-Signature',
    'ARC-Authentication-Results',
    'From',
  )
  const field = fc
    .tuple(name, fc.array(fc.oneof(tag, junk), { maxLength: 12 }))
    .map(([n, parts]) => `${n}: x${parts.join(';').replaceAll('\0', '')}\r\n`)
  await fc.assert(
    fc.asyncProperty(fc.array(field, { maxLength: 15 }), async (fields) => {
      const { signatures, arc, fault } = await verified(
        Buffer.from(`${fields.join('')}\r\nx\r\n`, 'latin1'),
        resolverOf(RECORDS),
      )
      assert.equal(fault, undefined)
      assert.ok(signatures.every(({ result }) => result !== 'pass'))
      assert.notEqual(arc.status, 'pass')
    }),
    { numRuns: 400 },
  )
})
