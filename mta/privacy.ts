// What of an address, or a Message-ID, may reach the relay's log, trace and events: `privacy` of the configuration. (PR-2)
import { hash, hkdfSync } from 'node:crypto'

export const PRIVACY_LEVELS = ['hashed', 'off', 'plain'] as const
/** `hashed`: keyed hash and domain; `off`: ids only, no address in any form; `plain`: as it is. */
export type Privacy = (typeof PRIVACY_LEVELS)[number]

/** Characters of base64url: 72 bits are enough to tell people apart, and too few to go on hashing from. */
const TAG_LENGTH = 12
const MAX_DOMAIN = 255

/** The key of the hashes, made from a secret that all relays of a project share, so that one trail can be followed over all of them. */
export function privacyKey(projectSecret: string | Uint8Array): string {
  return Buffer.from(hkdfSync('sha256', projectSecret, '', 'causeway address tags', 32)).toString('hex')
}

/**
 * An address as logs may hold it; undefined where nothing of it may.
 *
 * Spellings that differ only in the case of ASCII letters get the same tag.
 * @param address  without angle brackets; `""`, the null reverse-path, is `<>` at every level
 */
export function recipientTag(address: string, privacy: Privacy, key: string): string | undefined {
  if (privacy === 'off') return undefined
  if (address === '') return '<>'
  if (privacy === 'plain') return address
  const folded = address.normalize('NFC').toLowerCase()
  // Once or twice a message: HMAC would cost ten times as much, and what is kept of the hash can't be extended.
  const tag = hash('sha256', `${key} ${folded}`, 'base64url').slice(0, TAG_LENGTH)
  const at = folded.lastIndexOf('@')
  return at === -1 ? tag : `${tag}@${folded.slice(at + 1, at + 1 + MAX_DOMAIN)}`
}

/** Longer ones are cut where they are kept in clear. RFC 5322 §2.1.1 allows a line of 998. */
const MAX_MESSAGE_ID = 250

/**
 * A Message-ID as the delivery journal may hold it, with or without its angle brackets. Where the log holds no addresses it is hashed all the
 * same: senders build it from what they like, and whoever knows it can still search for it.
 * @param id  body of the field, trimmed
 */
export function messageIdTag(id: string, privacy: Privacy, key: string): string {
  const bare = id.startsWith('<') && id.endsWith('>') ? id.slice(1, -1) : id
  if (privacy === 'plain') return bare.slice(0, MAX_MESSAGE_ID)
  return hash('sha256', `${key} message-id ${bare}`, 'base64url').slice(0, TAG_LENGTH)
}

/** What of addresses and Message-IDs may be written. */
export interface Tags {
  address(address: string): string | undefined
  messageId(id: string): string
}

/** For who doesn't know what the project allows. */
export const NO_TAGS: Tags = { address: () => undefined, messageId: () => '' }

/** @param projectSecret  that of the marker: all relays of a project share it */
export function tagsOf(privacy: Privacy, projectSecret: string): Tags {
  const key = privacyKey(projectSecret)
  return {
    address: (address) => recipientTag(address, privacy, key),
    messageId: (id) => messageIdTag(id, privacy, key),
  }
}
