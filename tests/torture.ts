// `npm run torture`: the durability contract, at length (DU-1 to DU-8, SF-6). Processes are killed, disks stopped and failed, power cut, at
// every system call and at random moments; whatever was accepted must be there afterwards. And coexistence: switched on and off under mail, harmed in
// every way at every call. Exit code 1 when anything was lost.
//   npm run torture                    everything, more than an hour
//   npm run torture -- --quick         a tenth of it
//   npm run torture -- spool-kills     only the sections named
import assert from 'node:assert/strict'
import { openSpool } from '../mta/spool/spool.ts'
import { ROUNDS } from './harness/coexistence-faults.ts'
import { coexistenceRounds } from './harness/coexistence-rounds.ts'
import { faultLoad } from './harness/fault-load.ts'
import { killRounds } from './harness/kill-rounds.ts'
import { killAtStep, killRound } from './mta/spool/kill-writer.ts'
import { globalSetup, globalTeardown } from './setup.ts'
import { countSteps, powerCutRound, seeded, stopRound } from './mta/spool/crash-rounds.ts'
import { failRound } from './mta/spool/fault-rounds.ts'
import { Promises, accept, assertIntact, inDirectory, optionsFor } from './mta/spool/spool-harness.ts'

interface Section {
  readonly name: string
  readonly about: string
  /** Throws when anything was lost. @returns what to say in the summary */
  readonly run: (share: number, progress: (text: string) => void) => Promise<string>
}

const MIB = 1024 * 1024
/** With what it takes to drain afterwards, half an hour. */
const FAULTS_MS = 27 * 60_000

/** Every `1 / share`-th of `count` numbers. */
function* sample(count: number, share: number): Iterable<number> {
  for (let number = 0; number < count; number += 1 / share) yield Math.floor(number)
}

// ---- the spool by itself ----

const SPOOL: readonly Section[] = [
  {
    name: 'spool-stops',
    about: 'the disk takes no more calls, from every system call on',
    async run(share, progress) {
      const steps = await countSteps()
      let rounds = 0
      for (const last of sample(steps, share)) {
        for (const cutBytes of [undefined, 1, 30, 700, 5_000]) {
          await stopRound(last, cutBytes)
          rounds++
        }
        progress(`stopped after call ${last} of ${steps}`)
      }
      return `${rounds} stops at ${steps} system calls`
    },
  },
  {
    name: 'spool-power-cuts',
    about: 'unsynced pages and names are lost, in any combination, at every system call',
    async run(share, progress) {
      const steps = await countSteps()
      let rounds = 0
      for (const last of sample(steps, share)) {
        for (let variant = 0; variant < 4; variant++) {
          await powerCutRound(last, last * 4 + variant)
          rounds++
        }
        progress(`power cut after call ${last} of ${steps}`)
      }
      return `${rounds} power cuts at ${steps} system calls`
    },
  },
  {
    name: 'spool-faults',
    about: 'EIO and ENOSPC at every system call',
    async run(share, progress) {
      let rounds = 0
      for (let number = 1, wasReached = true; wasReached; number += Math.round(1 / share)) {
        for (const code of ['EIO', 'ENOSPC'] as const) {
          wasReached = await failRound(number, code)
          rounds++
        }
        progress(`call ${number} failed`)
      }
      return `${rounds} failed calls`
    },
  },
  {
    name: 'spool-kill-steps',
    about: 'a process kills itself with -9 before, within and after every system call',
    async run(share, progress) {
      let rounds = 0
      for (let step = 1, hasDied = true; hasDied; step += Math.round(1 / share)) {
        for (const moment of ['before', 'within', 'after'] as const) {
          hasDied = await inDirectory((directory) => killAtStep(directory, step, moment))
          rounds++
        }
        progress(`killed at call ${step}`)
      }
      return `${rounds} kills`
    },
  },
  {
    name: 'spool-kills',
    about: 'a process is killed with -9 at random moments, always on the same spool',
    async run(share, progress) {
      const seed = Date.now()
      const random = seeded(seed)
      const promises = new Promises()
      let recovered = 0
      await inDirectory(async (directory) => {
        for (let round = 1; round <= 200 * share; round++) {
          recovered += await killRound(directory, promises, random() * 300, `seed ${seed}, round ${round}`)
          progress(
            `round ${round}: ${promises.accepted.size} accepted, ${promises.removed.size} removed, ${recovered} recovered`,
          )
        }
      })
      return `${promises.accepted.size} accepted, 0 lost, ${recovered} stored but not answered for (DU-2)`
    },
  },
  {
    name: 'spool-long-queue',
    about: 'one message is held while very many pass: the disk stays small (SF-6)',
    async run(share, progress) {
      const passing = 1_000_000 * share
      let most = 0
      await inDirectory(async (directory) => {
        const spool = await openSpool(optionsFor(directory, { sweepEveryMs: 1_000, now: Date.now }))
        const held = await accept(spool, 1_000)
        let passed = 0
        const session = async () => {
          while (passed < passing) {
            await spool.remove(await accept(spool, 4_000))
            if (++passed % 1_000 !== 0) continue
            most = Math.max(most, spool.health().bytes)
            progress(`${passed} have passed, at most ${Math.round(most / MIB)} MiB on disk`)
          }
        }
        await Promise.all(Array.from({ length: 50 }, session))
        await assertIntact(spool, held, 1_000)
        await spool.close()
        assert.ok(most < 256 * MIB, `${Math.round(most / MIB)} MiB on disk`)
      })
      return `${passing} passed, at most ${Math.round(most / MIB)} MiB on disk`
    },
  },
]

