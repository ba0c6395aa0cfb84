// A relay's half of the contract (common/relay-contract.ts), small and strict: enrols, keeps a stream open, verifies everything that comes, holds it,
// reports and sends events. What it can't verify it throws at the test.
import assert from 'node:assert/strict'
import { createHash, createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { SignJWT } from 'jose'
import {
  FRAME_KINDS,
  KEY_ROTATION_PREFIX,
  MAX_PART_BYTES,
  RELAY_PATHS,
  sealContext,
  SNAPSHOT_FORMAT,
} from '../../common/relay-contract.ts'
import type {
  EnrolAnswer,
  FrameKind,
  KeyRotation,
  Manifest,
  PartName,
  PushedSecrets,
  PushedSettings,
  RelayEvent,
  RelayReport,
} from '../../common/relay-contract.ts'
import { openBox } from '../../common/sealed-box.ts'
import { TableReader } from '../../rewrite-rules/index.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'
import { eventually } from './wait.ts'

export interface RelayKeys {
  readonly signing: KeyObject
  readonly sealing: KeyObject
}

export interface Held {
  readonly manifest: Manifest
  readonly table: MappingTable
  readonly settings: PushedSettings
  readonly secrets: PushedSecrets
}

export interface ClientOptions {
  /** Default: reports what it has after each push. */
  readonly isMute?: boolean
  /** Why a push is refused; undefined: it is taken. */
  readonly judge?: (manifest: Manifest) => string | undefined
  /** Keeps all octets that come, for a search in them. */
  readonly keepsWire?: boolean
  /** Opens streams and reads nothing, as a relay does that hangs. */
  readonly hangs?: boolean
}

export const newRelayKeys = (): RelayKeys => ({
  signing: generateKeyPairSync('ed25519').privateKey,
  sealing: generateKeyPairSync('x25519').privateKey,
})

const publicText = (key: KeyObject): string =>
  createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64url')
const keyOf = (text: string): KeyObject =>
  createPublicKey({ key: Buffer.from(text, 'base64url'), format: 'der', type: 'spki' })

export interface HttpReply {
  readonly status: number
  readonly body: any // oxlint-disable-line typescript/no-explicit-any -- tests look into it
}

export async function postJson(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpReply> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: JSON.parse(await response.text()) }
}

export function postEnrolment(url: string, code: string, keys: RelayKeys, name = 'relay.example'): Promise<HttpReply> {
  return postJson(url + RELAY_PATHS.enrol, {
    code,
    name,
    softwareVersion: '1.0.0',
    signingKey: publicText(keys.signing),
    sealingKey: publicText(keys.sealing),
  })
}

export class RelayClient {
  readonly keys: RelayKeys
  readonly answer: EnrolAnswer
  snapshotKey: { id: string; publicKey: string }
  held: Held | undefined
  /** All that came and held, in order. */
  readonly manifests: Manifest[] = []
  readonly rotations: KeyRotation[] = []
  heartbeats = 0
  isRevoked = false
  /** Octets of frames since the beginning. */
  bytes = 0
  readonly wire: Buffer[] = []
  refused: RelayReport['refused']
  clockOffsetMs = 0
  readonly #url: string
  readonly #options: ClientOptions
  readonly #agent = new Agent({ keepAlive: true })
  readonly #startedAt = new Date().toISOString()
  #response: IncomingMessage | undefined
  #reading: Promise<void> | undefined
  #failure: unknown
  #listeners: (() => void)[] = []

  constructor(url: string, answer: EnrolAnswer, keys: RelayKeys, options: ClientOptions = {}) {
    this.#url = url
    this.answer = answer
    this.keys = keys
    this.snapshotKey = { ...answer.snapshotKey }
    this.#options = options
  }

  static async enrol(url: string, code: string, options: ClientOptions = {}, name?: string): Promise<RelayClient> {
    const keys = newRelayKeys()
    const { status, body } = await postEnrolment(url, code, keys, name)
    assert.equal(status, 200, JSON.stringify(body))
    return new RelayClient(url, body as EnrolAnswer, keys, options)
  }

  token(claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const { relay, installation } = this.answer
    const nowS = Math.floor((Date.now() + this.clockOffsetMs) / 1000)
    return new SignJWT({
      iss: relay,
      sub: relay,
      aud: installation,
      iat: nowS,
      exp: nowS + 60,
      jti: randomUUID(),
      ...claims,
    })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' })
      .sign(this.keys.signing)
  }

