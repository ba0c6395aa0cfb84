// All that the simulated Entra remembers, and the clock and chance it was given. The endpoints are functions over it.
import { AssertionVerifier } from './client-assertion.ts'
import type { AssertionRules } from './client-assertion.ts'
import { Directory } from './directory.ts'
import type { ConsentDelays, EntraKept, Person, Tenant } from './directory.ts'
import { Faults } from './faults.ts'
import { Grants } from './grants.ts'
import type { HostileToken } from './hostile-tokens.ts'
import type { EntraSeed } from './seed.ts'
import { TenantKeys, newSigningKey } from './signing-keys.ts'
import type { SigningKey } from './signing-keys.ts'
import type { Minting } from './tokens.ts'

export interface StateOptions {
  readonly seed: EntraSeed
  readonly issuerOrigin: string
  readonly consentDelays: ConsentDelays
  readonly assertionRules: AssertionRules
  readonly nowMs: () => number
  readonly random: (bytes: number) => Buffer
  /** Of an earlier run. */
  readonly kept?: EntraKept | undefined
  /** Told what to keep. */
  readonly onChange?: ((kept: EntraKept) => void) | undefined
}

/** A browser in which somebody has signed in before. */
export interface BrowserSession {
  readonly person: Person
  readonly generation: number
  readonly authenticatedAtMs: number
  readonly methods: readonly string[]
}

export class EntraState {
  readonly issuerOrigin: string
  readonly directory: Directory
  readonly grants: Grants
  readonly assertions: AssertionVerifier
  readonly faults = new Faults()
  readonly browserSessions = new Map<string, BrowserSession>()
  readonly nowMs: () => number
  readonly random: (bytes: number) => Buffer
  /** What the next ID token is to be, in place of a good one. */
  nextIdToken: HostileToken | undefined
  /** Where metadata says the keys are, in place of here. */
  keysElsewhere: string | undefined
  readonly #keys = new Map<string, Promise<TenantKeys>>()
  #stranger: Promise<SigningKey> | undefined

  constructor(options: StateOptions) {
    this.issuerOrigin = options.issuerOrigin
    this.nowMs = options.nowMs
    this.random = options.random
    this.directory = new Directory(options.seed, options.consentDelays, options.nowMs, {
      kept: options.kept,
      ...(options.onChange === undefined ? {} : { onChange: options.onChange }),
    })
    this.grants = new Grants(this.directory, options.nowMs, options.random)
    this.assertions = new AssertionVerifier(options.assertionRules, options.nowMs)
  }

  /** Made when they are first needed: each takes a tenth of a second. */
  keysOf(tenant: Pick<Tenant, 'id'>): Promise<TenantKeys> {
    let keys = this.#keys.get(tenant.id)
    if (keys === undefined) {
      keys = newSigningKey().then((key) => new TenantKeys(key))
      this.#keys.set(tenant.id, keys)
    }
    return keys
  }

  /** A key that stands in no key set. */
  strangerKey(): Promise<SigningKey> {
    this.#stranger ??= newSigningKey()
    return this.#stranger
  }

  minting(): Minting {
    return { issuerOrigin: this.issuerOrigin, nowMs: this.nowMs(), uti: this.random(16).toString('base64url') }
  }

  guid(): string {
    const hex = this.random(16).toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
  }
}
