// `npm start`'s whole product in a checkout of its own, and the lines of shell that the README shows, run in it as they stand.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Ending } from './postgres.ts'
import { ROOT } from './relay.ts'
import { eventually } from './wait.ts'

const PORT_BASE = 18_000 + (process.pid % 1_000) * 13

const missing = ['curl', 'jq', 'bash'].filter((name) => spawnSync(name, ['--version']).status !== 0)
/** Why such a test can't be run here; false: it can. In CI that is a failure. */
export const lacksShell =
  missing.length > 0 && process.env['CI'] !== 'true'
    ? `needs ${missing.join(', ')}: apt-get install ${missing.join(' ')}`
    : false

/** The block of lines behind the comment that names a test. @param steps  numbered, so many */
export function shownLines(test: string, steps: number): string {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const [, rest] = text.split(`<!-- these lines are run by ${test} -->`)
  const block = /^\s*```bash\n([\s\S]*?)```/.exec(rest ?? '')?.[1]
  assert.ok(block !== undefined, `the README shows the lines of ${test}`)
  for (let step = 1; step <= steps; step++) assert.match(block, new RegExp(`^# ${step}\\. `, 'm'))
  return block
}

export interface Evaluation {
  readonly checkout: string
  /** All that it said so far. */
  output(): string
  /** @returns what they printed. @throws when one fails */
  run(lines: string): string
  /** As by Ctrl-C. @returns its exit code */
  stop(): Promise<number | null>
}

/** @param takesTour  what `npm start` does at first, which takes more than a minute */
export async function startEvaluation(t: Ending, { takesTour = false } = {}): Promise<Evaluation> {
  // The lines are for a checkout: here it is one whose `data` lies elsewhere.
  const checkout = mkdtempSync(join(tmpdir(), 'causeway-readme-'))
  chmodSync(checkout, 0o755) // as root Postgres runs under an account of its own
  for (const name of ['bin', 'cli', 'examples', 'package.json', 'node_modules'])
    symlinkSync(join(ROOT, name), join(checkout, name))
  const data = join(checkout, 'data')
  const product = spawn(join(ROOT, 'bin/causeway'), ['start', ...(takesTour ? [] : ['--no-tour'])], {
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
    const postmaster = join(data, 'postgres/data/postmaster.pid')
    const pid = existsSync(postmaster) ? Number(readFileSync(postmaster, 'utf8').split('\n')[0]) : 0
    if (pid > 0) process.kill(pid, 'SIGQUIT')
    rmSync(checkout, { recursive: true, force: true })
  })
  await eventually(
    'the product is up',
    () => (output.includes('until Ctrl-C') || product.exitCode !== null ? true : undefined),
    300_000,
  )
  assert.equal(product.exitCode, null, output)
  return {
    checkout,
    output: () => output,
    run(lines) {
      const shell = spawnSync('bash', ['-c', `set -e\n${lines}`], { cwd: checkout, encoding: 'utf8', timeout: 120_000 })
      assert.equal(shell.status, 0, `${shell.stdout}\n${shell.stderr}`)
      return shell.stdout + shell.stderr
    },
    stop() {
      product.kill('SIGTERM')
      return ended
    },
  }
}
