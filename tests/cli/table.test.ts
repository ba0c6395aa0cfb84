import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { causeway, folder, ROOT } from './causeway.ts'

test('a valid table: exit code 0, and what it is', async () => {
  const { code, stdout, stderr } = await causeway(['table', 'check', join(ROOT, 'examples/table.json')])
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(
    stdout.toString(),
    /table\.json: valid: project contoso-fabrikam, version 1, 3 entries, digest [0-9a-f]{64}\n$/,
  )
})

test('as JSON', async () => {
  const { stdout } = await causeway(['table', 'check', '--json', join(ROOT, 'examples/table.json')])
  const { digest, ...rest } = JSON.parse(stdout.toString()) as Record<string, unknown>
  assert.deepEqual(rest, { isValid: true, project: 'contoso-fabrikam', version: 1, entries: 3 })
  assert.match(String(digest), /^[0-9a-f]{64}$/)
})

test('R3 a faulty table: exit code 1, each fault with entry, value and rule', async (context) => {
  const file = join(folder(context), 'table.json')
  const entries = [
    { known: ['a@x.example', 'a@y.example'], presented: 'a@x.example', mailbox: 'a@y.example' },
    { known: ['A@X.example', 'b@y.example'], presented: 'b@y.example', mailbox: 'b@y.example' },
    { known: ['c@x.example'], presented: 'c@x.example', mailbox: 'd@x.example' },
  ]
  writeFileSync(file, JSON.stringify({ format: 'causeway-mapping-table/1', project: 'p', version: 1, entries }))
  const { code, stdout, stderr } = await causeway(['table', 'check', file])
  assert.deepEqual([code, stdout.length], [1, 0])
  assert.match(stderr, /table\.json: entries\/1\/known\/0: "A@X\.example": .* \(R3\)$/m)
  assert.match(stderr, /table\.json: entries\/2\/mailbox: "d@x\.example": .* \(R2\)$/m)

  const json = await causeway(['table', 'check', '--json', file])
  const { isValid, faults } = JSON.parse(json.stdout.toString()) as { isValid: boolean; faults: { path: string }[] }
  assert.deepEqual([json.code, isValid], [1, false])
  assert.deepEqual(faults.map(({ path }) => path).toSorted(), ['entries/1/known/0', 'entries/2/mailbox'])
})

const unusable: [args: string[], says: RegExp][] = [
  [['table'], /table check FILE/],
  [['table', 'burn', 'x'], /table has no "burn"/],
  [['table', 'check'], /table check takes one FILE/],
  [['table', 'check', 'a', 'b'], /table check takes one FILE/],
  [['table', 'check', 'no-such-file.json'], /no-such-file\.json can't be read \(ENOENT\)/],
]
for (const [args, says] of unusable) {
  test(`causeway ${args.join(' ')}: exit code 2`, async () => {
    const { code, stderr } = await causeway(args)
    assert.equal(code, 2)
    assert.match(stderr, says)
  })
}
