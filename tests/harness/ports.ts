import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Server } from 'node:net'

// Below what systems give to outgoing connections (from 32768 on Linux): a port of theirs may be taken between two moments by a client's end.
// Test files run side by side, each in a process of its own, so each looks for ports in another place.
const FIRST = 10_000
const LAST = 30_000
const PLACES = 200
const SIZE = (LAST - FIRST) / PLACES
let next = FIRST + (process.pid % PLACES) * SIZE

/** Different TCP ports on 127.0.0.1 that were free a moment ago, and that this process was not told before. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) ports.push(await freeRange(1))
  return ports
}

export async function freePort(): Promise<number> {
  return freeRange(1)
}

/** The first of so many ports in a row, all of them free a moment ago. */
export async function freeRange(count: number): Promise<number> {
  for (;;) {
    if (next + count > LAST) next = FIRST
    const first = next
    next += count
    const servers = Array.from({ length: count }, (_, offset) => createServer().listen(first + offset, '127.0.0.1'))
    const held = await Promise.allSettled(servers.map((server) => once(server, 'listening')))
    await Promise.all(servers.map(closed))
    if (held.every(({ status }) => status === 'fulfilled')) return first
  }
}

/** One that never listened has nothing to close. */
const closed = (server: Server): Promise<unknown> => new Promise((done) => server.close(done))
