// KM-1, SF-2, SF-5, DU-7: keys, uniqueness of nonces, format versions, the lock.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SpoolBroken, SpoolFull, SpoolUnusable } from '../../../mta/spool/contract.ts'
import { Disk } from '../../../mta/spool/disk.ts'
import { RECORD_HEADER_BYTES, decodeRecordHeader, filePrefix, findRecordMagic } from '../../../mta/spool/format.ts'
import { loadSpoolKey } from '../../../mta/spool/keys.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import { accept, assertIntact, errno, openTemp, optionsFor, stateAfter, tempDirectory } from './spool-harness.ts'

/** All files of the spool with their bytes, to show that nothing was touched. */
function contentsOf(directory: string): Map<string, string> {
  const names = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })
  const files = names.filter((name) => !fs.statSync(join(directory, name)).isDirectory())
  return new Map(files.map((name) => [name, fs.readFileSync(join(directory, name), 'hex')]))
}

test('KM-1: the root key is made 0600 when it is missing and the spool is empty, and read again', (t) => {
  const directory = tempDirectory(t)
  const file = join(directory, 'spool.key')
  const key = loadSpoolKey(file, join(directory, 'spool'))
  assert.equal(key.length, 32)
  assert.equal(fs.statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(loadSpoolKey(file, join(directory, 'spool')), key)
  assert.notDeepEqual(loadSpoolKey(join(directory, 'other.key'), join(directory, 'spool')), key)
})

test('KM-1: a missing root key beside a spool in use is not made anew, and nothing is touched', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openSpool(optionsFor(directory))
  await accept(spool, 100)
  await spool.close()
  const before = contentsOf(directory)
  assert.throws(() => loadSpoolKey(join(directory, '..', `${Date.now()}.key`), directory), SpoolUnusable)
  assert.deepEqual(contentsOf(directory), before)
})

test('a key file that holds no key is refused', (t) => {
  const directory = tempDirectory(t)
  const file = join(directory, 'spool.key')
  for (const text of ['', 'secret', 'ab'.repeat(31), `${'ab'.repeat(32)}0`, `x${'ab'.repeat(32)}`, '\0'.repeat(64)]) {
    fs.writeFileSync(file, text)
    assert.throws(() => loadSpoolKey(file, directory), SpoolUnusable, JSON.stringify(text))
  }
  fs.rmSync(file)
  fs.mkdirSync(file)
  assert.throws(() => loadSpoolKey(file, directory), SpoolUnusable)
})

test("SP-1, KM-1: with another root key or for another project the spool doesn't open, and nothing is touched", async (t) => {
  const directory = tempDirectory(t)
  const spool = await openSpool(optionsFor(directory))
  const queueId = await accept(spool, 100)
  await spool.close()
  const before = contentsOf(directory)
  await assert.rejects(openSpool(optionsFor(directory, { rootKey: Buffer.alloc(32, 1) })), /spool key/)
  await assert.rejects(openSpool(optionsFor(directory, { project: 'p2' })), /project/)
  assert.deepEqual(contentsOf(directory), before)
  await assertIntact(await openTemp(t, { directory }), queueId, 100)
})

test('every flipped byte of the file `keys`, and its absence, is noticed before anything is touched', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openSpool(optionsFor(directory))
  await accept(spool, 100)
  await spool.close()
  const file = join(directory, 'keys')
  const good = fs.readFileSync(file)
  for (let at = 0; at < good.length; at++) {
    const altered = Buffer.from(good)
    altered.writeUInt8(altered.readUInt8(at) ^ 1, at)
    fs.writeFileSync(file, altered)
    await assert.rejects(openSpool(optionsFor(directory)), SpoolUnusable, `byte ${at}`)
  }
  fs.rmSync(file)
  await assert.rejects(openSpool(optionsFor(directory)), /missing/)
  fs.writeFileSync(file, good)
  assert.equal((await openTemp(t, { directory })).health().messages, 1)
})

test('SF-5: a spool of a later version is refused without touching anything, whichever file says so', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openSpool(optionsFor(directory))
  await accept(spool, 100)
  await spool.close()
  const newer = (kind: 'manifest' | 'segment', rest: Buffer) => {
    const prefix = filePrefix(kind)
    prefix.writeUInt16BE(2, 8)
    prefix.writeUInt32BE(crcOf(prefix), 12)
    return Buffer.concat([prefix, rest.subarray(prefix.length)])
  }
  const segment = fs.readdirSync(directory).find((name) => name.startsWith('segment-')) ?? ''
  const keys = fs.readFileSync(join(directory, 'keys'), 'utf8')
  const changes: [file: string, bytes: Buffer][] = [
    ['keys', Buffer.from(keys.replace('causeway-spool-keys/1', 'causeway-spool-keys/2'))],
    ['manifest', newer('manifest', fs.readFileSync(join(directory, 'manifest')))],
    [segment, newer('segment', fs.readFileSync(join(directory, segment)))],
  ]
  for (const [file, bytes] of changes) {
    const good = fs.readFileSync(join(directory, file))
    fs.writeFileSync(join(directory, file), bytes)
    fs.rmSync(join(directory, 'lock'), { force: true })
    const before = contentsOf(directory)
    await assert.rejects(openSpool(optionsFor(directory)), /newer version/, file)
    assert.deepEqual(contentsOf(directory), before, file)
    fs.writeFileSync(join(directory, file), good)
  }
  assert.equal((await openTemp(t, { directory })).health().messages, 1)
})

