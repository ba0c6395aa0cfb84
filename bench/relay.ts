// The whole relay against Debian's Postfix: same machine, same disk, same load and sink, interleaved runs, medians of the pairs' ratios
// (product.md §9). Postfix is configured for its best (100,000 canonical_maps entries in lmdb); ours runs with its defaults but for the
// limits that are meant for strangers. Needs root and Debian's postfix and postfix-lmdb.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { TestAuthority } from '../tests/harness/certificates.ts'
import { freePort, freePorts } from '../tests/harness/ports.ts'
import { startPostfix, whyNoPostfix } from '../tests/harness/postfix.ts'
import type { Postfix } from '../tests/harness/postfix.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const ENTRIES = 100_000

interface Case {
  readonly name: string
  readonly args: readonly string[]
  /** Messages of a full run, and of a quick one. */
  readonly count: readonly [full: number, quick: number]
  readonly must: number
  readonly aim: number
  /** Also judged: peak PSS in MB, of a relay that has done nothing else. */
  readonly memoryMustMb?: number
  /** Mail comes over TLS, by a listener of its own. */
  readonly isSecure?: true
  /** Both sign, RSA-2048, with a relay and a Postfix of their own. */
  readonly isSigned?: true
}

const KIB = 1024
const CASES: readonly Case[] = [
  { name: '20-sessions', args: ['--sessions', '20'], count: [8000, 3000], must: 2.5, aim: 4 },
  {
    name: '20-sessions-dkim',
    args: ['--sessions', '20', '--sink-expect-dkim'],
    count: [5000, 2000],
    must: 3,
    aim: 5,
    isSigned: true,
  },
  { name: '100-sessions', args: ['--sessions', '100'], count: [8000, 3000], must: 3, aim: 6 },
  { name: '1-session', args: ['--sessions', '1'], count: [3000, 1000], must: 1.2, aim: 1.8 },
  { name: 'one-per-connection', args: ['--sessions', '20', '--per-conn', '1'], count: [5000, 2000], must: 1.2, aim: 2 },
  {
    name: 'starttls',
    args: ['--sessions', '20', '--starttls'],
    count: [8000, 3000],
    must: 2.5,
    aim: 5,
    isSecure: true,
  },
  {
    name: 'starttls-one-per-connection',
    args: ['--sessions', '20', '--starttls', '--per-conn', '1'],
    count: [3000, 1000],
    must: 1.2,
    aim: 1.5,
    isSecure: true,
  },
  { name: 'next-hop-20ms', args: ['--sessions', '20', '--sink-latency', '20'], count: [4000, 1500], must: 2, aim: 4 },
  { name: '100-KiB', args: ['--sessions', '20', '--size', String(100 * KIB)], count: [3000, 1000], must: 1.3, aim: 2 },
  { name: '1-MiB', args: ['--sessions', '20', '--size', String(KIB * KIB)], count: [800, 300], must: 1, aim: 1.3 },
  {
    name: '10-MiB',
    args: ['--sessions', '20', '--size', String(10 * KIB * KIB)],
    count: [100, 50],
    must: 0.8,
    aim: 1,
    memoryMustMb: 350,
  },
]

interface Line {
  readonly msgs_per_s: number
  readonly lost: number
  readonly dup: number
  readonly unrewritten: number
  readonly unsigned?: number
  readonly relay_cpu_s_per_1000: number
  readonly relay_peak_pss_mb: number
  readonly foreign_cores?: number
}

interface Target {
  readonly name: 'causeway' | 'postfix'
  readonly port: number
  /** Process ids, a comma between them: their children count too. */
  readonly pid: string
}

