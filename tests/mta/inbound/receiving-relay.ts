// A relay's receiving side for tests: real listener, engine and spool in a folder of its own, with the clock and the table in the test's hands.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import type { ProjectSettings } from '../../../mta/active-snapshot.ts'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import type { Metrics } from '../../../common/metrics.ts'
import { ConnectionSlots } from '../../../mta/inbound/connection-slots.ts'
import { createInboundMetrics } from '../../../mta/inbound/inbound-metrics.ts'
import { ProbeRate } from '../../../mta/inbound/probe.ts'
import { ProofTokens } from '../../../mta/proof-tokens.ts'
import { LargeParts } from '../../../mta/inbound/large-parts.ts'
import { startListener } from '../../../mta/inbound/listener.ts'
import type { ListenerAddress, ListenerDeps } from '../../../mta/inbound/listener.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { Limits } from '../../../mta/limits.ts'
import type { MessageRecord } from '../../../mta/message-record.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import { DkimKeys } from '../../../mta/sign/dkim-keys.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import type { OpenSpool } from '../../../mta/spool/spool.ts'
import { compileTable, DEFAULT_POLICY } from '../../../rewrite-rules/index.ts'
import type { MappingTable } from '../../../rewrite-rules/index.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'

export const MARKER = {
  token: 'currentToken0123456789',
  secret: 'current secret of thirty-two octets',
  tokens: ['currentToken0123456789', 'previousToken012345678'],
  secrets: ['current secret of thirty-two octets', 'previous secret of thirty-two octets'],
}

/** A project without tenants, as the two-route configuration has it. */
export const PROJECT: ProjectSettings = {
  policy: DEFAULT_POLICY,
  tenants: undefined,
  proof: { need: 'token', crossTenantId: 'count' },
  tokens: new ProofTokens(),
  signing: { dkim: DkimKeys.none, seal: undefined },
  nonces: [],
  marker: MARKER,
  postmaster: undefined,
  allow: [],
  routes: {},
  tenantCertificates: new Map(),
  serverTrust: new Map(),
  tags: { address: (address) => `tag-${address.length}`, messageId: (id) => `tag-${id.length}` },
}

export interface ReceivingRelayOptions {
  /** Over a project without tenants. */
  readonly project?: Partial<ProjectSettings>
  readonly limits?: Partial<Limits>
  /** Puts something between the listener and what it works with. */
  readonly deps?: (deps: ListenerDeps) => Partial<ListenerDeps>
  readonly allow?: readonly string[]
  readonly listener?: Partial<ListenerAddress>
  readonly largePartScript?: URL
}

export interface Accepted {
  readonly record: MessageRecord
  /** Header block and body as they will be sent. */
  readonly header: string
  readonly body: string
}

export class ReceivingRelay implements AsyncDisposable {
  readonly port: number
  /** Of messages that were announced, in order. */
  readonly accepted: QueueId[]
  readonly log: readonly Record<string, unknown>[]
  readonly metrics: Metrics
  readonly deps: ListenerDeps
  readonly spool: OpenSpool
  table: MappingTable | undefined
  memoryUse = 0
  readonly #tasks: Set<() => void>
  readonly #clock: { ms: number }
  readonly #close: (graceMs?: number) => Promise<void>
  readonly #dispose: () => Promise<void>

  private constructor(parts: {
    port: number
    accepted: QueueId[]
    log: Record<string, unknown>[]
    metrics: Metrics
    deps: ListenerDeps
    spool: OpenSpool
    tasks: Set<() => void>
    clock: { ms: number }
    close: (graceMs?: number) => Promise<void>
    dispose: () => Promise<void>
  }) {
    this.port = parts.port
    this.accepted = parts.accepted
    this.log = parts.log
    this.metrics = parts.metrics
    this.deps = parts.deps
    this.spool = parts.spool
    this.#tasks = parts.tasks
    this.#clock = parts.clock
    this.#close = parts.close
    this.#dispose = parts.dispose
  }

