import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addToHash, finishHash, HASH_START, KeyStore } from '../../rewrite-rules/key-store.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'
import type { MappingTable } from '../../rewrite-rules/mapping-table.ts'
import { DIGEST_BUCKETS } from '../../rewrite-rules/table-store.ts'

const person = (name: string) => ({
  known: [`${name}@x.example`, `${name}@y.example`],
  presented: `${name}@y.example`,
  mailbox: `${name}@x.example`,
})

function tableOf(names: readonly string[], version = 1): MappingTable {
  return compileTable({ format: 'causeway-mapping-table/1', project: 'p1', version, entries: names.map(person) })
}

/** The same entries by deltas. */
function grown(names: readonly string[], steps: number): MappingTable {
  let table = tableOf([], 1)
  const size = Math.ceil(names.length / steps)
  for (let i = 0; i < steps; i++) {
    const upsert = names.slice(i * size, (i + 1) * size).map(person)
    table = table.apply({
      format: 'causeway-mapping-delta/1',
      project: 'p1',
      fromVersion: i + 1,
      toVersion: i + 2,
      upsert,
    })
  }
  return table
}

test('R3: a large table has the digest that deltas give it, in whatever order its entries stand', () => {
  const names = Array.from({ length: 30_000 }, (_, i) => `p${i}`)
  const { digest } = tableOf(names, 6)
  assert.equal(grown(names, 5).digest, digest)
  assert.equal(tableOf(names.toReversed(), 6).digest, digest)
  assert.notEqual(tableOf(names.with(17, 'other'), 6).digest, digest)
})

/** Names whose entries fall into one bucket of the digest. */
function bucketMates(count: number): string[] {
  const keys = new KeyStore(() => true)
  const domain = keys.domainHash(keys.domainNumber('y.example', 'y.example'))
  const names: string[] = []
  for (let i = 0; names.length < count; i++) {
    const name = `m${i.toString(36)}`
    let hash = HASH_START
    for (let j = 0; j < name.length; j++) hash = addToHash(hash, name.charCodeAt(j))
    if (Math.floor((finishHash(hash, domain) / 2 ** 32) * DIGEST_BUCKETS) === 7) names.push(name)
  }
  return names
}

test('R3: so has one with a bucket of many entries', () => {
  const names = [...bucketMates(70), ...Array.from({ length: 5_000 }, (_, i) => `p${i}`)]
  const { digest } = tableOf(names, 3)
  assert.equal(grown(names, 2).digest, digest)
  assert.equal(tableOf(names.toReversed(), 3).digest, digest)
  assert.notEqual(tableOf(names.with(69, 'other'), 3).digest, digest)
})
