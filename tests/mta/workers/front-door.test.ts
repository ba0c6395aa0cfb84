// The primary's listening sockets, over real connections; the workers here are in the same process.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { FrontDoor } from '../../../mta/workers/front-door.ts'
import type { Attendant } from '../../../mta/workers/front-door.ts'
import { eventually } from '../../harness/wait.ts'

class Desk implements Attendant {
  readonly handed: { client: number; listener: number; socket: Socket }[] = []

  hand(client: number, listener: number, socket: Socket): void {
    this.handed.push({ client, listener, socket })
  }
}

async function openDoor(context: TestContext, maxWaiting = 10) {
  const door = new FrontDoor(maxWaiting)
  const [port = 0, other = 0] = await door.open([
    { address: '127.0.0.1', port: 0 },
    { address: '127.0.0.1', port: 0 },
  ])
  const sockets: Socket[] = []
  context.after(() => {
    door.close()
    for (const socket of sockets) socket.destroy()
  })
  const come = async (at = port, localAddress = '127.0.0.1') => {
    const socket = connect({ host: '127.0.0.1', port: at, localAddress })
    socket.on('error', () => {})
    sockets.push(socket)
    await new Promise((resolve) => socket.once('connect', resolve))
    return socket
  }
  return { door, port, other, come }
}

const count = (desk: Desk, wanted: number) =>
  eventually(`${wanted} clients`, () => (desk.handed.length >= wanted ? true : undefined))

test('a worker gets one client at a time; while it hasn’t taken him the others serve', async (context) => {
  const { door, come, other } = await openDoor(context)
  const [stuck, quick] = [new Desk(), new Desk()]
  door.join(stuck)
  await come()
  await count(stuck, 1)
  door.join(quick)
  for (let client = 1; client <= 5; client++) {
    await come(client === 5 ? other : undefined)
    await count(quick, client)
    door.took(quick, quick.handed.at(-1)?.client ?? 0)
  }
  assert.equal(stuck.handed.length, 1)
  assert.deepEqual(
    quick.handed.map(({ listener }) => listener),
    [0, 0, 0, 0, 1],
  )
})

test('clients of one address are spread, so that the shares of its limit add up', async (context) => {
  const { door, come } = await openDoor(context)
  const desks = [new Desk(), new Desk(), new Desk()]
  const serve = async (address?: string) => {
    const before = desks.map((desk) => desk.handed.length)
    await come(undefined, address)
    const desk = await eventually('somebody to serve', () =>
      desks.find((each, i) => each.handed.length > (before[i] ?? 0)),
    )
    door.took(desk, desk.handed.at(-1)?.client ?? 0)
    return desk
  }
  for (const desk of desks) door.join(desk)
  for (let i = 0; i < 9; i++) await serve()
  assert.deepEqual(
    desks.map((desk) => desk.handed.length),
    [3, 3, 3],
  )
  // Whose client leaves has room for the next one of that address.
  const [first] = desks
  assert.ok(first !== undefined)
  door.left(first, first.handed[0]?.client ?? 0)
  assert.equal(await serve(), first)
  // Another address is another count.
  const others = [await serve('127.0.0.2'), await serve('127.0.0.2'), await serve('127.0.0.2')]
  assert.equal(new Set(others).size, 3)
})

test('a client whose worker dies while he is handed over gets another one; who waits is served when one comes', async (context) => {
  const { door, come } = await openDoor(context)
  const [first, second] = [new Desk(), new Desk()]
  door.join(first)
  await come()
  await count(first, 1)
  await come()
  door.forget(first)
  door.join(second)
  await count(second, 1)
  door.took(second, second.handed[0]?.client ?? 0)
  await count(second, 2)
  assert.ok(second.handed.some(({ client }) => client === first.handed[0]?.client))
})

test('a worker that is to stop gets nobody new, and is told to when it has whom it was being handed', async (context) => {
  const { door, come } = await openDoor(context)
  const [leaving, staying] = [new Desk(), new Desk()]
  door.join(leaving)
  await come()
  await count(leaving, 1)
  let hasLeft = false
  const left = door.leave(leaving).then(() => (hasLeft = true))
  door.join(staying)
  await come()
  await count(staying, 1)
  assert.equal(hasLeft, false)
  door.took(leaving, leaving.handed[0]?.client ?? 0)
  await left
  await come()
  door.took(staying, staying.handed[0]?.client ?? 0)
  await count(staying, 2)
  assert.equal(leaving.handed.length, 1)
  // Unknown ones have left already.
  await door.leave(new Desk())
})

test('without a worker a bounded number waits, the rest is turned away; closing turns away all', async (context) => {
  const { door, come } = await openDoor(context, 2)
  const closed = (socket: Socket) => new Promise((resolve) => socket.once('close', resolve))
  const waiting = [await come(), await come()]
  const third = await come()
  await closed(third)
  assert.deepEqual(
    waiting.map(({ destroyed }) => destroyed),
    [false, false],
  )
  const all = Promise.all(waiting.map(closed))
  door.close()
  await all
})

test('an address that is taken is said at once', async (context) => {
  const { port } = await openDoor(context)
  await assert.rejects(new FrontDoor(1).open([{ address: '127.0.0.1', port }]), { code: 'EADDRINUSE' })
})
