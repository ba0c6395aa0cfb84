// What a stranger finds of mail under presented addresses by each of the three routes: DMARC as his own verifier judges it, who brought it and who signed
// it, and that nothing of ours is left in it; with mail flowing while the route changes, and with proof that the check can fail. (rewriting.md §13,
// coexistence.md §1.9, §2.1)
import assert from 'node:assert/strict'
import type { Fields } from '../../cli/tour/api-client.ts'
import { ADELE, ALICE, CAROL, CAST, DISCLAIMERS, HUGO, OLGA } from '../../cli/tour/cast.ts'
import { headerValue, messageIdOf } from '../../cli/tour/mail.ts'
import type { Person, SentMail } from '../../cli/tour/mail.ts'
import { differencesFrom, expectedOf, inward, outward, UNCHANGED } from '../../cli/tour/rewritten.ts'
import type { Rewriting } from '../../cli/tour/rewritten.ts'
import type { ArrivedMail } from '../../sandbox/internet/arrived-mail.ts'
import { RECEIVING_HOST, SENDING_HOST, SPF_NAME } from '../../sandbox/mail/exchange-hosts.ts'
import { parseMessage, valuesOf } from '../../sandbox/mail-flow/header.ts'
import type { CoexistenceWorld } from './coexistence-world.ts'
import { MailTraffic } from './mail-traffic.ts'
import { TRAFFIC } from './traffic-kinds.ts'
import { eventually } from './wait.ts'

type Route = 'owner-tenant' | 'return' | 'mx'

/** Has a mailbox in the source tenant, and is known to the world by an address of the target's. */
interface Presented extends Person {
  readonly presented: string
}

/** What tells the routes apart. */
interface Way {
  /** What the tenants did with a message to all three, in any order. */
  readonly steps: readonly string[]
  /** Domains of its signatures, from the top, as the outside gets it. */
  readonly signers: readonly string[]
  /** Whether Exchange brings it there, or the relay. */
  readonly isByExchange: boolean
}

const [SOURCE, TARGET] = CAST
const CHLOE = { mailbox: 'chloe.martin@contoso.com', presented: 'chloe.martin@fabrikam.com', name: 'Chloe Martin' }
const PRIYA = { mailbox: 'priya.nair@contoso.com', presented: 'priya.nair@fabrikam.com', name: 'Priya Nair' }
const PEOPLE: readonly Presented[] = [ALICE, CHLOE, PRIYA]
const OUT = outward(PEOPLE)
const IN = inward(PEOPLE)
const DOMAIN = 'fabrikam.com'
const RELAY = { name: 'relay.example', address: '127.0.0.1' }
const initialDomain = ({ label }: (typeof CAST)[number]): string => `${label}.onmicrosoft.com`

const WAYS: Readonly<Record<Route, Way>> = {
  'owner-tenant': {
    steps: ['contoso sent Out', 'fabrikam received In', 'fabrikam sent internet'],
    signers: [initialDomain(TARGET), DOMAIN],
    isByExchange: true,
  },
  return: {
    steps: ['contoso received In', 'contoso sent Out', 'contoso sent internet', 'fabrikam received internet'],
    signers: [initialDomain(SOURCE), DOMAIN],
    isByExchange: true,
  },
  mx: { steps: ['contoso sent Out', 'fabrikam received internet'], signers: [DOMAIN], isByExchange: false },
}
/** Of somebody unmapped who writes to somebody mapped as well: whatever the setting, his own tenant delivers it. (coexistence.md §1.9) */
const MENTIONED_STEPS = ['contoso received In', 'contoso sent Out', 'contoso sent internet']

/** Who may send for the domain: Exchange, and where it delivers itself the relay (coexistence.md §2.1 row 1). */
const SPF = `v=spf1 include:${SPF_NAME} ip4:${RELAY.address} -all`
const SPF_OF_NOBODY = 'v=spf1 -all'

const PER_SECOND = 20
/** While it is on every copy of these is rewritten: to a colleague who is named by his own address nothing is. */
const KINDS = TRAFFIC.filter(({ cc = [] }) => !cc.includes(CAROL.mailbox))

/**
 * While coexistence is on by the setting of the first hour, and nobody else writes; leaves it so. The entries whose routes it sets count as written by hand
 * from then on: people of `PEOPLE` other than Alice are in no pair any more. For systems on which every host has a loopback address of its own.
 */
