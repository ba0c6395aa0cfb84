import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { authenticate } from 'mailauth'
import { scanHeader } from '../../../rewrite-rules/index.ts'
import type { Direction, Policy } from '../../../rewrite-rules/index.ts'
import { planSeal } from '../../../mta/sign/arc.ts'
import type { SealRequest } from '../../../mta/sign/arc.ts'
import { readArcSets } from '../../../mta/sign/arc-sets.ts'
import type { SignedRoute } from '../../../mta/sign/dkim.ts'
import { signMessage } from '../../../mta/sign/sign-message.ts'
import type { ArcChain, Verification } from '../../../mta/sign/verification.ts'
import { BOTH, PROJECT_DOMAIN, resolverOf } from './project-keys.ts'
import { AT, bodyHashOf, sealed, signed, splitMessage, verified } from './signed-message.ts'

const MESSAGE = Buffer.from(
  `From: Alice <alice@${PROJECT_DOMAIN}>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello  there \r\n`,
)
const [RSA_KEY, ED25519_KEY] = BOTH.find(PROJECT_DOMAIN) ?? []

function setsOf(count: number, cv = 'pass'): string {
  let text = ''
  for (let i = count; i >= 1; i--) {
    text += `ARC-Seal: i=${i}; a=rsa-sha256; cv=${i === 1 ? 'none' : i === count ? cv : 'pass'}; b=x\r\nARC-Message-Signature: i=${i}; b=x\r\nARC-Authentication-Results: i=${i}; x; none\r\n`
  }
  return text
}

function outcome(header: string, status: ArcChain['status'] | undefined, given: Partial<SealRequest> = {}): string {
  const verification: Verification | undefined = status && {
    signatures: [],
    arc: { status, reason: undefined },
    fault: undefined,
  }
  const plan = planSeal({
    policy: 'on',
    direction: 'in',
    route: 'mailbox',
    contentChanged: true,
    header: scanHeader(Buffer.from(`${header}From: a@b.example\r\n`)),
    verification,
    key: RSA_KEY,
    ...given,
  })
  return plan.kind === 'seal' ? `i=${plan.instance} cv=${plan.cv}` : plan.why
}

const policies: [policy: Policy['arc'], direction: Direction, route: SignedRoute, changed: boolean, seals: boolean][] =
  [
    ['auto', 'in', 'mailbox', true, true],
    ['auto', 'in', 'mailbox', false, false],
    ['auto', 'out', 'return', true, true],
    ['auto', 'out', 'return', false, true],
    ['auto', 'out', 'owner-tenant', true, false],
    ['auto', 'out', 'mx', true, false],
    ['on', 'in', 'mailbox', false, true],
    ['on', 'out', 'mx', false, true],
    ['off', 'in', 'mailbox', true, false],
    ['off', 'out', 'return', true, false],
  ]
for (const [policy, direction, route, contentChanged, seals] of policies) {
  test(`R83 policy ${policy}, ${direction} on route ${route}, content ${contentChanged ? '' : 'not '}changed: ${seals ? 'sealed' : 'not sealed'}`, () => {
    assert.equal(outcome('', undefined, { policy, direction, route, contentChanged }), seals ? 'i=1 cv=none' : 'policy')
  })
}

