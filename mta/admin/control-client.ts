// The command line's side of a running relay's control socket.
import { Agent, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { QuarantineEntry } from '../spool/contract.ts'
import { socketPath } from './control-socket.ts'
import type { ChangeResult, QueueFilter, QueueItem, QueueItemDetail, QueueOperations } from './queue-operations.ts'

const TIMEOUT_MS = 60_000
/** A filter that reads every message of a long queue, and a change of all of it, give no sign of life for a while. */
const LONG_TIMEOUT_MS = 600_000

/** The relay answered, and not with what was asked for. Text is for the operator. */
export class ControlError extends Error {
  override readonly name = 'ControlError'
}

/** undefined when no relay listens on the spool's socket: none runs, or one died and left it. */
export async function connectControl(spoolDirectory: string): Promise<QueueOperations | undefined> {
  try {
    await exchange(spoolDirectory, 'GET', '/').then(readAll)
    return controlClient(spoolDirectory)
  } catch (error) {
    if (isNobodyThere(error)) return undefined
    throw error
  }
}

function isNobodyThere(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(String(error.code))
}

function controlClient(spoolDirectory: string): QueueOperations {
  const call = (method: string, path: string, body?: unknown) => exchange(spoolDirectory, method, path, body)
  return {
    async *list(filter) {
      const reply = await call('GET', `/queue?${queryOf(filter)}`)
      await expectOk(reply)
      for await (const line of lines(reply)) yield JSON.parse(line) as QueueItem
    },
    async show(id) {
      return jsonOrNothing<QueueItemDetail>(await call('GET', `/queue/${id}`))
    },
    async change(change, target) {
      return json<ChangeResult>(await call('POST', `/queue/${change}`, target))
    },
    quarantine: {
      async list() {
        return json<QuarantineEntry[]>(await call('GET', '/quarantine'))
      },
      async export(id) {
        const reply = await call('GET', `/quarantine/${encodeURIComponent(id)}`)
        if (reply.statusCode === 404) return void (await readAll(reply))
        await expectOk(reply)
        return readAll(reply)
      },
      async remove(id) {
        return (await jsonOrNothing(await call('POST', '/quarantine/remove', { id }))) !== undefined
      },
    },
  }
}

function queryOf(filter: QueueFilter): string {
  return new URLSearchParams(
    Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString()
}

async function exchange(
  spoolDirectory: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<IncomingMessage> {
  await using socket = await socketPath(spoolDirectory)
  const payload = body === undefined ? undefined : JSON.stringify(body)
  return await new Promise((resolve, reject) => {
    const headers =
      payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }
    const outgoing = request({
      socketPath: socket.path,
      method,
      path,
      headers,
      agent: new Agent({ keepAlive: false }),
      timeout: path.startsWith('/queue') ? LONG_TIMEOUT_MS : TIMEOUT_MS,
    })
    outgoing.on('response', resolve)
    outgoing.on('error', reject)
    outgoing.on('timeout', () => outgoing.destroy(new ControlError('the relay does not answer')))
    outgoing.end(payload)
  })
}

async function json<T>(reply: IncomingMessage): Promise<T> {
  await expectOk(reply)
  return JSON.parse((await readAll(reply)).toString('utf8')) as T
}

async function jsonOrNothing<T>(reply: IncomingMessage): Promise<T | undefined> {
  if (reply.statusCode === 404) return void (await readAll(reply))
  return json<T>(reply)
}

async function expectOk(reply: IncomingMessage): Promise<void> {
  if (reply.statusCode === 200) return
  const said = (await readAll(reply)).toString('utf8').trim()
  throw new ControlError(`the relay answered ${reply.statusCode ?? 0}: ${said}`)
}

async function readAll(reply: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of reply as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function* lines(reply: IncomingMessage): AsyncIterable<string> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    const pieces = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = pieces.pop() ?? ''
    yield* pieces.filter((piece) => piece !== '')
  }
}
