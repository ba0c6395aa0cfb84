// A next hop that does as it is told, over real sockets: takes mail like any server, or refuses, hangs, drops, lies or floods at any stage. It records
// the transactions it took with their content as received, dots unstuffed, and a transcript of what was said.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { SecureVersion } from 'node:tls'

export type Stage =
  'greeting' | 'EHLO' | 'HELO' | 'STARTTLS' | 'MAIL' | 'RCPT' | 'DATA' | 'content' | 'RSET' | 'QUIT' | 'other'

/**
 * What it does at a stage. A string is a reply, line feeds making several lines of it; `raw` goes out as it is; `early` likewise, and then as the
 * stage would have gone; `silent` says nothing any more; `drop` hangs up, after saying something if there is something to say.
 */
export type Act =
  | string
  | { readonly raw: string | Buffer }
  | { readonly early: string }
  | { readonly silent: true }
  | { readonly drop: true; readonly say?: string }
  /** One octet at a time, `everyMs`. */
  | { readonly slowly: string; readonly everyMs: number }

export interface Turn {
  readonly stage: Stage
  /** The command line, or the content's length. */
  readonly line: string
  /** 1 = the first connection */
  readonly connection: number
  /** Transactions that ended well on this connection so far. */
  readonly taken: number
  readonly isSecure: boolean
}

/** STARTTLS is offered and done. */
export interface NextHopTls {
  /** PEM files; the certificate with what leads to its root. */
  readonly certificate: string
  readonly key: string
  /** A client certificate is asked for, and kept whoever signed it. */
  readonly asksForCertificate?: boolean
  /** Without one that it believes the handshake fails. */
  readonly demandsCertificate?: boolean
  /** Sessions that it gave make its handshakes fail. */
  readonly failsToResume?: boolean
  readonly maxVersion?: SecureVersion
  readonly minVersion?: SecureVersion
  readonly ciphers?: string
  /** EHLO keywords inside TLS; default as outside, without STARTTLS. */
  readonly offersInside?: readonly string[]
}

/** What one TLS handshake came to. */
export interface Handshake {
  readonly connection: number
  readonly servername: string | undefined
  readonly protocol: string
  readonly isResumed: boolean
  /** Hexadecimal SHA-256 of the client's certificate. */
  readonly clientFingerprint: string | undefined
}

export interface Taken {
  readonly connection: number
  /** Command lines without line end. */
  readonly mail: string
  readonly rcpts: readonly string[]
  readonly content: Buffer
}

export interface NextHopOptions {
  /** undefined: as a well-behaved server would. */
  readonly act?: (turn: Turn) => Act | undefined
  /** EHLO keywords; default PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN. */
  readonly offers?: readonly string[]
  /** Before each answer to what one read of the socket held. */
  readonly latencyMs?: number
  readonly port?: number
  readonly address?: string
  readonly tls?: NextHopTls
  /** Content isn't kept, only counted. */
  readonly forgetful?: boolean
}

const OFFERS = ['PIPELINING', 'SIZE 50000000', '8BITMIME', 'SMTPUTF8', 'DSN', 'ENHANCEDSTATUSCODES']
const DEFAULTS: Record<Stage, string> = {
  greeting: '220 hop.example ESMTP',
  EHLO: '',
  HELO: '250 hop.example',
  STARTTLS: '220 2.0.0 go ahead',
  MAIL: '250 2.1.0 ok',
  RCPT: '250 2.1.5 ok',
  DATA: '354 go ahead',
  content: '250 2.0.0 queued',
  RSET: '250 2.0.0 ok',
  QUIT: '221 2.0.0 bye',
  other: '500 5.5.1 what?',
}
const STAGES: readonly Stage[] = ['EHLO', 'HELO', 'STARTTLS', 'MAIL', 'RCPT', 'DATA', 'RSET', 'QUIT']
const END = Buffer.from('\r\n.\r\n')