const chains: [header: string, status: ArcChain['status'] | undefined, result: string, why: string][] = [
  ['', undefined, 'i=1 cv=none', 'no chain, so nothing had to be verified'],
  ['', 'none', 'i=1 cv=none', 'no chain'],
  [setsOf(1), 'pass', 'i=2 cv=pass', 'a valid chain'],
  [setsOf(3), 'pass', 'i=4 cv=pass', 'a valid chain'],
  [setsOf(1), 'fail', 'i=2 cv=fail', 'a broken chain is called so'],
  [setsOf(3, 'fail'), 'fail', 'chain-failed', 'nothing is added after cv=fail'],
  [setsOf(3, 'FAIL'), 'fail', 'chain-failed', 'in any case'],
  [setsOf(2), undefined, 'chain-unknown', 'there is a chain, and nobody verified it'],
  [setsOf(2), 'unknown', 'chain-unknown', 'the DNS failed us: to say `fail` would be for ever'],
  [setsOf(49), 'pass', 'i=50 cv=pass', 'the last instance there is'],
  [setsOf(50), 'pass', 'chain-full', 'fifty sets'],
  ['ARC-Seal: i=999999999; cv=pass\r\n', 'fail', 'chain-full', 'what says so is full'],
  ['ARC-Seal: i=7; cv=pass\r\n', 'fail', 'i=8 cv=fail', 'an instance is never used twice, however broken the chain'],
  ['ARC-Seal: x\r\n', 'fail', 'i=1 cv=fail', 'a field without an instance'],
  [setsOf(2) + 'ARC-Seal: i=2; cv=pass\r\n', 'pass', 'chain-unknown', 'a chain we read otherwise than its verifier'],
]
for (const [header, status, result, why] of chains) {
  test(`R83 chain ${status ?? 'not verified'}: ${result}, ${why}`, () => assert.equal(outcome(header, status), result))
}

test('R83 without an RSA key nothing is sealed', () => {
  assert.equal(outcome('', 'none', { key: undefined }), 'no-key')
  assert.equal(outcome('', 'none', { key: ED25519_KEY }), 'no-key')
})

async function judge(message: Buffer) {
  const { arc } = await authenticate(message, { resolver: resolverOf(), disableDmarc: true, disableBimi: true })
  assert.ok(arc)
  return arc
}

test('R83 a chain of three seals of ours over our DKIM signature is valid to mailauth; every set says what was before', async () => {
  let message = await signed(MESSAGE, BOTH)
  for (const _ of [1, 2, 3]) message = await sealed(message, resolverOf())
  const arc = await judge(message)
  assert.deepEqual([arc.status.result, arc.i], ['pass', 3])
  const header = scanHeader(message)
  assert.deepEqual(
    header.fields.slice(0, 3).map(({ name }) => name),
    ['arc-seal', 'arc-message-signature', 'arc-authentication-results'],
  )
  assert.match(
    header.text,
    /ARC-Authentication-Results: i=3; relay\.example;\r\n dkim=pass [^;]*;\r\n dkim=pass [^;]*;\r\n arc=pass\r\n/,
  )
  assert.match(
    header.text,
    /ARC-Authentication-Results: i=1; relay\.example;\r\n dkim=pass [^;]*;\r\n dkim=pass [^;]*;\r\n arc=none\r\n/,
  )
})

test('R83 the message signature covers DKIM-Signature fields, never Authentication-Results or ARC fields', async () => {
  const message = Buffer.concat([Buffer.from('Authentication-Results: x; none\r\n'), await signed(MESSAGE, BOTH)])
  const twice = (await sealed(await sealed(message, resolverOf()), resolverOf())).toString()
  const lists = [...twice.matchAll(/^ARC-Message-Signature:(?:.*\r\n)(?: .*\r\n)*/gm)].map(
    ([field]) =>
      field
        .replaceAll(/\s/g, '')
        .match(/h=([^;]*)/)?.[1]
        ?.split(':') ?? [],
  )
  assert.equal(lists.length, 2)
  for (const list of lists) {
    assert.equal(list.filter((name) => name === 'DKIM-Signature').length, 2)
    assert.ok(!list.some((name) => /^(?:arc-|authentication-results)/i.test(name)))
  }
})

test('R79, R83 one step signs and seals: the seal is on top and covers the signature', async () => {
  const { header, body } = splitMessage(MESSAGE)
  const keys = BOTH.find(PROJECT_DOMAIN) ?? []
  assert.ok(RSA_KEY)
  const fields = await signMessage({
    header,
    bodyHash: bodyHashOf(body),
    signatures: { kind: 'sign', domain: PROJECT_DOMAIN, keys },
    seal: { kind: 'seal', instance: 1, cv: 'none', key: RSA_KEY },
    results: 'relay.example; none',
    at: AT,
  })
  const message = Buffer.concat([Buffer.from(fields), MESSAGE])
  assert.deepEqual(
    scanHeader(message).fields.map(({ name }) => name),
    [
      'arc-seal',
      'arc-message-signature',
      'arc-authentication-results',
      'dkim-signature',
      'dkim-signature',
      ...header.fields.map(({ name }) => name),
    ],
  )
  assert.equal((await judge(message)).status.result, 'pass')
  const { signatures } = await verified(message, resolverOf())
  assert.deepEqual(
    signatures.map(({ result }) => result),
    ['pass', 'pass'],
  )
  assert.equal(
    (await judge(Buffer.from(message.toString().replace('DKIM-Signature: v=1; a=ed', 'DKIM-Signature: v=1; a=xd'))))
      .status.result,
    'fail',
  )
})

