// What cryptography the product uses, read from its source, against the list of KM-6. A name that isn't on the list, an import that could
// bring one unseen, or randomness from elsewhere fails here and has to be argued for.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const ROOMS = ['control-plane', 'common']

/** Functions whose first argument names an algorithm, and the names it may be. */
const ALGORITHMS: Record<string, readonly string[]> = {
  createHash: ['sha256', 'sha384', 'sha512'],
  hash: ['sha256', 'sha384', 'sha512'],
  createHmac: ['sha256', 'sha384', 'sha512'],
  hkdf: ['sha256', 'sha384', 'sha512'],
  hkdfSync: ['sha256', 'sha384', 'sha512'],
  createCipheriv: ['aes-256-gcm', 'id-aes256-wrap'],
  createDecipheriv: ['aes-256-gcm', 'id-aes256-wrap'],
  // X25519: the relay's sealing key (RC-2), key agreement only.
  generateKeyPair: ['rsa', 'ec', 'ed25519', 'x25519'],
  generateKeyPairSync: ['rsa', 'ec', 'ed25519', 'x25519'],
  createSign: ['sha256', 'sha384', 'sha512'],
  createVerify: ['sha256', 'sha384', 'sha512'],
  sign: ['sha256', 'sha384', 'sha512', 'null', 'undefined'], // null: Ed25519 has its hash built in
  verify: ['sha256', 'sha384', 'sha512', 'null', 'undefined'],
}
/** Take no name of an algorithm, or take it from the key. */
const NEUTRAL = [
  'randomBytes',
  'randomUUID',
  'randomInt',
  'timingSafeEqual',
  'createSecretKey',
  'createPublicKey',
  'createPrivateKey',
  'diffieHellman',
  'X509Certificate',
  'scrypt',
  'scryptSync',
  'getFips',
]
const CURVES = ['P-256', 'P-384', 'prime256v1', 'secp384r1']

interface Finding {
  readonly file: string
  readonly text: string
}

