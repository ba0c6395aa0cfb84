import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { causeway, ROOT } from './causeway.ts'

const COMMANDS = ['rewrite', 'table', 'relay', 'queue', 'quarantine', 'start']

test('without a command: the overview on standard error, exit code 2', async () => {
  const { code, stdout, stderr } = await causeway([])
  assert.deepEqual([code, stdout.length], [2, 0])
  for (const command of COMMANDS) assert.match(stderr, new RegExp(`^  ${command} `, 'm'))
})

test('--help: the overview on standard output, exit code 0', async () => {
  const { code, stdout, stderr } = await causeway(['--help'])
  assert.deepEqual([code, stderr], [0, ''])
  for (const command of COMMANDS) assert.match(stdout.toString(), new RegExp(`^  ${command} `, 'm'))
})

for (const command of COMMANDS.filter((each) => each !== 'start' && each !== 'relay')) {
  test(`${command} --help explains ${command}, wherever it stands`, async () => {
    const { code, stdout } = await causeway([command, 'x', '--help'])
    assert.equal(code, 0)
    assert.match(stdout.toString(), new RegExp(`^Usage: causeway ${command}`))
  })
}

test('--version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  assert.equal((await causeway(['--version'])).stdout.toString(), `causeway ${version}\n`)
})

test('an unknown command: a sentence, exit code 2', async () => {
  const { code, stderr } = await causeway(['rewrote'])
  assert.equal(code, 2)
  assert.match(stderr, /^causeway: there is no command "rewrote"; causeway --help lists them\n$/)
})

test('a reader that has seen enough is no fault', async () => {
  const table = join(ROOT, 'examples/table.json')
  const cut = spawn('sh', [
    '-c',
    '"$0" rewrite --table "$1" --direction out | head -c 10; exit 0',
    join(ROOT, 'bin/causeway'),
    table,
  ])
  const said: Buffer[] = []
  cut.stderr.on('data', (chunk: Buffer) => said.push(chunk))
  cut.stdin.on('error', () => {})
  cut.stdin.end(`Subject: x\r\n\r\n${'y'.repeat(1024 * 1024)}`)
  await new Promise((resolve) => cut.on('close', resolve))
  assert.equal(Buffer.concat(said).toString(), '')
})
