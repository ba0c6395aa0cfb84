// A control plane for tests of the relay: real HTTP, real signatures and sealed boxes, one project, and every way to get a push wrong. It keeps the
// contract's side of common/relay-contract.ts and nothing else.
import { createHash, createPublicKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { jwtVerify } from 'jose'
import {
  FRAME_HEAD_BYTES,
  FRAME_KINDS,
  KEY_ROTATION_PREFIX,
  RELAY_PATHS,
  SECRETS_FORMAT,
  sealContext,
  SETTINGS_FORMAT,
  SNAPSHOT_FORMAT,
} from '../../common/relay-contract.ts'
import type {
  EnrolRequest,
  FrameKind,
  Manifest,
  PartName,
  PushedSecrets,
  PushedSettings,
  RelayEvent,
  RelayReport,
  SnapshotKey,
} from '../../common/relay-contract.ts'
import { sealBox } from '../../common/sealed-box.ts'
import { compileTable } from '../../rewrite-rules/index.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'

export const PROJECT = 'p1'
export const INSTALLATION = 'https://installation.test'
const CHUNK_BYTES = 256 * 1024

export interface SigningPair {
  readonly id: string
  readonly privateKey: KeyObject
  readonly public: SnapshotKey
}

export function signingPair(id: string): SigningPair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const text = publicKey.export({ type: 'spki', format: 'der' }).toString('base64url')
  return { id, privateKey, public: { id, publicKey: text } }
}

export function frame(kind: FrameKind, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  head.writeUInt32BE(1 + payload.length)
  head.writeUInt8(FRAME_KINDS[kind], 4)
  return Buffer.concat([head, payload])
}

/** What the relay of a test has to be told. */
export interface Content {
  readonly table: MappingTable
  readonly settings: PushedSettings
  readonly secrets: PushedSecrets
  readonly state?: Manifest['state']
}

/** How a push departs from what is right. */
export interface Tampering {
  readonly manifest?: (manifest: Manifest) => Manifest
  /** The octets that are signed. */
  readonly manifestBytes?: (bytes: Buffer) => Buffer
  /** After signing. */
  readonly signedBytes?: (bytes: Buffer) => Buffer
  readonly signature?: (signature: Buffer) => Buffer
  /** Of a part as it travels, after it was hashed. */
  readonly part?: (name: PartName, bytes: Buffer) => Buffer
  readonly frames?: (frames: Buffer[]) => Buffer[]
  readonly signWith?: SigningPair
}

export interface Stream {
  readonly query: URLSearchParams
  readonly response: ServerResponse
}

export const MARKER = { token: 'markerToken0123456789', secret: 'a-marker-secret-of-more-than-thirty-two-octets' }

export function pushedSettings(more: Partial<PushedSettings> = {}): PushedSettings {
  return {
    format: SETTINGS_FORMAT,
    version: 1,
    tenants: [],
    proof: { need: 'token', crossTenantId: 'count' },
    policy: {},
    allow: [],
    dkim: [],
    privacy: 'hashed',
    ...more,
  }
}

export function pushedSecrets(more: Partial<PushedSecrets> = {}): PushedSecrets {
  return {
    format: SECRETS_FORMAT,
    proofTokens: [],
    dkim: [],
    clientCertificates: [],
    nonces: [],
    marker: MARKER,
    ...more,
  }
}

