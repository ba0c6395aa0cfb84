// The key that signs snapshots: made once, rotated before its year is over, each signed by the one before. (RC-2, KM-7)
import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { test } from 'node:test'
import { KEY_ROTATION_PREFIX } from '../../../common/relay-contract.ts'
import { SnapshotKeys } from '../../../control-plane/relays/snapshot-keys.ts'
import { openScene } from './snapshot-key-scene.ts'

const DAY_MS = 86_400_000

test('KM-7: the snapshot key is rotated 31 days before its year is over, and relays can follow from the old one', async (t) => {
  const { db, sealer } = await openScene(t)
  let now = Date.now()
  const keys = new SnapshotKeys({ db, sealer, now: () => now })
  const first = await keys.current()
  now += 333 * DAY_MS
  assert.equal(await keys.rotateWhenDue(), false)
  assert.equal((await keys.current()).id, first.id)
  now += 2 * DAY_MS
  assert.equal(await keys.rotateWhenDue(), true)
  assert.equal(await keys.rotateWhenDue(), false, 'the new one is young')
  const second = await keys.current()
  assert.notEqual(second.id, first.id)
  const rotation = second.rotations.find(({ by }) => by === first.id)
  assert.ok(rotation !== undefined)
  assert.equal(rotation.next.id, second.id)
  const signed = Buffer.from(`${KEY_ROTATION_PREFIX}${rotation.next.id} ${rotation.next.publicKey}`)
  const publicKey = createPublicKey({ key: Buffer.from(first.publicKey, 'base64url'), type: 'spki', format: 'der' })
  assert.ok(verify(null, signed, publicKey, Buffer.from(rotation.signature, 'base64url')))
})
