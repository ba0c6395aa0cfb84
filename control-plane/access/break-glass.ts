// The one-time code of the account that exists before any administrator does (AZ-1): 125 random bits in groups that a person can type, kept as a
// hash. So much chance needs no slow hash (KM-6 has scrypt for passwords that people choose). Pure but for the random bytes that come in.
import { hash, timingSafeEqual } from 'node:crypto'

export const CODE_LIFE_MS = 60 * 60_000
export const BREAK_GLASS_NAME = 'Break-glass account'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford's: nothing that is read for something else
const CHARACTERS = 25
const GROUP = 5

/** `k3m9q-…`, five groups. @param random  as `crypto.randomBytes` */
export function newBreakGlassCode(random: (bytes: number) => Buffer): string {
  // 256 is a multiple of 32: the low five bits of a byte are evenly spread.
  const letters = [...random(CHARACTERS)].map((byte) => ALPHABET[byte & 31])
  return Array.from({ length: CHARACTERS / GROUP }, (_, group) =>
    letters.slice(group * GROUP, (group + 1) * GROUP).join(''),
  ).join('-')
}

/** As somebody typed it: any case, with or without hyphens and spaces, `o` for `0`, `i` and `l` for `1`. */
export function breakGlassCodeHash(text: string): string {
  const plain = text.toLowerCase().replaceAll(/[\s-]/g, '').replaceAll('o', '0').replaceAll(/[il]/g, '1')
  return hash('sha256', `causeway-break-glass/1 ${plain}`, 'hex')
}

export interface BreakGlassState {
  readonly isOpen: boolean
  /** Hex SHA-256 of the code in force. */
  readonly codeHash: string | undefined
  readonly codeExpiresAt: number | undefined
}

/** Whether the code opens: the same work and the same answer for none, another one, an old one and a closed account (AZ-9). */
export function opensBreakGlass(
  { isOpen, codeHash, codeExpiresAt }: BreakGlassState,
  text: string,
  now: number,
): boolean {
  const given = Buffer.from(breakGlassCodeHash(text), 'hex')
  const isRight = timingSafeEqual(
    given,
    codeHash === undefined ? Buffer.alloc(given.length) : Buffer.from(codeHash, 'hex'),
  )
  return isRight && codeHash !== undefined && isOpen && codeExpiresAt !== undefined && now < codeExpiresAt
}
