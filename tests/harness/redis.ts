// A Redis of a test's own, Debian's binary on a Unix socket with its data in a folder: it can be killed, and started again with or without what it
// had. Without the binary such tests are skipped by name; in CI that is a failure.
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { eventually } from './wait.ts'

export interface TestRedis {
  /** REDIS_URL of it: the path of its socket. */
  readonly url: string
  /** Runs one command on a connection of its own. */
  command(name: string, ...args: string[]): Promise<unknown>
  /** All at once, as a power cut does. */
  kill(): Promise<void>
  start(options?: { readonly isEmpty?: boolean; readonly from?: string }): Promise<void>
  /** What is on its disk now. @returns for `start` */
  copy(): string
}

const AOF = 'appendonlydir'

const HAS_REDIS = (() => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

export function testOnRedis(name: string, run: (t: TestContext) => Promise<void>): void {
  if (HAS_REDIS || process.env['CI'] === 'true') test(name, run)
  else test(name, { skip: 'needs redis-server: apt-get install redis-server' }, () => {})
}

/** @param t  the server goes when it ends */
export async function testRedis(t: Pick<TestContext, 'after'>, flags: readonly string[] = []): Promise<TestRedis> {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-redis-'))
  const url = join(directory, 'redis.sock')
  let child: ChildProcess | undefined

  const kill = async (): Promise<void> => {
    if (child === undefined) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    child = undefined
  }
  const start: TestRedis['start'] = async ({ isEmpty = false, from } = {}) => {
    if (isEmpty || from !== undefined) rmSync(join(directory, AOF), { recursive: true, force: true })
    if (from !== undefined) cpSync(from, join(directory, AOF), { recursive: true })
    rmSync(url, { force: true })
    const settings = ['--port', '0', '--unixsocket', url, '--dir', directory, '--save', '', '--appendonly', 'yes']
    const policy = ['--maxmemory-policy', 'noeviction']
    child = spawn('redis-server', [...settings, ...policy, ...flags], { stdio: 'ignore' })
    await eventually('Redis answers', async () => ((await ping()) ? true : undefined))
  }
  const command = async (name: string, ...args: string[]): Promise<unknown> => {
    const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 })
    client.on('error', () => {}) // the command's own rejection tells
    try {
      await client.connect()
      return await client.call(name, ...args)
    } finally {
      client.disconnect()
    }
  }
  const ping = async (): Promise<boolean> => {
    try {
      return (await command('ping')) === 'PONG'
    } catch {
      return false // not up yet
    }
  }
  t.after(async () => {
    await kill()
    rmSync(directory, { recursive: true, force: true })
  })
  await start()
  const copy = (): string => {
    const to = join(directory, `copy-${randomBytes(4).toString('hex')}`)
    cpSync(join(directory, AOF), to, { recursive: true })
    return to
  }
  return { url, command, kill, start, copy }
}
