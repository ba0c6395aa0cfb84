// Chains as an authority issues them, for requests that the product made and for keys of elsewhere; by Debian's openssl.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TestAuthority } from '../../harness/certificates.ts'
import type { Wanted } from '../../harness/certificates.ts'

export interface Pem {
  readonly chain: string
  readonly key: string
}

export class Authority {
  readonly #authority = new TestAuthority()
  readonly #intermediate = this.#authority.issue({ commonName: 'Intermediate', isAuthority: true })
  #count = 0

  get root(): string {
    return readFileSync(this.#authority.certificate, 'utf8')
  }

  get intermediate(): string {
    return readFileSync(this.#intermediate.certificate, 'utf8')
  }

  /** A key of elsewhere, and the leaf with its intermediate. */
  pair(wanted: Wanted): Pem {
    const made = this.#authority.issue(wanted, this.#intermediate)
    return { chain: readFileSync(made.certificate, 'utf8'), key: readFileSync(made.key, 'utf8') }
  }

  /** Signs what the product asks for, extensions as requested: openssl reads it, and checks its signature. */
  sign(request: string, days = 90): string {
    const file = (ending: string) => join(this.#authority.directory, `request${this.#count}.${ending}`)
    this.#count += 1
    writeFileSync(file('csr'), request)
    const by = ['-CA', this.#intermediate.certificate, '-CAkey', this.#intermediate.key]
    const args = ['-in', file('csr'), '-out', file('pem'), '-days', String(days), '-copy_extensions', 'copy']
    execFileSync('openssl', ['x509', '-req', ...args, ...by], { stdio: 'pipe' })
    return readFileSync(file('pem'), 'utf8') + this.intermediate
  }

  [Symbol.dispose](): void {
    this.#authority[Symbol.dispose]()
  }
}
