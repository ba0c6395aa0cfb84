import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dkimSign } from 'mailauth/lib/dkim/sign.js'
import { dkimVerify } from 'mailauth/lib/dkim/verify.js'
import { applyEdits, scanHeader } from '../../../rewrite-rules/index.ts'
import { staleSignatures } from '../../../mta/sign/stale-dkim.ts'
import { keyRecord, pemOf, PROJECT_DOMAIN, resolverOf, RSA } from './project-keys.ts'
import { bodyHashOf, splitMessage, verified } from './signed-message.ts'

const DOMAINS = [PROJECT_DOMAIN, 'contoso.example', 'example.net']
const resolve = resolverOf(Object.fromEntries(DOMAINS.map((domain) => [`s1._domainkey.${domain}`, keyRecord(RSA)])))
const MESSAGE =
  'From: alice@contoso.example\r\nTo: bob@contoso.example\r\nSubject: hi\r\nX-Causeway-Project: token\r\n\r\nHello  there \r\n'

async function sign(message: string, domain: string, headerList: string[], canonicalization: string): Promise<string> {
  const { signatures } = await dkimSign(message, {
    canonicalization,
    headerList,
    signatureData: [{ signingDomain: domain, selector: 's1', privateKey: pemOf(RSA), algorithm: 'rsa-sha256' }],
  } as Parameters<typeof dkimSign>[1])
  return signatures + message
}

/** Rewrites the message, takes away what is stale; says which d= are gone, and lets mailauth judge what is left. */
async function removed(
  message: string,
  rewrite: (message: string) => string,
  domains = [PROJECT_DOMAIN, 'contoso.example'],
) {
  const before = splitMessage(Buffer.from(message))
  const after = splitMessage(Buffer.from(rewrite(message)))
  const stale = staleSignatures({
    received: before.header,
    rewritten: after.header,
    verification: await verified(Buffer.from(message), resolve),
    isProjectDomain: (domain) => domains.includes(domain),
    bodyChanged: !before.body.equals(after.body),
    bodyHash: bodyHashOf(after.body),
  })
  const left = applyEdits(
    after.header.bytes,
    stale.map(({ start, end }) => ({ start, end, text: '' })),
  )
  const { results } = await dkimVerify(Buffer.concat([left, after.body]), { resolver: resolve })
  return {
    gone: stale.map(({ start, end }) => /d=([^;]*)/.exec(after.header.text.slice(start, end))?.[1]),
    left: scanHeader(left).fields.filter(({ name }) => name === 'dkim-signature').length,
    results: results.map(({ status }) => status.result),
  }
}

const relaxed = 'relaxed/relaxed'
const ALL = ['From', 'To', 'Subject']
const rewriteTo = (message: string) => message.replace('To: bob@contoso', 'To: bob.new@fabrikam')

const cases: [
  fields: string[],
  canonicalization: string,
  rewrite: (message: string) => string,
  gone: boolean,
  why: string,
][] = [
  [ALL, relaxed, (message) => message, false, 'nothing changed'],
  [ALL, relaxed, rewriteTo, true, 'a signed field was rewritten'],
  [['From', 'Subject'], relaxed, rewriteTo, false, "a field was rewritten that it doesn't cover"],
  [ALL, relaxed, (message) => message.replace('Hello', 'Hullo'), true, 'the body was changed'],
  [
    ALL,
    relaxed,
    (message) => message.replace('Hello  there ', 'Hello there'),
    false,
    'the body differs in white space: still verifies',
  ],
  [ALL, 'relaxed/simple', (message) => message.replace('Hello  there ', 'Hello there'), true, 'the same, but `simple`'],
  [
    ALL,
    relaxed,
    (message) => message.replace('Subject: hi', 'SUBJECT:  hi'),
    false,
    'a field differs in white space: still verifies',
  ],
  [ALL, 'simple/simple', (message) => message.replace('Subject: hi', 'Subject:  hi'), true, 'the same, but `simple`'],
  [ALL, relaxed, (message) => `Received: from x\r\nX-Causeway-Trace: y\r\n${message}`, false, 'our trace fields'],
  [
    [...ALL, 'X-Causeway-Project'],
    relaxed,
    (message) => message.replace('X-Causeway-Project: token\r\n', ''),
    true,
    'the proof was signed, and goes (R84)',
  ],
]
for (const [fields, canonicalization, rewrite, gone, why] of cases) {
  test(`R82 ${canonicalization}, h=${fields.join(':')}: ${gone ? 'removed' : 'kept'}, ${why}`, async () => {
    const message = await sign(MESSAGE, 'contoso.example', fields, canonicalization)
    const result = await removed(message, rewrite)
    assert.deepEqual(result.gone, gone ? ['contoso.example'] : [])
    assert.deepEqual(result.results, gone ? ['none'] : ['pass'])
  })
}

test('R82 foreign signatures stay, broken or not; so do own ones that were broken before', async () => {
  const foreign = await sign(MESSAGE, 'example.net', ALL, relaxed)
  const broken = (await sign(foreign, PROJECT_DOMAIN, ALL, relaxed)).replace(/ bh=.{8}/, ' bh=AAAAAAAA')
  const own = await sign(broken, 'contoso.example', ALL, relaxed)
  const result = await removed(own, (message) => `Received: x\r\n${rewriteTo(message)}`)
  assert.deepEqual(result.gone, ['contoso.example'])
  assert.equal(result.left, 2)
})

test('R82 a signature over another goes with it; an unchanged one beside them stays', async () => {
  const inner = await sign(MESSAGE, 'contoso.example', ALL, relaxed)
  const outer = await sign(inner, PROJECT_DOMAIN, ['From', 'DKIM-Signature'], relaxed)
  assert.deepEqual((await removed(outer, (message) => message)).gone, [])
  assert.deepEqual((await removed(outer, rewriteTo)).gone, [PROJECT_DOMAIN, 'contoso.example'])
  const beside = await sign(inner, PROJECT_DOMAIN, ['From'], relaxed)
  assert.deepEqual(await removed(beside, rewriteTo), { gone: ['contoso.example'], left: 1, results: ['pass'] })
})

test('R82 nothing verified: nothing is removed', () => {
  const { header } = splitMessage(Buffer.from(`DKIM-Signature: v=1; d=contoso.example\r\n${MESSAGE}`))
  const request = { received: header, rewritten: header, isProjectDomain: () => true, bodyChanged: true, bodyHash: 'x' }
  assert.deepEqual(staleSignatures({ ...request, verification: undefined }), [])
})
