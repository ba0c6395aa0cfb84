// The name server of the simulated internet: the answers of dns-answer.ts over UDP and TCP (RFC 1035 §4.2, 7766), on one loopback port.
import { createSocket } from 'node:dgram'
import type { Socket as UdpSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { isLoopback } from '../loopback-server.ts'
import { dnsAnswer, MAX_QUERY_BYTES } from './dns-answer.ts'
import type { Zones } from './zones.ts'

export interface DnsServerOptions {
  readonly zones: Pick<Zones, 'find'>
  /** Default 127.0.0.1. */
  readonly address?: string
  /** Default 0: any that is free for both. */
  readonly port?: number
  /** How long answers may be kept; default 60. */
  readonly ttlS?: number
}

const ATTEMPTS = 20
const TCP_IDLE_MS = 10_000
const MAX_TCP_CONNECTIONS = 256

export class DnsServer implements AsyncDisposable {
  readonly address: string
  readonly port: number
  readonly #zones: Pick<Zones, 'find'>
  readonly #ttlS: number
  readonly #udp: UdpSocket
  readonly #tcp: Server
  readonly #sockets = new Set<Socket>()

  private constructor({ zones, ttlS }: DnsServerOptions, address: string, udp: UdpSocket, tcp: Server) {
    this.#zones = zones
    this.#ttlS = ttlS ?? 60
    this.address = address
    this.port = udp.address().port
    this.#udp = udp
    this.#tcp = tcp
    udp.on('message', (bytes, peer) => {
      const answer = this.#answer(bytes, 'udp')
      // A client that is gone by then misses nothing.
      if (answer !== undefined) udp.send(answer, peer.port, peer.address, () => {})
    })
    udp.on('error', () => {})
    tcp.maxConnections = MAX_TCP_CONNECTIONS
    tcp.on('connection', (socket: Socket) => this.#serve(socket))
  }

  /** @throws when the port is taken, or the address is not of this machine alone */
  static async start(options: DnsServerOptions): Promise<DnsServer> {
    const { address = '127.0.0.1', port = 0 } = options
    if (!isLoopback(address)) throw new Error('the sandbox listens on loopback addresses only')
    for (let attempt = 1; ; attempt++) {
      const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4')
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject)
        udp.bind(port, address, resolve)
      })
      const tcp = createServer()
      try {
        await new Promise<void>((resolve, reject) => {
          tcp.once('error', reject)
          tcp.listen(udp.address().port, address, resolve)
        })
        return new DnsServer(options, address, udp, tcp)
      } catch (error) {
        udp.close()
        // Free for UDP says nothing of TCP.
        if (port !== 0 || attempt === ATTEMPTS) throw error
      }
    }
  }

  async close(): Promise<void> {
    const closed = [
      new Promise<void>((resolve) => this.#udp.close(resolve)),
      new Promise<void>((resolve) => this.#tcp.close(() => resolve())),
    ]
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #answer(bytes: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
    return dnsAnswer(this.#zones, bytes, { transport, ttlS: this.#ttlS })
  }

  /** Any number of questions, one after another. What is no frame of a question ends the connection. */
  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    let pending: Buffer = Buffer.alloc(0)
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy())
    socket.on('error', () => {}) // the client's end of it
    socket.on('close', () => this.#sockets.delete(socket))
    // One answer waits at most: who does not read is not read from.
    const answerPending = (): void => {
      while (pending.length >= 2 && !socket.writableNeedDrain) {
        const length = pending.readUInt16BE(0)
        if (length > MAX_QUERY_BYTES) {
          socket.destroy()
          return
        }
        if (pending.length < 2 + length) break
        const answer = this.#answer(pending.subarray(2, 2 + length), 'tcp')
        pending = pending.subarray(2 + length)
        if (answer === undefined) {
          socket.destroy()
          return
        }
        const size = Buffer.alloc(2)
        size.writeUInt16BE(answer.length)
        socket.write(Buffer.concat([size, answer]))
      }
      if (socket.writableNeedDrain) socket.pause()
      else socket.resume()
    }
    socket.on('drain', answerPending)
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      answerPending()
    })
  }
}
