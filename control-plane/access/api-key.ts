// API keys: a prefix that tells what it is, 256 random bits, hashed at rest. Pure but for chance. (AZ-8)
import { hash, randomBytes } from 'node:crypto'

const KEY_PREFIX = 'cwk_'
const KEY = /^cwk_[A-Za-z0-9_-]{43}$/
const SHOWN_CHARACTERS = 10

export interface NewApiKey {
  /** Shown once. */
  readonly text: string
  /** Shown always. */
  readonly prefix: string
  readonly hash: string
}

export function newApiKey(): NewApiKey {
  const text = KEY_PREFIX + randomBytes(32).toString('base64url')
  return { text, prefix: text.slice(0, SHOWN_CHARACTERS), hash: credentialHash(text) }
}

export const isApiKey = (text: string): boolean => KEY.test(text)

/** What a credential is found by. Its bits are random: a plain hash is as good as a slow one. */
export const credentialHash = (credential: string): string => hash('sha256', credential, 'hex')