export class PushServer implements AsyncDisposable {
  readonly #server: Server
  readonly #streams = new Set<Stream>()
  port = 0
  code = 'code-one'
  /** The only key that enrolled; undefined: nobody has. */
  enrolled: { request: EnrolRequest; signing: KeyObject; sealing: KeyObject; relay: string } | undefined
  key = signingPair('snapshot-key-1')
  /** Status of what is asked; 200 unless a test says otherwise. */
  status: Partial<Record<keyof typeof RELAY_PATHS, number>> = {}
  readonly claims: Record<string, unknown>[] = []
  readonly reports: RelayReport[] = []
  readonly events: RelayEvent[] = []
  readonly queries: URLSearchParams[] = []
  /** Given at each new stream; by default the newest content, whole or nothing. */
  onStream: (stream: Stream) => void | Promise<void>
  version = 0
  content: Content | undefined
  heartbeatMs = 50
  /** Gives no answer to what is posted. */
  hangs = false
  hanging = 0
  /** Its clock, ms since the epoch. */
  now: () => number = Date.now
  #timer: NodeJS.Timeout | undefined
  readonly #seenTokens = new Set<string>()

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)))
    })
    this.onStream = (stream) => this.catchUp(stream)
  }

  static async start(port = 0): Promise<PushServer> {
    const server = new PushServer()
    await server.listen(port)
    return server
  }

  /** Again, after `stop`. */
  async listen(port = this.port): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    this.#timer = setInterval(() => this.send(frame('heartbeat')), this.heartbeatMs)
  }

  /** As if the network were cut. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get streams(): number {
    return this.#streams.size
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.url)
    const name = (Object.keys(RELAY_PATHS) as (keyof typeof RELAY_PATHS)[]).find(
      (key) => RELAY_PATHS[key] === url.pathname,
    )
    if (name === undefined) return void response.writeHead(404).end()
    if (this.hangs && name !== 'stream') return void this.hanging++
    const status = this.status[name] ?? 200
    if (status !== 200) return void response.writeHead(status).end()
    if (name === 'enrol') return this.#enrol(await bodyOf(request), response)
    if (!(await this.#isRelay(request))) return void response.writeHead(401).end()
    if (name === 'stream') return this.#open(url.searchParams, response)
    const body: unknown = JSON.parse(await bodyOf(request))
    if (name === 'report') this.reports.push(body as RelayReport)
    else this.events.push(...(body as { events: RelayEvent[] }).events)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  }

  #enrol(text: string, response: ServerResponse): void {
    const request = JSON.parse(text) as EnrolRequest
    const isSame = this.enrolled?.request.signingKey === request.signingKey
    if (request.code !== this.code || (this.enrolled !== undefined && !isSame))
      return void response.writeHead(409, { 'content-type': 'application/problem+json' }).end('{}')
    const key = (spki: string) => createPublicKey({ key: Buffer.from(spki, 'base64url'), format: 'der', type: 'spki' })
    this.enrolled = {
      request,
      signing: key(request.signingKey),
      sealing: key(request.sealingKey),
      relay: this.enrolled?.relay ?? `relay-${randomUUID()}`,
    }
    const answer = {
      relay: this.enrolled.relay,
      organization: 'o1',
      project: PROJECT,
      installation: INSTALLATION,
      snapshotKey: this.key.public,
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  }

  /** RC-1: signature, audience, subject, life, and each token once. */
  async #isRelay({ headers }: IncomingMessage): Promise<boolean> {
    const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1]
    if (this.enrolled === undefined || token === undefined) return false
    try {
      const { payload } = await jwtVerify(token, this.enrolled.signing, {
        algorithms: ['EdDSA'],
        audience: INSTALLATION,
        issuer: this.enrolled.relay,
        subject: this.enrolled.relay,
        maxTokenAge: 60,
        requiredClaims: ['jti', 'exp'],
        currentDate: new Date(this.now()),
      })
      this.claims.push({ ...payload })
      const { jti = '' } = payload
      const isNew = !this.#seenTokens.has(jti)
      this.#seenTokens.add(jti)
      return isNew
    } catch {
      return false // answered 401
    }
  }

  async #open(query: URLSearchParams, response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' })
    response.flushHeaders()
    const stream = { query, response }
    this.#streams.add(stream)
    this.queries.push(query)
    response.on('close', () => this.#streams.delete(stream))
    await this.onStream(stream)
  }

  /** Sends the whole of what there is, unless the relay has it. */
  async catchUp({ query, response }: Stream): Promise<void> {
    if (this.content === undefined) return
    if (query.get('version') === String(this.version) && query.get('whole') !== '1') return
    await write(response, this.whole())
  }

  send(...frames: Buffer[]): void {
    for (const { response } of this.#streams) for (const each of frames) response.write(each)
  }

  /** The next version, to all who listen. */
  push(content: Content, tampering: Tampering = {}): number {
    this.version++
    this.content = content
    this.send(...this.whole(tampering))
    return this.version
  }

  /** The frames of the whole of what there is. */
  whole(tampering: Tampering = {}): Buffer[] {
    if (this.content === undefined) throw new Error('there is nothing to push')
    const { table, settings, secrets } = this.content
    return this.frames(
      this.content,
      {
        table: Buffer.concat([...table.snapshotChunks()]),
        settings: Buffer.from(JSON.stringify(settings)),
        secrets: Buffer.from(JSON.stringify(secrets)),
      },
      {},
      tampering,
    )
  }

  /** A change of the table, as the next version. @param delta  without format, project, versions and digest */
  change(delta: Record<string, unknown>, more: Partial<Content> = {}, tampering: Tampering = {}): number {
    this.send(...this.changeFrames(delta, more, tampering))
    return this.version
  }

  changeFrames(delta: Record<string, unknown>, more: Partial<Content> = {}, tampering: Tampering = {}): Buffer[] {
    if (this.content === undefined) throw new Error('there is nothing to change')
    const before = this.content.table
    const head = {
      format: 'causeway-mapping-delta/1',
      project: PROJECT,
      fromVersion: before.version,
      toVersion: before.version + 1,
      ...delta,
    }
    const table = before.apply(head)
    const base = this.version
    const { settings, secrets } = more
    this.version++
    this.content = { ...this.content, ...more, table }
    return this.frames(
      this.content,
      {
        'table-delta': Buffer.from(JSON.stringify({ ...head, digest: table.digest })),
        ...(settings === undefined ? {} : { settings: Buffer.from(JSON.stringify(settings)) }),
        ...(secrets === undefined ? {} : { secrets: Buffer.from(JSON.stringify(secrets)) }),
      },
      { base },
      tampering,
    )
  }

  /** Other settings, secrets or state on the same table, as the next version. */
  settle(more: Partial<Content>, tampering: Tampering = {}): number {
    if (this.content === undefined) throw new Error('there is nothing to change')
    const { settings, secrets } = more
    const base = this.version
    this.version++
    this.content = { ...this.content, ...more }
    const parts = {
      ...(settings === undefined ? {} : { settings: Buffer.from(JSON.stringify(settings)) }),
      ...(secrets === undefined ? {} : { secrets: Buffer.from(JSON.stringify(secrets)) }),
    }
    this.send(...this.frames(this.content, parts, { base }, tampering))
    return this.version
  }

  frames(
    { table, settings, state = 'active' }: Content,
    plain: Partial<Record<PartName, Buffer>>,
    more: Partial<Manifest>,
    tampering: Tampering,
  ): Buffer[] {
    if (this.enrolled === undefined) throw new Error('nobody is enrolled')
    const { relay, sealing } = this.enrolled
    const about = { project: PROJECT, relay, version: more.version ?? this.version }
    const parts = (Object.entries(plain) as [PartName, Buffer][]).map(([name, bytes]) => ({
      name,
      bytes: name === 'secrets' ? sealBox(sealing, sealContext(about), bytes) : bytes,
    }))
    const key = tampering.signWith ?? this.key
    const made: Manifest = {
      format: SNAPSHOT_FORMAT,
      installation: INSTALLATION,
      ...about,
      createdAt: new Date().toISOString(),
      key: key.id,
      parts: parts.map(({ name, bytes }) => ({
        name,
        sizeBytes: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      })),
      table: { revision: table.version, digest: table.digest, entries: table.entryCount },
      settings: { version: settings.version },
      state,
      ...more,
    }
    const manifest = tampering.manifest?.(made) ?? made
    const written = Buffer.from(JSON.stringify(manifest))
    const bytes = tampering.manifestBytes?.(written) ?? written
    const signature = sign(null, bytes, key.privateKey)
    const frames = [
      ...parts.flatMap((part) => {
        const travels = tampering.part?.(part.name, part.bytes) ?? part.bytes
        const chunks: Buffer[] = []
        for (let at = 0; at < travels.length; at += CHUNK_BYTES) chunks.push(travels.subarray(at, at + CHUNK_BYTES))
        return [
          frame('part', Buffer.from(JSON.stringify({ name: part.name }))),
          ...chunks.map((chunk) => frame('chunk', chunk)),
        ]
      }),
      frame('manifest', tampering.signedBytes?.(bytes) ?? bytes),
      frame('signature', tampering.signature?.(signature) ?? signature),
    ]
    return tampering.frames?.(frames) ?? frames
  }

  /** A new key, signed by the one in force, or by another. It signs from now on. */
  rotate(by: SigningPair = this.key, next = signingPair(`snapshot-key-${randomUUID()}`)): void {
    const text = `${KEY_ROTATION_PREFIX}${next.public.id} ${next.public.publicKey}`
    const signature = sign(null, Buffer.from(text), by.privateKey).toString('base64url')
    const rotation = { by: this.key.id, next: next.public, signature }
    this.send(frame('key', Buffer.from(JSON.stringify(rotation))))
    this.key = next
  }
}

export function exampleContent(
  table: unknown,
  settings: Partial<PushedSettings>,
  secrets: Partial<PushedSecrets> = {},
): Content {
  return { table: compileTable(table), settings: pushedSettings(settings), secrets: pushedSecrets(secrets) }
}

async function write(response: ServerResponse, frames: readonly Buffer[]): Promise<void> {
  for (const each of frames) if (!response.write(each)) await once(response, 'drain')
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
