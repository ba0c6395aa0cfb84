// A private Postfix on loopback: the real mail server on the other side of our tests and benches. It has its own configuration, queue and
// data folders and never touches the system's. Needs root (Postfix's master insists) and Debian's postfix package.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './ports.ts'

export interface Postfix {
  readonly port: number
  readonly directory: string
  /** Process id of master: its children are all of Postfix. */
  readonly pid: number
  /** Messages delivered to the one mailbox so far, as files hold them (LF, with Postfix's Return-Path and Delivered-To). */
  messages(): Promise<Buffer[]>
  log(): Promise<string>
  stop(): Promise<void>
}

export interface PostfixOptions {
  /** Lines of main.cf beyond the common ones. */
  readonly mainCf: readonly string[]
  /** Files to write into the folder before the start, for example lookup tables (`$DIR` in their text is the folder). */
  readonly files?: Readonly<Record<string, string>>
  /** Lookup tables to index: `lmdb:map`. */
  readonly postmap?: readonly string[]
}

/** Why Postfix can't run here, with the one command that changes it; undefined when it can. */
export function whyNoPostfix(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root: Postfix starts as root only'
  if (!existsSync('/usr/sbin/postfix') || !existsSync('/usr/share/postfix/master.cf.dist')) {
    return 'needs Postfix: apt-get install postfix postfix-lmdb'
  }
  return undefined
}

/** Takes mail for every domain into one Maildir. */
export const MAILBOX_MAIN_CF: readonly string[] = [
  'mydestination =',
  'virtual_mailbox_domains = regexp:$DIR/etc/every-domain',
  'virtual_mailbox_maps = static:inbox/',
  'virtual_mailbox_base = $DIR/mail',
  'virtual_uid_maps = static:$UID',
  'virtual_gid_maps = static:$GID',
  'virtual_minimum_uid = 1',
  'smtpd_recipient_restrictions = permit_mynetworks, reject',
  'strict_rfc821_envelopes = no',
]

export async function startPostfix(options: PostfixOptions): Promise<Postfix> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-postfix-'))
  await chmod(directory, 0o755)
  const port = await freePort()
  const [uid, gid] = [accountId('-u'), accountId('-g')]
  for (const name of ['etc', 'spool', 'data', 'mail', 'mail/inbox', 'tables']) await mkdir(join(directory, name))
  for (const name of ['data', 'mail', 'mail/inbox']) await chown(join(directory, name), uid, gid)
  const fill = (text: string): string =>
    text.replaceAll('$DIR', directory).replaceAll('$UID', String(uid)).replaceAll('$GID', String(gid))

  const master = (await readFile('/usr/share/postfix/master.cf.dist', 'utf8'))
    .replace(/^smtp {6}inet.*$/m, `127.0.0.1:${port} inet n - n - - smtpd`)
    .replace(/^(\S+\s+unix\s+\S+\s+\S+\s+)y/gm, '$1n')
  await writeFile(join(directory, 'etc/master.cf'), master)
  if (existsSync('/usr/share/postfix/dynamicmaps.cf')) {
    // Debian keeps the table drivers (lmdb) as plug-ins named by this file.
    await cp('/etc/postfix/dynamicmaps.cf', join(directory, 'etc/dynamicmaps.cf'))
    if (existsSync('/etc/postfix/dynamicmaps.cf.d')) {
      await cp('/etc/postfix/dynamicmaps.cf.d', join(directory, 'etc/dynamicmaps.cf.d'), { recursive: true })
    }
  }
  const common = [
    'compatibility_level = 3.6',
    'queue_directory = $DIR/spool',
    'data_directory = $DIR/data',
    'mail_owner = postfix',
    'setgid_group = postdrop',
    'myhostname = postfix.test',
    'inet_interfaces = 127.0.0.1',
    'inet_protocols = ipv4',
    'mynetworks = 127.0.0.0/8',
    'smtp_dns_support_level = disabled',
    'smtp_host_lookup = native',
    'smtpd_relay_restrictions = permit_mynetworks, reject',
    'smtpd_peername_lookup = no',
    'message_size_limit = 104857600',
    'mailbox_size_limit = 0',
    'virtual_mailbox_limit = 0',
    'maillog_file_prefixes = /var, /dev/stdout, /tmp',
    'maillog_file = $DIR/mail.log',
  ]
  await writeFile(join(directory, 'etc/main.cf'), [...common, ...options.mainCf].map(fill).join('\n') + '\n')
  await writeFile(join(directory, 'etc/every-domain'), '/./ OK\n')
  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(directory, name), fill(text))
  for (const table of options.postmap ?? []) {
    const [type = '', file = ''] = table.split(':')
    run('/usr/sbin/postmap', ['-c', join(directory, 'etc'), `${type}:${join(directory, file)}`])
  }

  run('/usr/sbin/postfix', ['-c', join(directory, 'etc'), 'start'])
  const pid = await waitForMaster(directory, port)
  return {
    port,
    directory,
    pid,
    async messages() {
      const folder = join(directory, 'mail/inbox/new')
      const names = existsSync(folder) ? (await readdir(folder)).toSorted() : []
      return Promise.all(names.map((name) => readFile(join(folder, name))))
    },
    log: async () => (existsSync(join(directory, 'mail.log')) ? readFile(join(directory, 'mail.log'), 'utf8') : ''),
    async stop() {
      spawnSync('/usr/sbin/postfix', ['-c', join(directory, 'etc'), 'stop'], { stdio: 'ignore' })
      await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    },
  }
}

function accountId(flag: '-u' | '-g'): number {
  return Number(spawnSync('id', [flag, 'postfix'], { encoding: 'utf8' }).stdout)
}

function run(command: string, args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
}

async function waitForMaster(directory: string, port: number): Promise<number> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (await isOpen(port)) return Number(await readFile(join(directory, 'spool/pid/master.pid'), 'utf8'))
    await sleep(50)
  }
  throw new Error(
    `Postfix did not open port ${port}: ${await readFile(join(directory, 'mail.log'), 'utf8').catch(String)}`,
  )
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => {
      socket.destroy()
      done(true)
    })
    socket.on('error', () => done(false))
  })
}

/** Runs a command to its end; for swaks and the like. */
export function runCommand(
  command: string,
  args: readonly string[],
  stdin?: Uint8Array,
): Promise<{ status: number; output: string }> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    const output: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
    child.on('error', fail)
    child.on('close', (status) => done({ status: status ?? -1, output: Buffer.concat(output).toString('utf8') }))
    child.stdin.end(stdin)
  })
}
