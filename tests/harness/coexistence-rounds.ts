// Round after round of coexistence on and off with a person moving in between, each harmed at other calls, under mail all the while: for the torture.
import assert from 'node:assert/strict'
import { disableUnder, enableUnder, moveUnder, roundOf } from './coexistence-faults.ts'
import { withCoexistenceWorld } from './coexistence-world.ts'
import { MailTraffic } from './mail-traffic.ts'
import type { TrafficReport } from './mail-traffic.ts'
import type { Surroundings } from './start-control-plane.ts'

const PER_SECOND = 20

export interface RoundsResult extends Omit<TrafficReport, 'problems'> {
  readonly harms: number
}

/** @throws when anything was lost, doubled or half rewritten, or a tenant is not as it was */
export async function coexistenceRounds(
  t: Surroundings,
  rounds: readonly number[],
  progress: (text: string) => void,
): Promise<RoundsResult> {
  let result: RoundsResult | undefined
  await withCoexistenceWorld(t, async (world) => {
    const traffic = new MailTraffic(world.mail, world.sandbox.control.people, { perSecond: PER_SECOND })
    traffic.start()
    const place = { world, traffic }
    let harms = 0
    for (const number of rounds) {
      const { enable, move, disable } = roundOf(number)
      try {
        for (const work of [
          () => enableUnder(place, enable),
          () => moveUnder(place, move),
          () => disableUnder(place, disable),
        ]) {
          harms += (await work()).done.length
          progress(`round ${number}: ${harms} harms, ${traffic.counts.sent} messages`)
        }
      } catch (error) {
        throw new Error(`round ${number}`, { cause: error })
      }
    }
    const { problems, ...counts } = await traffic.finished(() => world.queuedAtRelays())
    assert.deepEqual(problems, [])
    result = { ...counts, harms }
  })
  assert.ok(result !== undefined)
  return result
}
