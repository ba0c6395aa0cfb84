// The checks of an ID token by themselves: limits of time, hostile text, keys that are none. The attack table is in entra-sign-in.test.ts. (AZ-1)
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import { clientAssertion, readAppCredential } from '../../../control-plane/access/app-credential.ts'
import { checkIdToken, readIdTokenHead } from '../../../control-plane/access/id-token.ts'
import type { Expected } from '../../../control-plane/access/id-token.ts'
import { UntrustedMetadata, readKeySet, readMetadata } from '../../../control-plane/access/oidc-metadata.ts'
import { newSignInFlow, readCallback } from '../../../control-plane/access/sign-in-flow.ts'
import { readEntraCode } from '../../../control-plane/access/token-refusal.ts'
import { CONTOSO, SIGN_IN_APP, makeAppCertificate } from '../../harness/entra-seed.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const small = generateKeyPairSync('rsa', { modulusLength: 1024 })
const NOW_S = 1_795_341_600
const ISSUER = `https://login.sandbox.test/${CONTOSO}/v2.0`
const expected: Expected = {
  issuer: ISSUER,
  audience: SIGN_IN_APP,
  tenantId: CONTOSO,
  nonce: 'the nonce',
  now: NOW_S * 1000,
}
const good: JWTPayload = {
  iss: ISSUER,
  aud: SIGN_IN_APP,
  tid: CONTOSO,
  oid: 'aaaaaaaa-0000-4000-8000-000000000001',
  nonce: 'the nonce',
  ver: '2.0',
  iat: NOW_S,
  nbf: NOW_S,
  exp: NOW_S + 3_600,
}

function sign(claims: JWTPayload, alg = 'RS256', key: KeyObject = rsa.privateKey): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, kid: 'k' }).sign(key)
}

async function faultOf(claims: JWTPayload, changes: Partial<Expected> = {}): Promise<string> {
  const result = await checkIdToken(await sign({ ...good, ...claims }), rsa.publicKey, { ...expected, ...changes })
  return result.kind === 'valid' ? 'valid' : result.fault
}

const TIMES: [why: string, claims: JWTPayload, fault: string][] = [
  ['expired by less than five minutes', { exp: NOW_S - 299 }, 'valid'],
  ['expired by five minutes', { exp: NOW_S - 300 }, 'expired'],
  ['valid from within five minutes', { nbf: NOW_S + 300 }, 'valid'],
  ['valid from later than in five minutes', { nbf: NOW_S + 301 }, 'not-yet-valid'],
  ['issued later than in five minutes', { iat: NOW_S + 301 }, 'not-yet-valid'],
  ['without a beginning', { nbf: null as unknown as number }, 'not-yet-valid'],
  ['with an end that is no number', { exp: 'never' as unknown as number }, 'expired'],
  ['with an end beyond all numbers', { exp: '1e999' as unknown as number }, 'expired'],
]
for (const [why, claims, fault] of TIMES) {
  test(`a token ${why}: ${fault}`, async () => assert.equal(await faultOf(claims), fault))
}

const IDENTITIES: [why: string, claims: JWTPayload, fault: string][] = [
  ['whose tenant is in capitals', { tid: CONTOSO.toUpperCase() }, 'valid'],
  ['whose object id is an e-mail address', { oid: 'alice@contoso.example' }, 'identity'],
  ['whose object id is a list', { oid: [good['oid']] }, 'identity'],
  ['whose audience is a list of one', { aud: [SIGN_IN_APP] }, 'audience'],
  ['whose issuer has a slash more', { iss: `${ISSUER}/` }, 'issuer'],
  ['whose nonce is longer', { nonce: 'the nonce ' }, 'nonce'],
  ['whose nonce is a number', { nonce: 7 }, 'nonce'],
  ['of version 1.0', { ver: '1.0' }, 'version'],
]
for (const [why, claims, fault] of IDENTITIES) {
  test(`a token ${why}: ${fault}`, async () => assert.equal(await faultOf(claims), fault))
}

test('PS256 is taken, every other algorithm refused before and after the key is known', async () => {
  assert.equal((await checkIdToken(await sign(good, 'PS256'), rsa.publicKey, expected)).kind, 'valid')
  for (const alg of ['RS384', 'RS512', 'PS384', 'PS512']) {
    const token = await sign(good, alg)
    assert.deepEqual(readIdTokenHead(token), { kind: 'refused', fault: 'algorithm' }, alg)
    assert.deepEqual(await checkIdToken(token, rsa.publicKey, expected), { kind: 'refused', fault: 'algorithm' }, alg)
  }
})

test('names are what is there: capped, or empty, and nothing depends on them', async () => {
  const claims = { ...good, name: 'x'.repeat(10_000), preferred_username: 7, amr: ['pwd', 7, null] }
  const result = await checkIdToken(await sign(claims), rsa.publicKey, expected)
  assert.ok(result.kind === 'valid')
  assert.equal(result.person.displayName.length, 256)
  assert.equal(result.person.userPrincipalName, '')
  assert.deepEqual(result.person.methods, ['pwd'])
})

test('fresh authentication is judged with a minute’s tolerance', async () => {
  const since = { authenticatedSince: NOW_S * 1000 }
  assert.equal(await faultOf({ auth_time: NOW_S - 60 }, since), 'valid')
  assert.equal(await faultOf({ auth_time: NOW_S - 61 }, since), 'authentication-time')
  assert.equal(await faultOf({ auth_time: String(NOW_S) }, since), 'authentication-time')
})

