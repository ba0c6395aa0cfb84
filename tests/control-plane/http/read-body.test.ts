// Bodies as they come over the wire: bounded in size and time, and a client that is refused learns why. (reliability-security.md §4, WS-7)
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { z } from 'zod'
import { boundedBody } from '../../../control-plane/http/read-body.ts'
import { route } from '../../../control-plane/http/route.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'
import { eventually } from '../../harness/wait.ts'
import { sendRaw } from './raw-http.ts'

const MAX_STREAM = 200_000
const got = z.strictObject({ bytes: z.int() })

function api(t: TestContext, bodyLimits = { wholeMs: 5_000, idleMs: 5_000 }): Promise<TestApi> {
  const json = route({
    method: 'post',
    path: '/installation/json',
    id: 'readJsonBody',
    summary: 'Read JSON',
    tag: 'things',
    access: 'public',
    body: z.strictObject({ text: z.string() }),
    maxBodyBytes: 100_000,
    responses: { 200: { description: 'Read', schema: got } },
    changesNothing: true,
    handler: ({ body: { text } }) => Promise.resolve({ status: 200, body: { bytes: text.length } }),
  })
  const stream = route({
    method: 'post',
    path: '/installation/stream',
    id: 'readStreamBody',
    summary: 'Read a stream',
    tag: 'things',
    access: 'public',
    body: { stream: ['text/csv'], maxBytes: MAX_STREAM },
    responses: { 200: { description: 'Read', schema: got } },
    changesNothing: true,
    handler: async ({ request: body }) => {
      let bytes = 0
      for await (const chunk of boundedBody(body, MAX_STREAM)) bytes += chunk.length
      return { status: 200, body: { bytes } }
    },
  })
  return testApi(t, () => [json, stream], { app: { bodyLimits } })
}