export async function demandDmarcOnEveryRoute(world: CoexistenceWorld): Promise<void> {
  const { scope } = (await world.read()).setting
  const routes = new Routes(world)
  await withRecord(world, DOMAIN, SPF, async () => {
    await routes.demandRoute(ALICE, 'owner-tenant')
    await routes.demandMentioned()

    await changeRoute(world, 'return')
    await routes.demandRoute(ALICE, 'return')
    await routes.demandMentioned()

    await setRoutes(world, { [CHLOE.mailbox]: 'mx', [PRIYA.mailbox]: 'owner-tenant' })
    await routes.demandRoute(CHLOE, 'mx')
    await routes.demandRoute(PRIYA, 'owner-tenant')
    await routes.demandCanFail([
      [ALICE, 'return'],
      [CHLOE, 'mx'],
      [PRIYA, 'owner-tenant'],
    ])

    await setRoutes(world, { [CHLOE.mailbox]: 'mx', [PRIYA.mailbox]: 'return' })
    await changeRoute(world, 'owner-tenant')
    for (const [person, route] of [
      [ALICE, 'owner-tenant'],
      [CHLOE, 'mx'],
      [PRIYA, 'return'],
    ] as const)
      await routes.demandRoute(person, route)
  })
  await setRoutes(world, { [CHLOE.mailbox]: undefined, [PRIYA.mailbox]: undefined })
  await world.turnOn({ scope, route: 'owner-tenant' })
  await world.untilOn()
  await routes.demandOnce()
  assert.deepEqual(routes.end(), [])
}

/** The letters that were written, and what of ours was ever seen outside. */
class Routes {
  readonly #world: CoexistenceWorld
  readonly #sent: { readonly messageId: string; readonly places: readonly string[] }[] = []
  readonly #left: string[] = []
  readonly #stopWatching: () => void

