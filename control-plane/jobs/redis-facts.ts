// What Redis says of itself, read without CONFIG, which managed services refuse. (JQ-3)
import { isIP } from 'node:net'

export interface RedisFacts {
  readonly version: string
  readonly maxmemoryPolicy: string
  readonly hasAppendOnlyFile: boolean
  /** Unix socket or loopback: what is said there leaves no machine. */
  readonly isLocal: boolean
  readonly hasTls: boolean
  readonly hasPassword: boolean
}

interface InfoReader {
  info(section: string): Promise<string>
}

/** @param url  as in REDIS_URL @throws when Redis is away */
export async function readRedisFacts(client: InfoReader, url: string): Promise<RedisFacts> {
  const [server, memory, persistence] = await Promise.all([
    client.info('server'),
    client.info('memory'),
    client.info('persistence'),
  ])
  return {
    version: infoOf(server, 'redis_version'),
    maxmemoryPolicy: infoOf(memory, 'maxmemory_policy'),
    hasAppendOnlyFile: infoOf(persistence, 'aof_enabled') === '1',
    ...linkOf(url),
  }
}

/** `name:value` lines, CR LF; '' when it isn't said. */
export function infoOf(text: string, name: string): string {
  for (const line of text.split(/\r?\n/)) if (line.startsWith(`${name}:`)) return line.slice(name.length + 1)
  return ''
}

export function linkOf(url: string): Pick<RedisFacts, 'isLocal' | 'hasTls' | 'hasPassword'> {
  if (!URL.canParse(url)) return { isLocal: url.startsWith('/'), hasTls: false, hasPassword: false }
  const { protocol, hostname, password } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const isLoopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  return { isLocal: isLoopback, hasTls: protocol === 'rediss:', hasPassword: password !== '' }
}
