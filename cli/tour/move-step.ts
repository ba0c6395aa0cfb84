// One person moves while mail flows: her mailbox is in the other tenant from one moment to the next, the mapping table follows, and no message is
// lost, doubled or sent back. (coexistence.md §1.4)
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fields } from './api-client.ts'
import { ADELE, CAROL, CAST, OLGA, HUGO } from './cast.ts'
import { pairOf } from './coexistence-steps.ts'
import { headerValue } from './mail.ts'
import type { Mail, Person, SentMail } from './mail.ts'
import { demandArrivals } from './mail-checks.ts'
import { UNCHANGED } from './rewritten.ts'
import type { TourStep } from './step.ts'
import type { TourContext } from './tour-context.ts'
import { until } from './wait.ts'

const EVERY_MS = 250
const SETTLED_WITHIN_MS = 60_000
/** After the table has followed, so that mail of every state is on the way. */
const LATER_MS = 2_000
const [SOURCE, TARGET] = CAST

const PLACES = [
  { mailbox: CAROL.mailbox, name: CAROL.name },
  { mailbox: CAROL.presented, name: CAROL.name },
] as const
/** Writers, and under which address they know her. */
const WRITERS: readonly { readonly who: Person; readonly to: string }[] = [
  { who: OLGA, to: CAROL.presented },
  { who: ADELE, to: CAROL.mailbox },
  { who: HUGO, to: CAROL.presented },
]

export const moveStep: TourStep<TourContext> = {
  name: 'move',
  title: 'one person moves while mail flows',
  async run(context, step) {
    const { api, sandbox, project, mail, sent } = context
    const pair = await pairOf(api, project)
    step.demand(`${CAROL.name} is matched`, pair !== undefined)
    const stream = new MailStream(mail)
    const flow = stream.run()
    // Watched from the start: whoever can not write any more fails the step, and does not end the process.
    const flowing = () => Promise.race([sleep(LATER_MS), flow])
    try {
      await flowing()
      step.progress('her mailbox moves')
      await sandbox.do('move-person', {
        tenant: SOURCE.tenantId,
        person: CAROL.mailbox,
        toTenant: TARGET.tenantId,
        toPerson: CAROL.presented,
      })
      await flowing()
      step.progress('the table follows')
      await api.patch(`${project}/pairs/${String(pair?.['id'])}`, () => ({ holds: 'target' }))
      await untilFollowed(context)
      await untilTold(context)
      await flowing()
    } finally {
      stream.stop()
      await flow
    }
    step.progress(`${stream.sent.length} messages are on their way`)
    const where = await untilAllArrived(mail, stream.sent)
    const twice = [...where]
      .filter(([, places]) => places.length !== 1)
      .map(([id, places]) => `${id}: ${places.join(', ')}`)
    step.demandEqual('messages to her that are not in one place once', twice, [])
    const before = [...where.values()].filter(([place]) => place === CAROL.mailbox).length
    step.demand(
      'some came before she moved, some after',
      before > 0 && before < where.size,
      `${before} of ${where.size}`,
    )
    for (const { messageId } of stream.sent) sent.push({ messageId, copies: where.get(messageId) ?? [] })
    const moved: Person = { mailbox: CAROL.presented, name: CAROL.name }
    const letter = await mail.does(moved, 'send', {
      to: [`${OLGA.name} <${OLGA.mailbox}>`],
      subject: 'I have moved',
      text: 'Nothing else has changed.',
    })
    await demandArrivals(context, step, 'what she writes from there', letter, [{ at: OLGA, rewriting: UNCHANGED }])
    const [copy] = await mail.copies(OLGA.mailbox, letter.messageId)
    step.demandEqual('her address', headerValue(copy.content, 'From'), `${CAROL.name} <${CAROL.presented}>`)
    step.demandEqual('DMARC of it', copy.verdict?.dmarc.result, 'pass')
    return `${where.size} messages meanwhile, each once: ${before} in the old mailbox, ${where.size - before} in the new one`
  },
}

/** Everybody writes to her, one after the other, until it is stopped. */
class MailStream {
  readonly sent: SentMail[] = []
  readonly #mail: Mail
  #isStopped = false

  constructor(mail: Mail) {
    this.#mail = mail
  }

  stop(): void {
    this.#isStopped = true
  }

  async run(): Promise<void> {
    for (let number = 0; !this.#isStopped; number++) {
      const { who, to } = WRITERS[number % WRITERS.length] ?? WRITERS[0] ?? { who: OLGA, to: CAROL.presented }
      const letter = { to: [`${CAROL.name} <${to}>`], subject: `Number ${number}`, text: `Message ${number}.` }
      this.sent.push(await this.#mail.does(who, 'send', letter))
      await sleep(EVERY_MS)
    }
  }
}

/** Nobody routes her mail through the relay any more. */
async function untilFollowed({ sandbox }: TourContext): Promise<void> {
  await until(
    'the groups of both tenants to follow',
    async () => {
      for (const [tenant, address] of [
        [SOURCE.tenantId, CAROL.mailbox],
        [TARGET.tenantId, CAROL.presented],
      ]) {
        const { objects } = (await sandbox.do('state', { tenant })) as { objects: readonly DirectoryObject[] }
        const her = objects.find(({ properties }) => properties['mail'] === address)
        const groups = objects.filter(({ properties }) => String(properties['displayName']).startsWith('Causeway-'))
        if (her === undefined || groups.some(({ members }) => members.includes(her.id))) return undefined
      }
      return true
    },
    { withinMs: SETTLED_WITHIN_MS },
  )
}

/** Relays hear of it last: until then they bring her mail to where she is forwarded from, and do not send it back where it came from (R78). */
async function untilTold({ api, project }: TourContext): Promise<void> {
  let entry: Fields | undefined
  await until(
    'the relay to have her new entry',
    async () => {
      ;[entry] = await api.list(`${project}/mappings?address=${encodeURIComponent(CAROL.presented)}`)
      return entry?.['mailbox'] === CAROL.presented && entry['appliedAt'] !== undefined ? true : undefined
    },
    { withinMs: SETTLED_WITHIN_MS, found: () => JSON.stringify(entry ?? 'no entry') },
  )
}

interface DirectoryObject {
  readonly id: string
  readonly properties: Fields
  readonly members: readonly string[]
}

/** By Message-ID: in which mailboxes a copy is. */
async function untilAllArrived(mail: Mail, sent: readonly SentMail[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const where = new Map<string, string[]>()
  await until(
    'all messages to her to arrive',
    async () => {
      where.clear()
      for (const { mailbox } of PLACES) {
        for (const { content } of await mail.arrivals(mailbox)) {
          const id = headerValue(content, 'Message-ID')
          if (sent.some(({ messageId }) => messageId === id)) where.set(id, [...(where.get(id) ?? []), mailbox])
        }
      }
      return where.size === sent.length ? true : undefined
    },
    { withinMs: SETTLED_WITHIN_MS, found: () => `${where.size} of ${sent.length}` },
  )
  return where
}
