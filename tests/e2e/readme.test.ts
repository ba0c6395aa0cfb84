// What the README tells somebody to try, done: `npm start`'s whole product, and every line of the shell that it shows. (control-plane.md §6)
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../harness/wait.ts'

const ROOT = new URL('../../', import.meta.url).pathname
const PORT_BASE = 28_000 + (process.pid % 1_000) * 8

const missing = ['curl', 'jq', 'bash'].filter((name) => spawnSync(name, ['--version']).status !== 0)
const skip =
  missing.length > 0 && process.env['CI'] !== 'true'
    ? `needs ${missing.join(', ')}: apt-get install ${missing.join(' ')}`
    : false

/** The block of lines behind the comment that names this test. */
function shownLines(): string {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const block = /<!-- these lines are run by [^\n]*-->\s*```bash\n([\s\S]*?)```/.exec(text)?.[1]
  assert.ok(block !== undefined, 'the README shows its lines')
  return block
}

test('the ten lines of the README do what it says', { skip, timeout: 240_000 }, async (t) => {
  const lines = shownLines()
  for (let step = 1; step <= 10; step++) assert.match(lines, new RegExp(`^# ${step}\\. `, 'm'))
  // The lines are for a checkout: here it is one whose `data` lies elsewhere.
  const checkout = mkdtempSync(join(tmpdir(), 'causeway-readme-'))
  chmodSync(checkout, 0o755) // as root Postgres runs under an account of its own
  for (const name of ['bin', 'cli', 'examples', 'package.json', 'node_modules'])
    symlinkSync(join(ROOT, name), join(checkout, name))
  const data = join(checkout, 'data')
  const product = spawn(join(ROOT, 'bin/causeway'), ['start'], {
    env: { ...process.env, CAUSEWAY_DATA: data, CAUSEWAY_PORT_BASE: String(PORT_BASE) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [product.stdout, product.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = new Promise<number | null>((resolve) => product.once('close', resolve))
  t.after(async () => {
    product.kill('SIGKILL')
    await ended
    const pid = Number(
      existsSync(join(data, 'postgres/data/postmaster.pid'))
        ? readFileSync(join(data, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0]
        : 0,
    )
    if (pid > 0) process.kill(pid, 'SIGQUIT')
    rmSync(checkout, { recursive: true, force: true })
  })
  await eventually(
    'the product is up',
    () => (output.includes('until Ctrl-C') || product.exitCode !== null ? true : undefined),
    120_000,
  )
  assert.equal(product.exitCode, null, output)
  assert.match(output, /After: as the mailbox received it[\s\S]*From: Alice Smith <alice\.smith@fabrikam\.com>/)

  const shell = spawnSync('bash', ['-c', `set -e\ntrap 'kill $!' EXIT\n${lines}`], {
    cwd: checkout,
    encoding: 'utf8',
    timeout: 120_000,
  })
  assert.equal(shell.status, 0, `${shell.stdout}\n${shell.stderr}`)
  for (const [shown, what] of [
    [/"revision":1,"created":1/, 'import'],
    [/"result": "alice\.smith@fabrikam\.com"/, 'look-up'],
    [/"ready":true/, 'enrolled relay'],
    [/"delivered": 1/, 'trace'],
    [/"revision":2/, 'the relay has the change'],
    [/holds|verified|sound/i, 'the audit trail verifies'],
  ] as const)
    assert.match(shell.stdout + shell.stderr, shown, what)
  const arrived = /mailbox: a message from <alice\.smith@fabrikam\.com> to <dana@example\.net>/g
  await eventually('both messages are in the mailbox', () => (output.match(arrived)?.length === 2 ? true : undefined))

  product.kill('SIGTERM')
  assert.equal(await ended, 0, output)
})
