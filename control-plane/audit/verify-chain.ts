// Goes through a chain where it is kept, again and again: what came since the last time, and once a week all of it from its first event. That a chain
// doesn't hold is written down, told in the log and shown as a figure, until it holds again. (AU-3, OP-2)
import type { Log } from '../../common/log.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import type { JobHandler } from '../jobs/job.ts'
import { EMPTY_HEAD } from './audit.ts'
import { chainSize } from './checkpoint-store.ts'
import { NoKeysYet } from './trail-store.ts'
import { findEventHash, findVerification, storeVerification } from './verification-store.ts'
import type { Verification, VerificationFault } from './verification-store.ts'
import { verifyStored } from './verify-stored.ts'

export const VERIFY_EVERY_MS = 15 * 60_000
const ROUND_MS = 7 * 86_400_000
const EVENTS_A_STEP = 5_000

export interface VerifyDeps {
  readonly db: Db
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  /** Other than the product's: for tests. */
  readonly eventsAStep?: number
}

/** `audit.verify` of one organisation, or of the installation. */
export function verifyChainJob(deps: VerifyDeps): JobHandler {
  return {
    async run({ organisation, signal, read, change }) {
      const before = await read((tx) => findVerification(tx, organisation))
      for await (const state of verifyChain(organisation, before, deps, signal))
        await change((tx) => storeVerification(tx, organisation, state))
    },
  }
}

/** Goes on from where the last time ended. Yields what is to be written down, after each step; the last is how it ended. */
export async function* verifyChain(
  organisation: OrganisationId,
  before: Verification | undefined,
  { db, log, now, eventsAStep = EVENTS_A_STEP }: VerifyDeps,
  signal: AbortSignal,
): AsyncGenerator<Verification> {
  let state = begin(before, new Date(now()))
  for (;;) {
    const step = await verifyStep(db, organisation, state, eventsAStep, signal)
    if (step === 'nothing-signed') return
    const { fault } = step
    if (fault !== undefined) {
      log.error('audit.chain-broken', { organization: organisation, code: fault.code, sequence: fault.event })
      yield { ...state, ...step.reached, fault }
      return
    }
    if (!step.isMore && state.fault !== undefined) log.warn('audit.chain-holds-again', { organization: organisation })
    state = {
      ...state,
      ...step.reached,
      // Only what was gone through to its end is known to hold again.
      ...(step.isMore ? {} : { fault: undefined, verifiedAt: new Date(now()) }),
    }
    yield state
    if (!step.isMore) return
  }
}

/** A round that is a week old begins anew; so does one that found a fault, since what was put right may lie before it. */
function begin(before: Verification | undefined, at: Date): Verification {
  const isOver = before === undefined || at.getTime() - before.roundStartedAt.getTime() >= ROUND_MS
  if (!isOver && before.fault === undefined) return before
  return { verifiedAt: undefined, fault: undefined, ...before, size: 0, hash: EMPTY_HEAD, roundStartedAt: at }
}

interface Step {
  readonly reached?: Pick<Verification, 'size' | 'hash'>
  readonly fault?: VerificationFault
  readonly isMore: boolean
}

async function verifyStep(
  db: Db,
  organisation: OrganisationId,
  { size, hash }: Verification,
  eventsAStep: number,
  signal: AbortSignal,
): Promise<Step | 'nothing-signed'> {
  const hashOf = (sequence: number) =>
    sequence === 0
      ? Promise.resolve(EMPTY_HEAD)
      : withScope(db, { organisation }, (tx) => findEventHash(tx, organisation, sequence))
  // What comes next is hashed from here on: it must be what was verified before.
  const found = await hashOf(size)
  if (found === undefined || (await withScope(db, { organisation }, (tx) => chainSize(tx, organisation))) < size)
    return { fault: { code: 'truncated', event: size }, isMore: false }
  if (!found.equals(hash)) return { fault: { code: 'changed', event: size }, isMore: false }
  try {
    const range = { from: size + 1, to: size + eventsAStep }
    const { report, next } = await verifyStored(db, organisation, range, signal)
    const last = await hashOf(report.size)
    const reached = last === undefined ? {} : { reached: { size: report.size, hash: last } }
    const { fault } = report
    if (fault !== undefined) return { ...reached, fault: { code: fault.code, event: fault.event }, isMore: false }
    return { ...reached, isMore: next !== undefined }
  } catch (error) {
    if (error instanceof NoKeysYet) return 'nothing-signed'
    throw error
  }
}
