import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

/** Different TCP ports on 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  // All are held at once: one after the other, the system may name the same port again.
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  return ports
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}

/** The first of so many ports in a row, all of them free a moment ago. */
export async function freeRange(count: number): Promise<number> {
  for (;;) {
    const first = await freePort()
    const servers = Array.from({ length: count }, (_, offset) => createServer().listen(first + offset, '127.0.0.1'))
    const held = await Promise.allSettled(servers.map((server) => once(server, 'listening')))
    await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
    if (held.every(({ status }) => status === 'fulfilled')) return first
  }
}
