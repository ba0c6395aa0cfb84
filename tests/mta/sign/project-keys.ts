// Keys of a project for the tests of signatures, made anew for every run, with what the DNS would say of them.
import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { DkimKeys } from '../../../mta/sign/dkim-keys.ts'

export const PROJECT_DOMAIN = 'fabrikam.example'
export const RSA_SELECTOR = 'causeway1'
export const ED25519_SELECTOR = 'causeway2'

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export const RSA: KeyPair = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const ED25519: KeyPair = generateKeyPairSync('ed25519')

export function pemOf({ privateKey }: KeyPair, type: 'pkcs8' | 'pkcs1' = 'pkcs8'): string {
  return privateKey.export({ type, format: 'pem' }).toString()
}

/** RFC 6376 §3.6.1, RFC 8463 §4 */
export function keyRecord({ publicKey }: KeyPair): string {
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return publicKey.asymmetricKeyType === 'rsa'
    ? `v=DKIM1; k=rsa; p=${der.toString('base64')}`
    : `v=DKIM1; k=ed25519; p=${der.subarray(-32).toString('base64')}`
}

export const RECORDS: Readonly<Record<string, string>> = {
  [`${RSA_SELECTOR}._domainkey.${PROJECT_DOMAIN}`]: keyRecord(RSA),
  [`${ED25519_SELECTOR}._domainkey.${PROJECT_DOMAIN}`]: keyRecord(ED25519),
}

export const RSA_ONLY = DkimKeys.parse([{ domain: PROJECT_DOMAIN, selector: RSA_SELECTOR, pem: pemOf(RSA) }])
export const BOTH = DkimKeys.parse([
  { domain: PROJECT_DOMAIN, selector: RSA_SELECTOR, pem: pemOf(RSA) },
  { domain: PROJECT_DOMAIN, selector: ED25519_SELECTOR, pem: pemOf(ED25519) },
])

/** As a DNS that holds these records and no others. */
export function resolverOf(records: Readonly<Record<string, string>> = RECORDS): (name: string) => Promise<string[][]> {
  return (name) => {
    const text = records[name]
    if (text === undefined) return Promise.reject(Object.assign(new Error(`no ${name}`), { code: 'ENOTFOUND' }))
    // The DNS has strings of 255 octets at most (RFC 1035 §3.3).
    return Promise.resolve([text.match(/.{1,255}/gs) ?? []])
  }
}
