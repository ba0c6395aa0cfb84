// What admitted clients sent above their own certificate. A resumed TLS session keeps the client's own only, and is judged as strictly as a
// new one: dates, trust and names are those of now. Only admitted clients are remembered, so strangers push nobody out.
import type { X509Certificate } from 'node:crypto'
import type { TlsState } from './tls-handshake.ts'

const MAX_CLIENTS = 1000

export class KnownChains {
  readonly #above = new Map<string, readonly X509Certificate[]>()

  /** The client's certificates, as in the handshake that began its session. */
  certificatesOf({ certificates, isResumed }: TlsState): readonly X509Certificate[] {
    const [leaf] = certificates
    if (!isResumed || leaf === undefined) return certificates
    return [leaf, ...(this.#above.get(leaf.fingerprint256) ?? [])]
  }

  /** The client was admitted. */
  remember([leaf, ...above]: readonly X509Certificate[]): void {
    if (leaf === undefined) return
    this.#above.delete(leaf.fingerprint256)
    this.#above.set(leaf.fingerprint256, above)
    const [oldest] = this.#above.keys()
    if (this.#above.size > MAX_CLIENTS && oldest !== undefined) this.#above.delete(oldest)
  }
}
