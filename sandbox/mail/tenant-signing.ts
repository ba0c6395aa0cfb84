// Exchange's DKIM signatures: with the author's domain where the tenant has switched that on (Get-DkimSigningConfig), with its initial domain
// otherwise. One key a tenant; its record is published when it is first used.
import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import { initialDomainOf } from '../exchange/recipient-facts.ts'
import { signatureOf } from '../internet/outside-mail.ts'
import type { Zones } from '../internet/zones.ts'
import type { AddressBook } from '../mail-flow/address-book.ts'
import { addressesOf, parseMessage, valuesOf } from '../mail-flow/header.ts'
import { domainOf, flagOf, textOf } from '../mail-flow/object-properties.ts'

export interface SigningKey {
  /** PKCS #8 PEM */
  readonly privateKey: string
  /** For DNS. */
  readonly record: string
}

const SELECTOR = 'selector1'
/** As Exchange's are, in what New-DkimSigningConfig makes. */
const BITS = 2048
const makeKeyPair = promisify(generateKeyPair)

export async function makeSigningKey(): Promise<SigningKey> {
  const { publicKey, privateKey } = await makeKeyPair('rsa', { modulusLength: BITS })
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    record: `v=DKIM1; k=rsa; p=${publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`,
  }
}

export class TenantSigning {
  readonly #zones: Zones
  readonly #keys: ReadonlyMap<string, SigningKey>

  /** @param keys  by tenant id */
  constructor(zones: Zones, keys: ReadonlyMap<string, SigningKey>) {
    this.#zones = zones
    this.#keys = keys
  }

  /** With the signature before it; without an author, as it is. @param content  with CR LF */
  async sign(book: AddressBook, content: Uint8Array, nowMs: number): Promise<Buffer> {
    const { tenant } = book
    const key = this.#keys.get(tenant.id)
    if (key === undefined) throw new Error('unreachable: a tenant without a key')
    const message = parseMessage(content)
    // Without an author there is nothing to sign (RFC 6376 §5.4).
    if (valuesOf(message, 'From').length === 0) return Buffer.from(content)
    const author = domainOf(addressesOf(message, 'From')[0] ?? '')
    const isOn = book
      .settings('DkimSigningConfig', nowMs)
      .some((config) => textOf(config, 'Domain').toLowerCase() === author && flagOf(config, 'Enabled'))
    const domain = isOn && book.domainType(author, nowMs) !== undefined ? author : initialDomainOf(tenant)
    const name = `${SELECTOR}._domainkey.${domain}`
    if ((this.#zones.find(name) ?? []).length === 0) this.#zones.set(name, 'TXT', key.record)
    const bytes = Buffer.from(content)
    const fields = await signatureOf(bytes, { domain, selector: SELECTOR, privateKey: key.privateKey })
    return Buffer.concat([Buffer.from(fields), bytes])
  }
}
