// An SMTP client for tests: sends octets exactly as told, cut where told, and reads replies one by one.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import assert from 'node:assert/strict'

export class TranscriptClient {
  socket: Socket
  #text = ''
  #isClosed = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    this.#listen(socket)
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
      this.#wake?.()
    })
    socket.on('error', () => {}) // a reset is seen as the close it is
    socket.on('close', () => {
      this.#isClosed = true
      this.#wake?.()
    })
  }

  static async connect(port: number, localAddress?: string): Promise<TranscriptClient> {
    const socket = connect({
      port,
      host: '127.0.0.1',
      allowHalfOpen: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    })
    const client = new TranscriptClient(socket)
    await once(socket, 'connect')
    return client
  }

  /** Connected, greeted, and EHLO answered. */
  static async hello(port: number, localAddress?: string): Promise<TranscriptClient> {
    const client = await TranscriptClient.connect(port, localAddress)
    await client.expect(220)
    await client.say('EHLO client.example', 250)
    return client
  }

  /** Greeted and inside TLS, where EHLO has been answered. */
  static async secure(port: number, options?: ConnectionOptions, localAddress?: string): Promise<TranscriptClient> {
    const client = await TranscriptClient.hello(port, localAddress)
    await client.startTls(options)
    await client.say('EHLO client.example', 250)
    return client
  }

  /** STARTTLS and the handshake. @throws where it fails */
  async startTls(options: ConnectionOptions = {}): Promise<TLSSocket> {
    await this.say('STARTTLS', 220)
    return await this.handshake(options)
  }

  /** The client's half of a handshake, which begins at once. */
  async handshake(options: ConnectionOptions = {}): Promise<TLSSocket> {
    this.socket.removeAllListeners('data')
    const secure = connectTls({ socket: this.socket, rejectUnauthorized: false, ...options })
    this.socket = secure
    secure.on('error', () => {}) // one failure may be told twice
    await once(secure, 'secureConnect')
    this.#listen(secure)
    return secure
  }

  /** Writes octets as they are. */
  write(octets: string | Uint8Array): void {
    this.socket.write(typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets)
  }

  /** Writes octets in pieces that reach the server as pieces: each waits until the one before has left. */
  async writeCut(octets: Uint8Array, cuts: readonly number[]): Promise<void> {
    let start = 0
    for (const cut of [...cuts, octets.length]) {
      if (cut > start) {
        await new Promise<void>((resolve) =>
          this.socket.write(octets.subarray(start, cut), () => setImmediate(resolve)),
        )
      }
      start = cut
    }
  }

  /** One whole reply, its lines joined by LF. */
  async reply(): Promise<string> {
    for (;;) {
      const end = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n/.exec(this.#text)
      if (end !== null) {
        this.#text = this.#text.slice(end[0].length)
        return end[0].slice(0, -2).replaceAll('\r\n', '\n')
      }
      if (this.#isClosed)
        throw new Error(`connection closed where a reply was expected; left over: ${JSON.stringify(this.#text)}`)
      await this.#more()
    }
  }

  /** Reads a reply that begins with `code`, which may be `250` or `550 5.1.1`. */
  async expect(code: number | string): Promise<string> {
    const reply = await this.reply()
    assert.ok(reply.startsWith(String(code)), `expected ${code}, got ${reply}`)
    return reply
  }

  /** Sends one command and gives its reply, whatever it is. */
  async ask(command: string): Promise<string> {
    this.write(`${command}\r\n`)
    return await this.reply()
  }

  /** Sends one command and reads its reply. */
  async say(command: string, code: number | string): Promise<string> {
    this.write(`${command}\r\n`)
    return await this.expect(code)
  }

  /** Waits until the server has closed, and gives what came before that. */
  async closed(): Promise<string> {
    this.socket.end()
    while (!this.#isClosed) await this.#more()
    return this.#text
  }

  quit(): void {
    this.socket.destroy()
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
  }
}
