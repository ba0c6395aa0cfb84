// The way to the mail exchangers of a domain: which hosts, in which order, at which addresses, and what each must prove. What it connects to is the
// very address it has checked. (RFC 5321 §5.1, DL-7)
import type { SmtpReply } from '../message-record.ts'
import type { MayConnect } from './address-rules.ts'
import type { Peer, SmtpConnection } from './client.ts'
import { findTlsa } from './dane.ts'
import type { DaneFinding } from './dane.ts'
import type { Dns } from './dns-client.ts'
import type { StsFinding } from './mta-sts.ts'
import type { StsPolicy } from './mta-sts-policy.ts'
import type { ConnectFailure } from './outcome.ts'
import { findAddresses, findMailHosts } from './resolve.ts'
import type { HostAddresses, MailHost, MailHosts } from './resolve.ts'
import { hostPort } from './route.ts'
import type { MxHop } from './route.ts'
import type { TlsFailure } from './tls-failure.ts'
import type { TlsIdentity } from './tls-identity.ts'
import { planHost } from './tls-policy.ts'
import type { HostPlan } from './tls-policy.ts'

/** A connection that was greeted, or why there is none. */
export type Opened = { readonly connection: SmtpConnection } | { readonly failure: ConnectFailure }
/** Why a message can't go by this connection; undefined when it can. */
export type Suits = (connection: SmtpConnection) => SmtpReply | undefined

export interface MxDeps {
  readonly dns: Dns
  readonly mayConnect: MayConnect
  /** Our own name, and whether an address is one of ours: mail for us must not come back to us (RFC 5321 §5.1). */
  readonly ownName: string
  readonly isOwnAddress: (address: string) => boolean
  /** TLSA records are looked up. */
  readonly usesDane: boolean
  /** undefined: MTA-STS isn't used. */
  readonly sts: { policyOf(domain: string): Promise<StsFinding> } | undefined
  readonly reports: { readonly note: ReportTls; noteUnfetched(domain: string, failure: TlsFailure): void }
  /** File of the authorities that are believed; undefined: the public ones. */
  readonly trust: string | undefined
  /** In [0, 1) */
  readonly random: () => number
  /** ms since the epoch */
  readonly now: () => number
  readonly monotonicMs: () => number
}

/** What TLS with one host came to, for reports (DL-8). */
export type ReportTls = (result: {
  readonly domain: string
  readonly host: string
  /** undefined: it wasn't connected to. */
  readonly address: string | undefined
  readonly plan: HostPlan
  readonly sts: StsPolicy | undefined
  readonly dane: DaneFinding
  readonly opened: Opened | undefined
}) => void

export interface DialOptions {
  /** Connects and greets. */
  readonly greet: (peer: Peer) => Promise<Opened>
  readonly identity: TlsIdentity
  readonly suits: Suits
  readonly signal: AbortSignal
}

/** Connections tried for one attempt, whatever the domain's DNS names. */
const MAX_TRIED = 8
/** After it no further host is tried. */
const DIAL_MS = 5 * 60_000

export class MxDialer {
  readonly #deps: MxDeps

  constructor(deps: MxDeps) {
    this.#deps = deps
  }

