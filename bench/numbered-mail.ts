// Messages of one person to one outsider, each with a number, from the moment that she sends it to its arrival: natively, or through the relay and the
// other tenant. Every one is accounted for: it arrives once, under the right address, and passes DMARC.
import { ALICE, CAST, OLGA } from '../cli/tour/cast.ts'
import { headerValue } from '../cli/tour/mail.ts'
import type { ArrivedMail } from '../sandbox/internet/arrived-mail.ts'
import type { MailWorld } from '../sandbox/mail/mail-world.ts'
import type { SimulatedTenant } from '../sandbox/tenants/tenant.ts'

/** The rules of coexistence off, and on. */
export type Way = 'native' | 'chain'

export interface Arrived {
  readonly ms: number
  /** ms since the epoch */
  readonly sentAt: number
  readonly arrivedAt: number
}

interface UnderWay {
  readonly way: Way
  readonly startedMs: number
  readonly sentAt: number
  readonly arrived: PromiseWithResolvers<Arrived>
  readonly timer: NodeJS.Timeout
}

const [{ tenantId: CONTOSO }] = CAST
const NUMBER = /^bench-(\d+)$/
const PATIENCE_MS = 60_000
const LINE = `${'What is written here is read by nobody, and as long as mail is.'.padEnd(74, ' .')}\r\n`
/** With that a message has 4 KiB. */
const TEXT = LINE.repeat(48)

export class NumberedMail {
  readonly #mail: MailWorld
  readonly #underWay = new Map<number, UnderWay>()
  readonly #counts: Record<Way, number> = { native: 0, chain: 0 }
  readonly #faults: string[] = []
  readonly #stop: () => void
  #count = 0

  constructor(mail: MailWorld) {
    this.#mail = mail
    this.#stop = mail.outside.mails.onArrival((arrived) => this.#take(arrived))
  }

  /** Those that have arrived as they should. */
  get counts(): Readonly<Record<Way, number>> {
    return this.#counts
  }

  /** @throws when anything arrived otherwise */
  close(): void {
    this.#stop()
    if (this.#faults.length > 0)
      throw new Error(`${this.#faults.length} faults: ${this.#faults.slice(0, 5).join('; ')}`)
  }

  /** Resolves when the outsider has it. @param way  which it is going to take, as the rules are */
  async send(way: Way): Promise<Arrived> {
    const number = ++this.#count
    const arrived = Promise.withResolvers<Arrived>()
    const timer = setTimeout(() => arrived.reject(new Error(`message ${number} (${way}) is lost`)), PATIENCE_MS)
    this.#underWay.set(number, { way, startedMs: performance.now(), sentAt: Date.now(), arrived, timer })
    await this.#mail.submit(CONTOSO, {
      sender: ALICE.mailbox,
      recipients: [OLGA.mailbox],
      content: letter(number),
    })
    return arrived.promise
  }

  #take({ content, reversePath, verdict }: ArrivedMail): void {
    const [, digits] = NUMBER.exec(headerValue(content, 'Subject')) ?? []
    if (digits === undefined) return
    const found = this.#underWay.get(Number(digits))
    if (found === undefined) {
      this.#faults.push(`message ${digits} is there twice`)
      return
    }
    const { way, startedMs, sentAt, arrived, timer } = found
    arrived.resolve({ ms: performance.now() - startedMs, sentAt, arrivedAt: Date.now() })
    clearTimeout(timer)
    this.#underWay.delete(Number(digits))
    const address = way === 'native' ? ALICE.mailbox : ALICE.presented
    const isAsItShould =
      reversePath === address &&
      headerValue(content, 'From').includes(`<${address}>`) &&
      verdict.dmarc.result === 'pass'
    if (isAsItShould) this.#counts[way]++
    else this.#faults.push(`message ${digits} (${way}) came from <${reversePath}>, DMARC ${verdict.dmarc.result}`)
  }
}

function letter(number: number): Buffer {
  const fields = [
    `From: ${ALICE.name} <${ALICE.mailbox}>`,
    `To: ${OLGA.name} <${OLGA.mailbox}>`,
    `Subject: bench-${number}`,
    `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <bench-${number}@contoso.com>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=us-ascii',
  ]
  return Buffer.from([...fields, '', TEXT].join('\r\n'))
}

/** Our rules that were on, in both tenants: off and on again as at an emergency stop, at once and past the product. */
export class OwnRules {
  readonly #rules: readonly { readonly tenant: SimulatedTenant; readonly guid: string }[]

  constructor(tenants: Iterable<SimulatedTenant>) {
    this.#rules = [...tenants].flatMap((tenant) =>
      tenant
        .exchangeObjects('TransportRule')
        .filter(
          ({ properties }) => String(properties['Name']).startsWith('Causeway-') && properties['State'] === 'Enabled',
        )
        .map(({ guid }) => ({ tenant, guid })),
    )
    if (this.#rules.length === 0) throw new Error('there are no rules of ours')
  }

  letTake(way: Way): void {
    const State = way === 'native' ? 'Disabled' : 'Enabled'
    for (const { tenant, guid } of this.#rules) {
      const rule = tenant.exchangeObject(guid)
      if (rule === undefined) throw new Error('a rule is gone')
      if (rule.properties['State'] !== State)
        tenant.putExchangeObject({ ...rule, properties: { ...rule.properties, State } })
    }
  }
}
