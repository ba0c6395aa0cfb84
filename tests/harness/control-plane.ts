// A control plane that runs as processes (start-control-plane.ts), as a test uses it: REST with the organisation's key, relays that it enrols, mail
// through them to the one next hop that plays both tenants.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NextHop } from './next-hop.ts'
import type { TestDatabase } from './postgres.ts'
import { startRelay } from './relay.ts'
import type { RunningRelay } from './relay.ts'
import type { ServerProcess } from './server-process.ts'
import { sendMail } from './smtp-client.ts'
import { eventually } from './wait.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: any // oxlint-disable-line typescript/no-explicit-any -- tests look into it
}

export interface AskOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** Which copy of the API. */
  readonly at?: number
}

type RelaySettings = Readonly<Record<string, unknown>>

export interface Secrets {
  readonly firstRunCode: string
  readonly sessionId: string
  readonly csrfToken: string
  readonly apiKey: string
  readonly enrolmentCodes: readonly string[]
}

export const CONTOSO = 'contoso.example'
export const FABRIKAM = 'fabrikam.example'
const RELAY_UP = { limits: { newConnectionsPerSecondAndAddress: 1_000 } }
/** Asked so often, one caller stays below his rate. */
const ASK_EVERY_MS = 150
const PATIENCE_MS = 30_000
const SHOWN = 2_000

export class ControlPlane {
  readonly apis: readonly ServerProcess[]
  readonly worker: ServerProcess
  readonly urls: readonly string[]
  /** Undefined when the test brought its own. */
  readonly database: TestDatabase | undefined
  readonly keyDirectory: string
  readonly hop: NextHop
  readonly relays: RunningRelay[] = []
  /** What nobody else may ever see. */
  secrets: Secrets = { firstRunCode: '', sessionId: '', csrfToken: '', apiKey: '', enrolmentCodes: [] }
  organisation = ''
  project = ''
  #messages = 0

  constructor(made: Pick<ControlPlane, 'apis' | 'worker' | 'urls' | 'database' | 'keyDirectory' | 'hop'>) {
    this.apis = made.apis
    this.worker = made.worker
    this.urls = made.urls
    this.database = made.database
    this.keyDirectory = made.keyDirectory
    this.hop = made.hop
  }

  get processes(): readonly ServerProcess[] {
    return [...this.apis, this.worker]
  }

  /** `/projects/{project}` */
  get path(): string {
    return `/projects/${this.project}`
  }

