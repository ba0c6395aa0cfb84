// What is in force in a relay that is set up by files: the table, the credentials and the configuration, put together whenever one of them was
// read again. (product.md §8, RC-3)
import type { ActiveSnapshot, CurrentSnapshot, ProjectSettings, SnapshotStatus } from './active-snapshot.ts'
import type { Credentials } from './credentials.ts'
import type { MarkerKeys } from './marker-keys.ts'
import type { PinnedTable } from './pinned-table.ts'
import { tagsOf } from './privacy.ts'
import { smartHosts } from './route-names.ts'
import type { Settings } from './settings.ts'
import { Tenants } from './tenants.ts'

export interface StandaloneParts {
  readonly table: { get(): PinnedTable | undefined; status(): SnapshotStatus; reload(): Promise<void> }
  readonly credentials: { get(): Credentials; reload(): void }
  readonly marker: MarkerKeys
}

type StandaloneSettings = Pick<Settings, 'policy' | 'tenants' | 'routes' | 'proof' | 'postmaster' | 'privacy'>

export class StandaloneSnapshot implements CurrentSnapshot {
  readonly isDraining = false
  readonly #parts: StandaloneParts
  readonly #fixed: Omit<ProjectSettings, 'tokens' | 'signing' | 'nonces' | 'tenantCertificates' | 'serverTrust'>
  #credentials: Credentials
  #settings: ProjectSettings
  #pinned: PinnedTable | undefined
  #active: ActiveSnapshot | undefined
  readonly #listeners: ((settings: ProjectSettings) => void)[] = []

  constructor(settings: StandaloneSettings, parts: StandaloneParts) {
    this.#parts = parts
    this.#fixed = {
      policy: settings.policy,
      tenants: settings.tenants && new Tenants(settings.tenants),
      proof: settings.proof,
      marker: parts.marker,
      postmaster: settings.postmaster,
      allow: [],
      routes: smartHosts(settings),
      tags: tagsOf(settings.privacy, parts.marker.secret),
    }
    this.#credentials = parts.credentials.get()
    this.#settings = this.#withCredentials(this.#credentials)
  }

  get(): ActiveSnapshot | undefined {
    const pinned = this.#parts.table.get()
    const settings = this.settings()
    if (pinned === undefined) return undefined
    if (pinned !== this.#pinned || this.#active === undefined) {
      this.#pinned = pinned
      this.#active = { ...settings, ...pinned, snapshotVersion: undefined }
    }
    return this.#active
  }

  forReports(): PinnedTable | undefined {
    return this.get()
  }

  settings(): ProjectSettings {
    const credentials = this.#parts.credentials.get()
    if (credentials !== this.#credentials) {
      this.#credentials = credentials
      this.#settings = this.#withCredentials(credentials)
      this.#active = undefined
      for (const run of this.#listeners) run(this.#settings)
    }
    return this.#settings
  }

  status(): SnapshotStatus {
    return this.#parts.table.status()
  }

  onSettings(run: (settings: ProjectSettings) => void): void {
    this.#listeners.push(run)
    run(this.settings())
  }

  async reload(): Promise<void> {
    this.#parts.credentials.reload()
    await this.#parts.table.reload()
    this.settings()
  }

  #withCredentials({ tokens, signing, nonces, tenantCertificates, serverTrust }: Credentials): ProjectSettings {
    return { ...this.#fixed, tokens, signing, nonces, tenantCertificates, serverTrust }
  }
}
