// What we replace in smtp-server, and why: everything else of the package (accepting, closing in good order, TLS) stays as it is.
// `REPLACED` is checked against the package by a test: an update that renames one of these must not pass unseen.
import type { Socket } from 'node:net'
import { SMTPServer } from 'smtp-server'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js'
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js'
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js'
import type { TLSSocket } from 'node:tls'
import { SmtpInput } from './input.ts'
import type { InputHandler } from './input.ts'
import { startHandshake } from './tls-handshake.ts'
import type { Handshake, HandshakeFailure, TlsOffer, TlsState } from './tls-handshake.ts'

/** One connection's dialogue, as the connection sees it. */
export interface Dialogue extends InputHandler {
  /** From now on the client can be written to and heard, but hasn't been greeted. */
  opened(): void
  /** The client had its chance to talk too early. */
  greet(): void
  /** From now on the client is heard through TLS. */
  secured(tls: TlsState): void
  handshakeFailed(reason: HandshakeFailure): void
  /** The package wants to end the session with a reply of its own. */
  fault(code: number): void
  closed(): void
}

/** What a dialogue may do with its connection. */
export interface Wire {
  readonly id: string
  /** Without the prefix of an IPv4 address in IPv6 form. */
  readonly remoteAddress: string
  write(text: string): void
  /** Resolves when the socket takes more; undefined: it does. */
  drained(): Promise<void> | undefined
  startData(): void
  /** After the reply to STARTTLS: nothing more of the client is read in cleartext, and nothing written. */
  startTls(): void
  /** Ends the connection after what was written. What the client still sends is thrown away. */
  close(): void
  destroy(): void
}

export class RelayConnection extends SMTPConnection implements Wire {
  readonly #dialogue: Dialogue
  readonly #tlsOffer: TlsOffer | undefined
  /** While its handshake is under way. */
  #handshake: TLSSocket | undefined

  constructor(
    server: RelayServer,
    socket: Socket,
    options: SMTPConnectionOptions | null,
    dialogue: (wire: Wire) => Dialogue,
  ) {
    super(server, socket, options)
    this.#tlsOffer = server.tlsOffer
    this.#dialogue = dialogue(this)
  }