function crcOf(prefix: Buffer): number {
  // The reflected CRC-32 of IEEE 802.3, bit by bit.
  let crc = 0xffffffff
  for (const byte of prefix.subarray(0, 12)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return ~crc >>> 0
}

test('DU-7: a second opener of the same spool is refused with a clear message, and the first goes on', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openTemp(t, { directory })
  const queueId = await accept(spool, 100)
  await assert.rejects(openSpool(optionsFor(directory)), /held by another process/)
  await assert.rejects(openSpool(optionsFor(directory)), /held by another process/)
  await accept(spool, 100)
  await assertIntact(spool, queueId, 100)
})

test('DU-7: a process that lost the spool to a newer one accepts nothing more', async (t) => {
  const directory = tempDirectory(t)
  const old = await openSpool(optionsFor(directory))
  const kept = await accept(old, 100)
  // The lock is of the file it was taken on: this is what a file system that forgets locks would do.
  fs.rmSync(join(directory, 'lock'))
  const current = await openTemp(t, { directory })
  await assert.rejects(accept(old, 100), SpoolBroken)
  await assert.rejects(old.remove(kept), SpoolBroken)
  assert.throws(() => old.checkRoom(0), SpoolFull)
  await old.close()
  await assertIntact(current, kept, 100)
  await accept(current, 100)
  await current.close()
  assert.equal((await openTemp(t, { directory })).health().messages, 2)
})

test('SF-2: no salt, and no nonce under one key, is ever used twice, whatever fails in between', async (t) => {
  const directory = tempDirectory(t)
  const copies: Buffer[] = []
  let writes = 0
  const collect = () => {
    for (const name of fs.readdirSync(directory)) {
      if (name.startsWith('segment-')) copies.push(fs.readFileSync(join(directory, name)))
    }
  }
  for (let life = 0; life < 4; life++) {
    const spool = await openSpool(
      optionsFor(directory, {
        diskHooks: {
          before: ({ call, path }) => {
            const isFailing = call === 'write' && path.startsWith('segment-') && ++writes % 7 === 0
            return isFailing ? { error: errno('EIO'), writtenBytes: 200 } : undefined
          },
          after: ({ call }) => void (call === 'write' && collect()),
        },
      }),
    ).catch(() => undefined)
    if (spool === undefined) continue
    for (let i = 0; i < 12; i++) {
      await accept(spool, 50)
        .then(async (queueId) => {
          await spool.update(queueId, stateAfter(1))
          if (i % 3 === 0) await spool.remove(queueId)
        })
        .catch(() => {})
    }
    await spool.sweep(0).catch(() => {})
    await spool.close()
  }
  const sealedUnder = new Map<string, string>()
  const seen = (key: string, sealed: Buffer) => {
    const text = sealed.toString('hex')
    assert.equal(sealedUnder.get(key) ?? text, text, key)
    sealedUnder.set(key, text)
  }
  for (const bytes of copies) {
    for (let at = findRecordMagic(bytes, 0); at >= 0; at = findRecordMagic(bytes, at + 1)) {
      const header = decodeRecordHeader(bytes, at)
      if (header === undefined) continue
      const record = bytes.subarray(at, at + RECORD_HEADER_BYTES + header.payloadBytes)
      const { generation, sequence, segment } = header
      const isContent = header.type === 'message' || header.type === 'large'
      const salt = record.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + 32)
      // A stamp in the place of the salt names its own nonce.
      if (isContent && salt.readUInt32BE(12) === 0) seen(`${segment} stamp ${salt.toString('hex', 0, 12)}`, salt)
      else if (isContent) seen(`content ${salt.toString('hex')}`, record)
      else seen(`${segment} ${generation} ${sequence}`, record)
    }
  }
  assert.ok(sealedUnder.size > 60, String(sealedUnder.size))
})

test('the directory of the spool is made with its parents', (t) => {
  const directory = join(tempDirectory(t), 'a', 'b')
  new Disk(directory).makeDirectory('large')
  assert.ok(fs.statSync(join(directory, 'large')).isDirectory())
})
