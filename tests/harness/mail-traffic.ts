// So many messages a second between the simulated people, each with a number of its own, and the judge of what arrives: every copy once, in its place,
// in one of the forms that it may have, and no report of non-delivery that should not be.
import { setTimeout as sleep } from 'node:timers/promises'
import { CAST, DISCLAIMERS } from '../../cli/tour/cast.ts'
import { headerValue } from '../../cli/tour/mail.ts'
import { differencesFrom, expectedOf } from '../../cli/tour/rewritten.ts'
import type { QueuedMail } from '../../sandbox/mail/mail-queue.ts'
import type { MailWorld } from '../../sandbox/mail/mail-world.ts'
import type { People } from '../../sandbox/people/people.ts'
import { TRAFFIC } from './traffic-kinds.ts'
import type { Form, TrafficKind } from './traffic-kinds.ts'

interface Arrival {
  readonly place: string
  readonly reversePath: string
  readonly content: Buffer
  readonly atMs: number
}

/** Of each copy that is in its place: when, and whether it was rewritten. */
interface Landed {
  readonly form: Form
  readonly atMs: number
}

interface Message {
  readonly kind: TrafficKind
  readonly sentMs: number
  /** Undefined: it is being sent, or all has arrived. */
  content: Buffer | undefined
  /** Before `content` is known. */
  early: Arrival[]
  readonly landed: (Landed | undefined)[]
  reports: number
}

export interface TrafficReport {
  readonly sent: number
  readonly copies: number
  readonly rewritten: number
  /** Of copies that may be either. */
  readonly untouched: number
  /** Of messages that a killed relay had in hand: it can't know whether the other side has them (DU-2). */
  readonly twiceInFlight: number
  readonly problems: readonly string[]
}

export interface TrafficOptions {
  readonly perSecond: number
  /** Default: all kinds, one after the other. */
  readonly kinds?: readonly TrafficKind[]
  /** How long the last of it is awaited, ms. */
  readonly patienceMs?: number
}

/** Traffics of one process, so that no late message of one counts in another. */
let traffics = 0
/** What was in flight when the relay was killed was handed over not longer ago than this. */
const IN_FLIGHT_MS = 2_000
const MAX_PROBLEMS = 50
const MAX_HOPS = 12
const ARRIVES_WITHIN_MS = 120_000

export class MailTraffic {
  readonly #name = `traffic${++traffics}`
  readonly #number = new RegExp(`\\b${this.#name}-(\\d+)\\b`)
  readonly #mail: MailWorld
  readonly #people: People
  readonly #options: TrafficOptions
  readonly #messages: Message[] = []
  /** `tenant guid` → address */
  readonly #places: ReadonlyMap<string, string>
  readonly #sending = new Set<Promise<void>>()
  readonly #problems: string[] = []
  readonly #kills: number[] = []
  readonly #stopListening: readonly (() => void)[]
  #missing = 0
  #counts = { copies: 0, rewritten: 0, untouched: 0, twiceInFlight: 0 }
  #isStopped = false
  #running: Promise<void> = Promise.resolve()

