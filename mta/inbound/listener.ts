// One listener: takes connections, admits or refuses them, holds their sessions to the limits, and closes in good order. (DU-6)
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { ActiveSnapshot, CurrentSnapshot } from '../active-snapshot.ts'
import type { Credentials } from '../credentials.ts'
import { Admission } from './admission.ts'
import type { ListenerPeers, RelayPeers } from './admission.ts'
import type { ConnectionSlots, SlotRefusal } from './connection-slots.ts'
import { newQueueId } from '../queue-id.ts'
import { ProbeReception } from './probe.ts'
import type { NonceMail, ProbeRate } from './probe.ts'
import { KnownChains } from './known-chains.ts'
import { Reception } from './receive.ts'
import type { ReceiveDeps } from './receive.ts'
import type { Client } from './receiving.ts'
import { REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'
import { Session } from './session.ts'
import type { SessionDeps } from './session.ts'
import { RelayServer } from './smtp-quirks.ts'
import type { Wire } from './smtp-quirks.ts'
import type { Handshake } from './tls-handshake.ts'
import type { Transaction } from './transaction.ts'

export interface ListenerAddress extends ListenerPeers {
  /** 0: any free one. */
  readonly port: number
}

export interface ListenerDeps extends ReceiveDeps, RelayPeers {
  /** Asked at each handshake, and for each client that shows a certificate (PH-4). */
  readonly credentials: { get(): Pick<Credentials, 'certificates' | 'clientTrust'> }
  readonly spool: ReceiveDeps['spool'] & SessionDeps['spool']
  /** Asked at each message: undefined means 451, never unmapped. */
  readonly snapshot: Pick<CurrentSnapshot, 'get' | 'settings' | 'isDraining'>
  /** Told once an hour of each peer that is refused, for whoever audits (SP-9). */
  readonly refused?: (address: string, reason: string) => void
  readonly probeRate: ProbeRate
  /** Told of validation mail and of probes that relays made. */
  readonly nonceMail?: (mail: NonceMail) => void
  /** One for all listeners of a relay: the limits are the relay's. */
  readonly slots: ConnectionSlots
  /** ms of a clock that never goes back */
  readonly monotonic: () => number
  /** Runs `task` every `ms` until the returned function is called. */
  readonly every: (ms: number, task: () => void) => () => void
  /** Share of the process's memory limit in use, 0 to 1. */
  readonly memoryUse: () => number
  /** Another process takes the connections and hands them over: `take`. Then nothing is listened on here. */
  readonly isFed?: boolean
}

export interface Listener {
  readonly port: number
  /** Serves a connection that was taken elsewhere and has not been read from; calls `left` when it has ended. */
  take(socket: Socket, left: () => void): void
  /** Takes no more connections, lets messages under way finish, and cuts off after `graceMs` what hasn't. */
  close(graceMs?: number): Promise<void>
}

const SWEEP_MS = 1000
const GRACE_MS = 30_000
const AUDIT_MS = 3_600_000
/** What strangers can make us remember. */
const MAX_AUDITED = 10_000

/** Open connections that another process took: the server that would count its own doesn't know of them. */
class TakenSockets {
  readonly #open = new Set<Socket>()
  #whenNone: (() => void) | undefined

  get size(): number {
    return this.#open.size
  }

  add(socket: Socket, left: () => void): void {
    this.#open.add(socket)
    socket.once('close', () => {
      this.#open.delete(socket)
      left()
      if (this.#open.size === 0) this.#whenNone?.()
    })
  }

  allGone(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenNone = resolve
      if (this.#open.size === 0) resolve()
    })
  }
}

const SLOT_REPLIES: Record<SlotRefusal, Reply> = {
  total: REPLIES.tooManyConnections,
  'per-address': REPLIES.tooManyFromAddress,
  rate: REPLIES.tooFast,
}

/** Made anew when other ranges are pushed (SP-3). */
function currentAdmission(listener: ListenerAddress, deps: ListenerDeps): () => Admission {
  let pushed: readonly string[] | undefined
  let admission = new Admission(listener, deps)
  return () => {
    const allow = deps.snapshot.settings()?.allow
    if (allow !== undefined && allow !== pushed) {
      pushed = allow
      admission = new Admission({ ...listener, allow: [...listener.allow, ...allow] }, deps)
    }
    return admission
  }
}

/** @throws when the address can't be listened on */
export async function startListener(listener: ListenerAddress, deps: ListenerDeps): Promise<Listener> {
  const { limits, log, metrics, direction, slots } = deps
  const admission = currentAdmission(listener, deps)
  const { offersTls, asksForCertificate } = admission()
  const knownChains = new KnownChains()
  const sessions = new Set<Session>()
  /** Sessions whose client is gone while their message still becomes durable. */
  const unsettled = new Set<Promise<unknown>>()
  const audited = new Map<string, number>()
  let isMemoryHigh = false

  /** SP-9: each peer that is refused is named once an hour, whatever it does. */
  const audit = (address: string, reply: Reply): void => {
    if (audited.has(address) || audited.size >= MAX_AUDITED) return
    audited.set(address, deps.monotonic())
    log.warn('client.refused', { address, reason: reply.reason })
    deps.refused?.(address, reply.reason)
  }

  const replied = (address: string, reply: Reply): void => {
    if (reply.refusesPeer === true) audit(address, reply)
    if (reply.code >= 400) metrics.refusals.inc({ direction: direction ?? 'any', reason: reply.reason })
  }

  const handshaken = (address: string, session: string, handshake: Handshake): void => {
    if (handshake.kind === 'done') {
      const { protocol, isResumed } = handshake.tls
      metrics.handshakes.inc({ result: isResumed ? 'resumed' : 'full', protocol })
    } else {
      metrics.handshakes.inc({ result: handshake.reason, protocol: 'none' })
      log.info('tls.failed', { session, address, reason: handshake.reason })
    }
  }

  const probeDeps = {
    log,
    rate: deps.probeRate,
    monotonic: deps.monotonic,
    now: deps.now,
    taken: () => metrics.probes.inc(),
    noted: (mail: NonceMail) => deps.nonceMail?.(mail),
  }

  const sessionDeps: Omit<SessionDeps, 'closed' | 'replied' | 'handshaken'> = {
    name: deps.name,
    limits,
    spool: deps.spool,
    recipientRules: (peer, { postmaster, tenants, nonces, table, policy, hosts = [] }) => ({
      name: deps.name,
      hosts,
      postmaster,
      tenants,
      direction,
      nonces,
      isLocal: peer === 'local',
      now: deps.now(),
      map: table.withPolicy(policy),
    }),
    log,
    now: deps.now,
    monotonic: deps.monotonic,
    pin: () => deps.snapshot.get(),
    isDraining: () => deps.snapshot.isDraining,
    receive: (transaction: Transaction, client: Client, pinned: ActiveSnapshot) =>
      transaction.isProbe
        ? new ProbeReception(probeDeps, pinned, transaction, client, newQueueId(deps.now()))
        : new Reception(deps, pinned, transaction, client),
    isStressed: () => slots.isStressed,
    offersTls,
    hasCertificate: () => deps.credentials.get().certificates.length > 0,
    admit(address, tls) {
      const certificates = tls && knownChains.certificatesOf(tls)
      const trust = deps.credentials.get().clientTrust
      const verdict = admission().admit({ address, certificates, trust, now: deps.now() })
      if (verdict.kind === 'admitted' && certificates !== undefined) knownChains.remember(certificates)
      return verdict
    },
  }

  const admit = (address: string): Reply | undefined => {
    if (!admission().mayConnect(address)) return REPLIES.addressRefused
    if (deps.snapshot.isDraining) return REPLIES.draining
    const refusal = slots.take(address, deps.monotonic())
    if (refusal !== undefined) return SLOT_REPLIES[refusal]
    if (!isMemoryHigh) return undefined
    slots.release(address)
    return REPLIES.memoryHigh
  }

  const openSession = (wire: Wire): Session => {
    const address = wire.remoteAddress
    const refusal = admit(address)
    const session = new Session(
      {
        ...sessionDeps,
        replied: (reply) => replied(address, reply),
        handshaken: (handshake) => handshaken(address, wire.id, handshake),
        closed: () => {
          sessions.delete(session)
          if (refusal === undefined) {
            slots.release(address)
            metrics.open.dec()
          }
          const settled = session.settled
          unsettled.add(settled)
          void settled.finally(() => unsettled.delete(settled))
        },
      },
      wire,
      refusal,
    )
    sessions.add(session)
    if (refusal === undefined) metrics.open.inc()
    else audit(address, refusal)
    return session
  }

  const server = new RelayServer(
    {
      name: deps.name,
      logger: false,
      hideSTARTTLS: true,
      disableReverseLookup: true,
      maxCommandLength: limits.commandLineBytes,
      // A client may close its side behind its last command and still wait for the reply.
      allowHalfOpen: true,
    },
    offersTls
      ? {
          certificates: () => deps.credentials.get().certificates,
          asksForCertificate,
        }
      : undefined,
    openSession,
  )
  server.on('error', (error) => log.info('session.socket-error', { error }))
  // Clients that are refused get a reply, and a few seconds to read it. Beyond that, nothing.
  server.server.maxConnections = 2 * limits.connections
  const { server: socketServer } = server
  const taken = new TakenSockets()
  if (deps.isFed !== true) {
    socketServer.listen({ port: listener.port, host: listener.address, backlog: 511 })
    await once(socketServer, 'listening')
  }

  let cutOffAt = Number.POSITIVE_INFINITY
  const stopSweeping = deps.every(SWEEP_MS, () => {
    const now = deps.monotonic()
    isMemoryHigh = deps.memoryUse() > limits.memoryHighWaterRatio
    slots.sweep(now)
    for (const [address, at] of audited) if (now - at >= AUDIT_MS) audited.delete(address)
    for (const session of sessions) {
      if (now >= cutOffAt) session.cutOff()
      else session.checkTime()
    }
  })

  const bound = socketServer.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : listener.port,
    take(socket, left) {
      taken.add(socket, left)
      // A client may close its side behind its last command and still wait for the reply.
      socket.allowHalfOpen = true
      if (taken.size > socketServer.maxConnections) socket.destroy()
      else socketServer.emit('connection', socket)
    },
    async close(graceMs = GRACE_MS) {
      cutOffAt = Math.min(cutOffAt, deps.monotonic() + graceMs)
      const closed = Promise.all([new Promise((resolve) => socketServer.close(resolve)), taken.allGone()])
      for (const session of sessions) session.leave()
      await closed
      stopSweeping()
      // A session may hear of its end only after the server has.
      await Promise.all([...unsettled, ...[...sessions].map(({ settled }) => settled)])
    },
  }
}