/** Everything in `source` that the list doesn't allow; `used` collects what it does. */
function findings(file: string, source: string, used: Set<string>): Finding[] {
  const found: Finding[] = []
  const refuse = (text: string) => found.push({ file, text })
  const code = source.replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, '')
  if (/\bMath\.random\b/.test(code)) refuse('Math.random')
  if (/\b(webcrypto|crypto\.subtle|crypto\.getRandomValues)\b/.test(code)) refuse('Web Crypto')
  for (const [, size = '0'] of code.matchAll(/modulusLength:\s*([\w.]+)/g)) {
    if (Number(size.replace('_', '')) < 3072) refuse(`RSA key of ${size} bits`)
  }
  for (const [, curve = ''] of code.matchAll(/namedCurve:\s*'([^']*)'/g))
    if (!CURVES.includes(curve)) refuse(`curve ${curve}`)

  for (const [line, type, names] of code.matchAll(
    /^import\s+(type\s+)?(?:\{([^}]*)\}|[^'"{]+)\s+from\s+'(?:node:)?crypto'/gm,
  )) {
    if (type !== undefined) continue
    if (names === undefined) {
      refuse(line)
      continue
    }
    for (const name of names.split(',').map((each) => each.trim())) {
      if (name === '' || name.startsWith('type ')) continue
      const approved = ALGORITHMS[name]
      if (approved === undefined) {
        if (!NEUTRAL.includes(name)) refuse(`import of ${name}`)
        continue
      }
      for (const [, argument = ''] of code.matchAll(new RegExp(`(?<![.\\w#])${name}\\(\\s*([^,)]+)`, 'g'))) {
        const algorithm = argument.trim().replaceAll("'", '').toLowerCase()
        used.add(`${name} ${algorithm}`)
        if (!approved.includes(algorithm)) refuse(`${name}(${argument.trim()}`)
      }
    }
  }
  if (/\b(require|import)\(\s*['"](node:)?crypto['"]/.test(code)) refuse('crypto loaded at run time')
  return found
}

test('KM-6: every algorithm in control-plane/ and common/ is on the approved list, and randomness comes from node:crypto', () => {
  const used = new Set<string>()
  const refused: Finding[] = []
  for (const room of ROOMS) {
    for (const name of readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue
      const file = join(room, name)
      refused.push(...findings(file, readFileSync(join(ROOT, file), 'utf8'), used))
    }
  }
  assert.deepEqual(refused, [])
  for (const known of [
    'createCipheriv aes-256-gcm',
    'createCipheriv id-aes256-wrap',
    'hkdfsync sha256',
    'generatekeypairsync x25519',
  ]) {
    assert.ok(
      [...used].some((each) => each.toLowerCase() === known.toLowerCase()),
      `the reader of the source must see ${known}`,
    )
  }
})

const hostile: [source: string, why: string][] = [
  ["import { createHash } from 'node:crypto'\ncreateHash('md5')", 'MD5'],
  ["import { createHash } from 'node:crypto'\ncreateHash('sha1')", 'SHA-1'],
  ["import { createHash } from 'node:crypto'\ncreateHash(name)", 'a name that only running tells'],
  [
    "import { createCipheriv } from 'node:crypto'\ncreateCipheriv('aes-256-cbc', k, i)",
    'a cipher without authentication',
  ],
  [
    "import {\n  createCipheriv,\n} from 'crypto'\ncreateCipheriv(\n  'aes-128-gcm', k, i)",
    'a shorter key, spread over lines',
  ],
  ["import { createDiffieHellman } from 'node:crypto'", 'a function that is not listed'],
  ["import { createHash as h } from 'node:crypto'\nh('md5')", 'another name for it'],
  ["import crypto from 'node:crypto'\ncrypto.createHash('md5')", 'the whole module'],
  ["import * as crypto from 'node:crypto'", 'the whole module, the other way'],
  ["const crypto = await import('node:crypto')", 'loaded at run time'],
  [
    "import { generateKeyPairSync } from 'node:crypto'\ngenerateKeyPairSync('rsa', { modulusLength: 2048 })",
    'a new RSA key below 3072 bits',
  ],
  [
    "import { generateKeyPairSync } from 'node:crypto'\ngenerateKeyPairSync('ec', { namedCurve: 'secp256k1' })",
    'another curve',
  ],
  ['const token = Math.random()', 'randomness that can be guessed'],
  ['globalThis.crypto.getRandomValues(bytes)', 'another door to the same'],
]
for (const [source, why] of hostile) {
  test(`KM-6: the inventory notices ${why}`, () => {
    assert.ok(findings('x.ts', source, new Set()).length > 0)
  })
}

test('KM-6: sealing, wrapping, deriving, signing and RSA-OAEP work in FIPS mode', (t) => {
  const script = `
    const { getFips, generateKeyPairSync, publicEncrypt, privateDecrypt, sign, verify, constants } = await import('node:crypto')
    const assert = (await import('node:assert')).strict
    const { keyFromBytes, wrapKey, unwrapKey, deriveKey, seal, unseal } = await import(${JSON.stringify(join(ROOT, 'common/seal.ts'))})
    assert.equal(getFips(), 1)
    const key = keyFromBytes(Buffer.alloc(32, 7)), other = keyFromBytes(Buffer.alloc(32, 8)), nonce = Buffer.alloc(12)
    assert.ok(unwrapKey(key, wrapKey(key, other)).equals(other))
    const derived = deriveKey(key, Buffer.alloc(32), 'x')
    assert.equal(unseal(derived, nonce, nonce, Buffer.concat(seal(derived, nonce, nonce, [Buffer.from('text')]))).toString(), 'text')
    const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 })
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
    assert.equal(privateDecrypt({ key: rsa.privateKey, ...oaep }, publicEncrypt({ key: rsa.publicKey, ...oaep }, Buffer.from('k'))).toString(), 'k')
    const pair = generateKeyPairSync('ed25519')
    assert.ok(verify(null, Buffer.from('x'), pair.publicKey, sign(null, Buffer.from('x'), pair.privateKey)))
    console.log('held')
  `
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--enable-fips', '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  )
  if (status !== 0 && /fips/i.test(stderr) && /provider/i.test(stderr)) {
    t.skip('OpenSSL has no FIPS provider here')
    return
  }
  assert.equal(stdout.trim(), 'held', stderr)
})