// ---- the whole relay, over SMTP ----

const RELAY: readonly Section[] = [
  {
    name: 'relay-kills',
    about: 'the relay is killed with -9 at random moments under load, always on the same spool',
    async run(share, progress) {
      const seed = Date.now()
      const result = await killRounds(Math.ceil(200 * share), seeded(seed), progress)
      assert.deepEqual(result.lost, [], `seed ${seed}`)
      assert.ok(result.duplicates <= result.duplicatesAllowed, `seed ${seed}: ${result.duplicates} duplicates`)
      const { rounds, accepted, duplicates, duplicatesAllowed, quarantined, recovered } = result
      return (
        `${rounds} kills, ${accepted} accepted, 0 lost, ${duplicates} duplicates (at most ${duplicatesAllowed} in flight), ` +
        `${quarantined} in quarantine (DU-8), ${recovered} delivered though not answered for (DU-2)`
      )
    },
  },
  {
    name: 'relay-faults',
    about:
      'load both ways while next hops misbehave and crash, the disk fills up, and the relay is killed and restarted',
    async run(share, progress) {
      const seed = Date.now()
      const result = await faultLoad(FAULTS_MS * share, seeded(seed), progress)
      assert.deepEqual(result.lost, [], `seed ${seed}`)
      assert.ok(result.duplicates <= result.duplicatesAllowed, `seed ${seed}: ${JSON.stringify(result)}`)
      const { accepted, returned, quarantined, duplicates, duplicatesAllowed, kills, restarts, hopCrashes, fullDisks } =
        result
      return (
        `${accepted} accepted, 0 lost, ${returned} returned, ${quarantined} in quarantine (DU-8), ${duplicates} duplicates ` +
        `(at most ${duplicatesAllowed} in flight); ${kills} kills, ${restarts} restarts, ${hopCrashes} crashes of next hops, ` +
        (fullDisks > 0 ? `${fullDisks} full disks` : 'no full disks: they need root and loop devices')
      )
    },
  },
]

// ---- the whole product ----

const PRODUCT: readonly Section[] = [
  {
    name: 'coexistence',
    about:
      'enable, a person’s move and disable under 20 messages a second: at every call that changes a tenant it fails, its answer is lost, or api, worker or relay are killed with -9 (RC-9)',
    async run(share, progress) {
      await globalSetup()
      try {
        const surroundings = { after: () => {}, diagnostic: (text: string) => console.log(text) }
        const result = await coexistenceRounds(surroundings, [...sample(ROUNDS, share)], progress)
        const { harms, sent, copies, rewritten, untouched, twiceInFlight } = result
        return (
          `${harms} harms, ${sent} messages, ${copies} copies, 0 lost, ${twiceInFlight} twice that a killed relay had in hand; of those ` +
          `that may be either ${rewritten} rewritten, ${untouched} not; both tenants as they were after each round`
        )
      } finally {
        await globalTeardown()
      }
    },
  },
]

async function main(): Promise<void> {
  const names = process.argv.slice(2).filter((word) => !word.startsWith('--'))
  const share = process.argv.includes('--quick') ? 0.1 : 1
  const sections = [...SPOOL, ...RELAY, ...PRODUCT].filter(({ name }) => names.length === 0 || names.includes(name))
  let failed = 0
  let lastShown = 0
  for (const { name, about, run } of sections) {
    console.log(`${name}: ${about}`)
    const began = performance.now()
    const progress = (text: string) => {
      if (performance.now() - lastShown < 2_000) return
      lastShown = performance.now()
      console.log(`  ${text}`)
    }
    const seconds = () => `${Math.round((performance.now() - began) / 1000)} s`
    try {
      console.log(`ok     ${name}: ${await run(share, progress)} (${seconds()})`)
    } catch (error) {
      failed++
      console.log(`FAILED ${name} (${seconds()})`)
      console.log(error)
    }
  }
  console.log(
    failed === 0
      ? `torture: ${sections.length} sections, nothing lost`
      : `torture: ${failed} of ${sections.length} sections FAILED`,
  )
  if (failed > 0 || sections.length === 0) process.exitCode = 1
}

await main()
