// A private rspamd that judges DKIM and ARC over HTTP, with an unbound of its own that knows nothing but the given keys.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KeyRecords } from './dkim-verifiers.ts'
import { freePorts } from './ports.ts'

export interface Rspamd {
  /** Names of the symbols that a message gets: R_DKIM_ALLOW, R_DKIM_REJECT, ARC_ALLOW, ARC_REJECT, ARC_NA and the like, with their options. */
  check(message: Uint8Array): Promise<ReadonlyMap<string, readonly string[]>>
  stop(): Promise<void>
}

export function whyNoRspamd(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root: rspamd is started as root here'
  return existsSync('/usr/bin/rspamd') && existsSync('/usr/sbin/unbound')
    ? undefined
    : 'needs rspamd and unbound: apt-get install rspamd unbound'
}

export async function startRspamd(records: KeyRecords): Promise<Rspamd> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-rspamd-'))
  const [port = 0, dnsPort = 0] = await freePorts(2)
  await mkdir(join(directory, 'run'))
  await writeFile(join(directory, 'unbound.conf'), unboundConf(directory, dnsPort, records))
  await writeFile(join(directory, 'rspamd.conf'), rspamdConf(directory, port, dnsPort))
  // The whole list of public suffixes takes it ten seconds to compile.
  await writeFile(join(directory, 'suffixes'), 'example\n')
  const children: ChildProcess[] = [
    spawn('/usr/sbin/unbound', ['-d', '-c', join(directory, 'unbound.conf')], { stdio: 'ignore' }),
    spawn('/usr/bin/rspamd', ['-f', '-i', '-u', 'root', '-g', 'root', '-c', join(directory, 'rspamd.conf')], {
      stdio: 'ignore',
    }),
  ]
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(end))
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
  for (let waited = 0; !(await answers(port)); waited += 100) {
    if (waited < 60_000) await sleep(100)
    else {
      await stop()
      throw new Error(`rspamd did not open port ${port}`)
    }
  }
  return {
    async check(message) {
      const response = await fetch(`http://127.0.0.1:${port}/checkv2`, { method: 'POST', body: Buffer.from(message) })
      const { symbols } = (await response.json()) as { symbols: Record<string, { options?: string[] }> }
      return new Map(Object.entries(symbols).map(([name, { options = [] }]) => [name, options]))
    },
    stop,
  }
}

function unboundConf(directory: string, port: number, records: KeyRecords): string {
  const data = Object.entries(records).map(([name, text]) => {
    const strings = (text.match(/.{1,250}/g) ?? []).map((part) => `"${part}"`)
    return `  local-data: '${name}. 60 IN TXT ${strings.join(' ')}'`
  })
  return [
    'server:',
    `  interface: 127.0.0.1@${port}`,
    '  do-daemonize: no',
    '  username: ""',
    '  chroot: ""',
    `  directory: "${directory}"`,
    `  pidfile: "${directory}/unbound.pid"`,
    '  use-syslog: no',
    '  local-zone: "." static',
    ...data,
    'remote-control:',
    '  control-enable: no',
    '',
  ].join('\n')
}

function rspamdConf(directory: string, port: number, dnsPort: number): string {
  return `
options {
  filters = "dkim"; explicit_modules = ["arc"];
  url_tld = "${directory}/suffixes"; pidfile = "${directory}/run/pid"; tempdir = "${directory}/run"; hs_cache_dir = "${directory}/run";
  control_socket = "${directory}/run/control mode=0600";
  dns { nameserver = "127.0.0.1:${dnsPort}"; timeout = 5s; retransmits = 3; }
}
logging { type = "console"; level = "error"; }
worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
dkim { time_jitter = 365d; check_local = true; check_authed = true; }
arc { check_local = true; check_authed = true; sign_authenticated = false; sign_local = false; sign_inbound = false; }
modules { path = "/usr/share/rspamd/plugins/arc.lua"; }
lua = "/usr/share/rspamd/rules/rspamd.lua";
actions { reject = 1000; }
`
}

async function answers(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/ping`)).ok
  } catch {
    return false // not there yet
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((done) => void child.once('exit', done))
  child.kill('SIGTERM')
  await Promise.race([gone, sleep(5000)])
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
}