export class NextHop implements AsyncDisposable {
  readonly taken: Taken[] = []
  /** `C: EHLO relay.example`, `S: 250 …`, one list for each connection. */
  readonly transcripts: string[][] = []
  readonly handshakes: Handshake[] = []
  /** How often it answered on each connection: once for whatever one read of the socket held. */
  readonly answers: number[] = []
  /** Sessions can be resumed on any connection to it. */
  readonly ticketKeys = randomBytes(48)
  connections = 0
  open = 0
  mostOpen = 0
  #options: NextHopOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(options: NextHopOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket))
  }

  static async start(options: NextHopOptions = {}): Promise<NextHop> {
    const hop = new NextHop(options)
    await new Promise<void>((resolve) => hop.#server.listen(options.port ?? 0, options.address ?? '127.0.0.1', resolve))
    return hop
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('unreachable: not listening')
    return address.port
  }

  /** From now on. */
  behave(options: NextHopOptions): void {
    this.#options = options
  }

  #serve(socket: Socket): void {
    this.connections++
    this.mostOpen = Math.max(this.mostOpen, ++this.open)
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      this.open--
      this.#sockets.delete(socket)
    })
    new Session(socket, this.connections, this, () => this.#options).start()
  }

  /** Reads nothing any more from whoever is connected: his writes fill up. */
  stall(): void {
    for (const socket of this.#sockets) socket.pause()
  }

  /** Hangs up on everybody and takes nobody any more. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

class Session {
  #socket: Socket
  readonly #number: number
  readonly #hop: NextHop
  readonly #options: () => NextHopOptions
  readonly #transcript: string[] = []
  #input: Buffer = Buffer.alloc(0)
  #content: Buffer[] | undefined
  /** Content so far ends with these. */
  #tail = Buffer.from('\r\n')
  #mail = ''
  #rcpts: string[] = []
  #taken = 0
  #isSilent = false
  #isDripping = false
  #isSecure = false
  #out: string[] = []

  constructor(socket: Socket, number: number, hop: NextHop, options: () => NextHopOptions) {
    this.#socket = socket
    this.#number = number
    this.#hop = hop
    this.#options = options
    hop.transcripts.push(this.#transcript)
  }

  start(): void {
    this.#do('greeting', '')
    this.#flush()
    this.#socket.on('data', this.#onData)
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#isSilent) return
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    this.#goOn()
  }

  /** Replies stand in the order of the commands: what was sent in advance waits for a slow one. */
  #goOn(): void {
    while (!this.#isSilent && !this.#isDripping && this.#step());
    this.#flush()
  }

  #startTls(tls: NextHopTls): void {
    const { certificate, key, minVersion, maxVersion, ciphers } = tls
    this.#flush()
    this.#socket.removeListener('data', this.#onData)
    this.#input = Buffer.alloc(0)
    const secured = new TLSSocket(this.#socket, {
      isServer: true,
      cert: readFileSync(certificate),
      key: readFileSync(key),
      requestCert: tls.asksForCertificate === true || tls.demandsCertificate === true,
      rejectUnauthorized: tls.demandsCertificate === true,
      ...(minVersion === undefined ? {} : { minVersion }),
      ...(maxVersion === undefined ? {} : { maxVersion }),
      ...(ciphers === undefined ? {} : { ciphers }),
      ticketKeys: this.#hop.ticketKeys,
      // OpenSSL ends handshakes that resume a session without it.
      ...(tls.failsToResume === true ? {} : { sessionIdContext: 'next-hop' }),
    })
    secured.on('error', () => {})
    secured.on('secure', () => {
      const shown = secured.getPeerX509Certificate()
      const { servername } = secured as TLSSocket & { servername?: string | false }
      this.#hop.handshakes.push({
        connection: this.#number,
        servername: typeof servername === 'string' ? servername : undefined,
        protocol: secured.getProtocol() ?? '',
        isResumed: secured.isSessionReused(),
        clientFingerprint: shown?.fingerprint256.replaceAll(':', '').toLowerCase(),
      })
    })
    this.#socket = secured
    this.#isSecure = true
    secured.on('data', this.#onData)
  }

  /** @returns false when more input is needed */
  #step(): boolean {
    if (this.#content !== undefined) return this.#takeContent(this.#content)
    const end = this.#input.indexOf('\r\n')
    if (end === -1) return false
    const line = this.#input.toString('utf8', 0, end)
    this.#input = this.#input.subarray(end + 2)
    this.#transcript.push(`C: ${line}`)
    this.#command(line)
    return true
  }

  #command(line: string): void {
    const verb = line.toUpperCase() === 'STARTTLS' ? 'STARTTLS' : line.slice(0, 4).toUpperCase()
    const stage = STAGES.find((each) => each === verb) ?? 'other'
    const code = this.#do(stage, line)
    const { tls } = this.#options()
    if (stage === 'STARTTLS' && code === '220' && tls !== undefined) this.#startTls(tls)
    if (stage === 'MAIL' && code === '250') {
      this.#mail = line
      this.#rcpts = []
    }
    if (stage === 'RCPT' && code === '250') this.#rcpts.push(line)
    if (stage === 'DATA' && code === '354') {
      this.#content = []
      this.#tail = Buffer.from('\r\n')
    }
    if (stage === 'QUIT' && code === '221') {
      this.#flush()
      this.#socket.end()
    }
  }

  #takeContent(content: Buffer[]): boolean {
    const seam = Buffer.concat([this.#tail, this.#input])
    const end = seam.indexOf(END)
    if (end === -1) {
      content.push(this.#input)
      this.#tail = Buffer.from(seam.subarray(-4))
      this.#input = Buffer.alloc(0)
      return false
    }
    // Counted from the start of the input: negative when some of the end had come before.
    const stop = end + 2 - this.#tail.length
    const all = Buffer.concat([...content, this.#input.subarray(0, Math.max(0, stop))])
    const whole = all.subarray(0, all.length + Math.min(0, stop))
    this.#input = this.#input.subarray(stop + 3)
    this.#content = undefined
    this.#transcript.push(`C: <${whole.length} octets>`)
    const { forgetful } = this.#options()
    const code = this.#do('content', String(whole.length))
    if (code !== '250') return true
    this.#taken++
    const kept = forgetful === true ? Buffer.alloc(0) : unstuffed(whole)
    this.#hop.taken.push({ connection: this.#number, mail: this.#mail, rcpts: this.#rcpts, content: kept })
    return true
  }

  /** @returns the code that went out, if one did */
  #do(stage: Stage, line: string): string | undefined {
    const { act } = this.#options()
    const ehlo = ['250-hop.example', ...this.#offers().map((each) => `250-${each}`)]
      .join('\n')
      .replace(/250-([^\n]*)$/, '250 $1')
    const normal = stage === 'EHLO' ? ehlo : DEFAULTS[stage]
    const chosen =
      act?.({ stage, line, connection: this.#number, taken: this.#taken, isSecure: this.#isSecure }) ?? normal
    if (typeof chosen === 'string') return this.#say(chosen)
    if ('raw' in chosen) {
      this.#flush()
      this.#socket.write(chosen.raw)
      return undefined
    }
    if ('early' in chosen) {
      this.#say(normal)
      this.#out.push(`${chosen.early}\r\n`)
      return normal.slice(0, 3)
    }
    if ('slowly' in chosen) {
      this.#flush()
      this.#drip(chosen.slowly, chosen.everyMs)
      return undefined
    }
    this.#isSilent = true
    if ('drop' in chosen) {
      if (chosen.say !== undefined) this.#say(chosen.say)
      this.#flush()
      this.#socket.destroySoon()
    }
    return undefined
  }

  #offers(): readonly string[] {
    const { offers = OFFERS, tls } = this.#options()
    if (tls === undefined) return offers
    return this.#isSecure ? (tls.offersInside ?? offers) : [...offers, 'STARTTLS']
  }

  #say(reply: string): string {
    for (const each of reply.split('\n')) this.#transcript.push(`S: ${each}`)
    this.#out.push(`${reply.replaceAll('\n', '\r\n')}\r\n`)
    return reply.slice(0, 3)
  }

  #drip(text: string, everyMs: number): void {
    let sent = 0
    this.#isDripping = true
    const timer = setInterval(() => {
      if (sent < text.length && !this.#socket.destroyed) {
        this.#socket.write(text[sent++] ?? '')
        return
      }
      clearInterval(timer)
      this.#isDripping = false
      if (!this.#socket.destroyed) this.#goOn()
    }, everyMs)
  }

  #flush(): void {
    if (this.#out.length === 0) return
    const text = this.#out.join('')
    this.#out = []
    this.#hop.answers[this.#number - 1] = (this.#hop.answers[this.#number - 1] ?? 0) + 1
    const { latencyMs } = this.#options()
    if (latencyMs === undefined) this.#socket.write(text)
    else setTimeout(() => this.#socket.write(text), latencyMs)
  }
}

/** RFC 5321 §4.5.2 */
function unstuffed(content: Buffer): Buffer {
  if (content[0] !== 46 && !content.includes('\r\n.')) return content
  const text = content.toString('latin1')
  return Buffer.from(text.replace(/(^|\r\n)\./g, '$1'), 'latin1')
}
