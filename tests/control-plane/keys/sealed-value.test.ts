// Sealed values: they open in their place and nowhere else, and no two share key and nonce (KM-1).
import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { deriveKey } from '../../../common/seal.ts'
import { SEALED_OVERHEAD_BYTES, openValue, sealValue, sealedBy } from '../../../control-plane/keys/sealed-value.ts'
import type { Place } from '../../../control-plane/keys/sealed-value.ts'

const KEY = createSecretKey(Buffer.alloc(32, 7))
const KEY_ID = '000102030405060708090a0b0c0d0e0f'
const PLACE: Place = {
  organisation: 'org_1',
  project: 'prj_1',
  purpose: 'dkim_key.private_key_sealed',
  context: '["dkm_1"]',
}
const seal = (plain: Uint8Array, place = PLACE) => sealValue(KEY, KEY_ID, randomBytes(32), place, plain)

test('a sealed value gives back what went in, whatever and however much that is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.string(), fc.string(), (plain, purpose, context) => {
      const place = { ...PLACE, purpose, context }
      const sealed = seal(plain, place)
      assert.equal(sealed.length, plain.length + SEALED_OVERHEAD_BYTES)
      assert.equal(sealedBy(sealed), KEY_ID)
      assert.deepEqual(openValue(KEY, place, sealed), Buffer.from(plain))
    }),
    { numRuns: 200 },
  )
})

test('a value opens in no other place: not even where the parts of the place, put together, spell the same', () => {
  const sealed = seal(Buffer.from('secret'))
  const others: [place: Place, why: string][] = [
    [{ ...PLACE, organisation: 'org_2' }, 'another organisation'],
    [{ ...PLACE, project: 'prj_2' }, 'another project'],
    [{ ...PLACE, project: '' }, 'the installation'],
    [{ ...PLACE, purpose: 'webhook.secret_sealed' }, 'another column'],
    [{ ...PLACE, context: '["dkm_2"]' }, 'another row'],
    [{ ...PLACE, organisation: 'org_1prj_1', project: '' }, 'the same letters, divided elsewhere'],
    [{ ...PLACE, purpose: `${PLACE.purpose}${PLACE.context}`, context: '' }, 'the same letters, divided elsewhere'],
  ]
  for (const [place, why] of others) assert.equal(openValue(KEY, place, sealed), undefined, why)
  assert.deepEqual(openValue(KEY, PLACE, sealed), Buffer.from('secret'))
})

test('a value with any bit flipped, cut short or made longer, opens not at all', () => {
  const sealed = seal(Buffer.from('ab'))
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const altered = Buffer.from(sealed)
    altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    assert.equal(openValue(KEY, PLACE, altered), undefined, `bit ${bit}`)
  }
  for (let length = 0; length < sealed.length; length++)
    assert.equal(openValue(KEY, PLACE, sealed.subarray(0, length)), undefined)
  assert.equal(openValue(KEY, PLACE, Buffer.concat([sealed, Buffer.of(0)])), undefined)
  assert.equal(openValue(createSecretKey(Buffer.alloc(32, 8)), PLACE, sealed), undefined, 'another key')
})

test('what is no sealed value has no key, and throws nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      if (bytes[0] !== 1) assert.equal(sealedBy(bytes), undefined)
      assert.equal(openValue(KEY, PLACE, bytes), undefined)
    }),
  )
})

test('KM-1: no two values share key and nonce: each has its own salt, and with it its own key', () => {
  const values = Array.from({ length: 2000 }, () => seal(Buffer.from('the same text')))
  const salts = new Set(values.map((sealed) => sealed.subarray(17, 49).toString('hex')))
  assert.equal(salts.size, values.length)
  const keys = new Set(
    values.map((sealed) => deriveKey(KEY, sealed.subarray(17, 49), 'causeway-sealed-value/1').export().toString('hex')),
  )
  assert.equal(keys.size, values.length)
  assert.equal(
    new Set(values.map((sealed) => sealed.subarray(49).toString('hex'))).size,
    values.length,
    'the same text never looks the same',
  )
})

test('a salt or key id of another length is refused before anything is sealed', () => {
  assert.throws(() => sealValue(KEY, KEY_ID, randomBytes(16), PLACE, Buffer.of(1)), RangeError)
  assert.throws(() => sealValue(KEY, 'zz', randomBytes(32), PLACE, Buffer.of(1)), RangeError)
})