  /** Tries the hosts in their order until one greets us as it must and suits. */
  async dial(hop: MxHop, options: DialOptions): Promise<Opened> {
    const { dns, random, monotonicMs, sts, reports } = this.#deps
    const found = await findMailHosts(hop.host, dns, random)
    if (found.kind === 'refused') return { failure: { refusal: found.reply } }
    if (found.kind === 'failed') return fault('unresolved', found.text)
    const { policy, failure: unfetched } = (await sts?.policyOf(hop.host)) ?? { policy: undefined }
    if (unfetched !== undefined) reports.noteUnfetched(hop.host, unfetched)
    const trial = new Trial(monotonicMs, monotonicMs() + DIAL_MS, options)
    for (const group of byPreference(found.hosts)) {
      const hosts = await Promise.all(group.map((host) => this.#resolve(host)))
      if (hosts.some((host) => this.#isUs(host))) {
        trial.failed({ failure: { refusal: LOOP } })
        break
      }
      for (const host of hosts) {
        const opened = await this.#tryHost(host, { hop, found, policy }, trial)
        if (opened !== undefined) return opened
        if (trial.isOver) return trial.outcome()
      }
    }
    return trial.outcome()
  }

  async #resolve({ name }: MailHost): Promise<ResolvedHost> {
    return { name, found: await findAddresses(name, this.#deps) }
  }

  #isUs({ name, found }: ResolvedHost): boolean {
    return name === this.#deps.ownName || (found.kind === 'addresses' && found.all.some(this.#deps.isOwnAddress))
  }

  /** @returns undefined when another host may be tried */
  async #tryHost(host: ResolvedHost, of: DomainFindings, trial: Trial): Promise<Opened | undefined> {
    const { name, found } = host
    if (found.kind === 'failed') return trial.failed(fault('unresolved', found.text))
    if (found.kind === 'none') return trial.failed({ failure: { refusal: absent(of, name) } })
    if (found.areForbidden)
      return trial.failed(fault('forbidden', `${name} has only addresses that are not public (mx.allowPrivate)`))
    const dane = await this.#daneOf(name, found, of)
    const plan = planHost({ host: name, domain: of.hop.host, dane, sts: of.policy, now: this.#deps.now })
    const report = (address: string | undefined, opened: Opened | undefined): void =>
      this.#deps.reports.note({ domain: of.hop.host, host: name, address, plan, sts: of.policy, dane, opened })
    if (plan.kind === 'skip') {
      report(undefined, undefined)
      return trial.failed({ failure: { fault: { kind: 'insecure', text: plan.text, tls: plan.failure } } })
    }
    for (const address of found.addresses) {
      const peer: Peer = {
        hostPort: hostPort(name, of.hop.port),
        host: address,
        port: of.hop.port,
        tls: plan.tls,
        identity: trial.options.identity,
      }
      const opened = await trial.open(peer, (each) => report(address, each))
      if (opened !== undefined || trial.isOver) return opened
    }
    return undefined
  }

  /** RFC 7672 §2.2.1, §2.2.2: only where MX and addresses were validated. */
  async #daneOf(name: string, found: HostAddresses & { kind: 'addresses' }, of: DomainFindings): Promise<DaneFinding> {
    const isAlias = found.canonicalName !== name
    if (!this.#deps.usesDane || !of.found.isSecure || (!found.isSecure && !isAlias)) return { kind: 'absent' }
    // An alias into a zone that nobody signed may still stand in one that is signed, with records of its own.
    const names = found.isSecure ? [found.canonicalName, name] : [name]
    return await findTlsa(names, of.hop.port, this.#deps.dns)
  }
}

interface ResolvedHost {
  readonly name: string
  readonly found: HostAddresses
}

interface DomainFindings {
  readonly hop: MxHop
  readonly found: MailHosts & { kind: 'hosts' }
  readonly policy: StsPolicy | undefined
}

/** What has come of the hosts tried so far. */
class Trial {
  readonly options: DialOptions
  readonly #monotonicMs: () => number
  readonly #untilMs: number
  #tried = 0
  #refusal: ConnectFailure | undefined
  #temporary: ConnectFailure | undefined

  constructor(monotonicMs: () => number, untilMs: number, options: DialOptions) {
    this.#monotonicMs = monotonicMs
    this.#untilMs = untilMs
    this.options = options
  }

  get isOver(): boolean {
    return this.#tried >= MAX_TRIED || this.options.signal.aborted || this.#monotonicMs() >= this.#untilMs
  }

  /** Always undefined: on to the next. */
  failed({ failure }: { failure: ConnectFailure }): undefined {
    if ('refusal' in failure) this.#refusal ??= failure
    else this.#temporary = failure
  }

  async open(peer: Peer, report: (opened: Opened) => void): Promise<Opened | undefined> {
    this.#tried++
    const opened = await this.options.greet(peer)
    report(opened)
    if ('connection' in opened) return this.#ifSuitable(opened)
    // RFC 7435: where nobody demands TLS, a host that can't do it properly gets the mail as it would without.
    const isInsecure = 'fault' in opened.failure && opened.failure.fault.kind === 'insecure'
    if (peer.tls.kind !== 'may' || !isInsecure || this.isOver) return this.failed(opened)
    this.#tried++
    const plain = await this.options.greet({ ...peer, tls: { kind: 'none' } })
    return 'connection' in plain ? this.#ifSuitable(plain) : this.failed(plain)
  }

  #ifSuitable(opened: { connection: SmtpConnection }): Opened | undefined {
    const reason = this.options.suits(opened.connection)
    if (reason === undefined) return opened
    void opened.connection.quit()
    return this.failed({ failure: { refusal: reason } })
  }

  /** Permanent only where every host said, or DNS said of it, something definite. */
  outcome(): Opened {
    const failure = this.#temporary ?? this.#refusal
    return failure === undefined ? fault('unresolved', 'no mail exchanger could be tried') : { failure }
  }
}

/** RFC 5321 §5.1: nothing more preferred than we is left. */
const LOOP: SmtpReply = {
  code: 550,
  status: '5.4.6',
  text: 'the mail exchanger of the domain is this relay: mail would loop',
}

function absent({ hop, found }: DomainFindings, name: string): SmtpReply {
  return found.isImplicit
    ? {
        code: 550,
        status: '5.1.2',
        text: `the domain ${hop.host} takes no mail: it has neither mail exchanger nor address`,
      }
    : { code: 550, status: '5.4.4', text: `the mail exchanger ${name} has no address` }
}

function byPreference(hosts: readonly MailHost[]): MailHost[][] {
  return [...Map.groupBy(hosts, ({ preference }) => preference).values()]
}

function fault(kind: 'unresolved' | 'forbidden', text: string): { failure: ConnectFailure } {
  return { failure: { fault: { kind, text } } }
}