  constructor(world: CoexistenceWorld) {
    this.#world = world
    this.#stopWatching = world.mail.outside.mails.onArrival(({ content, reversePath }) => {
      const ours = parseMessage(content).fields.filter(({ name }) => /^x-causeway-/i.test(name))
      for (const { name } of ours) this.#left.push(`${name} of ${messageIdOf(content)} from <${reversePath}>`)
    })
  }

  /** Nobody is watched any more. @returns fields of ours that the outside got, with anything that came to it */
  end(): readonly string[] {
    this.#stopWatching()
    return this.#left
  }

  /** Written to all, answered by the outsider to all, answered again, and its reading confirmed. */
  async demandRoute(person: Presented, route: Route): Promise<void> {
    const { context } = this.#world
    const { steps } = WAYS[route]
    const letter = await this.#send(person, [OLGA, HUGO, ADELE], {
      to: [written(OLGA)],
      cc: [written(HUGO), written(ADELE)],
      subject: `Figures, by ${route}`,
      text: `Here they are.\nQuestions to ${person.mailbox}.`,
    })
    await this.#demandOutside(letter, person, route)
    const atHugo = await this.#demandInside(letter, HUGO, OUT)
    await this.#demandInside(letter, ADELE, UNCHANGED)
    const judged = headerValue(atHugo, 'Authentication-Results')
    if (route === 'owner-tenant') assert.equal(judged, '', 'a tenant does not judge what is its own')
    else assert.match(judged, /\bdmarc=pass .*header\.from=fabrikam\.com$/, `what the other tenant finds by ${route}`)
    await this.#demandSteps(letter, steps)

    const answer = await context.mail.does(OLGA, 'send', {
      inReplyTo: letter.messageId,
      isToAll: true,
      text: 'Thank you.',
      wantsReceipt: true,
    })
    this.#sent.push({ messageId: answer.messageId, places: [person, HUGO, ADELE].map(({ mailbox }) => mailbox) })
    await this.#demandInside(answer, person, IN)
    for (const other of [HUGO, ADELE]) await this.#demandInside(answer, other, UNCHANGED)

    const last = await this.#send(person, [OLGA], { inReplyTo: answer.messageId, text: 'You are welcome.' })
    const arrived = await this.#demandOutside(last, person, route)
    assert.ok(headerValue(arrived.content, 'References').includes(letter.messageId), 'the chain holds')

    const receipt = await context.mail.does(person, 'read-receipt', { messageId: answer.messageId })
    this.#sent.push({ messageId: receipt.messageId, places: [OLGA.mailbox] })
    await this.#demandOutside(receipt, { ...person, isReceipt: true }, route)
  }

  /** Somebody mapped is named by somebody who is not. */
  async demandMentioned(): Promise<void> {
    const letter = await this.#send(ADELE, [OLGA, ALICE], {
      to: [written(OLGA)],
      cc: [written(ALICE)],
      subject: 'Minutes',
      text: 'As agreed.',
    })
    const arrived = await this.#arrived(letter)
    demandBytes(letter, arrived.content, OUT, [...DISCLAIMERS, ...DISCLAIMERS])
    const { dmarc } = arrived.verdict
    assert.deepEqual([dmarc.result, dmarc.fromDomain, arrived.reversePath], ['pass', 'contoso.com', ADELE.mailbox])
    await this.#demandSteps(letter, MENTIONED_STEPS)
  }

  /** With SPF failing a pass is by the relay's signature alone; without the record of its key nothing passes, and the very same check says so. */
  async demandCanFail(senders: readonly (readonly [Presented, Route])[]): Promise<void> {
    const { name, value } = await keyRecord(this.#world)
    const judge = async (person: Presented, route: Route) => {
      const letter = await this.#send(person, [OLGA], { to: [written(OLGA)], subject: route, text: 'Is it me?' })
      const arrived = await this.#arrived(letter)
      return { route, problems: await this.#problemsOf(arrived, route), verdict: arrived.verdict }
    }
    const all = () => Promise.all(senders.map(([person, route]) => judge(person, route)))
    await withRecord(this.#world, DOMAIN, SPF_OF_NOBODY, async () => {
      for (const { route, problems, verdict } of await all()) {
        assert.deepEqual(problems, [], route)
        assert.deepEqual([verdict.spf.result, verdict.dmarc.isSpfAligned], ['fail', false], route)
      }
      this.#world.mail.removeRecord(name, 'TXT', value)
      try {
        for (const { route, problems, verdict } of await all()) {
          assert.equal(verdict.dmarc.result, 'fail', `DMARC by ${route}, without the key`)
          assert.deepEqual(problems, [`DMARC says fail for ${DOMAIN}`, `no aligned signature that passes`], route)
        }
      } finally {
        this.#world.mail.putRecord(name, 'TXT', value)
      }
    })
    for (const { route, problems } of await all()) assert.deepEqual(problems, [], route)
  }

  /** Of everything that was written there is one copy in each place, and no more came since. */
  async demandOnce(): Promise<void> {
    const { mail } = this.#world.context
    for (const place of new Set(this.#sent.flatMap(({ places }) => places))) {
      const ids = (await mail.arrivals(place)).map(({ content }) => messageIdOf(content))
      const wanted = this.#sent.filter(({ places }) => places.includes(place))
      assert.ok(wanted.length > 0)
      const wrong = wanted.filter(({ messageId }) => ids.filter((id) => id === messageId).length !== 1)
      assert.deepEqual(wrong, [], `not once at ${place}`)
    }
  }

  async #send(person: Person, to: readonly Person[], letter: Fields): Promise<SentMail> {
    const sent = await this.#world.context.mail.does(person, 'send', letter)
    this.#sent.push({ messageId: sent.messageId, places: to.map(({ mailbox }) => mailbox) })
    return sent
  }

  async #demandOutside(
    letter: SentMail,
    { presented, isReceipt = false }: Presented & { readonly isReceipt?: boolean },
    route: Route,
  ): Promise<ArrivedMail> {
    const arrived = await this.#arrived(letter)
    demandBytes(letter, arrived.content, OUT, DISCLAIMERS)
    assert.equal(arrived.reversePath, isReceipt ? '' : presented)
    assert.deepEqual(await this.#problemsOf(arrived, route), [], route)
    const { clientAddress, helo, verdict, content, tls } = arrived
    assert.ok(tls !== undefined, `encrypted, by ${route}`)
    // Of the null reverse-path SPF judges the host's own name: a receipt passes by its signature alone.
    assert.equal(verdict.dmarc.isSpfAligned, !isReceipt, `SPF by ${route}`)
    const { signers, isByExchange } = WAYS[route]
    assert.deepEqual(
      verdict.dkim.map(({ domain, result }) => `${String(domain)} ${result}`),
      signers.map((domain) => `${domain} pass`),
      route,
    )
    const [address, name] = isByExchange ? [this.#world.mail.sendingAddress, SENDING_HOST] : [RELAY.address, RELAY.name]
    assert.deepEqual([clientAddress, helo], [address, name.toLowerCase()], `who brought it by ${route}`)
    const hosts = valuesOf(parseMessage(content), 'Received').map((each) => /\bby ([\w.-]+)/.exec(each)?.[1])
    const passed = isByExchange ? [RECEIVING_HOST, RELAY.name] : [RELAY.name]
    assert.deepEqual(hosts.slice(0, -1), passed, `where it was after its mailbox, by ${route}`)
    return arrived
  }

  /** What there is to say against its passing DMARC for the presented domain by the relay's own signature. */
  async #problemsOf({ verdict: { dkim, dmarc } }: ArrivedMail, route: Route): Promise<readonly string[]> {
    const { name } = await keyRecord(this.#world)
    const isSigned = dkim.some(
      ({ result, isAligned, domain, selector }) =>
        result === 'pass' && isAligned && domain === DOMAIN && `${selector}._domainkey.${domain}` === name,
    )
    assert.deepEqual([dmarc.policy, dmarc.fromDomain], ['reject', DOMAIN], route)
    return [
      ...(dmarc.result === 'pass' ? [] : [`DMARC says ${dmarc.result} for ${DOMAIN}`]),
      ...(isSigned && dmarc.isDkimAligned ? [] : ['no aligned signature that passes']),
    ]
  }

  #arrived({ messageId }: SentMail): Promise<ArrivedMail> {
    return this.#world.mail.outside.mails.waitFor(messageId, ({ content }) => messageIdOf(content) === messageId)
  }

  /** @returns the copy */
  async #demandInside(letter: SentMail, { mailbox }: Person, rewriting: Rewriting): Promise<Buffer> {
    const [{ content }] = await this.#world.context.mail.copies(mailbox, letter.messageId)
    demandBytes(letter, content, rewriting, DISCLAIMERS)
    return content
  }

  /** Once it has arrived; what a tenant sent stands in its log a moment later. */
  async #demandSteps({ messageId }: SentMail, expected: readonly string[]): Promise<void> {
    const steps = () =>
      this.#world.mail
        .log()
        .filter((hop) => hop.messageId === messageId && (hop.what === 'sent' || hop.what === 'received'))
        .map(({ tenantId, what, way = '' }) => {
          const label = CAST.find((each) => each.tenantId === tenantId)?.label ?? ''
          return `${label} ${what} ${way.replace(/^Causeway-[^-]+-/, '')}`
        })
        .toSorted()
    await eventually('what the tenants did', () => (steps().length >= expected.length ? true : undefined))
    assert.deepEqual(steps(), expected)
  }
}