test('property: no changed character of a token goes unnoticed', async () => {
  const token = await sign(good)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'.split('')
  // The last character of the signature holds four bits that mean nothing: RFC 7515 doesn't forbid them.
  await fc.assert(
    fc.asyncProperty(fc.nat(token.length - 2), fc.constantFrom(...alphabet), async (at, character) => {
      fc.pre(token[at] !== character)
      const changed = token.slice(0, at) + character + token.slice(at + 1)
      assert.equal((await checkIdToken(changed, rsa.publicKey, expected)).kind, 'refused')
    }),
    { numRuns: 300 },
  )
})

test('property: whatever text comes as a token, a callback, a key set or metadata, it is read or refused, never thrown at', () => {
  const part = fc.oneof(
    fc.string(),
    fc.json().map((json) => Buffer.from(json).toString('base64url')),
  )
  const token = fc.oneof(
    fc.string(),
    fc.tuple(part, part, part).map((parts) => parts.join('.')),
  )
  fc.assert(fc.property(token, (text) => void readIdTokenHead(text)))
  const flow = newSignInFlow(false, (bytes) => Buffer.alloc(bytes, 7), 0)
  const query = fc.array(fc.tuple(fc.constantFrom('state', 'code', 'error', 'error_description', 'x'), fc.string()))
  fc.assert(
    fc.property(query, fc.boolean(), (fields, isRight) => {
      const params = new URLSearchParams(fields)
      if (isRight) params.append('state', flow.state)
      const callback = readCallback(flow, params, 1)
      if (!isRight) assert.equal(callback.kind, 'forged-state')
    }),
  )
  const body = fc.dictionary(fc.constantFrom('keys', 'issuer', 'jwks_uri', 'x'), fc.jsonValue())
  fc.assert(
    fc.property(body, (value) => {
      assert.equal(readKeySet(value, ISSUER).size, 0)
      assert.throws(() => readMetadata(value, ISSUER, 'https://login.sandbox.test'), UntrustedMetadata)
    }),
  )
})

test('an overlong token is not even decoded', () => {
  assert.deepEqual(readIdTokenHead(`${'e'.repeat(16 * 1024)}.e30.`), { kind: 'refused', fault: 'malformed' })
})

// ── Key sets ──────────────────────────────────────────────────────────────────────────────────────────────────────

test('of a key set only RSA signing keys of 2048 bits and more are kept, and of this issuer', () => {
  const jwk = rsa.publicKey.export({ format: 'jwk' })
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
  const keys = [
    { ...jwk, kid: 'plain' },
    { ...jwk, kid: 'signing', use: 'sig', issuer: ISSUER },
    { ...jwk, kid: 'of another tenant', issuer: 'https://login.sandbox.test/x/v2.0' },
    { ...jwk, kid: 'for encryption', use: 'enc' },
    { ...small.publicKey.export({ format: 'jwk' }), kid: 'small' },
    { ...ec, kid: 'elliptic' },
    { kty: 'oct', k: 'c2VjcmV0', kid: 'secret' },
    { ...jwk, kid: 7 },
    { ...jwk, kid: 'broken', n: '*' },
    { ...jwk, kid: 'plain', n: small.publicKey.export({ format: 'jwk' }).n },
    null,
    'key',
  ]
  assert.deepEqual([...readKeySet({ keys }, ISSUER).keys()], ['plain', 'signing'])
})

test('AADSTS numbers are read from the beginning of a description only', () => {
  const examples: [text: string, code: number | undefined][] = [
    ['AADSTS50057: The user account is disabled.', 50057],
    ['AADSTS9002313: Invalid request.', 9002313],
    ['see AADSTS50057', undefined],
    ['AADSTS1', undefined],
    ['AADSTS99999999999999999999: x', undefined],
    ['', undefined],
  ]
  for (const [text, code] of examples) assert.equal(readEntraCode(text), code, text)
})

// ── Our own credential ────────────────────────────────────────────────────────────────────────────────────────────

test('EC-1: a credential is an RSA key and its certificate; no error quotes either', () => {
  const mine = makeAppCertificate()
  const other = makeAppCertificate()
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' })
  const weak = small.privateKey.export({ type: 'pkcs8', format: 'pem' })
  const read = (certificate: string, privateKey: string) => () => readAppCredential({ certificate, privateKey })
  assert.doesNotThrow(read(mine.certificate, mine.privateKey))
  assert.throws(read(mine.certificate, other.privateKey), /do not belong together/)
  assert.throws(read(mine.certificate, String(ec)), /RSA key of 2048/)
  assert.throws(read(mine.certificate, String(weak)), /RSA key of 2048/)
  const bent = mine.privateKey.replace(/[A-Z]/, '*')
  assert.throws(read(mine.certificate, bent), (error) => {
    assert.ok(error instanceof Error && error.cause === undefined)
    assert.equal(error.message, 'the application credential is not a certificate and a private key in PEM')
    return true
  })
})

test('each assertion is another one, good for ten minutes by the clock given', async () => {
  const credential = readAppCredential(makeAppCertificate())
  const make = () => clientAssertion(credential, SIGN_IN_APP, 'https://login.sandbox.test/t/token', NOW_S * 1000)
  const [one, two] = [await make(), await make()]
  const claims = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
  assert.notEqual(claims(one)['jti'], claims(two)['jti'])
  const { nbf, exp, aud, iss, sub } = claims(one)
  assert.deepEqual([nbf, exp], [NOW_S, NOW_S + 600])
  assert.deepEqual([aud, iss, sub], ['https://login.sandbox.test/t/token', SIGN_IN_APP, SIGN_IN_APP])
})
