// `npm run check`: every static rule of the repository, in one go. All of them run, so that one fault doesn't hide the next.
import { spawnSync } from 'node:child_process'

const CHECKS: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types', 'tsc', '--noEmit'],
  ['lint', 'oxlint', '--type-aware', '--deny-warnings'],
  ['format', 'prettier', '--check', '--log-level=warn', '.'],
  ['unused code', 'knip'],
  ['import rules', 'node', '--test', '--test-reporter=dot', 'tests/imports.test.ts'],
]

let failed = 0
for (const [name, command, ...args] of CHECKS) {
  const { status } = spawnSync(`node_modules/.bin/${command}`, args, { stdio: 'inherit' })
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${[command, ...args].join(' ')})`)
  if (status !== 0) failed++
}
process.exit(failed === 0 ? 0 : 1)
