// Coexistence goes on and off, and a person moves, while 20 messages a second flow and everything fails that can: calls to Exchange, their answers, api,
// worker and relay by kill -9, what administrators do, tenants that are full, late, or hold similar objects. No message is lost, doubled or half rewritten,
// and both tenants are as they were. Outside, it is what DMARC asks for. `npm run torture -- coexistence` goes through every harm at every
// step. (coexistence.md §1, §2, RC-9)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  administratorEdits,
  BEFORE_THE_SWITCH,
  certificateExpires,
  relayIsAway,
  rulesActLate,
} from '../harness/coexistence-bad-input.ts'
import { disableUnder, enableUnder, moveUnder, ROUNDS, roundOf } from '../harness/coexistence-faults.ts'
import type { PlannedHarm } from '../harness/coexistence-faults.ts'
import { withCoexistenceWorld } from '../harness/coexistence-world.ts'
import { demandDmarcOnEveryRoute } from '../harness/dmarc-routes.ts'
import { demandForecastHolds } from '../harness/external-recipients.ts'
import { MailTraffic } from '../harness/mail-traffic.ts'
import { isLong, sampleOf } from '../harness/thorough.ts'

const PER_SECOND = 20
/** Of all rounds, which are for the torture. */
const LONG_ROUNDS = 6
/** Of a phase, in a round of `npm test`. */
const HARMS_A_PHASE = { enable: 3, move: 1, disable: 2 } as const
/** One of them; all in a long run. */
const WHILE_ON = [administratorEdits, certificateExpires]
/** Likewise. Only on Linux hosts have addresses of their own, by which SPF tells them apart. */
const OUTSIDE = process.platform === 'linux' ? [demandForecastHolds, demandDmarcOnEveryRoute] : [demandForecastHolds]

test('nothing is lost, doubled or half rewritten, whatever fails', { timeout: 1_500_000 }, (t) =>
  withCoexistenceWorld(t, async (world) => {
    const begin = (): MailTraffic => {
      const traffic = new MailTraffic(world.mail, world.sandbox.control.people, { perSecond: PER_SECOND })
      traffic.start()
      return traffic
    }
    /** Nobody writes any more, and all that was written is where it belongs. */
    const judge = async (traffic: MailTraffic): Promise<void> => {
      const { problems, ...counts } = await traffic.finished(() => world.queuedAtRelays())
      t.diagnostic(JSON.stringify(counts))
      assert.deepEqual(problems, [])
      assert.ok(counts.rewritten > 10 && counts.untouched > 10, 'too little of either to prove anything')
    }
    let traffic = begin()
    const tell = (what: string, done: readonly string[]) => t.diagnostic(`${what}: ${done.join('; ')}`)

    for (const index of sampleOf(BEFORE_THE_SWITCH.length, BEFORE_THE_SWITCH.length)) {
      const input = BEFORE_THE_SWITCH[index]
      await step(`before the switch: ${input?.name ?? ''}`, async () => {
        await input?.run(world)
        assert.deepEqual(await world.differences(), [])
      })
    }
    for (const [nth, number] of rounds().entries()) {
      const { enable, move, disable } = roundOf(number)
      const isLate = isLong ? nth === 1 : number % 2 === 1
      const first = isLate ? () => rulesActLate(world, () => traffic.counts.rewritten) : relayIsAway
      const round = `round ${number}`
      await step(`${round}: enable`, async () => {
        tell('enable', (await enableUnder({ world, traffic }, some(enable, HARMS_A_PHASE.enable), first)).done)
      })
      await step(`${round}: an administrator edits ours, or a certificate expires`, async () => {
        for (const index of sampleOf(WHILE_ON.length, WHILE_ON.length)) await WHILE_ON[index]?.(world)
      })
      await step(`${round}: a person moves, and back`, async () => {
        tell('move', (await moveUnder({ world, traffic }, some(move, HARMS_A_PHASE.move))).done)
      })
      if (nth === 0)
        await step(`${round}: the forecast of external recipients, or DMARC outside by every route`, async () => {
          await judge(traffic)
          for (const index of sampleOf(OUTSIDE.length, OUTSIDE.length)) await OUTSIDE[index]?.(world)
          traffic = begin()
          await traffic.more(PER_SECOND)
        })
      await step(`${round}: disable, and once more`, async () => {
        tell('disable', (await disableUnder({ world, traffic }, some(disable, HARMS_A_PHASE.disable))).done)
      })
    }
    await judge(traffic)
  }),
)

/** What comes after a step that failed would prove nothing. */
async function step(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw new Error(what, { cause: error })
  }
}

/** Another one each time; some, spread over all, in a long run. */
function rounds(): readonly number[] {
  const numbers = sampleOf(ROUNDS, ROUNDS)
  return isLong ? numbers.filter((number) => number % Math.ceil(ROUNDS / LONG_ROUNDS) === 0) : numbers
}

/** As many of them, spread; all of them in a long run. */
function some(harms: readonly PlannedHarm[], count: number): readonly PlannedHarm[] {
  if (isLong) return harms
  return sampleOf(harms.length, Math.ceil(harms.length / count)).flatMap((index) => harms[index] ?? [])
}
