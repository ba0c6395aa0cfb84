// Asks resolvers, over UDP and where that is too small over TCP, and remembers what they said. Node's own resolver doesn't show whether an
// answer was validated (AD), which DANE depends on. Every wait is bounded. (RFC 1035, 5452, 7766)
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { BoundedCache } from './bounded-cache.ts'
import { dnsQuestion, readDnsAnswer } from './dns-message.ts'
import type { DnsAnswer, DnsType, Question, ReadAnswer } from './dns-message.ts'

export interface DnsServer {
  readonly address: string
  readonly port: number
}

export interface DnsClientDeps {
  /** Asked in this order; at least one. */
  readonly servers: readonly DnsServer[]
  readonly wantsDnssec: boolean
  /** In [0, 1); not to be guessed. */
  readonly random: () => number
  readonly monotonicMs: () => number
  /** How long one server is waited for. */
  readonly waitMs?: number
}

export interface Dns {
  /** Never throws. */
  query<T extends DnsType>(name: string, type: T): Promise<DnsAnswer<T>>
}

const WAIT_MS = 3_000
/** All servers are asked so often before nobody knows. */
const ROUNDS = 2
const MAX_SERVERS = 3
/** An answer of 0 s is for the connection at hand and those beside it. */
const LEAST_TTL_MS = 5_000
const MOST_TTL_MS = 3_600_000
/** RFC 2308 §5 lets a "no" hold for hours; whoever has just mended his zone waits for us no longer than this. */
const MOST_NEGATIVE_TTL_MS = 900_000
/** Octets of all answers that are kept, as they came. */
const MOST_CACHED_BYTES = 16 * 1024 * 1024
/** What an answer takes beside its octets. */
const ENTRY_BYTES = 500
const MAX_NAME = 253

export class DnsClient implements Dns {
  readonly #deps: DnsClientDeps
  readonly #cache: BoundedCache<DnsAnswer>
  /** Questions under way: whoever asks the same gets the same answer. */
  readonly #asked = new Map<string, Promise<DnsAnswer>>()

  constructor(deps: DnsClientDeps) {
    this.#deps = deps
    this.#cache = new BoundedCache(MOST_CACHED_BYTES, deps.monotonicMs)
  }

  async query<T extends DnsType>(name: string, type: T): Promise<DnsAnswer<T>> {
    // No such name can be: labels that others put before it made it too long.
    if (name.length > MAX_NAME) return { kind: 'none', nameExists: false, isSecure: false, ttlMs: 0 }
    // Aliases lead to whatever their owner likes. What can't be asked for isn't known, and is not taken for absent.
    if (!isAskable(name)) return { kind: 'failed', text: 'not a name that can be asked for' }
    const key = `${type} ${name}`
    const known = (this.#cache.get(key) ?? this.#asked.get(key)) as DnsAnswer<T> | Promise<DnsAnswer<T>> | undefined
    if (known !== undefined) return await known
    const asked = this.#ask({ name, type }, key)
    this.#asked.set(key, asked)
    try {
      return await asked
    } finally {
      this.#asked.delete(key)
    }
  }

  async #ask<T extends DnsType>(question: Question<T>, key: string): Promise<DnsAnswer<T>> {
    let last: DnsAnswer<T> = { kind: 'failed', text: 'no answer' }
    for (let round = 0; round < ROUNDS; round++) {
      for (const server of this.#deps.servers.slice(0, MAX_SERVERS)) {
        const { answer, bytes } = await this.#askServer(question, server)
        if (answer.kind !== 'failed') {
          const mostMs = answer.kind === 'none' ? MOST_NEGATIVE_TTL_MS : MOST_TTL_MS
          const holdsMs = Math.min(mostMs, Math.max(LEAST_TTL_MS, answer.ttlMs))
          this.#cache.set(key, answer, {
            weight: bytes + ENTRY_BYTES,
            untilMs: this.#deps.monotonicMs() + holdsMs,
          })
          return answer
        }
        last = answer
      }
    }
    return last
  }

  async #askServer<T extends DnsType>(
    question: Question<T>,
    server: DnsServer,
  ): Promise<{ answer: DnsAnswer<T>; bytes: number }> {
    const id = Math.floor(this.#deps.random() * 65_536)
    const asked = dnsQuestion(question, id, this.#deps.wantsDnssec)
    const waitMs = this.#deps.waitMs ?? WAIT_MS
    let bytes = 0
    const read = (answer: Buffer): ReadAnswer<T> => {
      bytes = answer.length
      return readDnsAnswer(answer, question, id)
    }
    const overUdp = await askOverUdp(asked, server, waitMs, read)
    if (overUdp.kind !== 'truncated') return { answer: overUdp, bytes }
    const overTcp = await askOverTcp(asked, server, waitMs, read)
    return { answer: overTcp, bytes }
  }
}

/** RFC 1035 §2.3.4, printable ASCII: what the writer of questions writes as it stands. */
function isAskable(name: string): boolean {
  return /^[!-~]+$/.test(name) && name.split('.').every((label) => label.length >= 1 && label.length <= 63)
}

type Read<T extends DnsType> = (answer: Buffer) => ReadAnswer<T>
type Failed = { readonly kind: 'failed'; readonly text: string }

/** From a port of its own for each question, so that an answer must be guessed with its port and id (RFC 5452 §9.2). */
function askOverUdp<T extends DnsType>(
  asked: Buffer,
  { address, port }: DnsServer,
  waitMs: number,
  read: Read<T>,
): Promise<DnsAnswer<T> | { readonly kind: 'truncated' }> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    let isOver = false
    const end = (answer: DnsAnswer<T> | { readonly kind: 'truncated' }): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(() => end(failed('no answer in time')), waitMs)
    socket.on('error', (error) => end(failed(codeOf(error))))
    socket.on('message', (bytes) => {
      const answer = read(bytes)
      // Somebody else's, or forged: the real one may follow.
      if (answer.kind !== 'foreign') end(answer)
    })
    // Connected: the system drops what comes from elsewhere, and tells when nobody listens.
    socket.connect(port, address, () => {
      if (!isOver) socket.send(asked, (error) => error && end(failed(codeOf(error))))
    })
  })
}

function askOverTcp<T extends DnsType>(
  asked: Buffer,
  { address, port }: DnsServer,
  waitMs: number,
  read: Read<T>,
): Promise<DnsAnswer<T>> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    const chunks: Buffer[] = []
    let have = 0
    const end = (answer: DnsAnswer<T>): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    const timer = setTimeout(() => end(failed('no answer in time')), waitMs)
    socket.on('error', (error) => end(failed(codeOf(error))))
    socket.on('close', () => end(failed('the resolver hung up')))
    socket.on('connect', () => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(asked.length)
      socket.write(Buffer.concat([length, asked]))
    })
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      have += chunk.length
      if (have < 2) return
      const all = Buffer.concat(chunks)
      const length = all.readUInt16BE(0)
      if (have < length + 2) return
      const answer = read(all.subarray(2, length + 2))
      end(answer.kind === 'foreign' || answer.kind === 'truncated' ? failed('not an answer') : answer)
    })
  })
}

function failed(text: string): Failed {
  return { kind: 'failed', text }
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name
}
