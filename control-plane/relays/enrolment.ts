// Enrolment codes (RC-1): 256 random bits, kept as a hash, good for one relay within 15 minutes. Pure but for chance.
import { createPublicKey, randomBytes } from 'node:crypto'
import type { EnrolRequest } from '../../common/relay-contract.ts'
import { credentialHash } from '../access/api-key.ts'

export const CODE_LIFE_MS = 15 * 60_000
const PREFIX = 'cwe_'

export interface NewCode {
  /** Shown once. */
  readonly text: string
  readonly hash: string
}

export function newEnrolmentCode(): NewCode {
  const text = PREFIX + randomBytes(32).toString('base64url')
  return { text, hash: credentialHash(text) }
}

export const ENROLMENT_STATES = ['open', 'used', 'cancelled', 'expired'] as const
export type EnrolmentState = (typeof ENROLMENT_STATES)[number]

export interface EnrolmentTimes {
  readonly expiresAt: Date
  readonly usedAt: Date | undefined
  readonly cancelledAt: Date | undefined
}

export function enrolmentState({ expiresAt, usedAt, cancelledAt }: EnrolmentTimes, now: number): EnrolmentState {
  if (usedAt !== undefined) return 'used'
  if (cancelledAt !== undefined) return 'cancelled'
  return expiresAt.getTime() <= now ? 'expired' : 'open'
}

export interface OfferedKeys {
  readonly signingKey: string
  readonly sealingKey: string
}

export type EnrolVerdict =
  | { readonly kind: 'enrol' }
  /** The answer got lost: the same relay asks again. */
  | { readonly kind: 'repeat' }
  | { readonly kind: 'refuse'; readonly reason: 'cancelled' | 'expired' | 'used' | 'project-gone' }

/**
 * @param usedBy  keys of the relay that used the code
 * @param isProjectGone  its deletion has been asked for
 */
export function judgeEnrolment(
  times: EnrolmentTimes,
  usedBy: OfferedKeys | undefined,
  offered: OfferedKeys,
  isProjectGone: boolean,
  now: number,
): EnrolVerdict {
  if (isProjectGone) return { kind: 'refuse', reason: 'project-gone' }
  if (times.cancelledAt !== undefined) return { kind: 'refuse', reason: 'cancelled' }
  // The code's life ends for the one who used it as well: afterwards it tells nobody anything.
  if (times.expiresAt.getTime() <= now) return { kind: 'refuse', reason: 'expired' }
  if (times.usedAt === undefined) return { kind: 'enrol' }
  const isSame = usedBy?.signingKey === offered.signingKey && usedBy.sealingKey === offered.sealingKey
  return isSame ? { kind: 'repeat' } : { kind: 'refuse', reason: 'used' }
}

/** Whether both keys are what the contract says, in its one spelling. */
export function areRelayKeys({ signingKey, sealingKey }: Pick<EnrolRequest, 'signingKey' | 'sealingKey'>): boolean {
  return isPublicKey(signingKey, 'ed25519') && isPublicKey(sealingKey, 'x25519')
}

function isPublicKey(text: string, type: 'ed25519' | 'x25519'): boolean {
  const der = Buffer.from(text, 'base64url')
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    const written = key.export({ format: 'der', type: 'spki' }).toString('base64url')
    return key.asymmetricKeyType === type && written === text
  } catch {
    return false // no key at all
  }
}
