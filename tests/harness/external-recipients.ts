// Whether the forecast of external recipients equals what the simulated tenants counted, in either of the ways in which Exchange Online may count mail that a
// rule brings to a relay. (coexistence.md §1.6, §4)
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { CAROL, CAST } from '../../cli/tour/cast.ts'
import type { Fields } from '../../cli/tour/api-client.ts'
import type { CoexistenceWorld } from './coexistence-world.ts'
import { MailTraffic } from './mail-traffic.ts'
import { sampleOf } from './thorough.ts'
import { TRAFFIC } from './traffic-kinds.ts'
import { eventually } from './wait.ts'

type Counts = Readonly<Record<string, number>>

/** Everybody stays where he is: whose mail passes a tenant is known. */
const KINDS = TRAFFIC.filter(
  ({ to, cc = [] }) => ![...to, ...cc].some((each) => each.startsWith(CAROL.mailbox.split('@', 1)[0] ?? '')),
)
/** Whether mail to an accepted domain is counted. */
const WAYS = [false, true]
const MESSAGES = 2 * KINDS.length
const PER_SECOND = 20
const EVENTS_WITHIN_MS = 2_000

/** While it is on, and nobody else writes. */
export async function demandForecastHolds(world: CoexistenceWorld): Promise<void> {
  for (const index of sampleOf(WAYS.length, 2)) {
    const countsRoutedToAcceptedDomain = WAYS[index] ?? false
    await world.context.sandbox.do('set-mail-behaviour', { countsRoutedToAcceptedDomain })
    const [countedBefore, forecastBefore] = [counted(world), await settledForecast(world)]
    const traffic = new MailTraffic(world.mail, world.sandbox.control.people, { perSecond: PER_SECOND, kinds: KINDS })
    traffic.start()
    await traffic.more(MESSAGES)
    const { problems } = await traffic.finished(() => world.queuedAtRelays())
    assert.deepEqual(problems, [])
    const own = Object.fromEntries(
      CAST.map(({ label, acceptedDomains, tenantId }) => [label, traffic.externals(tenantId, acceptedDomains)]),
    )
    const member = countsRoutedToAcceptedDomain ? 'atMost' : 'expected'
    const wanted = difference(counted(world), countedBefore)
    let last: Counts = {}
    await eventually(`a forecast that equals ${JSON.stringify(wanted)}`, async () => {
      last = difference(membersOf(await forecast(world, own), member), membersOf(forecastBefore, member))
      return CAST.every(({ label }) => last[label] === wanted[label]) ? true : undefined
    }).catch((error: unknown) => {
      throw new Error(`forecast ${JSON.stringify(last)}`, { cause: error })
    })
    assert.ok(
      CAST.every(({ label }) => (wanted[label] ?? 0) > (own[label] ?? 0)),
      'something was routed in both',
    )
  }
  await world.context.sandbox.do('set-mail-behaviour', {})
}

const counted = ({ mail }: CoexistenceWorld): Counts =>
  Object.fromEntries(CAST.map(({ label, tenantId }) => [label, mail.externals(tenantId).total]))

/** Once relays have told of everything that was before. */
async function settledForecast(world: CoexistenceWorld): Promise<Readonly<Record<string, Fields>>> {
  for (let last = await forecast(world, {}); ;) {
    await sleep(EVENTS_WITHIN_MS)
    const next = await forecast(world, {})
    if (isDeepStrictEqual(next, last)) return next
    last = next
  }
}

/** @param own  recipients of people's own mail @returns details by label */
async function forecast({ context, path }: CoexistenceWorld, own: Counts): Promise<Readonly<Record<string, Fields>>> {
  const recipientsADay = { ...Object.fromEntries(CAST.map(({ label }) => [label, 0])), ...own }
  const { body } = await context.api.post(`${path}/plan`, { recipientsADay })
  const found = (body['findings'] as readonly Fields[]).filter(({ code }) =>
    String(code).startsWith('external-recipients-'),
  )
  const { source, target } = context.tenants ?? {}
  return Object.fromEntries(
    found.map(({ tenant, details }) => [
      [source, target].find((each) => each?.id === tenant)?.label ?? '',
      details as Fields,
    ]),
  )
}

const membersOf = (details: Readonly<Record<string, Fields>>, member: string): Counts =>
  Object.fromEntries(Object.entries(details).map(([label, each]) => [label, Number(each[member])]))

const difference = (after: Counts, before: Counts): Counts =>
  Object.fromEntries(Object.entries(after).map(([label, count]) => [label, count - (before[label] ?? 0)]))