  constructor(mail: MailWorld, people: People, options: TrafficOptions) {
    this.#mail = mail
    this.#people = people
    this.#options = options
    this.#places = placesOf(mail, kindsOf(options))
    const stopInside = mail.onDelivered(({ tenantId, mailboxGuid, recipient, sender, content }) =>
      this.#arrived({
        place: this.#places.get(`${tenantId} ${mailboxGuid}`) ?? recipient,
        reversePath: sender,
        content,
        atMs: Date.now(),
      }),
    )
    const stopOutside = mail.outside.mails.onArrival(({ recipients, reversePath, content }) => {
      for (const place of recipients) this.#arrived({ place, reversePath, content, atMs: Date.now() })
    })
    this.#stopListening = [stopInside, stopOutside]
  }

  start(): void {
    this.#isStopped = false
    this.#running = this.#run()
  }

  /** What was in flight may come twice. */
  relayWasKilled(): void {
    this.#kills.push(Date.now())
  }

  /** So far. */
  get counts(): { readonly sent: number; readonly rewritten: number; readonly untouched: number } {
    return { sent: this.#messages.length, ...this.#counts }
  }

  /** Recipients outside of these domains to whom people of a tenant wrote. */
  externals(tenantId: string, domains: readonly string[]): number {
    return this.#messages
      .filter(({ kind: { from } }) => 'tenantId' in from && from.tenantId === tenantId)
      .flatMap(({ kind: { to, cc = [] } }) => [...to, ...cc])
      .filter((address) => !domains.includes(address.slice(address.lastIndexOf('@') + 1))).length
  }

  /** Waits for so many messages more. */
  async more(messages: number): Promise<void> {
    const wanted = this.#messages.length + messages
    while (this.#messages.length < wanted) await sleep(20)
  }

  /** Nothing more is sent, and all that was is awaited. */
  async finished(waitsAtRelays: () => Promise<number>): Promise<TrafficReport> {
    this.#isStopped = true
    await this.#running
    await Promise.all(this.#sending)
    const { patienceMs = ARRIVES_WITHIN_MS } = this.#options
    for (const end = performance.now() + patienceMs; performance.now() < end; await sleep(500)) {
      if (this.#missing === 0 && this.#queued().length === 0 && (await waitsAtRelays()) === 0) break
      this.#mail.retryQueued()
    }
    for (const stop of this.#stopListening) stop()
    this.#missed()
    for (const { message, reply, way } of this.#queued().slice(0, 5))
      this.#problem(`still waits for ${way.kind}: ${message.recipients.join(', ')}: ${reply}`)
    const atRelays = await waitsAtRelays()
    if (atRelays > 0) this.#problem(`relays hold ${atRelays} messages`)
    return { sent: this.#messages.length, ...this.#counts, problems: this.#problems }
  }

  /** Of ours: relays' probes are nobody's mail. */
  #queued(): readonly QueuedMail[] {
    return this.#mail
      .queued()
      .filter(({ message }) => this.#number.test(Buffer.from(message.content).toString('latin1')))
  }

  async #run(): Promise<void> {
    const kinds = kindsOf(this.#options)
    const from = performance.now()
    for (let count = 0; !this.#isStopped; count++) {
      const kind = kinds[this.#messages.length % kinds.length]
      if (kind === undefined) return
      const sending: Promise<void> = this.#send(kind).finally(() => this.#sending.delete(sending))
      this.#sending.add(sending)
      await sleep(Math.max(1, from + ((count + 1) * 1_000) / this.#options.perSecond - performance.now()))
    }
  }

  async #send(kind: TrafficKind): Promise<void> {
    const number = this.#messages.length
    const landed = kind.copies.map(() => undefined)
    const message: Message = { kind, sentMs: Date.now(), content: undefined, early: [], landed, reports: 0 }
    this.#messages.push(message)
    this.#missing += landed.length + (kind.reportTo === undefined ? 0 : 1)
    const { from, to, cc = [] } = kind
    try {
      const sent = await this.#people.send(from, {
        to,
        cc,
        subject: `${this.#name}-${number} ${kind.name}`,
        text: `Message ${this.#name}-${number}.\nGreetings.`,
      })
      message.content = sent.content
      const { early } = message
      message.early = []
      for (const arrival of early) this.#judge(number, message, arrival)
    } catch (error) {
      this.#problem(`${this.#name}-${number} (${kind.name}) could not be sent: ${String(error)}`)
    }
  }

  #arrived(arrival: Arrival): void {
    const [, digits = ''] = this.#number.exec(arrival.content.toString('latin1')) ?? []
    const message = this.#messages[Number(digits)]
    if (digits === '' || message === undefined) return
    const isReport =
      arrival.reversePath === '' && /multipart\/report/i.test(headerValue(arrival.content, 'Content-Type'))
    if (isReport) this.#reported(Number(digits), message, arrival)
    else if (message.content === undefined && message.landed.includes(undefined)) message.early.push(arrival)
    else this.#judge(Number(digits), message, arrival)
  }

  #reported(number: number, message: Message, { place, content }: Arrival): void {
    const { name, reportTo = [] } = message.kind
    message.reports++
    if (reportTo.includes(place) && message.reports === 1) {
      this.#missing--
      return
    }
    const why = /^Diagnostic-Code:[^\r]*/im.exec(content.toString('latin1'))?.[0] ?? ''
    this.#problem(`${this.#name}-${number} (${name}): report number ${message.reports} at ${place}: ${why}`)
  }

  #judge(number: number, message: Message, arrival: Arrival): void {
    const { kind, landed, content } = message
    const which = kind.copies.findIndex((forms) => forms.some(({ place }) => place === arrival.place))
    const what = `${this.#name}-${number} (${kind.name}) at ${arrival.place}`
    if (which < 0) return this.#problem(`${what}: nobody there was to have it`)
    const before = landed[which]
    if (before !== undefined) {
      if (this.#wasInFlight(message, before)) this.#counts.twiceInFlight++
      else this.#problem(`${what}: it is there twice, ${arrival.atMs - before.atMs} ms later`)
      return
    }
    const forms = kind.copies[which] ?? []
    const found = content === undefined ? undefined : formOf(content, forms, arrival)
    if (found === undefined)
      this.#problem(
        `${what}: ${content === undefined ? 'too late' : nearest(content, forms, arrival)}${this.#trace(number)}`,
      )
    landed[which] = { form: found ?? forms[0] ?? { place: '', rewritings: [], reversePath: '' }, atMs: arrival.atMs }
    this.#missing--
    this.#counts.copies++
    if (forms.some(({ rewritings }) => rewritings.length > 0) && found !== undefined)
      this.#counts[found.rewritings.length > 0 ? 'rewritten' : 'untouched']++
    if (!landed.includes(undefined)) message.content = undefined
  }

  #wasInFlight({ sentMs }: Message, { atMs }: Landed): boolean {
    return this.#kills.some((kill) => sentMs <= kill && atMs >= kill - IN_FLIGHT_MS)
  }

  #missed(): void {
    for (const [number, { kind, landed, reports }] of this.#messages.entries()) {
      for (const [which, forms] of kind.copies.entries())
        if (landed[which] === undefined)
          this.#problem(
            `${this.#name}-${number} (${kind.name}) never arrived at ${forms.map(({ place }) => place).join(' or ')}${this.#trace(number)}`,
          )
      if (kind.reportTo !== undefined && reports === 0)
        this.#problem(`${this.#name}-${number} (${kind.name}): nobody was told${this.#trace(number)}`)
    }
  }

  /** What the tenants did with it. */
  #trace(number: number): string {
    const { content } = this.#messages[number] ?? {}
    const id = content === undefined ? '' : headerValue(content, 'Message-ID')
    const hops = this.#mail
      .log()
      .filter(({ messageId }) => id !== '' && messageId === id)
      .slice(-MAX_HOPS)
    return hops
      .map(({ what, way, reply, recipients }) => `\n      ${what} ${way ?? ''} ${recipients.join(',')} ${reply ?? ''}`)
      .join('')
  }

  #problem(text: string): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(text)
  }
}

