import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NO_ROW } from '../../rewrite-rules/address-index.ts'
import { HASH_START, KeyStore, X500_DOMAIN, addToHash } from '../../rewrite-rules/key-store.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'

const noClash = (): never => assert.fail('no two keys are equal')

function findIn(keys: KeyStore, text: string, domain: string): number {
  const number = keys.findDomain(domain)
  return number === undefined ? NO_ROW : keys.find(text, text.length, number, 0)
}

test('keys are found among many, whatever bucket they are in, and no others', () => {
  const keys = new KeyStore(() => true)
  const count = 20_000
  for (let i = 0; i < count; i++) {
    keys.addText(i, `User.${i}`, keys.domainNumber(`D${i % 7}.example`, `d${i % 7}.example`))
    // Half of them at once, the rest while the index grows by one bucket at a time.
    if (i >= count / 2) keys.indexKeys(Infinity, 0, noClash)
  }
  for (let i = 0; i < count; i++) {
    assert.equal(keys.entryOf(findIn(keys, `user.${i}`, `d${i % 7}.example`)), i)
    assert.equal(findIn(keys, `user.${i}`, `d${(i + 1) % 7}.example`), NO_ROW)
  }
  assert.equal(findIn(keys, 'user.x', 'd0.example'), NO_ROW)
})

test('a key counts only while its entry does', () => {
  let live = true
  const keys = new KeyStore(() => live)
  keys.addText(0, 'a', keys.domainNumber('x.example', 'x.example'))
  keys.indexKeys(Infinity, 0, noClash)
  assert.notEqual(findIn(keys, 'a', 'x.example'), NO_ROW)
  live = false
  assert.equal(findIn(keys, 'a', 'x.example'), NO_ROW)
})

test('a second key that is equal after normalisation is told of, in slices of any size', () => {
  for (const limit of [1, 2, 100]) {
    const keys = new KeyStore(() => true)
    keys.addText(0, 'u\u0308', keys.domainNumber('x.example', 'x.example'))
    keys.addText(1, 'b', keys.domainNumber('x.example', 'x.example'))
    keys.addText(2, '\u00fc', keys.domainNumber('X.example', 'x.example'))
    keys.addText(3, '/o=a', X500_DOMAIN)
    keys.addText(4, '/O=A', X500_DOMAIN)
    const clashes: number[][] = []
    while (!keys.indexKeys(limit, 0, (key, other) => clashes.push([key, other]))) assert.ok(clashes.length <= 2)
    assert.deepEqual(clashes, [
      [2, 0],
      [4, 3],
    ])
  }
})

test('a local part that looks like an X.500 name is none', () => {
  const keys = new KeyStore(() => true)
  keys.addText(0, '/o=a', X500_DOMAIN)
  keys.addText(1, '/o=a', keys.domainNumber('x.example', 'x.example'))
  keys.indexKeys(Infinity, 0, noClash)
  assert.equal(keys.entryOf(keys.find('/o=a', 4, X500_DOMAIN, 0)), 0)
  assert.equal(keys.entryOf(findIn(keys, '/o=a', 'x.example')), 1)
})

/** Two different texts with one hash: among so many there are some. */
function collision(): [string, string] {
  const seen = new Map<number, string>()
  for (let i = 0; i < 1_000_000; i++) {
    const text = `u${i.toString(36)}`
    let hash = HASH_START
    for (let j = 0; j < text.length; j++) hash = addToHash(hash, text.charCodeAt(j))
    const other = seen.get(hash)
    if (other !== undefined) return [other, text]
    seen.set(hash, text)
  }
  throw new Error('unreachable: no collision among a million')
}

test('addresses whose hashes are equal are still two, and the digest does not depend on their order', () => {
  const [a, b] = collision()
  const tableOf = (order: readonly string[], names: readonly [string, string]) => {
    const known = order.map((name) => `${name}@x.example`)
    const other = {
      known: [`${names[0]}@y.example`],
      presented: `${names[0]}@y.example`,
      mailbox: `${names[0]}@y.example`,
    }
    const last = {
      known: [`${names[1]}@y.example`],
      presented: `${names[1]}@y.example`,
      mailbox: `${names[1]}@y.example`,
    }
    const first = { known, presented: `${a}@x.example`, mailbox: `${b}@x.example` }
    return compileTable(
      JSON.stringify({ format: 'causeway-mapping-table/1', project: 'p', version: 1, entries: [first, other, last] }),
    )
  }
  const table = tableOf([a, b], [a, b])
  assert.equal(tableOf([b, a], [b, a]).digest, table.digest)
  const map = table.withPolicy({ noExtensions: [] })
  assert.equal(map.entryOf(a, 'y.example'), 1)
  assert.equal(map.entryOf(b, 'y.example'), 2)
  const located = map.map('locate', a, 'x.example', false)
  assert.ok(located.kind === 'replaced' && located.local === b)
})

test('an entry may have hundreds of addresses', () => {
  const known = Array.from({ length: 300 }, (_, i) => `alias${i}@x.example`)
  const tableOf = (list: readonly string[]) =>
    compileTable({
      format: 'causeway-mapping-table/1',
      project: 'p',
      version: 1,
      entries: [{ known: list, presented: 'alias7@x.example', mailbox: 'alias250@x.example' }],
    })
  const table = tableOf(known)
  assert.equal(tableOf(known.toReversed()).digest, table.digest)
  assert.equal(compileTable(Buffer.concat([...table.snapshotChunks()])).digest, table.digest)
  assert.equal(table.withPolicy({ noExtensions: [] }).entryOf('alias299', 'x.example'), 0)
})