  /** One request with the organisation's key, and its answer whatever it is. `path` is below /api/v1, or from the root with `//`. */
  async ask(method: string, path: string, body?: unknown, { headers = {}, at = 0 }: AskOptions = {}): Promise<Answer> {
    const key = this.secrets.apiKey
    const response = await fetch((this.urls[at] ?? '') + (path.startsWith('//') ? path.slice(1) : `/api/v1${path}`), {
      method,
      headers: {
        ...(key === '' ? {} : { Authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }

  /** As `ask`. @throws when the answer is no success */
  async done(method: string, path: string, body?: unknown, options?: AskOptions): Promise<Answer> {
    const answer = await this.ask(method, path, body, options)
    const said = JSON.stringify(answer.body)
    assert.ok(answer.status < 300, `${method} ${path} was answered ${answer.status}: ${said}`)
    return answer
  }

  /** Asks again and again until the answer is as wanted. */
  async until(
    what: string,
    path: string,
    isWanted: (body: any) => boolean, // oxlint-disable-line typescript/no-explicit-any -- tests look into it
    { at = 0, timeoutMs = PATIENCE_MS }: { at?: number; timeoutMs?: number } = {},
  ): Promise<Answer['body']> {
    let last = 'no answer'
    for (const end = performance.now() + timeoutMs; performance.now() < end; await sleep(ASK_EVERY_MS)) {
      const answer = await this.ask('GET', path, undefined, { at }).catch((error: unknown) => {
        last = String(error)
      })
      if (answer === undefined) continue
      if (answer.status === 200 && isWanted(answer.body)) return answer.body
      last = `${answer.status} ${JSON.stringify(answer.body)}`
    }
    throw new Error(`waited ${timeoutMs} ms in vain for ${what}; the last answer was ${last.slice(0, SHOWN)}`)
  }

  /** The whole fleet, as the API shows it. */
  async fleet(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await this.done('GET', `${this.path}/relays`)).body.items
  }

  /** Waits until every relay has this revision. */
  reached(revision: number, options?: { at?: number; timeoutMs?: number }): Promise<unknown> {
    return this.until(
      `revision ${revision} at all relays`,
      `${this.path}/relays`,
      ({ items }: { items: { revision?: number; isApplied: boolean }[] }) =>
        items.length === this.relays.length &&
        items.every((relay) => (relay.revision ?? -1) >= revision && relay.isApplied),
      options,
    )
  }

  /** Waits for the end of an operation. @returns its result @throws when it is no success */
  async succeeded(operation: string, options?: { at?: number; timeoutMs?: number }): Promise<Answer['body']> {
    const ends = ['succeeded', 'failed', 'cancelled']
    const ended = await this.until(
      'the end of the operation',
      `/operations/${operation}`,
      ({ state }: { state: string }) => ends.includes(state),
      options,
    )
    assert.equal(ended.state, 'succeeded', JSON.stringify(ended))
    return ended.result
  }

  /** Enrols a relay by a new code, with nothing else in its configuration. */
  async relay({ at = 0, settings }: { at?: number; settings?: RelaySettings } = {}): Promise<RunningRelay> {
    const name = `relay-${this.relays.length + 1}.test`
    const code = String((await this.done('POST', `${this.path}/relay-enrolments`, { name }, { at })).body.code)
    this.secrets = { ...this.secrets, enrolmentCodes: [...this.secrets.enrolmentCodes, code] }
    const relay = await startRelay({
      directory: await mkdtemp(join(tmpdir(), 'causeway-e2e-')),
      nextHopPort: 9,
      settings: this.#relaySettings(at, { enrolmentCode: code }, { name, ...settings }),
    })
    this.relays.push(relay)
    return relay
  }

  /** Starts a relay that was stopped once more, on what it has; its control plane is the first copy. */
  async again(relay: RunningRelay): Promise<RunningRelay> {
    const place = this.relays.indexOf(relay)
    const started = await startRelay({
      directory: relay.directory,
      nextHopPort: 9,
      settings: this.#relaySettings(0, {}, { name: `relay-${place + 1}.test` }),
    })
    this.relays[place] = started
    return started
  }

  #relaySettings(at: number, more: object, settings: RelaySettings): RelaySettings {
    const controlPlane = { url: this.urls[at], ...more }
    return { table: undefined, routes: undefined, controlPlane, ...RELAY_UP, ...settings }
  }

  /** Sends one message of `from` and waits until it is at the next hop. @returns as whom it came there */
  async presented(relay: RunningRelay, from: string): Promise<string | undefined> {
    const id = `${++this.#messages}.${Date.now()}@e2e.example`
    const text = `From: <${from}>\r\nTo: <dana@example.net>\r\nMessage-ID: <${id}>\r\nSubject: x\r\n\r\nHello.\r\n`
    const reply = await sendMail(relay.outPort, { from, to: ['dana@example.net'], data: Buffer.from(text) })
    assert.match(reply, /^250 /)
    const taken = await eventually(`message ${id}`, () => this.hop.taken.find(({ content }) => content.includes(id)))
    return /^MAIL FROM:<([^>]*)>/.exec(taken.mail)?.[1]
  }

  /** Replaces the settings of the relays. */
  async settle(more: Readonly<Record<string, unknown>>): Promise<void> {
    const before = await this.done('GET', `${this.path}/relay-settings`)
    const smartHosts = ['source', 'target'].map((tenant) => {
      return { tenant, host: '127.0.0.1', port: this.hop.port, tls: 'none' }
    })
    const headers = { 'If-Match': before.headers.get('etag') ?? '' }
    await this.done('PUT', `${this.path}/relay-settings`, { smartHosts, ...more }, { headers })
  }

  /** Imports a table of these users. @returns its revision */
  async importUsers(entries: readonly object[], { timeoutMs = PATIENCE_MS } = {}): Promise<number> {
    const headers = { 'If-Match': '*' }
    const { status, body } = await this.done('POST', `${this.path}/mappings/import`, tableFile(entries), { headers })
    return Number(status === 202 ? (await this.succeeded(body.operation, { timeoutMs })).revision : body.revision)
  }

  async end(): Promise<void> {
    await Promise.all(this.processes.map((each) => each.stop('SIGKILL')))
    for (const relay of this.relays) {
      await relay.stop('SIGKILL')
      await relay.remove()
    }
    await this.hop.close()
    await rm(this.keyDirectory, { recursive: true, force: true })
  }
}

/** Someone of the source tenant, whom the world sees in the target's domain. */
export function user(name: string, presented = name): { known: string[]; presented: string; mailbox: string } {
  const mailbox = `${name}@${CONTOSO}`
  return { known: [mailbox, `${presented}@${FABRIKAM}`], presented: `${presented}@${FABRIKAM}`, mailbox }
}

export function tableFile(entries: readonly object[]): Buffer {
  const rules = { domainRules: [], wildcards: [], exceptions: [] }
  return Buffer.from(
    JSON.stringify({ format: 'causeway-mapping-table/1', project: 'p', version: 1, entries, ...rules }),
  )
}
