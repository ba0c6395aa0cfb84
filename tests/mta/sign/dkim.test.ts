import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dkimVerify } from 'mailauth/lib/dkim/verify.js'
import { scanHeader } from '../../../rewrite-rules/index.ts'
import type { Direction } from '../../../rewrite-rules/index.ts'
import { planSignatures } from '../../../mta/sign/dkim.ts'
import type { SignaturePlan, SignedRoute } from '../../../mta/sign/dkim.ts'
import type { DkimKeys } from '../../../mta/sign/dkim-keys.ts'
import { signedFieldNames } from '../../../mta/sign/signed-fields.ts'
import { BOTH, PROJECT_DOMAIN, resolverOf, RSA_ONLY } from './project-keys.ts'
import { signed, verified } from './signed-message.ts'

const FROM = `From: Alice <alice@${PROJECT_DOMAIN}>\r\n`
const REST = 'To: bob@example.net\r\nSubject: hi\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n\r\nHello  there \r\n\r\n'

/** Of a project with three domains, only one of which has a key; what returns goes to the tenant of another. */
function plan(header: string, route: SignedRoute = 'mx', direction: Direction = 'out'): SignaturePlan {
  return planSignatures({
    header: scanHeader(Buffer.from(header)),
    direction,
    route,
    keys: RSA_ONLY,
    isProjectDomain: (domain) => [PROJECT_DOMAIN, 'contoso.example', 'northwind.example'].includes(domain),
    isOfDeliverer: (domain) => domain === 'contoso.example',
    verification: undefined,
  })
}

const plans: [from: string, route: SignedRoute, outcome: string, why: string][] = [
  ['From: a@fabrikam.example', 'mx', 'sign', 'the domain has a key'],
  ['From: a@fabrikam.example', 'owner-tenant', 'sign', 'on every route'],
  ['From: a@FABRIKAM.example', 'mx', 'sign', 'domains have no case'],
  ['From: a@contoso.example, b@fabrikam.example', 'mx', 'sign', 'the first mailbox whose domain has a key'],
  ['From: a@sub.fabrikam.example', 'mx', 'foreign-author', 'd= is the very domain, not one above'],
  ['From: a@example.net', 'mx', 'foreign-author', 'not ours'],
  ['From: a@contoso.example', 'owner-tenant', 'tenant-signs', 'its tenant signs'],
  ['From: a@contoso.example', 'mailbox', 'tenant-signs', 'a tenant signed before'],
  ['From: a@contoso.example', 'return', 'tenant-signs', 'it returns to its own tenant'],
  ['From: a@northwind.example', 'return', 'refuse', 'nobody could sign after us'],
  ['From: a@contoso.example', 'mx', 'refuse', 'nobody could sign after us'],
  ['From: a@example.net, b@contoso.example', 'mx', 'refuse', 'one author is ours'],
  ['From: a@fabrikam.example\r\nFrom: a@example.net', 'mx', 'foreign-author', 'of two fields the last one counts'],
  ['From: a@example.net\r\nFrom: a@fabrikam.example', 'mx', 'sign', 'of two fields the last one counts'],
  ['From: team: a@fabrikam.example;', 'mx', 'sign', 'a group (RFC 6854)'],
  ['From: ', 'mx', 'no-author', 'nobody'],
  ['Subject: x', 'mx', 'no-author', 'no From'],
  ['From: a@[192.0.2.1]', 'mx', 'no-author', 'a literal has no key'],
]
for (const [from, route, outcome, why] of plans) {
  test(`R81 ${from.replaceAll('\r\n', ' | ')} on route ${route}: ${outcome}, ${why}`, () => {
    const decided = plan(`${from}\r\n\r\n`, route)
    assert.equal(decided.kind === 'unsigned' ? decided.why : decided.kind, outcome)
    if (decided.kind === 'refuse') assert.ok(from.includes(`@${decided.domain}`))
    if (decided.kind === 'sign') assert.equal(decided.domain, PROJECT_DOMAIN)
  })
}

test('R81 mail `in` that only says it is ours is not signed; with a signature of that domain on arrival it is', async () => {
  const message = await signed(Buffer.from(FROM + REST))
  const request = {
    header: scanHeader(message),
    direction: 'in',
    route: 'mailbox',
    keys: RSA_ONLY,
    isProjectDomain: () => true,
    isOfDeliverer: () => false,
  } as const
  assert.deepEqual(planSignatures({ ...request, verification: undefined }), {
    kind: 'unsigned',
    why: 'unproven-author',
  })
  const verification = await verified(message, resolverOf())
  assert.equal(planSignatures({ ...request, verification }).kind, 'sign')
  const broken = await verified(Buffer.concat([message, Buffer.from('more\r\n')]), resolverOf())
  assert.equal(planSignatures({ ...request, verification: broken }).kind, 'unsigned')
})

test('R80 h= has every field that counts as often as it is there, and six of them once more', () => {
  const header = scanHeader(
    Buffer.from(
      'DKIM-Signature: x\r\nReceived: x\r\nAuthentication-Results: x\r\nSender: s\r\nFROM: f\r\nTo: a\r\nTo: b\r\nMessage-ID: m\r\nIn-Reply-To: i\r\n' +
        'References: r\r\nMIME-Version: 1.0\r\nContent-Type: t\r\nContent-Transfer-Encoding: e\r\nResent-From: f\r\nResent-From: g\r\nList-Unsubscribe-Post: p\r\n' +
        'List-;bh=x: q\r\nX-Other: o\r\n',
    ),
  )
  assert.deepEqual(
    signedFieldNames(header).map((name) => name.toLowerCase()),
    (
      'from:from:sender:reply-to:to:to:to:cc:subject:date:message-id:in-reply-to:references:mime-version:content-type:' +
      'content-transfer-encoding:resent-from:resent-from:list-unsubscribe-post'
    ).split(':'),
  )
})

