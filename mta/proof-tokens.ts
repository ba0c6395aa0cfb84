// Tenant-proof tokens (SP-4): 256 random bits for each tenant and direction, two valid at a time while one is being replaced. A token
// says from which tenant a message comes and in which direction it goes (R5). Kept as hashes; compared without telling by time.
import { hash, timingSafeEqual } from 'node:crypto'
import type { Direction } from '../rewrite-rules/index.ts'
import { fault, readText } from './certificates.ts'

/** 256 bits in base64url, base64 without padding or hexadecimal digits have at least so many characters. */
const TOKEN = /^[A-Za-z0-9_-]{43,128}$/
const MOST_TOKENS = 2

export interface TokenOwner {
  readonly tenant: string
  readonly direction: Direction
}

interface KnownToken extends TokenOwner {
  readonly digest: Buffer
}

export class ProofTokens {
  readonly #tokens: readonly KnownToken[]

  constructor(tokens: readonly KnownToken[] = []) {
    this.#tokens = tokens
  }

  /** Whose token it is. Takes the same time whatever was presented, and whether it is one. */
  find(presented: string): TokenOwner | undefined {
    const digest = digestOf(presented)
    let owner: TokenOwner | undefined
    for (const token of this.#tokens) if (timingSafeEqual(token.digest, digest)) owner = token
    return owner && { tenant: owner.tenant, direction: owner.direction }
  }
}

export interface TokenFile extends TokenOwner {
  readonly file: string
}

/** The tokens of one tenant and direction. */
export interface GivenTokens extends TokenOwner {
  readonly tokens: readonly string[]
}

/** @throws SettingsFault; no token is in its text */
export function loadProofTokens(files: readonly TokenFile[]): ProofTokens {
  const given = files.map(({ file, tenant, direction }) => {
    const lines = readText(file).split('\n')
    return { tenant, direction, tokens: lines.map((line) => line.trim()).filter((line) => line !== '') }
  })
  return makeProofTokens(given, (index, rule) => fault(files[index]?.file ?? '', rule))
}

/**
 * @param faultAt  makes the error of what is wrong with one of `given`; no token is in the rule
 * @throws what `faultAt` makes
 */
export function makeProofTokens(
  given: readonly GivenTokens[],
  faultAt: (index: number, rule: string) => Error,
): ProofTokens {
  const known: KnownToken[] = []
  for (const [index, { tenant, direction, tokens }] of given.entries()) {
    if (tokens.length === 0) throw faultAt(index, 'holds no token')
    if (tokens.length > MOST_TOKENS) throw faultAt(index, 'holds more than the current and the previous token')
    for (const word of tokens) {
      if (!TOKEN.test(word))
        throw faultAt(index, 'holds a line that is no token: 43 to 128 letters, digits, `-` or `_`')
      const digest = digestOf(word)
      const other = known.find((token) => token.digest.equals(digest))
      if (other !== undefined) {
        throw faultAt(
          index,
          `holds a token that is also that of tenant ${other.tenant}, ${other.direction}: each is for one tenant and direction`,
        )
      }
      known.push({ tenant, direction, digest })
    }
  }
  return new ProofTokens(known)
}

function digestOf(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}
