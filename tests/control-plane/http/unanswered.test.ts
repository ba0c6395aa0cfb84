// A server that ends waits for answers, not for connections.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { trackUnanswered } from '../../../control-plane/http/unanswered.ts'

const LONG_MS = 60_000

async function serve(t: TestContext, listener: RequestListener) {
  const server = createServer(listener)
  const unanswered = trackUnanswered(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { unanswered, port: (server.address() as AddressInfo).port }
}

test('connections without a request are not waited for: one that was never used, and one that was kept', async (t) => {
  const { unanswered, port } = await serve(t, (_request, response) => void response.end('done'))
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'done')
  await unanswered.settled(LONG_MS)
})

test('an answer under way is waited for, and reaches its client whole', async (t) => {
  let finish = (): void => {}
  const { promise: began, resolve: begin } = Promise.withResolvers<void>()
  const { unanswered, port } = await serve(t, (_request, response) => {
    response.write('first, ')
    finish = () => void response.end('last')
    begin()
  })
  const answer = fetch(`http://127.0.0.1:${port}/`).then((response) => response.text())
  await began
  let isSettled = false
  const settled = unanswered.settled(LONG_MS).then(() => (isSettled = true))
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isSettled, false)
  finish()
  await settled
  assert.equal(await answer, 'first, last')
})

test('one that never comes is given up after the time', async (t) => {
  const { promise: began, resolve: begin } = Promise.withResolvers<void>()
  const { unanswered, port } = await serve(t, () => begin())
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await began
  await unanswered.settled(20)
})
