// Mapping files of pairs: what is read of them, every fault with its line and column, whatever is thrown at the reader. (migration-semantics.md §3.6)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatCell } from '../../../rewrite-rules/index.ts'
import { readPairFile } from '../../../control-plane/matching/pair-file.ts'
import type { PairFile, PairFileRow } from '../../../control-plane/matching/pair-file.ts'

async function read(text: string | Buffer, chunk = Infinity): Promise<PairFile & { readonly all: PairFileRow[] }> {
  const bytes = Buffer.from(text)
  async function* chunks(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + Math.min(chunk, bytes.length))
  }
  const all: PairFileRow[] = []
  const file = await readPairFile(chunks(), async (rows) => void all.push(...rows))
  return { ...file, all }
}

const shown = ({ action, sourceKey, targetKey, collection, line }: PairFileRow): string =>
  `${line} ${action} ${sourceKey} ${targetKey} ${collection}`.trim()

const good: [text: string, rows: string[], why: string][] = [
  ['source,target\na@x,b@y\n', ['2 pair a@x b@y'], 'the two columns that must be there'],
  ['\uFEFFsource;target\r\nA@X;B@Y\r\n', ['2 pair a@x b@y'], 'a byte order mark, semicolons, CRLF, capitals'],
  [
    'Target,Source,ACTION\nb@y,a@x,Unpair',
    ['2 unpair a@x b@y'],
    'columns in any order and case, no line end at the end',
  ],
  [
    'source,target,collection,action\na@x,b@y,"Wave 1, north",\n',
    ['2 pair a@x b@y Wave 1, north'],
    'a quoted cell with the separator; an empty action pairs',
  ],
  [
    'source,target,action\na@x,,unpair\n,b@y,unpair\nc@x,,exclude\n',
    ['2 unpair a@x', '3 unpair  b@y', '4 exclude c@x'],
    'one side is enough for these',
  ],
  ['source,target\n\n"\'=a@x",b@y\n', ['3 pair =a@x b@y'], 'an empty line is none; a neutralised cell is restored'],
  [
    'source,target\n7A0C3B5E-0000-4000-8000-00000000000A,b@y\n',
    ['2 pair 7a0c3b5e-0000-4000-8000-00000000000a b@y'],
    'an object id',
  ],
  ['source,target\n', [], 'nothing but the header'],
]
for (const [text, rows, why] of good) {
  test(`a mapping file is read: ${why}`, async () => {
    const { all, faults } = await read(text)
    assert.deepEqual(faults, [])
    assert.deepEqual(all.map(shown), rows)
  })
}

const bad: [text: string | Buffer, faults: string[], why: string][] = [
  ['', ['1:1 csv'], 'nothing at all'],
  ['a@x,b@y\n', ['1:1 csv'], 'no header'],
  ['source\na@x\n', ['1:1 csv'], 'a column that must be there is not'],
  ['source,target,source\n', ['1:1 csv'], 'a column twice'],
  ['source,target,owner\n', ['1:1 csv'], 'a column that there is none of'],
  ['source,target\na@x,b@y,c@z\nd@x\n', ['2:1 csv', '3:1 csv'], 'too many cells, too few'],
  ['source,target\n"a@x,b@y\n', ['2:1 csv'], 'a quoted cell that is not closed'],
  ['source,target\n"a"x,b\n', ['2:1 csv'], 'text after a quoted cell'],
  [Buffer.from([...Buffer.from('source,target\na@x,b'), 0xff, 0x0a]), ['2:1 csv'], 'not UTF-8'],
  [
    'source,target,action\na@x,b@y,merge\n,b@y,\na@x,,pair\n,,unpair\n',
    ['2:9 action', '3:1 missing', '4:5 missing', '5:1 missing'],
    'every fault is told, each with its place',
  ],
  [
    `source,target\n${'a'.repeat(1_101)},b@y\na\u0000@x,b@y\n`,
    ['2:1 too-long', '3:1 characters'],
    'what no account is called',
  ],
  ['source,target,collection\na@x,b@y,a\u202Eb\n', ['2:9 collection'], 'a name of a collection that turns the reading'],
  [
    'source,target,collection,action\na@x,b@y,Wave,unpair\n',
    ['2:9 collection'],
    'a collection where nothing is paired',
  ],
]
for (const [text, faults, why] of bad) {
  test(`a mapping file is refused: ${why}`, async () => {
    const file = await read(text)
    assert.deepEqual(
      file.faults.map(({ line, column, code }) => `${line}:${column} ${code}`),
      faults,
    )
    assert.equal(file.faultCount, faults.length)
  })
}

test('of ten thousand faults a thousand are told, and all are counted', async () => {
  const { faults, faultCount } = await read(`source,target,action\n${'a@x,b@y,x\n'.repeat(10_000)}`)
  assert.deepEqual([faults.length, faultCount], [1_000, 10_000])
})

test('what is read does not depend on where the chunks are cut', async () => {
  const text = Buffer.from(
    '\uFEFFsource;target;collection\r\n"ann ""x"""@x;b@ÿ;Würzburg\r\nfault;\r\né@x;f@y;\r\n'.replace('@x', ''),
  )
  const whole = await read(text)
  for (let size = 1; size <= text.length; size++) assert.deepEqual(await read(text, size), whole, String(size))
})

test('what the export writes is read as the same again, whatever names there are', async () => {
  const cell = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    .filter((text) => text.trim() === text && !/\p{Cc}/u.test(text))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(cell, cell), { maxLength: 5 }), async (pairs) => {
      const text = `source,target\r\n${pairs.map((row) => `${row.map(formatCell).join(',')}\r\n`).join('')}`
      const { all, faults } = await read(text)
      assert.deepEqual(faults, [])
      assert.deepEqual(
        all.map(({ sourceKey, targetKey }) => [sourceKey, targetKey]),
        pairs.map((row) => row.map((one) => one.trim().normalize('NFC').toLowerCase())),
      )
    }),
  )
})

test('random octets are refused or read, and never thrown at', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const { faults, all } = await read(Buffer.concat([Buffer.from('source,target,collection,action\n'), bytes]), 7)
      assert.ok(Array.isArray(faults) && Array.isArray(all))
    }),
  )
})
