import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { gatheredOutput } from '../../common/log-output.ts'

test('lines of one turn of the event loop are one write, in their order', async () => {
  const written: string[] = []
  const output = gatheredOutput((lines) => written.push(lines))
  output.write('a\n')
  output.write('b\n')
  assert.deepEqual(written, [])
  await turn()
  output.write('c\n')
  await turn()
  assert.deepEqual(written, ['a\nb\n', 'c\n'])
})

test('a burst is not gathered without end', () => {
  let longest = 0
  const output = gatheredOutput((lines) => (longest = Math.max(longest, lines.length)))
  for (let i = 0; i < 10_000; i++) output.write(`${'x'.repeat(99)}\n`)
  assert.ok(longest > 0 && longest <= 64 * 1024 + 100, `${longest}`)
})

test('flush writes what is gathered now, and nothing twice', async () => {
  const written: string[] = []
  const output = gatheredOutput((lines) => written.push(lines))
  output.write('last words\n')
  output.flush()
  await turn()
  assert.deepEqual(written, ['last words\n'])
})
