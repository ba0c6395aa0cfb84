// What relays write of addresses and Message-IDs (PR-2), made again from what somebody searches for: with the key that all relays of a project
// share. The same forms as in the relay's journal; a test holds the two together. Pure.
import { hash, hkdfSync } from 'node:crypto'

const TAG_LENGTH = 12
const MAX_DOMAIN = 255
const MAX_MESSAGE_ID = 250

/** Key of the tags. @param markerSecret  of the project */
function tagKey(markerSecret: string): string {
  return Buffer.from(hkdfSync('sha256', markerSecret, '', 'causeway address tags', 32)).toString('hex')
}

/**
 * Every form in which an address may stand in events: as it is, and as a tag by each secret that was in force.
 *
 * @param written  an address, or a tag; `<>` is the null reverse-path
 */
export function addressForms(written: string, markerSecrets: readonly string[]): string[] {
  const folded = written.normalize('NFC').toLowerCase()
  const at = folded.lastIndexOf('@')
  const tags = markerSecrets.map((secret) => {
    const tag = hash('sha256', `${tagKey(secret)} ${folded}`, 'base64url').slice(0, TAG_LENGTH)
    return at === -1 ? tag : `${tag}@${folded.slice(at + 1, at + 1 + MAX_DOMAIN)}`
  })
  return [...new Set([written, folded, ...tags])]
}

/** @param written  with or without its angle brackets; or a tag */
export function messageIdForms(written: string, markerSecrets: readonly string[]): string[] {
  const trimmed = written.trim()
  const bare = trimmed.startsWith('<') && trimmed.endsWith('>') ? trimmed.slice(1, -1) : trimmed
  const tags = markerSecrets.map((secret) =>
    hash('sha256', `${tagKey(secret)} message-id ${bare}`, 'base64url').slice(0, TAG_LENGTH),
  )
  return [...new Set([bare.slice(0, MAX_MESSAGE_ID), ...tags])]
}
