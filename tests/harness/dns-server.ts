// A resolver that says what a test wants, over UDP and TCP on loopback: records, with or without the AD bit, and everything that resolvers and
// those who pose as one do wrong. What it knows nothing of doesn't exist (NXDOMAIN, with an SOA that says so).
import { createSocket } from 'node:dgram'
import type { Socket as UdpSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { AUTHENTIC_DATA, decode, encode, RECURSION_AVAILABLE, TRUNCATED_RESPONSE } from 'dns-packet'
import type { Answer, DecodedPacket, TlsaData } from 'dns-packet'

/** What it says to one question. */
export interface Said {
  readonly answers?: readonly Answer[]
  readonly rcode?: 'NOERROR' | 'SERVFAIL' | 'NXDOMAIN' | 'REFUSED'
  /** The AD bit. */
  readonly isSecure?: boolean
  /** With an SOA in the authority section, as a negative answer has it; default where there are no answers. */
  readonly hasSoa?: boolean
  readonly isSilent?: boolean
  /** Over UDP only a truncated answer. */
  readonly isTruncated?: boolean
  /** Sent over UDP before the answer proper: forgeries. */
  readonly before?: (query: DecodedPacket) => readonly Buffer[]
  /** In place of the answer. */
  readonly raw?: (query: DecodedPacket) => Buffer
}

const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 }
const TTL = 300

export class DnsServer implements AsyncDisposable {
  /** `MX example.net`, in the order asked. */
  readonly asked: string[] = []
  /** Those asked over TCP. */
  readonly askedOverTcp: string[] = []
  /** Source ports and ids of UDP questions. */
  readonly sources: { port: number; id: number }[] = []
  readonly #said = new Map<string, Said>()
  readonly #udp: UdpSocket
  readonly #tcp: Server
  readonly #sockets = new Set<Socket>()

  private constructor(udp: UdpSocket, tcp: Server) {
    this.#udp = udp
    this.#tcp = tcp
    udp.on('message', (bytes, peer) => {
      const query = decode(bytes)
      this.sources.push({ port: peer.port, id: query.id ?? 0 })
      for (const each of this.#answer(query, false)) udp.send(each, peer.port, peer.address)
    })
    tcp.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
      socket.once('data', (bytes: Buffer) => {
        const query = decode(bytes.subarray(2))
        this.askedOverTcp.push(keyOf(query))
        const [answer] = this.#answer(query, true)
        if (answer === undefined) return
        const length = Buffer.alloc(2)
        length.writeUInt16BE(answer.length)
        // In pieces, as TCP may have it.
        socket.write(length.subarray(0, 1))
        setTimeout(() => socket.end(Buffer.concat([length.subarray(1), answer])), 2)
      })
    })
  }

  static async start(): Promise<DnsServer> {
    for (;;) {
      const udp = createSocket('udp4')
      await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve))
      const tcp = createServer()
      const isBound = await new Promise<boolean>((resolve) => {
        tcp.once('error', () => resolve(false))
        tcp.listen(udp.address().port, '127.0.0.1', () => resolve(true))
      })
      if (isBound) return new DnsServer(udp, tcp)
      udp.close()
    }
  }

  get port(): number {
    return this.#udp.address().port
  }

  /** @param question  `MX example.net` */
  say(question: string, said: Said): void {
    this.#said.set(question, said)
  }

  mx(domain: string, hosts: readonly [preference: number, exchange: string][], more: Said = {}): void {
    const answers = hosts.map(([preference, exchange]): Answer => ({
      type: 'MX',
      name: domain,
      ttl: TTL,
      data: { preference, exchange },
    }))
    this.say(`MX ${domain}`, { answers, ...more })
  }

  address(host: string, addresses: readonly string[], more: Said = {}): void {
    for (const type of ['A', 'AAAA'] as const) {
      const answers = addresses
        .filter((address) => address.includes(':') === (type === 'AAAA'))
        .map((data): Answer => ({ type, name: host, ttl: TTL, data }))
      this.say(`${type} ${host}`, { answers, ...more })
    }
  }

  txt(name: string, texts: readonly string[], more: Said = {}): void {
    this.say(`TXT ${name}`, {
      answers: texts.map((text): Answer => ({ type: 'TXT', name, ttl: TTL, data: text })),
      ...more,
    })
  }

  tlsa(name: string, records: readonly TlsaData[], more: Said = {}): void {
    this.say(`TLSA ${name}`, {
      answers: records.map((data): Answer => ({ type: 'TLSA', name, ttl: TTL, data })),
      ...more,
    })
  }

  #answer(query: DecodedPacket, isTcp: boolean): Buffer[] {
    const key = keyOf(query)
    if (!isTcp) this.asked.push(key)
    const said = this.#said.get(key) ?? this.#unknown(query)
    if (said.isSilent === true) return []
    if (said.raw !== undefined) return [said.raw(query)]
    return [...(isTcp ? [] : (said.before?.(query) ?? [])), answerTo(query, said, isTcp)]
  }

  /** Nothing of this type, or nothing at all. */
  #unknown({ questions = [] }: DecodedPacket): Said {
    const name = questions[0]?.name.toLowerCase() ?? ''
    const isKnown = [...this.#said.keys()].some((key) => key.endsWith(` ${name}`))
    return { rcode: isKnown ? 'NOERROR' : 'NXDOMAIN' }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#udp.close(() => resolve()))
    await new Promise((resolve) => this.#tcp.close(resolve))
  }
}

/** An answer as it goes on the wire; also for forging one. */
export function answerTo(query: DecodedPacket, said: Said, isTcp = false): Buffer {
  const { answers = [], rcode = 'NOERROR', isSecure = false, isTruncated = false } = said
  const cut = isTruncated && !isTcp
  const hasSoa = said.hasSoa ?? (answers.length === 0 && (rcode === 'NOERROR' || rcode === 'NXDOMAIN'))
  const soa: Answer = {
    type: 'SOA',
    name: 'example',
    ttl: TTL,
    data: { mname: 'ns.example', rname: 'hostmaster.example', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 60 },
  }
  return encode({
    type: 'response',
    id: query.id ?? 0,
    flags: RECURSION_AVAILABLE | (isSecure ? AUTHENTIC_DATA : 0) | (cut ? TRUNCATED_RESPONSE : 0) | RCODES[rcode],
    questions: query.questions ?? [],
    answers: cut ? [] : [...answers],
    authorities: hasSoa ? [soa] : [],
  })
}

function keyOf({ questions = [] }: DecodedPacket): string {
  const [question] = questions
  return `${question?.type} ${question?.name.toLowerCase()}`
}
