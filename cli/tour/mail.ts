// Mail as the tour sees it: what people of the simulated world send, and what has arrived where. (sandbox/README.md)
import { textOf } from './api-client.ts'
import type { Fields } from './api-client.ts'
import { CAST } from './cast.ts'
import type { SandboxClient } from './sandbox-client.ts'
import { until } from './wait.ts'

export interface Person {
  readonly mailbox: string
  readonly name: string
}

export interface SentMail {
  /** With its angle brackets. */
  readonly messageId: string
  /** As it was written, before anybody touched it. */
  readonly content: Buffer
  /** Of a meeting. */
  readonly uid: string
  /** When, ms since the epoch. */
  readonly atMs: number
}

export interface Verdict {
  readonly dkim: readonly { readonly result: string; readonly domain?: string; readonly isAligned: boolean }[]
  readonly dmarc: { readonly result: string; readonly fromDomain?: string; readonly policy?: string }
}

export interface Arrived {
  readonly number: number
  /** Empty: the null reverse-path. */
  readonly reversePath: string
  readonly content: Buffer
  /** When it was seen, ms since the epoch. */
  readonly seenMs: number
  /** Of the outside alone: what a stranger finds of it. */
  readonly verdict: Verdict | undefined
}

const ARRIVES_WITHIN_MS = 45_000
const LOOK_EVERY_MS = 100

export class Mail {
  readonly #sandbox: SandboxClient

  constructor(sandbox: SandboxClient) {
    this.#sandbox = sandbox
  }

  /** What the person does: `send`, `invite`, `respond` … */
  async does(who: Person, deed: string, fields: Fields): Promise<SentMail> {
    const place = tenantOf(who.mailbox)
    const answer = await (place === undefined
      ? this.#sandbox.do(`outside-${deed}`, { ...fields, person: `${who.name} <${who.mailbox}>` })
      : this.#sandbox.do(`person-${deed}`, { ...fields, tenant: place, person: who.mailbox }))
    return {
      messageId: textOf(answer, 'messageId'),
      content: Buffer.from(textOf(answer, 'content'), 'base64'),
      uid: textOf(answer, 'uid'),
      atMs: Date.now(),
    }
  }

  async automaticReply(who: Person, text: string | null): Promise<void> {
    await this.does(who, 'automatic-reply', { text })
  }

  /** The meeting in somebody's calendar. */
  async meeting(who: Person, uid: string): Promise<Fields | undefined> {
    const place = tenantOf(who.mailbox)
    const { meetings } = await (place === undefined
      ? this.#sandbox.do('outside-calendar', { person: who.mailbox })
      : this.#sandbox.do('person-calendar', { tenant: place, person: who.mailbox }))
    return (meetings as readonly Fields[]).find((each) => each['uid'] === uid)
  }

  /** All that is in the mailbox, the oldest first. @param since  number of the last that doesn't count */
  async arrivals(address: string, since = 0): Promise<readonly Arrived[]> {
    const tenant = tenantOf(address)
    const { messages } = await (tenant === undefined
      ? this.#sandbox.do('outside-messages', { since })
      : this.#sandbox.do('mailbox-messages', { tenant, address, since }))
    return (messages as readonly Fields[])
      .filter(({ recipients }) => tenant !== undefined || isAmong(address, recipients))
      .map((each) => ({
        number: Number(each['number']),
        reversePath: textOf(each, tenant === undefined ? 'reversePath' : 'sender'),
        content: Buffer.from(textOf(each, 'content'), 'base64'),
        seenMs: Date.now(),
        verdict: each['verdict'] as Verdict | undefined,
      }))
  }

  /** Number of the newest message there. */
  async newest(address: string): Promise<number> {
    return (await this.arrivals(address)).at(-1)?.number ?? 0
  }

  /** The copies of one message, once there is one. */
  async copies(address: string, messageId: string): Promise<readonly [Arrived, ...Arrived[]]> {
    return this.waitFor(`the message at ${address}`, address, (mail) => messageIdOf(mail.content) === messageId)
  }

  /** Those that are wanted, once there is one. */
  async waitFor(
    what: string,
    address: string,
    isWanted: (mail: Arrived) => boolean,
    since = 0,
  ): Promise<readonly [Arrived, ...Arrived[]]> {
    return until(
      what,
      async () => {
        const [first, ...more] = (await this.arrivals(address, since)).filter(isWanted)
        return first === undefined ? undefined : ([first, ...more] as const)
      },
      { withinMs: ARRIVES_WITHIN_MS, everyMs: LOOK_EVERY_MS },
    )
  }
}

/** Microsoft's id; undefined: it is outside. */
function tenantOf(address: string): string | undefined {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  return CAST.find(({ acceptedDomains }) => (acceptedDomains as readonly string[]).includes(domain))?.tenantId
}

function isAmong(address: string, recipients: unknown): boolean {
  return Array.isArray(recipients) && recipients.some((each) => String(each).toLowerCase() === address)
}

/** Of a message with CR LF; empty: it has none. */
export function messageIdOf(content: Uint8Array): string {
  return headerValue(content, 'Message-ID')
}

/** The first field of this name, unfolded; empty: none. */
export function headerValue(content: Uint8Array, name: string): string {
  const text = Buffer.from(content).toString('latin1')
  const header = text.slice(0, text.indexOf('\r\n\r\n') + 2)
  const found = new RegExp(`^${name}:((?:[^\\r\\n]|\\r\\n[ \\t])*)`, 'im').exec(header)?.[1] ?? ''
  return found.replaceAll('\r\n', '').trim()
}
