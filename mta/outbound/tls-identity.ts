// What we show in a TLS handshake with a next hop, and whom we believe there. Made once for each load of the credentials; when a reload changes
// any of it, the identity is another one, and connections made with the old one serve nobody any more. (R85, PH-4, KM-7)
import { constants, createHash } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { TLS_OPTIONS } from '../credentials.ts'
import type { Credentials } from '../credentials.ts'
import type { NextHop } from './route.ts'

export interface TlsIdentity {
  /** The next hop's key with the fingerprints of all that is shown and believed. */
  readonly id: string
  readonly context: SecureContext
  /** Of the last handshake whose certificate was verified for this hop: the next one resumes it. */
  session: Buffer | undefined
}

export type OutboundCredentials = Pick<Credentials, 'tenantCertificates' | 'serverTrust'>

export class TlsIdentities {
  readonly #credentials: () => OutboundCredentials
  readonly #mxTrust: string | undefined
  #madeFrom: OutboundCredentials | undefined
  readonly #made = new Map<string, TlsIdentity>()
  /** Of whom each was made. */
  readonly #hops = new Map<string, NextHop>()

  /** @param mxTrust  file of the authorities that mail exchangers are believed by; undefined: the public ones */
  constructor(credentials: () => OutboundCredentials, mxTrust?: string) {
    this.#credentials = credentials
    this.#mxTrust = mxTrust
  }

  /** One for all mail exchangers: they are shown nothing, and no session with them is kept. */
  of(hop: NextHop): TlsIdentity {
    const credentials = this.#credentials()
    if (credentials !== this.#madeFrom) this.#forgetChanged(credentials)
    const key = hop.kind === 'mx' ? 'mx' : hop.key
    const known = this.#made.get(key)
    if (known !== undefined) return known
    const parts = this.#partsOf(hop, credentials)
    const made = { id: idOf(key, parts), context: contextOf(parts), session: undefined }
    this.#made.set(key, made)
    this.#hops.set(key, hop)
    return made
  }

  /** A reload that changes nothing of an identity leaves it, its connections and its session as they are. */
  #forgetChanged(credentials: OutboundCredentials): void {
    this.#madeFrom = credentials
    for (const [key, identity] of this.#made) {
      const hop = this.#hops.get(key)
      if (hop === undefined || idOf(key, this.#partsOf(hop, credentials)) !== identity.id) this.#made.delete(key)
    }
  }

  #partsOf(hop: NextHop, { tenantCertificates, serverTrust }: OutboundCredentials): Parts {
    const tenant = hop.kind === 'mx' ? undefined : hop.tenant
    const file = hop.kind === 'mx' ? this.#mxTrust : hop.trust
    // Those of a host that a newer snapshot no longer names are gone: nobody is believed there, least of all the public authorities.
    const trust = file === undefined ? undefined : (serverTrust.get(file) ?? [])
    return { shown: tenant === undefined ? undefined : tenantCertificates.get(tenant), trust }
  }
}

interface Parts {
  readonly shown: Pick<NonNullable<ReturnType<Credentials['tenantCertificates']['get']>>, 'chain' | 'key'> | undefined
  readonly trust: readonly string[] | undefined
}

function idOf(key: string, { shown, trust }: Parts): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([shown?.chain, trust]))
    .digest('hex')
  return `${key} ${digest}`
}

function contextOf({ shown, trust }: Parts): SecureContext {
  return createSecureContext({
    ...TLS_OPTIONS,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...(shown === undefined ? {} : { cert: shown.chain, key: shown.key.export({ type: 'pkcs8', format: 'pem' }) }),
    ...(trust === undefined ? {} : { ca: [...trust] }),
  })
}
