// A private unbound on loopback that validates: zones signed by ldns with keys it trusts, one whose signatures are by another key, and one that
// nobody signed. Needs Debian's unbound and ldnsutils.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './ports.ts'

/** Why it can't run here, with the one command that changes it; undefined when it can. */
export function whyNoUnbound(): string | undefined {
  const isThere = (command: string) => spawnSync(command, ['-h']).error === undefined
  return isThere('unbound') && isThere('ldns-signzone') ? undefined : 'needs unbound: apt-get install unbound ldnsutils'
}

export interface Zone {
  /** `secure.example` */
  readonly name: string
  /** Lines of a zone file below SOA and NS. */
  readonly records: readonly string[]
  /** `bogus`: signed, and trusted by another key. */
  readonly signed: 'well' | 'bogus' | 'not'
}

export interface Unbound extends AsyncDisposable {
  readonly port: number
}

export async function startUnbound(zones: readonly Zone[]): Promise<Unbound> {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-unbound-'))
  const port = await freePort()
  const made = zones.map((zone) => makeZone(directory, zone))
  const config = [
    'server:',
    `directory: "${directory}"`,
    'chroot: ""',
    'username: ""',
    'pidfile: ""',
    'use-syslog: no',
    'logfile: ""',
    'do-daemonize: no',
    `interface: 127.0.0.1@${port}`,
    'module-config: "validator iterator"',
    'do-not-query-localhost: no',
    'local-zone: "test." nodefault',
    ...made.flatMap(({ anchor }) => (anchor === undefined ? [] : [`trust-anchor: "${anchor}"`])),
    'remote-control:',
    'control-enable: no',
    ...made.flatMap(({ name, file }) => [
      'auth-zone:',
      `name: "${name}"`,
      `zonefile: "${file}"`,
      'for-downstream: no',
      'for-upstream: yes',
      'fallback-enabled: no',
    ]),
  ]
  const file = join(directory, 'unbound.conf')
  writeFileSync(file, `${config.join('\n')}\n`)
  const child = spawn('unbound', ['-d', '-p', '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const exited = once(child, 'exit')
  for (let waited = 0; !said.includes('start of service'); waited += 20) {
    if (waited > 10_000 || child.exitCode !== null) {
      child.kill('SIGKILL')
      throw new Error(`unbound did not start: ${said}`)
    }
    await sleep(20)
  }
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await exited
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function makeZone(directory: string, { name, records, signed }: Zone): { name: string; file: string; anchor?: string } {
  const file = `${name}.zone`
  const text = [
    `$ORIGIN ${name}.`,
    '$TTL 300',
    `@ IN SOA ns.${name}. hostmaster.${name}. 1 3600 600 86400 60`,
    `@ IN NS ns.${name}.`,
    'ns IN A 127.0.0.1',
    ...records,
  ]
  writeFileSync(join(directory, file), `${text.join('\n')}\n`)
  if (signed === 'not') return { name, file }
  const key = ldns(directory, 'ldns-keygen', '-a', 'ECDSAP256SHA256', '-k', name)
  ldns(directory, 'ldns-signzone', '-n', file, key)
  const trusted = signed === 'well' ? key : ldns(directory, 'ldns-keygen', '-a', 'ECDSAP256SHA256', '-k', name)
  const anchor = readFileSync(join(directory, `${trusted}.ds`), 'utf8')
    .trim()
    .replaceAll('\t', ' ')
  if (!readdirSync(directory).includes(`${file}.signed`)) throw new Error(`${name} was not signed`)
  return { name, file: `${file}.signed`, anchor }
}

function ldns(directory: string, command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}