  static async start(options: ReceivingRelayOptions = {}): Promise<ReceivingRelay> {
    const directory = await mkdtemp(join(tmpdir(), 'causeway-inbound-'))
    const limits: Limits = {
      ...DEFAULT_LIMITS,
      freeSpaceRatio: 0,
      freeSpaceMessages: 0,
      freeInodeRatio: 0,
      ...options.limits,
    }
    const lines: Record<string, unknown>[] = []
    const log = createLog({
      write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>),
      level: 'debug',
      now: Date.now,
    })
    const metrics = emptyMetrics()
    const inbound = createInboundMetrics(metrics)
    const spool = await openSpool({ directory, rootKey: randomBytes(32), project: 'p1', limits, now: Date.now, log })
    const largeParts = new LargeParts({
      limits,
      log,
      metrics: inbound,
      ...(options.largePartScript === undefined ? {} : { script: options.largePartScript }),
    })
    const accepted: QueueId[] = []
    const tasks = new Set<() => void>()
    const clock = { ms: 1_000_000 }
    // The table is asked of the relay, which is there only after the listener.
    const box: { relay: ReceivingRelay | undefined } = { relay: undefined }
    const project: ProjectSettings = { ...PROJECT, ...options.project }
    const plain: ListenerDeps = {
      name: 'relay.example',
      authservId: 'relay.example',
      direction: 'out',
      limits,
      credentials: { get: () => ({ certificates: [], clientTrust: [] }) },
      requireTls: true,
      hasTenants: false,
      spool,
      snapshot: {
        get: () => {
          const table = box.relay?.table
          if (table === undefined) return undefined
          return { ...project, table, snapshotVersion: undefined }
        },
        settings: () => project,
        isDraining: false,
      },
      verifierOf: () => undefined,
      hasMx: false,
      probeRate: new ProbeRate(),
      slots: new ConnectionSlots(limits),
      largeParts,
      log,
      metrics: inbound,
      now: Date.now,
      monotonic: () => clock.ms,
      every: (_ms, task) => {
        tasks.add(task)
        return () => void tasks.delete(task)
      },
      memoryUse: () => box.relay?.memoryUse ?? 0,
      accepted: (queueId) => void accepted.push(queueId),
    }
    const deps = { ...plain, ...options.deps?.(plain) }
    const listener = await startListener(
      {
        address: '127.0.0.1',
        port: 0,
        tls: 'none',
        allow: options.allow ?? ['127.0.0.0/8'],
        clientNames: [],
        staticPeers: [],
        ...options.listener,
      },
      deps,
    )
    const relay = new ReceivingRelay({
      port: listener.port,
      accepted,
      log: lines,
      metrics,
      deps,
      spool,
      tasks,
      clock,
      close: (graceMs) => listener.close(graceMs),
      dispose: async () => {
        await listener.close(0)
        await largeParts.close()
        await spool.close()
        await rm(directory, { recursive: true })
      },
    })
    box.relay = relay
    relay.table = compileTable(EXAMPLE_TABLE)
    return relay
  }

  /** Moves the clock and lets the listener look at it. */
  advance(ms: number): void {
    this.#clock.ms += ms
    this.sweep()
  }

  sweep(): void {
    for (const task of this.#tasks) task()
  }

  /** One message as it lies in the spool. */
  async message(queueId: QueueId | undefined): Promise<Accepted> {
    if (queueId === undefined) throw new Error('no such message')
    const stored = await this.spool.read(queueId)
    const pieces: Buffer[] = []
    for await (const piece of stored.body()) pieces.push(piece)
    await stored.close()
    return {
      record: stored.record,
      header: stored.header.toString('latin1'),
      body: Buffer.concat(pieces).toString('latin1'),
    }
  }

  async last(): Promise<Accepted> {
    return await this.message(this.accepted.at(-1))
  }

  async close(graceMs?: number): Promise<void> {
    await this.#close(graceMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Closing waits for the clock, to cut off what a test left open.
    const timer = setInterval(() => this.advance(1), 5)
    await this.#dispose()
    clearInterval(timer)
  }
}