  /** Opens the stream and reads it in the background. @returns the status; 200: it is open */
  async open(query: Readonly<Record<string, string>> = this.query()): Promise<number> {
    const search = new URLSearchParams(query).toString()
    const sent = request(`${this.#url}${RELAY_PATHS.stream}?${search}`, {
      agent: this.#agent,
      headers: { authorization: `Bearer ${await this.token()}` },
    })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    if (response.statusCode !== 200) {
      response.resume()
      return response.statusCode ?? 0
    }
    this.#response = response
    if (this.#options.hangs !== true) this.#reading = this.#read(response)
    return 200
  }

  query(): Record<string, string> {
    if (this.held === undefined) return { key: this.snapshotKey.id }
    const { manifest, table, settings } = this.held
    return {
      version: String(manifest.version),
      revision: String(table.version),
      digest: table.digest,
      settings: String(settings.version),
      key: this.snapshotKey.id,
    }
  }

  async close(): Promise<void> {
    this.#response?.destroy()
    await this.#reading
    this.#response = undefined
  }

  destroy(): void {
    this.#response?.destroy()
    this.#agent.destroy()
  }

  get isOpen(): boolean {
    return this.#response !== undefined && !this.#response.destroyed && !this.#response.readableEnded
  }

  /** Waits for something to be so; what went wrong while reading is thrown. */
  until<T>(what: string, ask: () => T | undefined): Promise<T> {
    return eventually(what, () => {
      if (this.#failure !== undefined) throw this.#failure
      return ask()
    })
  }

  untilVersion(version: number): Promise<Held> {
    return this.until(`version ${version}`, () =>
      (this.held?.manifest.version ?? -1) >= version ? this.held : undefined,
    )
  }

  untilRevision(revision: number): Promise<Held> {
    return this.until(`revision ${revision}`, () =>
      (this.held?.table.version ?? -1) >= revision ? this.held : undefined,
    )
  }

  untilEnded(): Promise<true> {
    return this.until('the end of the stream', () => (this.isOpen ? undefined : true))
  }

  /** Calls `run` after each push that is taken. */
  onPush(run: () => void): void {
    this.#listeners.push(run)
  }

  report(more: Partial<RelayReport> = {}): Promise<HttpReply> {
    return this.post(RELAY_PATHS.report, {
      version: this.held?.manifest.version ?? 0,
      revision: this.held?.table.version ?? 0,
      digest: this.held?.table.digest ?? '',
      entries: this.held?.table.entryCount ?? 0,
      settings: this.held?.settings.version ?? 0,
      ...(this.refused === undefined ? {} : { refused: this.refused }),
      softwareVersion: '1.0.0',
      startedAt: this.#startedAt,
      isReady: true,
      reasons: [],
      state: this.held?.manifest.state ?? 'active',
      queue: { messages: 0, oldestAgeMs: 0, quarantined: 0, dead: 0 },
      droppedEvents: { metric: 0, message: 0, audit: 0 },
      ...more,
    } satisfies RelayReport)
  }

  events(events: readonly RelayEvent[]): Promise<HttpReply> {
    return this.post(RELAY_PATHS.events, { events })
  }

  async post(path: string, body: unknown, token?: string): Promise<HttpReply> {
    return postJson(this.#url + path, body, { Authorization: `Bearer ${token ?? (await this.token())}` })
  }

  async #read(response: IncomingMessage): Promise<void> {
    const push = new Push(this)
    let pending: Buffer = Buffer.alloc(0)
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        this.bytes += chunk.length
        if (this.#options.keepsWire === true) this.wire.push(chunk)
        pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
        while (pending.length >= 5 && pending.length >= 4 + pending.readUInt32BE(0)) {
          const end = 4 + pending.readUInt32BE(0)
          await this.#frame(pending.readUInt8(4), pending.subarray(5, end), push)
          pending = pending.subarray(end)
        }
      }
    } catch (error) {
      // A connection that is cut is what tests ask about; anything else is a fault of the push.
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'ECONNRESET' && code !== 'ERR_STREAM_PREMATURE_CLOSE') this.#failure = error
    }
  }

  async #frame(octet: number, payload: Buffer, push: Push): Promise<void> {
    const kind = (Object.keys(FRAME_KINDS) as FrameKind[]).find((name) => FRAME_KINDS[name] === octet)
    switch (kind) {
      case 'heartbeat':
        this.heartbeats++
        return
      case 'revoked':
        assert.ok(!push.isUnderWay, 'revoked within a push')
        this.isRevoked = true
        return
      case 'key':
        assert.ok(!push.isUnderWay, 'a key within a push')
        this.#rotate(JSON.parse(payload.toString()) as KeyRotation)
        return
      case 'part':
        push.part((JSON.parse(payload.toString()) as { name: PartName }).name)
        return
      case 'chunk':
        await push.chunk(payload)
        return
      case 'manifest':
        push.manifest(payload)
        return
      case 'signature':
        await this.#take(await push.take(payload, this.held))
        return
      default:
        assert.fail(`a frame of kind ${octet}`)
    }
  }

  /** Revoked in the meantime is an answer too: the stream tells it. */
  #reportUntilTaken(): Promise<true> {
    return eventually('an answer to the report', async () => {
      const { status } = await this.report()
      if (status === 503) return undefined
      assert.ok(status === 200 || status === 410, `a report was answered ${status}`)
      return true
    })
  }

  #rotate(rotation: KeyRotation): void {
    assert.equal(rotation.by, this.snapshotKey.id, 'a rotation by another key than the pinned one')
    const text = `${KEY_ROTATION_PREFIX}${rotation.next.id} ${rotation.next.publicKey}`
    assert.ok(
      verify(null, Buffer.from(text), keyOf(this.snapshotKey.publicKey), Buffer.from(rotation.signature, 'base64url')),
    )
    this.snapshotKey = { ...rotation.next }
    this.rotations.push(rotation)
  }

  async #take(next: Held): Promise<void> {
    const { isMute, judge } = this.#options
    const reason = judge?.(next.manifest)
    if (reason === undefined) {
      this.held = next
      this.refused = undefined
      this.manifests.push(next.manifest)
    } else this.refused = { version: next.manifest.version, reason }
    if (isMute !== true) await this.#reportUntilTaken()
    if (reason === undefined) for (const run of this.#listeners) run()
  }
}

