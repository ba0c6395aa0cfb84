// The connections to all next hops: how many there may be, and those kept open for the next message. One opened for a tenant is never used
// for another (R85). (reliability-security.md §4)
import { Counter, Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Limits } from '../limits.ts'
import { SmtpConnection } from './client.ts'
import type { ClientSettings, Peer } from './client.ts'
import { MxDialer } from './mx.ts'
import type { MxDeps, Opened, Suits } from './mx.ts'
import type { ConnectFailure } from './outcome.ts'
import type { MxHop, NextHop, SmartHostHop } from './route.ts'
import type { Security } from './start-tls.ts'
import { TlsIdentities } from './tls-identity.ts'
import type { OutboundCredentials } from './tls-identity.ts'
import { DEFAULT_TIMEOUTS } from './timeouts.ts'
import type { Timeouts } from './timeouts.ts'

export interface ConnectionsDeps {
  /** Our name in EHLO. */
  readonly name: string
  readonly limits: Pick<
    Limits,
    'nextHopConnections' | 'nextHopConnectionsPerHost' | 'nextHopReplyLineBytes' | 'nextHopReplyBytes'
  >
  /** Those in force; asked for at each use. */
  readonly credentials: () => OutboundCredentials
  /** undefined: no route leads to mail exchangers. */
  readonly mx?: MxDeps
  readonly timeouts?: Timeouts
  /** How long a connection is kept without work, and at all. */
  readonly idleMs?: number
  readonly lifeMs?: number
  readonly transactionsPerConnection?: number
  readonly monotonicMs: () => number
  readonly metrics: Metrics
}

/** Long enough for the next message of a conversation, short enough not to hold a place at the peer. */
const IDLE_MS = 10_000
/** A name behind which machines come and go is looked up again that often. */
const LIFE_MS = 300_000
/** Peers count too: ours answers the 1,001st message of a connection with 421 (reliability-security.md §4). */
const TRANSACTIONS_PER_CONNECTION = 1_000

/** A connection, and what the pool must know of it. */
interface Kept {
  /** Who has it now; undefined: nobody. */
  holder: Lease | undefined
  readonly connection: SmtpConnection
  readonly hop: NextHop
  /** The pool it belongs to. */
  readonly key: string
  readonly openedAt: number
  idleSince: number
  /** Messages it carried whose results are not on disk yet: no QUIT before (DU-4). */
  unrecorded: number
  isRetiring: boolean
}

export class Connections {
  readonly #deps: ConnectionsDeps
  readonly #client: ClientSettings
  readonly #identities: TlsIdentities
  readonly #mx: MxDialer | undefined
  readonly #idleMs: number
  readonly #lifeMs: number
  readonly #transactions: number
  /** Per next hop, the most recently used last. */
  readonly #idle = new Map<string, Kept[]>()
  /** In use, per next hop, those in use for longest first. */
  readonly #busy = new Map<string, Set<Kept>>()
  /** Places taken, by host: leases and connections that aren't closed. */
  readonly #perHost = new Map<string, number>()
  /** Every connection whose socket isn't closed. */
  readonly #open = new Set<SmtpConnection>()
  #taken = 0
  #idleCount = 0
  #retiring = 0
  #sweeper: NodeJS.Timeout | undefined
  #isClosed = false
  readonly #aborted = new AbortController()
  /** Of look-ups and connections to mail exchangers under way. */
  readonly #whenAborted = new Set<() => void>()
  #whenRoom: () => void = () => {}
  readonly #opened: Counter<'result'>
  readonly #tls: Counter<'result'>

