// Server-sent events over a real connection: resume, heartbeat, an end when the server stops, and slow readers cut off. (control-plane.md §1)
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { EVENT_STREAM_HEADERS, sendEvents } from '../../../control-plane/http/event-stream.ts'
import type { SentEvent } from '../../../control-plane/http/event-stream.ts'
import { eventually } from '../../harness/wait.ts'

/** Events that anybody can add to, as a table is. */
function aSource() {
  const events: SentEvent[] = []
  const wakes = new Set<() => void>()
  return {
    wakes,
    add(data: unknown, type = 'thing.changed') {
      events.push({ id: events.length + 1, type, data })
      for (const wake of wakes) wake()
    },
    load: (after: number) => Promise.resolve(events.filter(({ id }) => id > after).slice(0, 100)),
    subscribe(wake: () => void) {
      wakes.add(wake)
      return () => void wakes.delete(wake)
    },
  }
}

async function aServer(t: TestContext, source: ReturnType<typeof aSource>, heartbeatMs?: number) {
  const stopping = new AbortController()
  const ended: unknown[] = []
  const server = createServer((incoming, response) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    response.writeHead(200, EVENT_STREAM_HEADERS)
    const from = Number(incoming.headers['last-event-id'] ?? 0)
    const signal = AbortSignal.any([gone.signal, stopping.signal])
    sendEvents(response, source, from, signal, heartbeatMs).then(
      () => ended.push('done'),
      (error: unknown) => {
        ended.push(error)
        response.destroy()
      },
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    stopping.abort()
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, stopping, ended }
}

async function listen(port: number, lastEventId?: number): Promise<{ response: IncomingMessage; text: () => string }> {
  const headers = lastEventId === undefined ? {} : { 'Last-Event-ID': String(lastEventId) }
  const [response] = (await once(request({ port, host: '127.0.0.1', headers }).end(), 'response')) as [IncomingMessage]
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => (text += chunk))
  response.on('error', () => {})
  return { response, text: () => text }
}

const idsIn = (text: string): number[] => [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))

test('events come typed, with ids, in order, those from before and those from now on', async (t) => {
  const source = aSource()
  const { port } = await aServer(t, source)
  source.add({ text: 'a\nb' })
  const { response, text } = await listen(port)
  assert.equal(response.headers['content-type'], 'text/event-stream')
  assert.equal(response.headers['cache-control'], 'no-cache, no-transform')
  await eventually('the event from before', () => (idsIn(text()).length === 1 ? true : undefined))
  source.add({ n: 2 })
  source.add({ n: 3 }, 'other')
  await eventually('three events', () => (idsIn(text()).length === 3 ? true : undefined))
  assert.equal(
    text(),
    'retry: 2000\n\nid: 1\nevent: thing.changed\ndata: {"text":"a\\nb"}\n\nid: 2\nevent: thing.changed\ndata: {"n":2}\n\nid: 3\nevent: other\ndata: {"n":3}\n\n',
  )
})

test('who comes back with the last id gets what was missed, once, however much it is', async (t) => {
  const source = aSource()
  const { port } = await aServer(t, source)
  for (const n of Array(350).keys()) source.add({ n })
  const { text } = await listen(port, 42)
  source.add({ last: true })
  await eventually('all that was missed', () => (text().includes('"last"') ? true : undefined))
  assert.deepEqual(
    idsIn(text()),
    Array.from({ length: 351 - 42 }, (_, index) => index + 43),
  )
})

test('an event that comes while others are loaded is not lost', async (t) => {
  const source = aSource()
  const load = source.load
  let isFirst = true
  source.load = async (after) => {
    const found = await load(after)
    if (isFirst) {
      isFirst = false
      source.add({ late: true })
    }
    return found
  }
  const { port } = await aServer(t, source)
  const { text } = await listen(port)
  await eventually('the late event', () => (text().includes('"late"') ? true : undefined))
})

test('a heartbeat keeps a quiet stream open', async (t) => {
  const source = aSource()
  const { port } = await aServer(t, source, 10)
  const { text } = await listen(port)
  await eventually('two heartbeats', () => (text().split(':\n\n').length > 2 ? true : undefined))
})

test('a stream ends when the server stops, and when the client goes; neither leaves anything behind', async (t) => {
  const source = aSource()
  const { port, stopping, ended } = await aServer(t, source, 10)
  const first = await listen(port)
  first.response.destroy()
  await eventually('the end of the first', () => (ended.length === 1 && source.wakes.size === 0 ? true : undefined))
  const second = await listen(port)
  const end = once(second.response, 'end')
  stopping.abort()
  await end
  await eventually('the end of the second', () => (ended.length === 2 ? true : undefined))
  assert.deepEqual(ended, ['done', 'done'])
  assert.equal(source.wakes.size, 0)
})

test('a reader that does not read is cut off, and its memory given back', async (t) => {
  const source = aSource()
  const { port, ended } = await aServer(t, source, 10)
  const { response } = await listen(port)
  response.pause()
  const closed = new Promise((resolve) => response.once('close', resolve)) // after an error, which is what is meant to come
  const large = 'x'.repeat(64 * 1024)
  // As much as the sockets hold, then 1 MiB in our own memory.
  await eventually('the end', () => {
    if (ended.length > 0) return true
    for (let n = 0; n < 32; n++) source.add({ large })
    return undefined
  })
  assert.equal(source.wakes.size, 0)
  response.resume()
  await closed
  assert.equal(response.complete, false, 'cut off, not ended: the client knows to come back')
})

test('a source that fails ends the stream with its error', async (t) => {
  const source = aSource()
  source.load = () => Promise.reject(new Error('the database is away'))
  const { port, ended } = await aServer(t, source)
  const { response } = await listen(port)
  await eventually('the end of the connection', () => (response.closed ? true : undefined))
  assert.match(String(ended[0]), /the database is away/)
  assert.equal(source.wakes.size, 0)
})