/** Sends chunks without saying how long they will be; resolves with the answer, however much of them was taken. */
function sendChunks(
  url: string,
  path: string,
  type: string,
  chunks: Iterable<string>,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/api/v1${path}`, { method: 'POST', headers: { 'Content-Type': type } }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    sent.on('error', reject)
    for (const chunk of chunks) sent.write(chunk)
    sent.end()
  })
}

const small = { 'Content-Type': 'application/json' }
const utf16 = Buffer.from('{"text":"a"}', 'utf16le')
const bodies: [body: string | Buffer, headers: Record<string, string>, status: number, problem: string, why: string][] =
  [
    ['{"text":"abc"}', small, 200, '', 'JSON'],
    ['{"text":"abc"}', { 'Content-Type': 'Application/JSON; charset=utf-8' }, 200, '', 'in other spelling'],
    ['{"text":"abc"}', {}, 415, 'unsupported-media-type', 'fetch calls a text text/plain'],
    [
      '{"text":"abc"}',
      { 'Content-Type': 'application/merge-patch+json' },
      415,
      'unsupported-media-type',
      'another type of JSON',
    ],
    ['', small, 400, 'malformed-body', 'empty'],
    ['{"text":', small, 400, 'malformed-body', 'cut short'],
    ['{"text":"a"} {"text":"b"}', small, 400, 'malformed-body', 'twice'],
    ["{'text':'a'}", small, 400, 'malformed-body', 'not quite JSON'],
    ['\ufeff{"text":"a"}', small, 400, 'malformed-body', 'RFC 8259 §8.1: no byte order mark'],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), small, 400, 'malformed-body', 'no UTF-8'],
    [utf16, small, 400, 'malformed-body', 'UTF-16'],
    [gzipSync('{"text":"a"}'), { ...small, 'Content-Encoding': 'gzip' }, 415, 'unsupported-media-type', 'packed'],
    ['{"text":"a"}', { ...small, 'Content-Encoding': 'identity' }, 200, '', 'said not to be packed'],
    [`{"text":"${'a'.repeat(100_000 - 11)}"}`, small, 200, '', 'at the limit'],
    [`{"text":"${'a'.repeat(100_000 - 10)}"}`, small, 413, 'too-large', 'one octet over the limit'],
  ]
test('a JSON body is taken when it is JSON in UTF-8 within its limit, and refused with the reason otherwise', async (t) => {
  const it = await api(t)
  for (const [body, headers, status, problem, why] of bodies) {
    const reply = await it.request('POST', '/installation/json', body, { headers })
    assert.equal(reply.status, status, why)
    if (problem !== '') assert.equal(reply.body.type, `/problems/${problem}`, why)
  }
})

test('a body in chunks without a length is bounded as well, and its sender is told', async (t) => {
  const it = await api(t)
  const chunk = 'a'.repeat(20_000)
  const json = (chunks: number) => ['{"text":"', ...Array<string>(chunks).fill(chunk), '"}']
  assert.deepEqual(await sendChunks(it.url, '/installation/json', 'application/json', json(4)), {
    status: 200,
    text: '{"bytes":80000}',
  })
  const tooLarge = await sendChunks(it.url, '/installation/json', 'application/json', json(6))
  assert.equal(tooLarge.status, 413)
  assert.match(tooLarge.text, /"maxBytes":100000/)
  const csv = (chunks: number) => Array<string>(chunks).fill(chunk)
  assert.equal((await sendChunks(it.url, '/installation/stream', 'text/csv', csv(10))).status, 200)
  assert.equal((await sendChunks(it.url, '/installation/stream', 'text/csv', csv(11))).status, 413)
})

test('a stream of another type, or one that says it is too long, is refused before it is read', async (t) => {
  const it = await api(t)
  const head = (lines: string) => `POST /api/v1/installation/stream HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n`
  const wrong = await sendRaw(it.url, head('Content-Type: text/plain\r\nContent-Length: 10'))
  assert.equal(wrong.status, 415)
  const long = await sendRaw(it.url, head(`Content-Type: text/csv\r\nContent-Length: ${MAX_STREAM + 1}`))
  assert.equal(long.status, 413)
  assert.match(long.text, /^Connection: close\r$/m, 'what was not read must not be taken for the next request')
})

test('WS-7: a body that comes too slowly ends with 408, however steadily it drips', async (t) => {
  const it = await api(t, { wholeMs: 400, idleMs: 5_000 })
  const head =
    'POST /api/v1/installation/json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n'
  const reply = await sendRaw(it.url, head, (socket) => {
    const drip = setInterval(() => socket.write('a'), 20)
    socket.on('close', () => clearInterval(drip))
  })
  assert.equal(reply.status, 408)
  assert.match(reply.text, /\/problems\/request-timeout/)
  assert.equal(reply.answers, 1)
})

test('WS-7: a stream may take long while it keeps coming, and ends when it stops', async (t) => {
  const it = await api(t, { wholeMs: 300, idleMs: 2_500 })
  const head = (length: number) =>
    `POST /api/v1/installation/stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/csv\r\nContent-Length: ${length}\r\n\r\n`
  const steady = await sendRaw(it.url, head(30), (socket) => {
    let sent = 0
    const drip = setInterval(() => {
      socket.write('a')
      if (++sent === 30) clearInterval(drip)
    }, 25)
  })
  assert.equal(steady.status, 200, 'it took twice as long as a whole body may')
  const stopped = await sendRaw(it.url, head(30), (socket) => void socket.write('aaa'))
  assert.equal(stopped.status, 408)
})

test('a client that goes away in the middle of its body is no fault of ours', async (t) => {
  const it = await api(t)
  for (const [path, type] of [
    ['json', 'application/json'],
    ['stream', 'text/csv'],
  ]) {
    const head = `POST /api/v1/installation/${path} HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: 5000\r\n\r\nabc`
    await sendRaw(it.url, head, (socket) => setTimeout(() => socket.destroy(), 50))
  }
  await it.request('GET', '/nothing')
  await eventually('the log to tell of the last request', () => it.lines.find((line) => line.includes('request.done')))
  assert.ok(!it.lines.some((line) => /request\.failed|"level":"error"/.test(line)), it.lines.join(''))
})
