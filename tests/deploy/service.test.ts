// The systemd unit: systemd can read it, it is as closed as it says, and what it forbids is nothing the relay does.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { ROOT, startRelay } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'

const UNIT = readFileSync(join(ROOT, 'deploy/relay/causeway-mta.service'), 'utf8')
/** Out of 100: systemd calls everything below 20 well protected. */
const MOST_EXPOSED = 18

const isThere = (command: string) => spawnSync(command, ['--version']).error === undefined
const missing = [
  ...(isThere('systemd-analyze') ? [] : ['needs systemd-analyze: apt-get install systemd']),
  ...(isThere('strace') ? [] : ['needs strace: apt-get install strace']),
].join('; ')
if (missing !== '' && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missing}`)
const withSystemd = missing === '' ? {} : { skip: missing }

function systemdAnalyze(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args], { encoding: 'utf8', timeout: 60_000 })
  assert.equal(status, 0, `systemd-analyze ${args.join(' ')}\n${stdout}${stderr}`)
  return stdout
}

/** The unit with the paths of this checkout. */
function unitHere(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'causeway-unit-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'causeway-mta.service')
  writeFileSync(file, UNIT.replaceAll('/opt/causeway/', `${ROOT}/`).replace(/^Documentation=.*$/m, ''))
  return file
}

function valuesOf(key: string): string[] {
  return [...UNIT.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value)
}

const DEMANDED: [key: string, value: string, why: string][] = [
  ['User', 'causeway', 'never root'],
  ['NoNewPrivileges', 'yes', 'SC-3'],
  ['CapabilityBoundingSet', '', 'SC-3: all capabilities dropped'],
  ['ProtectSystem', 'strict', 'SC-3: the file system is read-only but for its own state'],
  ['PrivateTmp', 'yes', 'SC-3: a /tmp of its own'],
  ['StateDirectoryMode', '0700', 'SF-7'],
  ['UMask', '0077', 'SF-7'],
  ['LimitCORE', '0', 'SF-3: no core dumps'],
  ['MemorySwapMax', '0', 'SF-3: nor the swap file'],
  ['KillMode', 'mixed', 'DU-6: the relay ends its own processes, in order'],
  ['RestartPreventExitStatus', '2', 'a faulty configuration is not mended by starting again'],
]
for (const [key, value, why] of DEMANDED) {
  test(`the unit says ${key}=${value}: ${why}`, () => assert.deepEqual(valuesOf(key), [value]))
}

test('DU-6 systemd waits longer than the relay takes to end', () => {
  const [, graceMs = ''] = /const GRACE_MS = ([\d_]+)/.exec(readFileSync(join(ROOT, 'mta/main.ts'), 'utf8')) ?? []
  assert.ok(Number(valuesOf('TimeoutStopSec')[0]) * 1000 > Number(graceMs.replaceAll('_', '')))
})

test('systemd can read the unit, and finds it well protected', withSystemd, (context) => {
  const file = unitHere(context)
  systemdAnalyze('verify', file)
  systemdAnalyze('security', '--offline=true', '--no-pager', `--threshold=${MOST_EXPOSED}`, file)
})

const withProc = existsSync('/proc/self/limits') ? {} : { skip: 'needs Linux: /proc' }

test('SF-3 a relay that dies dumps no core, whoever starts it', withProc, async (context) => {
  const relay = await startRelay({ nextHopPort: 9, waitFor: 'alive' })
  context.after(() => relay.remove())
  const limits = readFileSync(`/proc/${relay.pid}/limits`, 'utf8')
  assert.equal(await relay.stop(), 0)
  assert.match(limits, /^Max core file size +0 +0 /m)
})

/** Names of a set of system calls as systemd knows it, sets in it resolved. */
function systemCalls(set: string): Set<string> {
  const names = new Set<string>()
  for (const line of systemdAnalyze('syscall-filter', set).split('\n').slice(1)) {
    const name = line.trim()
    if (name.startsWith('@')) for (const inner of systemCalls(name)) names.add(inner)
    else if (name !== '' && !name.startsWith('#')) names.add(name)
  }
  return names
}

test(
  'SC-3 the filter of system calls lets through all that a relay makes: start, mail, new table, end',
  withSystemd,
  async (context) => {
    assert.deepEqual(valuesOf('SystemCallFilter'), ['@system-service', '~@privileged'])
    const allowed = systemCalls('@system-service')
    for (const name of systemCalls('@privileged')) allowed.delete(name)
    const folder = mkdtempSync(join(tmpdir(), 'causeway-calls-'))
    context.after(() => rmSync(folder, { recursive: true }))
    const trace = join(folder, 'trace')
    await using hop = await NextHop.start()
    const relay = await startRelay({
      nextHopPort: hop.port,
      table: EXAMPLE_TABLE,
      // -D: what we start is the relay, and strace is its child.
      under: ['strace', '-D', '-f', '-qq', '--seccomp-bpf', '-e', 'signal=none', '-o', trace],
    })
    context.after(() => relay.remove())
    // One of a few lines, one large enough for a file of its own.
    for (const size of [100, 2_000_000]) {
      const data = Buffer.from(
        `From: alice@contoso.com\r\nSubject: calls\r\n\r\n${`${'x'.repeat(76)}\r\n`.repeat(size / 78)}`,
      )
      assert.match(
        await sendMail(relay.outPort, { from: 'alice@contoso.com', to: ['dana@example.net'], data }),
        /^250 /,
      )
    }
    await eventually('both messages', () => (hop.taken.length === 2 ? true : undefined))
    await fetch(`http://127.0.0.1:${relay.adminPort}/metrics`)
    process.kill(relay.pid, 'SIGHUP')
    await eventually('the table', () => (/"table\.loaded"|"unchanged"/.test(relay.output()) ? true : undefined))
    assert.equal(await relay.stop(), 0)
    const made = await eventually('the end of the trace', () => {
      const calls = new Set(
        readFileSync(trace, 'utf8')
          .split('\n')
          .map((line) => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? ''),
      )
      calls.delete('')
      return calls.has('exit_group') ? calls : undefined
    })
    assert.ok(made.size > 40, `only ${made.size} different calls: the trace was not read`)
    // Of the shell in bin/causeway as well as of Node. SQLite, which holds the spool's lock, keeps its files' owner only when it is root.
    if (process.getuid?.() === 0) made.delete('fchown')
    assert.deepEqual(
      [...made].filter((name) => !allowed.has(name)),
      [],
    )
  },
)