  constructor(deps: ConnectionsDeps) {
    this.#deps = deps
    this.#idleMs = deps.idleMs ?? IDLE_MS
    this.#lifeMs = deps.lifeMs ?? LIFE_MS
    this.#transactions = deps.transactionsPerConnection ?? TRANSACTIONS_PER_CONNECTION
    this.#client = {
      name: deps.name,
      timeouts: deps.timeouts ?? DEFAULT_TIMEOUTS,
      replyLimits: { lineBytes: deps.limits.nextHopReplyLineBytes, replyBytes: deps.limits.nextHopReplyBytes },
      monotonicMs: deps.monotonicMs,
    }
    this.#identities = new TlsIdentities(deps.credentials, deps.mx?.trust)
    this.#mx = deps.mx && new MxDialer(deps.mx)
    const registers = [deps.metrics]
    this.#opened = new Counter({
      name: 'causeway_outbound_connections_opened_total',
      help: 'Connections to next hops, by whether the host greeted us',
      labelNames: ['result'],
      registers,
    })
    this.#tls = new Counter({
      name: 'causeway_outbound_tls_total',
      help: 'Connections to next hops by what TLS came to: cleartext, encrypted, the proof of the host, or why it failed',
      labelNames: ['result'],
      registers,
    })
    const measure = () => ({ busy: this.#taken - this.#idleCount, idle: this.#idleCount })
    const places = new Gauge({
      name: 'causeway_outbound_connections',
      help: 'Places of the connection limit that are taken',
      labelNames: ['state'],
      registers,
      collect() {
        for (const [state, count] of Object.entries(measure())) places.set({ state }, count)
      },
    })
  }

  /** Who to tell when a place becomes free that `lease` may have refused. One listener. */
  onRoom(run: () => void): void {
    this.#whenRoom = run
  }

  /**
   * A place for one attempt; undefined when the limits leave none, and then `onRoom` tells.
   *
   * The holder must call `release` and, once results are durable, `recorded`.
   */
  lease(hop: NextHop): Lease | undefined {
    if (this.#isClosed) return undefined
    const kept = this.#takeIdle(this.#keyOf(hop))
    if (kept === undefined && !this.#takePlace(hop)) return undefined
    return new Lease(this, hop, kept)
  }

  /**
   * A turn right behind the message that a connection carries now, where there is no place: its envelope goes out with that one's content,
   * which saves the wait for a reply (RFC 2920 §3.1). One connection, one follower.
   */
  follow(hop: NextHop): Lease | undefined {
    if (this.#isClosed) return undefined
    const now = this.#deps.monotonicMs()
    for (const kept of this.#busy.get(this.#keyOf(hop)) ?? []) {
      const { connection, holder } = kept
      const isWorn = connection.transactions + 1 >= this.#transactions || now - kept.openedAt >= this.#lifeMs
      if (holder === undefined || holder.hasNext || isWorn || !connection.isFollowable) continue
      return holder.follow(kept)
    }
    return undefined
  }

  /** @internal for Lease */
  held(kept: Kept, holder: Lease): void {
    kept.holder = holder
    const busy = this.#busy.get(kept.key)
    if (busy === undefined) this.#busy.set(kept.key, new Set([kept]))
    else busy.add(kept)
  }

  /** @internal for Lease */
  left(kept: Kept): void {
    kept.holder = undefined
    const busy = this.#busy.get(kept.key)
    busy?.delete(kept)
    if (busy?.size === 0) this.#busy.delete(kept.key)
  }

  /** R85: tenant, client certificate, host. With a certificate that a reload brought, it is another one. */
  #keyOf(hop: NextHop): string {
    return hop.kind === 'smart-host' && hop.tls === 'verify' ? this.#identities.of(hop).id : hop.key
  }

  #takeIdle(key: string): Kept | undefined {
    const kept = this.#idle.get(key)?.at(-1)
    if (kept !== undefined) this.#removeIdle(kept)
    return kept
  }

  /** @returns whether it was among the idle ones */
  #removeIdle(kept: Kept): boolean {
    const idle = this.#idle.get(kept.key)
    const index = idle?.lastIndexOf(kept) ?? -1
    if (idle === undefined || index === -1) return false
    idle.splice(index, 1)
    // Domains pass through by the thousand: none leaves anything behind.
    if (idle.length === 0) this.#idle.delete(kept.key)
    this.#idleCount--
    return true
  }

  #takePlace(hop: NextHop): boolean {
    const atHost = this.#perHost.get(hop.hostPort) ?? 0
    const { nextHopConnections, nextHopConnectionsPerHost } = this.#deps.limits
    if (atHost >= nextHopConnectionsPerHost) {
      // Another tenant's idle connection to this host can't be used, but its place can, once it is closed.
      this.#retireIdle((kept) => kept.hop.hostPort === hop.hostPort)
      return false
    }
    if (this.#taken >= nextHopConnections) {
      this.#retireIdle(() => true)
      return false
    }
    this.#perHost.set(hop.hostPort, atHost + 1)
    this.#taken++
    return true
  }

  #freePlace(hop: NextHop): void {
    const atHost = (this.#perHost.get(hop.hostPort) ?? 1) - 1
    if (atHost === 0) this.#perHost.delete(hop.hostPort)
    else this.#perHost.set(hop.hostPort, atHost)
    this.#taken--
    this.#whenRoom()
  }

  /** Closes the idle connection that was used longest ago among those that `matches`. */
  #retireIdle(matches: (kept: Kept) => boolean): void {
    if (this.#retiring > 0) return // one place is on its way
    let oldest: Kept | undefined
    for (const [first] of this.#idle.values()) {
      if (first !== undefined && matches(first) && (oldest === undefined || first.idleSince < oldest.idleSince))
        oldest = first
    }
    if (oldest !== undefined) this.#retire(oldest)
  }

  /** @internal for Lease */
  async open(hop: NextHop, suits: Suits): Promise<{ kept: Kept } | { failure: ConnectFailure }> {
    if (this.#isClosed) return { failure: STOPPING }
    const key = this.#keyOf(hop)
    const opened = hop.kind === 'mx' ? await this.#dial(hop, suits) : await this.#greet(this.#peerOf(hop))
    if ('failure' in opened) return opened
    const now = this.#deps.monotonicMs()
    const kept: Kept = {
      ...opened,
      holder: undefined,
      hop,
      key,
      openedAt: now,
      idleSince: now,
      unrecorded: 0,
      isRetiring: false,
    }
    opened.connection.onceGone(() => this.#forgetIdle(kept))
    return { kept }
  }

  async #dial(hop: MxHop, suits: Suits): Promise<Opened> {
    if (this.#mx === undefined) throw new Error('unreachable: no route leads to mail exchangers')
    const dialled = this.#mx.dial(hop, {
      greet: (peer) => this.#greet(peer),
      identity: this.#identities.of(hop),
      suits,
      signal: this.#aborted.signal,
    })
    // Look-ups under way don't keep the relay from stopping; a connection they would lead to isn't made any more.
    const aborted = Promise.withResolvers<Opened>()
    const abort = () => aborted.resolve({ failure: STOPPING })
    this.#whenAborted.add(abort)
    try {
      return await Promise.race([dialled, aborted.promise])
    } finally {
      this.#whenAborted.delete(abort)
    }
  }

  #peerOf(hop: SmartHostHop): Peer {
    const { host, port, hostPort, tls, tlsName } = hop
    if (tls === 'none') return { host, port, hostPort, tls: { kind: 'none' }, identity: undefined }
    const identity = this.#identities.of(hop)
    return { host, port, hostPort, tls: { kind: 'verify', name: tlsName, by: 'name' }, identity }
  }

  async #greet(peer: Peer): Promise<Opened> {
    if (this.#isClosed) return { failure: STOPPING }
    const connection = new SmtpConnection(peer, this.#client)
    this.#open.add(connection)
    connection.onceGone(() => this.#open.delete(connection))
    const failure = await connection.greet()
    this.#opened.inc({ result: failure === undefined ? 'greeted' : 'failed' })
    this.#countTls(connection, failure)
    if (failure === undefined) return { connection }
    connection.destroy()
    return { failure: 'reply' in failure ? { ...failure, remote: peer.hostPort } : failure }
  }

  #countTls({ security }: SmtpConnection, failure: ConnectFailure | undefined): void {
    if (failure === undefined) this.#tls.inc({ result: security === undefined ? 'cleartext' : resultOf(security) })
    else if ('fault' in failure && failure.fault.tls !== undefined) this.#tls.inc({ result: failure.fault.tls })
  }

  /** The host closed it while nobody used it. */
  #forgetIdle(kept: Kept): void {
    if (this.#removeIdle(kept)) this.#freePlace(kept.hop)
  }

  /** @internal for Lease */
  giveBack(hop: NextHop, kept: Kept | undefined): void {
    if (kept === undefined) return this.#freePlace(hop)
    const now = this.#deps.monotonicMs()
    const { connection } = kept
    if (!connection.isUsable) {
      connection.destroy()
      connection.onceGone(() => this.#freePlace(hop))
      return
    }
    kept.idleSince = now
    const idle = this.#idle.get(kept.key)
    if (idle === undefined) this.#idle.set(kept.key, [kept])
    else idle.push(kept)
    this.#idleCount++
    const isWorn = connection.transactions >= this.#transactions || now - kept.openedAt >= this.#lifeMs
    if (isWorn || this.#isClosed || kept.key !== this.#keyOf(hop)) this.#retire(kept)
    else this.#sweepLater()
    this.#whenRoom()
  }

  /** @internal for Lease */
  settled(kept: Kept): void {
    kept.unrecorded--
    if (kept.isRetiring && kept.unrecorded === 0) void kept.connection.quit()
  }

  /** Takes an idle connection out of use; its place is free once it is closed. */
  #retire(kept: Kept): void {
    if (!this.#removeIdle(kept)) return
    kept.isRetiring = true
    this.#retiring++
    kept.connection.onceGone(() => {
      this.#retiring--
      this.#freePlace(kept.hop)
    })
    if (kept.unrecorded === 0) void kept.connection.quit()
  }

  #sweepLater(): void {
    if (this.#sweeper !== undefined) return
    this.#sweeper = setTimeout(() => this.#sweep(), this.#idleMs / 2)
    this.#sweeper.unref()
  }

  #sweep(): void {
    this.#sweeper = undefined
    const before = this.#deps.monotonicMs() - this.#idleMs
    for (const idle of this.#idle.values()) {
      for (const kept of idle.filter(({ idleSince }) => idleSince <= before)) this.#retire(kept)
    }
    if (this.#idleCount > 0) this.#sweepLater()
  }

  /** Breaks off whatever is under way: attempts end as deferred. Nothing is leased afterwards. */
  abort(): void {
    this.#isClosed = true
    this.#aborted.abort()
    for (const run of this.#whenAborted) run()
    for (const connection of this.#open) connection.destroy()
  }

  /** Takes leave of idle connections; leased ones follow when they are given back. Resolves when all are closed. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#sweeper)
    for (const idle of this.#idle.values()) for (const kept of idle.slice()) this.#retire(kept)
    await Promise.all([...this.#open].map((connection) => new Promise<void>((resolve) => connection.onceGone(resolve))))
  }
}

const STOPPING: ConnectFailure = { fault: { kind: 'stopped', text: 'the relay is stopping' } }

function resultOf({ verifiedBy }: Security): string {
  return verifiedBy === 'nothing' ? 'encrypted' : verifiedBy
}

/** The right to one connection to one next hop, or to be the next on it. */
export class Lease {
  readonly hop: NextHop
  readonly #pool: Connections
  #kept: Kept | undefined
  #carried: Kept[] = []
  /** Who still has the connection whose next message this is. */
  #ahead: { readonly lease: Lease; readonly connection: SmtpConnection } | undefined
  readonly #ownPlace = Promise.withResolvers<void>()
  #next: Lease | undefined

  constructor(pool: Connections, hop: NextHop, kept: Kept | undefined) {
    this.#pool = pool
    this.hop = hop
    this.#kept = kept
    if (kept !== undefined) pool.held(kept, this)
  }

  /** Somebody stands behind: no other transaction may begin on the connection at hand. */
  get hasNext(): boolean {
    return this.#next !== undefined
  }

  /** Its end leaves the place free: it has one, and nobody behind to take it. */
  get freesPlace(): boolean {
    return this.#ahead === undefined && this.#next === undefined
  }

  /** The connection was somebody else's when this one's turn began: that it ended says nothing of this message. */
  get isBehind(): boolean {
    return this.#ahead !== undefined
  }

  /** @internal for the pool. @returns a lease that gets this one's place and connection after it */
  follow({ connection }: Kept): Lease {
    const next = new Lease(this.#pool, this.hop, undefined)
    next.#ahead = { lease: this, connection }
    this.#next = next
    return next
  }

  /** The kept connection, or a new one. @param suits  asked of each host of several that is newly connected to */
  async connection(suits: Suits = () => undefined): Promise<Opened> {
    if (this.#ahead !== undefined) {
      const { connection } = this.#ahead
      await connection.written()
      if (connection.isFollowable) return { connection }
      await this.#ownPlace.promise
    }
    if (this.#kept === undefined) {
      const opened = await this.#pool.open(this.hop, suits)
      if (!('kept' in opened)) return opened
      this.#kept = opened.kept
      this.#pool.held(opened.kept, this)
    }
    return { connection: this.#kept.connection }
  }

  /** Gives up the connection at hand for a new one. */
  async freshConnection(suits?: Suits): Promise<Opened> {
    const before = this.#ahead?.connection ?? this.#kept?.connection
    if (this.#ahead !== undefined) await this.#ownPlace.promise
    if (this.#kept?.connection === before) this.#giveUp()
    return await this.connection(suits)
  }

  #giveUp(): void {
    const kept = this.#kept
    this.#kept = undefined
    if (kept === undefined) return
    this.#pool.left(kept)
    kept.connection.destroy()
  }

  /** A message was handed over on the connection at hand: no QUIT before `recorded`. */
  hasCarried(): void {
    const kept = this.#kept
    if (kept === undefined) return // nobody's any more: it ends without QUIT
    kept.unrecorded++
    this.#carried.push(kept)
  }

  /** The connection may serve the next message. */
  release(): void {
    const kept = this.#kept
    this.#kept = undefined
    // Done before whoever is ahead: he has no successor any more.
    if (this.#ahead !== undefined) {
      this.#ahead.lease.#next = undefined
      return
    }
    if (kept !== undefined) this.#pool.left(kept)
    const next = this.#next
    this.#next = undefined
    if (next === undefined) this.#pool.giveBack(this.hop, kept)
    else next.#takeOver(kept)
  }

  /** The place is this one's now, and the connection, if it is still of use. */
  #takeOver(kept: Kept | undefined): void {
    this.#ahead = undefined
    if (kept?.connection.isAlive === true) {
      this.#kept = kept
      this.#pool.held(kept, this)
    } else kept?.connection.destroy()
    this.#ownPlace.resolve()
  }

  /** Everything that was carried is on disk as such. */
  recorded(): void {
    for (const kept of this.#carried.splice(0)) this.#pool.settled(kept)
  }

  /** It never will be: the connections end without QUIT. */
  lost(): void {
    for (const kept of this.#carried.splice(0)) kept.connection.destroy()
  }
}