export async function run({ quick, only }: { quick: boolean; only?: string }): Promise<void> {
  const reason = whyNoPostfix()
  if (reason !== undefined) throw new Error(`bench relay ${reason}`)
  const pairs = quick ? 2 : 5
  const sink = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'causeway-bench-'))
  let postfix: Awaited<ReturnType<typeof startPeer>> | undefined
  let relay: Relay | undefined
  let isSigning = false
  try {
    for (const scenario of CASES) {
      if (only !== undefined && scenario.name !== only) continue
      if (isSigning !== (scenario.isSigned === true)) {
        isSigning = scenario.isSigned === true
        await relay?.stop()
        await postfix?.stop()
        relay = undefined
        postfix = undefined
      }
      if (scenario.memoryMustMb !== undefined) {
        await relay?.stop()
        relay = undefined
      }
      postfix ??= await startPeer(sink, isSigning ? directory : undefined)
      relay ??= await startRelay(directory, sink, isSigning)
      const targets: readonly Target[] = [
        { name: 'causeway', port: scenario.isSecure ? relay.securePort : relay.port, pid: String(relay.pid) },
        { name: 'postfix', port: postfix.port, pid: postfix.pids.join(',') },
      ]
      await runCase(scenario, targets, sink, { pairs, quick })
    }
  } finally {
    await relay?.stop()
    await postfix?.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

async function runCase(
  scenario: Case,
  targets: readonly Target[],
  sink: number,
  { pairs, quick }: { pairs: number; quick: boolean },
): Promise<void> {
  const count = scenario.count[quick ? 1 : 0]
  for (const target of targets) await load(target, scenario, sink, Math.ceil(count / 2), 'warm-up')
  const lines: Record<Target['name'], Line[]> = { causeway: [], postfix: [] }
  for (let pair = 0; pair < pairs; pair++) {
    for (const target of pair % 2 === 0 ? targets : targets.toReversed()) {
      lines[target.name].push(await load(target, scenario, sink, count, `${pair + 1}/${pairs}`))
    }
  }
  const ratios = lines.causeway.map((ours, i) => ours.msgs_per_s / (lines.postfix[i]?.msgs_per_s ?? Number.NaN))
  const faults = lines.causeway.reduce(
    (sum, line) => sum + line.lost + line.dup + line.unrewritten + (line.unsigned ?? 0),
    0,
  )
  const ratio = median(ratios)
  const peakMb = Math.max(...lines.causeway.map((line) => line.relay_peak_pss_mb))
  console.log(
    JSON.stringify({
      bench: 'relay',
      case: scenario.name,
      pairs,
      count,
      ratio: round(ratio),
      ratios: ratios.map(round),
      must: scenario.must,
      aim: scenario.aim,
      verdict: faults > 0 ? 'FAULTY' : ratio >= scenario.aim ? 'aim' : ratio >= scenario.must ? 'must' : 'missed',
      causeway: figures(lines.causeway),
      postfix: figures(lines.postfix),
      lost_dup_unrewritten: faults,
      ...(scenario.memoryMustMb === undefined
        ? {}
        : {
            peak_pss_mb: peakMb,
            peak_pss_must_mb: scenario.memoryMustMb,
            memory: peakMb <= scenario.memoryMustMb ? 'must' : 'missed',
          }),
    }),
  )
}

function figures(lines: readonly Line[]): Record<string, number> {
  return {
    msgs_per_s: round(median(lines.map((line) => line.msgs_per_s))),
    cpu_ms_per_msg: round(median(lines.map((line) => line.relay_cpu_s_per_1000))),
    peak_pss_mb: round(Math.max(...lines.map((line) => line.relay_peak_pss_mb))),
  }
}

async function load(target: Target, scenario: Case, sink: number, count: number, label: string): Promise<Line> {
  const args = ['--relay', `127.0.0.1:${target.port}`, '--sink', `127.0.0.1:${sink}`, '--pid', target.pid]
  args.push('--count', String(count), '--expect-domain', 'new.example', '--label', target.name, ...scenario.args)
  const child = spawn(process.execPath, [join(ROOT, 'bench/relaybench.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  await once(child, 'close')
  const line = JSON.parse(output) as Line
  console.error(
    `${scenario.name} ${label} ${target.name}: ${line.msgs_per_s} msgs/s, ${line.relay_cpu_s_per_1000} ms CPU, ` +
      `${line.relay_peak_pss_mb} MB, lost ${line.lost}, dup ${line.dup}, unrewritten ${line.unrewritten}, unsigned ${line.unsigned ?? '-'}, foreign ${line.foreign_cores}`,
  )
  return line
}

/** @param signing  folder for opendkim's files: Postfix signs by it; undefined: it doesn't sign */
async function startPeer(
  sink: number,
  signing: string | undefined,
): Promise<Postfix & { readonly pids: readonly number[] }> {
  const opendkim = signing === undefined ? undefined : await startOpendkim(signing)
  const postfix = await startPostfixPeer(sink, opendkim?.socket)
  return {
    ...postfix,
    pids: [postfix.pid, ...(opendkim === undefined ? [] : [opendkim.pid])],
    async stop() {
      await postfix.stop()
      opendkim?.stop()
    },
  }
}

/** As a milter over a Unix socket: over TCP each exchange waits some 40 ms twice. */
async function startOpendkim(directory: string): Promise<{ socket: string; pid: number; stop(): void }> {
  if (!existsSync('/usr/sbin/opendkim')) throw new Error('needs OpenDKIM: apt-get install opendkim')
  const socket = join(directory, 'opendkim.sock')
  const config = [
    'Mode s',
    'Syslog no',
    'Canonicalization relaxed/relaxed',
    'Domain new.example',
    'Selector s1',
    `KeyFile ${join(directory, 'dkim.pem')}`,
    `Socket local:${socket}`,
    'UMask 000',
    'RequireSafeKeys no',
    'InternalHosts 127.0.0.0/8',
    'AutoRestart no',
    'Background no',
  ]
  await rm(socket, { force: true })
  await writeFile(join(directory, 'dkim.pem'), dkimKey())
  await writeFile(join(directory, 'opendkim.conf'), `${config.join('\n')}\n`)
  await chmod(directory, 0o755)
  const child = spawn('/usr/sbin/opendkim', ['-f', '-x', join(directory, 'opendkim.conf')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  for (let waited = 0; !existsSync(socket); waited += 50) {
    if (child.exitCode !== null || waited > 10_000) throw new Error('opendkim did not start')
    await sleep(50)
  }
  return { socket, pid: child.pid ?? 0, stop: () => void child.kill() }
}

let signingKey: string | undefined
/** One for both sides. */
function dkimKey(): string {
  signingKey ??= generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
  return signingKey
}

function startPostfixPeer(sink: number, milter: string | undefined): Promise<Postfix> {
  let map = ''
  for (let i = 0; i < ENTRIES; i++) map += `user${i}@old.example user${i}@new.example\n`
  using authority = new TestAuthority()
  const { certificate, key } = authority.selfSigned({ names: ['DNS:relay.example'], keyType: 'rsa' })
  return startPostfix({
    mainCf: [
      'mydestination =',
      `relayhost = [127.0.0.1]:${sink}`,
      'smtpd_recipient_restrictions = permit_mynetworks, reject',
      'default_process_limit = 200',
      'in_flow_delay = 0',
      'smtp_destination_concurrency_limit = 50',
      'initial_destination_concurrency = 20',
      'smtpd_client_connection_count_limit = 0',
      'smtp_connection_cache_on_demand = no',
      'max_use = 1000',
      'smtpd_tls_security_level = may',
      'smtpd_tls_cert_file = $DIR/tables/cert.pem',
      'smtpd_tls_key_file = $DIR/tables/cert.key',
      'canonical_maps = lmdb:$DIR/tables/map_lmdb',
      ...(milter === undefined ? [] : [`smtpd_milters = unix:${milter}`]),
    ],
    files: {
      'tables/map_lmdb': map,
      'tables/cert.pem': readFileSync(certificate, 'utf8'),
      'tables/cert.key': readFileSync(key, 'utf8'),
    },
    postmap: ['lmdb:tables/map_lmdb'],
  })
}

interface Relay {
  readonly port: number
  readonly securePort: number
  readonly pid: number
  stop(): Promise<void>
}

async function startRelay(directory: string, sink: number, signs: boolean): Promise<Relay> {
  const entries = []
  for (let i = 0; i < ENTRIES; i++) {
    const presented = `user${i}@new.example`
    entries.push({ known: [`user${i}@old.example`, presented], presented, mailbox: presented })
  }
  const [port = 0, securePort = 0, admin = 0] = await freePorts(3)
  using authority = new TestAuthority()
  const { certificate, key } = authority.issue({ names: ['DNS:relay.example'] })
  await writeFile(
    join(directory, 'table.json'),
    JSON.stringify({ format: 'causeway-mapping-table/1', project: 'bench', version: 1, entries }),
  )
  if (signs) await writeFile(join(directory, 'dkim.pem'), dkimKey())
  const config = {
    listeners: [
      { address: '127.0.0.1', port, direction: 'out', tls: 'none', allow: ['127.0.0.0/8'] },
      { address: '127.0.0.1', port: securePort, direction: 'out', tls: 'starttls', allow: ['127.0.0.0/8'] },
    ],
    certificates: [{ certificate, key }],
    ...(signs ? { dkim: [{ domain: 'new.example', selector: 's1', key: { file: 'dkim.pem' } }] } : {}),
    table: { file: 'table.json' },
    spool: { directory: 'spool', key: { file: 'spool.key' } },
    routes: {
      'owner-tenant': { kind: 'smart-host', host: '127.0.0.1', port: sink, tls: 'none' },
      mailbox: { kind: 'smart-host', host: '127.0.0.1', port: sink, tls: 'none' },
    },
    metrics: { address: '127.0.0.1', port: admin },
    workers: 1,
    // bench/README.md of the load driver: limits meant for strangers are lifted on both sides, all else stays at its default.
    limits: {
      connectionsPerAddress: 500,
      newConnectionsPerSecondAndAddress: 100_000,
      messagesPerConnection: 100_000,
      nextHopConnectionsPerHost: 50,
    },
  }
  await writeFile(join(directory, 'relay.json'), JSON.stringify(config))
  const child: ChildProcess = spawn(join(ROOT, 'bin/causeway'), ['relay', '--config', join(directory, 'relay.json')], {
    stdio: ['ignore', 'ignore', openSync(join(directory, 'relay.log'), 'a')],
  })
  const exited = once(child, 'exit')
  for (let waited = 0; ; waited += 100) {
    const isReady = await fetch(`http://127.0.0.1:${admin}/readyz`).then(
      (reply) => reply.ok,
      () => false,
    )
    if (isReady) break
    if (child.exitCode !== null || waited > 30_000)
      throw new Error(`the relay did not become ready: ${readFileSync(join(directory, 'relay.log'), 'utf8')}`)
    await sleep(100)
  }
  return {
    port,
    securePort,
    pid: child.pid ?? 0,
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