  /**
   * QUIRK: the package waits 100 ms before each greeting to catch early talkers, and caps a client that opens a connection a message at ten
   * messages a second and connection. What can be told without waiting is told: octets that were in the socket when it was accepted have been
   * read after one full turn of the event loop with reading on. Octets that arrive later can't be told from an answer to the greeting anyway.
   */
  override init(): void {
    this._setListeners(() => {
      this.#safely(() => this.#dialogue.opened())
      setImmediate(() => setImmediate(() => this.#safely(() => this.#greet())))
    })
  }

  #greet(): void {
    if (this._closing || this._closed) return
    this._ready = true
    this.#dialogue.greet()
  }

  /** PH-10: for steps that no stream catches. */
  #safely(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#dialogue.failed(error)
    }
  }

  /** QUIRK: called by the package's constructor, before there is a dialogue; nothing is read until `init`. */
  override _createParser(): SMTPStream {
    const dialogue = (): Dialogue => this.#dialogue
    return new SmtpInput(this._server.options.maxCommandLength ?? 0, {
      arrived: (octets) => dialogue().arrived(octets),
      line: (line, hasMore) => dialogue().line(line, hasMore),
      unfinishedLine: (text) => dialogue().unfinishedLine(text),
      data: (content, reader) => dialogue().data(content, reader),
      dataEnds: (reader) => dialogue().dataEnds(reader),
      flush: () => dialogue().flush(),
      ended: () => dialogue().ended(),
      failed: (error) => dialogue().failed(error),
    })
  }

  /** QUIRK: one timer a socket that any octet resets. Our limits (session-clock.ts) look at what the octets do, and one timer serves all. */
  override _armTimeout(): void {}

  /** QUIRK: writes texts of the package's own, with what an application's error says in them. All our replies are in replies.ts. */
  override send(code: number): void {
    this.#dialogue.fault(code)
  }

  override _onClose(): void {
    const wasClosed = this._closed
    super._onClose()
    if (!wasClosed) this.#safely(() => this.#dialogue.closed())
  }

  write(text: string): void {
    // Between the reply to STARTTLS and the end of the handshake `_socket` is the bare one still.
    if (this.#handshake === undefined && !this._socket.destroyed && this._socket.writable) {
      this._socket.write(text, 'latin1')
    }
  }

  drained(): Promise<void> | undefined {
    const socket = this._socket
    if (!socket.writableNeedDrain || socket.destroyed) return undefined
    return new Promise((resolve) => {
      const done = (): void => {
        socket.off('drain', done)
        socket.off('close', done)
        resolve()
      }
      socket.once('drain', done)
      socket.once('close', done)
    })
  }

  startData(): void {
    if (this._parser instanceof SmtpInput) this._parser.startData()
  }

  /**
   * QUIRK: the package's `upgrade` would show its own certificate to a client that names no server, takes ours from a list made at its start,
   * and reports a failed handshake with the peer's text. As there, the parser is retired with all that it holds: what the client sent in
   * cleartext behind STARTTLS is never read as a command (PH-3).
   */
  startTls(): void {
    if (this.#tlsOffer === undefined || this._parser === false) throw new Error('unreachable: STARTTLS was not offered')
    const raw = this._socket
    raw.unpipe(this._parser)
    this._parser.isClosed = true
    this._parser = this._createParser()
    this._upgrading = true
    this.#handshake = startHandshake(raw, this.#tlsOffer, (handshake) =>
      this.#safely(() => this.#handshaken(handshake)),
    )
  }

  #handshaken(handshake: Handshake): void {
    const socket = this.#handshake
    if (handshake.kind === 'failed' || socket === undefined) {
      this.#dialogue.handshakeFailed(handshake.kind === 'failed' ? handshake.reason : 'other')
      return
    }
    this.#handshake = undefined
    this._upgrading = false
    this._socket = socket
    this.secure = true
    socket.on('error', (error) => this._onError(error))
    socket.on('close', (hadError) => this._onCloseEvent(hadError))
    this.#dialogue.secured(handshake.tls)
    if (this._parser !== false && !this._closing) socket.pipe(this._parser)
  }

  /** In a handshake there is nothing to say good-bye with. */
  override close(): void {
    if (this.#handshake !== undefined) this.#handshake.destroy()
    super.close()
  }

  destroy(): void {
    // From above: what lies below goes with it.
    ;(this.#handshake ?? this._socket).destroy()
  }
}

export class RelayServer extends SMTPServer {
  #accepted = 0
  readonly #dialogue: (wire: Wire) => Dialogue
  /** undefined: there is no STARTTLS. */
  readonly tlsOffer: TlsOffer | undefined

  constructor(
    options: ConstructorParameters<typeof SMTPServer>[0],
    tlsOffer: TlsOffer | undefined,
    dialogue: (wire: Wire) => Dialogue,
  ) {
    super(options)
    this.tlsOffer = tlsOffer
    this.#dialogue = dialogue
  }

  /**
   * QUIRK: draws 80 random bits for each connection's id, makes them text by way of a BigInt, and waits a turn for a header that nobody sends
   * us (SP-7): together a fifth of what a connection costs. A number that grows names a session in the log as well.
   */
  override _handleProxy(_socket: Socket, callback: (error: Error | null, options: { id: string }) => void): void {
    callback(null, { id: String(++this.#accepted) })
  }

  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    try {
      const connection = new RelayConnection(this, socket, options ?? null, this.#dialogue)
      this.connections.add(connection)
      connection.on('error', (error) => this._onError(error))
      connection.init()
    } catch (error) {
      // PH-10: there is no session yet that could answer.
      socket.destroy()
      this._onError(error instanceof Error ? error : new Error('a connection could not be set up', { cause: error }))
    }
  }
}

/** What of the package is overridden above or called from there, by class. */
export const REPLACED = {
  SMTPConnection: [
    'init',
    '_createParser',
    '_armTimeout',
    'send',
    '_onClose',
    '_onCloseEvent',
    '_onError',
    '_setListeners',
    'close',
  ],
  SMTPServer: ['_handleProxy', 'connect', '_onError'],
  SMTPStream: ['_write', '_flushData'],
} as const
