// RC-2: secret parts are read by the relay they were sealed to, under the context they were sealed for, or by nobody.
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openBox, sealBox } from '../../common/sealed-box.ts'

const relay = generateKeyPairSync('x25519')
const CONTEXT = 'secrets p1 relay-1 7'

test('a box opens with the key it was sealed to, whatever its size', () => {
  for (const size of [0, 1, 15, 16, 17, 4096, 1_000_003]) {
    const plain = randomBytes(size)
    const opened = openBox(relay.privateKey, CONTEXT, sealBox(relay.publicKey, CONTEXT, plain))
    assert.ok(opened?.equals(plain), `${size} octets`)
  }
})

test('two boxes of one text have nothing in common: each has a key of its own', () => {
  const [first, second] = [1, 2].map(() => sealBox(relay.publicKey, CONTEXT, Buffer.alloc(64)))
  assert.notDeepEqual(first?.subarray(0, 32), second?.subarray(0, 32))
  assert.notDeepEqual(first?.subarray(32), second?.subarray(32))
})

test('another key, or another context, opens nothing', () => {
  const box = sealBox(relay.publicKey, CONTEXT, Buffer.from('token'))
  assert.equal(openBox(generateKeyPairSync('x25519').privateKey, CONTEXT, box), undefined)
  for (const context of ['', 'secrets p1 relay-1 8', 'secrets p1 relay-2 7', `${CONTEXT} `])
    assert.equal(openBox(relay.privateKey, context, box), undefined, JSON.stringify(context))
})

test('a box with any octet altered opens nothing', () => {
  const box = sealBox(relay.publicKey, CONTEXT, Buffer.from('a secret of some octets'))
  for (let at = 0; at < box.length; at++) {
    for (const bit of [0x01, 0x80]) {
      const altered = Buffer.from(box)
      altered.writeUInt8(box.readUInt8(at) ^ bit, at)
      // X25519 ignores the topmost bit of a point (RFC 7748 §5); the salt of the key doesn't.
      assert.equal(openBox(relay.privateKey, CONTEXT, altered), undefined, `octet ${at}`)
    }
  }
})

test('a box that is cut, or longer, opens nothing', () => {
  const box = sealBox(relay.publicKey, CONTEXT, Buffer.from('secret'))
  for (let length = 0; length < box.length; length++)
    assert.equal(openBox(relay.privateKey, CONTEXT, box.subarray(0, length)), undefined, `${length} octets`)
  assert.equal(openBox(relay.privateKey, CONTEXT, Buffer.concat([box, Buffer.alloc(1)])), undefined)
})

test('a point of small order, which would make a key that anybody knows, opens nothing', () => {
  const box = Buffer.concat([Buffer.alloc(32), randomBytes(40)])
  assert.equal(openBox(relay.privateKey, CONTEXT, box), undefined)
})