test('R79 nothing to sign, nothing to seal: no field is added', async () => {
  const { header } = splitMessage(MESSAGE)
  const request = { header, bodyHash: 'x', results: '', at: AT }
  const unsigned = { kind: 'unsigned', why: 'foreign-author' } as const
  assert.equal(await signMessage({ ...request, signatures: unsigned, seal: { kind: 'unsealed', why: 'policy' } }), '')
})

const harms: [from: RegExp, to: string, why: string][] = [
  [/Hello/, 'Hullo', 'the body'],
  [/Subject: hi/, 'Subject: ho', 'a signed field'],
  [/s=causeway1; t=\d+; h=From/, 's=causeway1; t=1; h=From', 'our DKIM signature'],
  [/arc=none/, 'arc=pass', 'results'],
  [/cv=none/, 'cv=pass', 'the state of the chain'],
]
for (const [from, to, why] of harms) {
  test(`R83 a seal covers ${why}; the next one says cv=fail, and after it nothing is added`, async () => {
    const message = (await sealed(await signed(MESSAGE), resolverOf())).toString()
    const harmed = Buffer.from(message.replace(from, to))
    assert.notEqual(harmed.toString(), message)
    assert.equal((await judge(harmed)).status.result, 'fail')
    assert.equal((await verified(harmed, resolverOf())).arc.status, 'fail')
    const after = await sealed(harmed, resolverOf())
    assert.match(after.toString(), /^ARC-Seal: i=2; a=rsa-sha256; t=\d+; cv=fail;/)
    await assert.rejects(sealed(after, resolverOf()), /not sealed: chain-failed/)
  })
}

test('R83 DNS failure while the chain is judged: unknown, so nothing is sealed', async () => {
  const message = await sealed(MESSAGE, resolverOf())
  const failing = () => Promise.reject(Object.assign(new Error(), { code: 'ESERVFAIL' }))
  assert.equal((await verified(message, failing)).arc.status, 'unknown')
  const missing = () => Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' }))
  assert.equal((await verified(message, missing)).arc.status, 'fail')
})

test('R83 a chain of fifty seals verifies; with more octets than real ones have it is not judged', async () => {
  let message: Buffer = MESSAGE
  for (let i = 0; i < 50; i++) message = await sealed(message, resolverOf())
  assert.equal((await verified(message, resolverOf())).arc.status, 'pass')
  await assert.rejects(sealed(message, resolverOf()), /not sealed: chain-full/)
  const large = Buffer.concat([Buffer.from(`ARC-Authentication-Results: i=51; ${'x'.repeat(17_000)}\r\n`), message])
  assert.equal((await verified(large, () => assert.fail('asked'))).arc.status, 'fail')
})

test('PS-2 readArcSets never throws, and a whole chain has three fields a set', () => {
  const field = fc.tuple(
    fc.constantFrom('ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results'),
    fc.oneof(fc.integer({ min: 0, max: 4 }).map(String), fc.string({ unit: 'binary-ascii', maxLength: 5 })),
  )
  fc.assert(
    fc.property(fc.array(field, { maxLength: 12 }), (fields) => {
      const text = fields.map(([name, i]) => `${name}: i=${i.replaceAll(/[\r\n\0]/g, '')}; x\r\n`).join('')
      const { highest, chain } = readArcSets(scanHeader(Buffer.from(text, 'latin1')))
      if (chain !== undefined) assert.equal(chain.length, 3 * highest)
    }),
  )
})
