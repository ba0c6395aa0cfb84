// Sealing, held to the published test vectors (SF-2, KM-6) and to what it must refuse.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Sealer,
  TAG_BYTES,
  WRAPPED_KEY_BYTES,
  counterNonce,
  deriveKey,
  keyFromBytes,
  seal,
  unseal,
  unsealUnverified,
  unwrapKey,
  wrapKey,
} from '../../common/seal.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const KEY = keyFromBytes(Buffer.alloc(32, 7))

test('SF-2: AES-KW wraps a 256-bit key as RFC 3394 §4.6 shows, and unwraps it', () => {
  const wrapping = keyFromBytes(hex('000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F'))
  const key = keyFromBytes(hex('00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F'))
  const wrapped = wrapKey(wrapping, key)
  assert.deepEqual(wrapped, hex('28C9F404C4B810F4 CBCCB35CFB87F826 3F5786E2D80ED326 CBC7F0E71A99F43B FB988B9B7A02DD21'))
  assert.equal(wrapped.length, WRAPPED_KEY_BYTES)
  assert.ok(unwrapKey(wrapping, wrapped)?.equals(key))
})

test('AES-KW: any flipped bit, another length or another key unwraps to nothing', () => {
  const wrapped = wrapKey(KEY, keyFromBytes(Buffer.alloc(32, 1)))
  for (let bit = 0; bit < wrapped.length * 8; bit++) {
    const altered = Buffer.from(wrapped)
    altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    assert.equal(unwrapKey(KEY, altered), undefined)
  }
  assert.equal(unwrapKey(KEY, wrapped.subarray(8)), undefined)
  assert.equal(unwrapKey(keyFromBytes(Buffer.alloc(32, 8)), wrapped), undefined)
})

test('HKDF-SHA-256 with 256-bit keys: RFC 5869 in its own terms, extract and expand', () => {
  // Computed with an independent implementation: IKM 32 x 0b, salt 000102…0c, info f0f1…f9, L = 32.
  const derived = deriveKey(
    keyFromBytes(Buffer.alloc(32, 0x0b)),
    hex('000102030405060708090a0b0c'),
    hex('f0f1f2f3f4f5f6f7f8f9'),
  )
  assert.equal(derived.export().toString('hex'), 'd4100799f26a09615a72af3e58fa3841a2ff20d5ace3fb392e562e207fe6b718')
})

test('AES-256-GCM seals as test case 16 of the GCM specification shows', () => {
  const key = keyFromBytes(hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'))
  const plain = hex(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  )
  const sealed = Buffer.concat(
    seal(key, hex('cafebabefacedbaddecaf888'), hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'), [plain]),
  )
  const text =
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662'
  assert.deepEqual(sealed, hex(`${text} 76fc6ece0f4e1768cddf8853bb2d551b`))
})

test('what is sealed in pieces is the same as what is sealed whole', () => {
  const plain = Buffer.from('the quick brown fox jumps over the lazy dog')
  const whole = Buffer.concat(seal(KEY, counterNonce(1, 2), Buffer.from('x'), [plain]))
  const sealer = new Sealer(KEY, counterNonce(1, 2), Buffer.from('x'))
  const pieces = [...plain].map((byte) => sealer.update(Buffer.from([byte])))
  assert.deepEqual(Buffer.concat([...pieces, sealer.end()]), whole)
  assert.deepEqual(
    Buffer.concat(seal(KEY, counterNonce(1, 2), Buffer.from('x'), [plain.subarray(0, 9), plain.subarray(9)])),
    whole,
  )
})

test('SF-1: any flipped bit, a cut, another nonce, key or associated data unseals to nothing', () => {
  const sealed = Buffer.concat(seal(KEY, counterNonce(1, 2), Buffer.from('label'), [Buffer.from('secret')]))
  const label = Buffer.from('label')
  assert.equal(unseal(KEY, counterNonce(1, 2), label, sealed)?.toString(), 'secret')
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const altered = Buffer.from(sealed)
    altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    assert.equal(unseal(KEY, counterNonce(1, 2), label, altered), undefined)
  }
  for (let length = 0; length < sealed.length; length++) {
    assert.equal(unseal(KEY, counterNonce(1, 2), label, sealed.subarray(0, length)), undefined)
  }
  assert.equal(unseal(KEY, counterNonce(1, 3), label, sealed), undefined)
  assert.equal(unseal(KEY, counterNonce(2, 2), label, sealed), undefined)
  assert.equal(unseal(KEY, counterNonce(1, 2), Buffer.from('labem'), sealed), undefined)
  assert.equal(unseal(keyFromBytes(Buffer.alloc(32, 8)), counterNonce(1, 2), label, sealed), undefined)
})

test('without verification a damaged text still shows its undamaged bytes', () => {
  const sealed = Buffer.concat(seal(KEY, counterNonce(0, 0), Buffer.alloc(0), [Buffer.from('abcdef')]))
  sealed.writeUInt8(sealed.readUInt8(2) ^ 1, 2)
  assert.equal(unsealUnverified(KEY, counterNonce(0, 0), sealed).toString(), 'abbdef')
  assert.equal(unsealUnverified(KEY, counterNonce(0, 0), sealed.subarray(0, TAG_BYTES)).length, 0)
})

test('nonces of two counters differ whenever a counter differs, up to their limits', () => {
  const nonces: [high: number, low: number][] = [
    [0, 0],
    [0, 1],
    [1, 0],
    [0xffffffff, 0],
    [0, 2 ** 32],
    [0, 2 ** 32 - 1],
    [0, Number.MAX_SAFE_INTEGER],
  ]
  assert.equal(new Set(nonces.map(([high, low]) => counterNonce(high, low).toString('hex'))).size, nonces.length)
  assert.throws(() => counterNonce(2 ** 32, 0), RangeError)
})

test('a key of another length is refused', () => {
  for (const bytes of [0, 16, 31, 33]) assert.throws(() => keyFromBytes(Buffer.alloc(bytes)), RangeError)
})