const bodies: [body: string, why: string][] = [
  ['', 'no body'],
  ['\r\n\r\n', 'empty lines only'],
  ['a\t b \r\n \r\n\r\n', 'white space in all places'],
  ['x'.repeat(100_000), 'one long line'],
  ['caf\xe9 \x80\xff\r\n', 'octets over 127'],
]
const keySets: [name: string, keys: DkimKeys, algorithms: string[]][] = [
  ['RSA', RSA_ONLY, ['rsa-sha256']],
  ['RSA and Ed25519', BOTH, ['rsa-sha256', 'ed25519-sha256']],
]
for (const [name, keys, algorithms] of keySets) {
  for (const [body, why] of bodies) {
    test(`DL-9, R80 signatures with ${name} verify: ${why}`, async () => {
      const message = await signed(Buffer.from(`${FROM}Subject: x\r\n\r\n${body}`, 'latin1'), keys)
      const { results } = await dkimVerify(message, { resolver: resolverOf(), strict: true })
      assert.deepEqual(
        results.map(({ status, algo }) => [status.result, algo]),
        algorithms.map((algorithm) => ['pass', algorithm]),
      )
    })
  }
}

test('R80 the field: relaxed/relaxed, d= of From, no l=, t= in seconds, lines of 78 octets', async () => {
  const many = Array.from({ length: 60 }, (_, i) => `List-X-${i}: x\r\n`).join('')
  const message = (await signed(Buffer.from(many + FROM + REST))).toString()
  const field = message.slice(0, message.indexOf(many))
  for (const line of field.split('\r\n')) assert.ok(line.length <= 78, line)
  assert.match(
    field,
    /^DKIM-Signature: v=1; a=rsa-sha256; c=relaxed\/relaxed; d=fabrikam\.example;\r\n s=causeway1; t=1795341600; h=From:From:/,
  )
  assert.doesNotMatch(field, /\bl=/)
})

const changes: [from: string, to: string, why: string][] = [
  ['Subject: hi', 'Subject: ho', 'another subject'],
  ['Subject: hi\r\n', 'Subject: hi\r\nSubject: ho\r\n', 'a second subject below'],
  ['From:', 'Subject: ho\r\nFrom:', 'a second subject above: oversigned'],
  ['From:', 'From: eve@example.org\r\nFrom:', 'a second author above: oversigned'],
  ['From:', 'Cc: eve@example.org\r\nFrom:', 'a field that was not there: oversigned'],
  ['From:', 'Reply-To: eve@example.org\r\nFrom:', 'likewise'],
  ['Hello  there', 'Hello  where', 'another body'],
  ['there \r\n\r\n', 'there \r\n\r\nmore\r\n', 'a longer body'],
]
for (const [from, to, why] of changes) {
  test(`R80 a signature covers it: ${why}`, async () => {
    const message = (await signed(Buffer.from(FROM + REST))).toString()
    const changed = message.replace(from === 'From:' ? `\r\n${from}` : from, from === 'From:' ? `\r\n${to}` : to)
    assert.notEqual(changed, message)
    const { results } = await dkimVerify(Buffer.from(changed), { resolver: resolverOf(), strict: true })
    assert.deepEqual(
      results.map(({ status }) => status.result),
      ['fail'],
    )
  })
}

const untouched: [from: string, to: string, why: string][] = [
  ['DKIM-Signature:', 'Received: from x\r\nDKIM-Signature:', 'a trace field on top'],
  ['Subject: hi', 'SUBJECT:   hi  ', 'white space and case of names: relaxed'],
  ['there \r\n\r\n', 'there\t\t\r\n\r\n\r\n', 'white space at the end of lines, empty lines at the end: relaxed'],
  ['To: bob', 'DKIM-Signature: v=1; d=other.example\r\nTo: bob', "somebody else's signature"],
]
for (const [from, to, why] of untouched) {
  test(`R80 a signature survives: ${why}`, async () => {
    const message = (await signed(Buffer.from(FROM + REST))).toString()
    const changed = message.replace(from, to)
    assert.notEqual(changed, message)
    const { results } = await dkimVerify(Buffer.from(changed), { resolver: resolverOf() })
    assert.ok(results.some(({ status }) => status.result === 'pass'))
  })
}

test('R80 property: whatever the header and the body hold, the signature verifies', async () => {
  const name = fc.constantFrom(
    'To',
    'CC',
    'subject',
    'List-Id',
    'Resent-To',
    'Resent-Bcc',
    'Received',
    'X-Y',
    'References',
    'From',
  )
  const value = fc.string({
    unit: fc.constantFrom('a', 'é', ' ', '\t', ';', ':', '=', '"', '\r\n ', '\r\n\t'),
    maxLength: 60,
  })
  const field = fc.tuple(name, value).map(([n, v]) => `${n}:x${v}y\r\n`)
  const body = fc.string({ unit: fc.constantFrom('a', ' ', '\t', '\r\n', 'é'), maxLength: 200 })
  await fc.assert(
    fc.asyncProperty(fc.array(field, { maxLength: 20 }), body, async (fields, text) => {
      const message = await signed(Buffer.from(`${fields.join('')}${FROM}\r\n${text}`), BOTH)
      const { results } = await dkimVerify(message, { resolver: resolverOf(), strict: true })
      assert.deepEqual(
        results.map(({ status }) => status.result),
        ['pass', 'pass'],
      )
    }),
    { numRuns: 150 },
  )
})
