// `causeway tour` as it is called: what it needs to be told, and how it says that something is missing.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { causeway, folder } from '../causeway.ts'

const VARIABLES = ['API=http://127.0.0.1:1/api/v1', 'KEY=k', 'PROJECT=p', 'SANDBOX=http://127.0.0.1:1', 'CONNECT_APP=a']

test('where nothing was started it says what to start, with exit code 2', async (t) => {
  process.env['CAUSEWAY_DATA'] = folder(t)
  const { code, stdout, stderr } = await causeway(['tour'])
  assert.deepEqual([code, stdout.length], [2, 0])
  assert.match(stderr, /env\.sh is not there: npm start writes it/)
})

test('what the file of npm start lacks has to be told', async (t) => {
  const data = folder(t)
  process.env['CAUSEWAY_DATA'] = data
  writeFileSync(join(data, 'env.sh'), VARIABLES.map((each) => `export ${each}\n`).join(''))
  for (const [args, told] of [
    [[], /--relay is needed/],
    [['--relay', 'x'], /--relay has to be a port/],
    [['--relay', '70000'], /--relay has to be a port/],
    [['more'], /unexpected argument "more"/],
    [['--jsn'], /Unknown option '--jsn'/],
  ] as const) {
    const { code, stderr } = await causeway(['tour', ...args])
    assert.equal(code, 2, args.join(' '))
    assert.match(stderr, told)
  }
})

test('it tells what it does before it does it', async () => {
  const { code, stdout } = await causeway(['tour', '--help'])
  assert.equal(code, 0)
  assert.match(stdout.toString(), /^Usage: causeway tour \[--json\]/)
})