const written = ({ name, mailbox }: Person): string => `${name} <${mailbox}>`

function demandBytes(letter: SentMail, arrived: Buffer, rewriting: Rewriting, appended: readonly string[]): void {
  assert.deepEqual(differencesFrom(expectedOf(letter.content, rewriting), arrived, appended), [])
}

/** While it is on and mail flows: nothing of it is lost or doubled, and none leaves as it was written. */
async function changeRoute(world: CoexistenceWorld, route: 'owner-tenant' | 'return'): Promise<void> {
  const traffic = new MailTraffic(world.mail, world.sandbox.control.people, {
    perSecond: PER_SECOND,
    kinds: KINDS,
    patienceMs: 20_000,
  })
  traffic.start()
  await traffic.more(PER_SECOND)
  await world.turnOn({ route, scope: 'all-mapped' })
  await world.untilOn()
  await traffic.more(PER_SECOND)
  const { problems, untouched, rewritten } = await traffic.finished(() => world.queuedAtRelays())
  assert.deepEqual([problems, untouched], [[], 0], `on the way to ${route}`)
  assert.ok(rewritten > PER_SECOND)
}

/** Of entries, by mailbox; once every relay has them. */
async function setRoutes(
  { context: { api, project } }: CoexistenceWorld,
  routes: Readonly<Record<string, Route | undefined>>,
): Promise<void> {
  for (const entry of await api.list(`${project}/mappings?limit=200`)) {
    const mailbox = String(entry['mailbox'])
    if (!(mailbox in routes)) continue
    const path = `${project}/mappings/${String(entry['id'])}`
    const { known, presented, x500 } = entry
    const route = routes[mailbox]
    await api.put(path, () => ({
      known,
      presented,
      mailbox,
      ...(x500 === undefined ? {} : { x500 }),
      ...(route === undefined ? {} : { route }),
    }))
    await eventually(`relays to know the route of ${mailbox}`, async () => (await api.get(path)).body['appliedAt'])
  }
}

/** Of the active key of the presented domain. */
async function keyRecord({ context: { api, project } }: CoexistenceWorld): Promise<{ name: string; value: string }> {
  const keys = await api.list(`${project}/dkim-keys?limit=200`)
  const key = keys.find(({ domain, state }) => domain === DOMAIN && state === 'active')
  assert.ok(key !== undefined, `a key of ${DOMAIN} is active`)
  const { name, value } = key['record'] as { name: string; value: string }
  return { name, value }
}

/** The only text at this name meanwhile. */
async function withRecord(
  { mail }: CoexistenceWorld,
  name: string,
  text: string,
  work: () => Promise<void>,
): Promise<void> {
  const before = (mail.zones.find(name) ?? []).flatMap(({ type, value }) =>
    type === 'TXT' && typeof value === 'string' ? [value] : [],
  )
  mail.removeRecord(name, 'TXT')
  mail.putRecord(name, 'TXT', text)
  try {
    await work()
  } finally {
    mail.removeRecord(name, 'TXT')
    for (const each of before) mail.putRecord(name, 'TXT', each)
  }
}