/** One push as it comes. */
class Push {
  readonly #client: RelayClient
  #parts: { name: PartName; hash: ReturnType<typeof createHash>; size: number; chunks: Buffer[] }[] = []
  #reader: TableReader | undefined
  #manifest: Buffer | undefined
  #sinceYield = 0

  constructor(client: RelayClient) {
    this.#client = client
  }

  get isUnderWay(): boolean {
    return this.#parts.length > 0 || this.#manifest !== undefined
  }

  part(name: PartName): void {
    assert.ok(!this.#parts.some((part) => part.name === name), `a second part ${name}`)
    this.#parts.push({ name, hash: createHash('sha256'), size: 0, chunks: [] })
    if (name === 'table') this.#reader = new TableReader()
  }

  async chunk(bytes: Buffer): Promise<void> {
    const part = this.#parts.at(-1)
    assert.ok(part !== undefined && this.#manifest === undefined, 'a chunk of no part')
    part.hash.update(bytes)
    part.size += bytes.length
    assert.ok(part.size <= MAX_PART_BYTES[part.name])
    if (part.name === 'table') {
      this.#reader?.write(bytes)
      this.#sinceYield += bytes.length
      if (this.#sinceYield > 512 * 1024) {
        this.#sinceYield = 0
        await setImmediate()
      }
    } else part.chunks.push(Buffer.from(bytes))
  }

  manifest(bytes: Buffer): void {
    this.#manifest = Buffer.from(bytes)
  }

  async take(signature: Buffer, held: Held | undefined): Promise<Held> {
    const parts = this.#parts
    const bytes = this.#manifest
    assert.ok(bytes !== undefined)
    const { answer, snapshotKey, keys } = this.#client
    assert.ok(verify(null, bytes, keyOf(snapshotKey.publicKey), signature), 'the signature holds')
    const manifest = JSON.parse(bytes.toString()) as Manifest
    assert.equal(manifest.format, SNAPSHOT_FORMAT)
    assert.equal(manifest.key, snapshotKey.id)
    assert.equal(manifest.installation, answer.installation)
    assert.equal(manifest.project, answer.project)
    assert.equal(manifest.relay, answer.relay)
    assert.ok(manifest.version > (held?.manifest.version ?? -1), 'the version grows')
    assert.deepEqual(
      manifest.parts,
      parts.map(({ name, size, hash }) => ({ name, sizeBytes: size, sha256: hash.digest('hex') })),
    )
    const bytesOf = (name: PartName): Buffer | undefined => {
      const part = parts.find((each) => each.name === name)
      return part && Buffer.concat(part.chunks)
    }
    if (manifest.base === undefined)
      assert.deepEqual(
        parts.map(({ name }) => name),
        ['table', 'settings', 'secrets'],
        'it is whole',
      )
    else assert.equal(manifest.base, held?.manifest.version, 'it builds on what is there')
    const delta = bytesOf('table-delta')
    const table =
      this.#reader !== undefined
        ? await endOf(this.#reader)
        : delta !== undefined
          ? held?.table.apply(JSON.parse(delta.toString()))
          : held?.table
    const settings = bytesOf('settings')
    const sealed = bytesOf('secrets')
    const opened = sealed && openBox(keys.sealing, sealContext(manifest), sealed)
    assert.equal(sealed === undefined, opened === undefined, 'the secrets open')
    const next = {
      manifest,
      table,
      settings: settings === undefined ? held?.settings : (JSON.parse(settings.toString()) as PushedSettings),
      secrets: opened === undefined ? held?.secrets : (JSON.parse(opened.toString()) as PushedSecrets),
    }
    assert.ok(next.table !== undefined && next.settings !== undefined && next.secrets !== undefined)
    assert.deepEqual(manifest.table, {
      revision: next.table.version,
      digest: next.table.digest,
      entries: next.table.entryCount,
    })
    assert.equal(next.table.project, answer.project)
    assert.equal(next.settings.version, manifest.settings.version)
    this.#parts = []
    this.#manifest = undefined
    this.#reader = undefined
    return next as Held
  }
}

async function endOf(reader: TableReader): Promise<MappingTable> {
  for (;;) {
    const table = reader.step()
    if (table !== undefined) return table
    await setImmediate()
  }
}