const kindsOf = ({ kinds = TRAFFIC }: TrafficOptions): readonly TrafficKind[] => kinds

function placesOf(mail: MailWorld, kinds: readonly TrafficKind[]): ReadonlyMap<string, string> {
  const places = new Map<string, string>()
  for (const address of kinds.flatMap(({ copies, reportTo = [] }) => [
    ...copies.flat().map(({ place }) => place),
    ...reportTo,
  ])) {
    const domain = address.slice(address.lastIndexOf('@') + 1)
    const tenant = CAST.find(({ acceptedDomains }) => (acceptedDomains as readonly string[]).includes(domain))
    if (tenant === undefined) continue
    const guid = mail.mailboxOf(tenant.tenantId, address)
    if (guid === undefined) throw new Error(`${address} is no mailbox of ${tenant.label}`)
    places.set(`${tenant.tenantId} ${guid}`, address)
  }
  return places
}

function formOf(content: Buffer, forms: readonly Form[], arrival: Arrival): Form | undefined {
  return forms.find(
    (form) =>
      form.place === arrival.place &&
      form.reversePath === arrival.reversePath &&
      differencesOf(content, form, arrival).length === 0,
  )
}

function differencesOf(content: Buffer, { rewritings, isReturned = false }: Form, arrival: Arrival): readonly string[] {
  const expected = rewritings.reduce((bytes, rewriting) => expectedOf(bytes, rewriting), content)
  return differencesFrom(expected, arrival.content, isReturned ? [...DISCLAIMERS, ...DISCLAIMERS] : DISCLAIMERS)
}

function nearest(content: Buffer, forms: readonly Form[], arrival: Arrival): string {
  const there = forms.filter(({ place }) => place === arrival.place)
  return there
    .map((form) => {
      const paths =
        form.reversePath === arrival.reversePath
          ? []
          : [`from <${arrival.reversePath}> in place of <${form.reversePath}>`]
      return [...paths, ...differencesOf(content, form, arrival)].join(', ')
    })
    .join('; or ')
}
