// Everything of the project that decides what becomes of a message, as one value that never changes. A message pins the one in force when it
// begins and uses it throughout, so that both halves of it always agree (RC-3). It comes from files, or is pushed by a control plane.
import type { X509Certificate } from 'node:crypto'
import type { PushedProbe } from '../common/relay-contract.ts'
import type { MarkerKeys } from './marker-keys.ts'
import type { RouteName } from './message-record.ts'
import type { Nonce } from './nonces.ts'
import type { Credentials, Shown, SigningKeys } from './credentials.ts'
import type { PinnedTable } from './pinned-table.ts'
import type { Tags } from './privacy.ts'
import type { ProofTokens } from './proof-tokens.ts'
import type { Policy } from '../rewrite-rules/index.ts'
import type { ProofSettings, SmartHost } from './settings-routes.ts'
import type { Tenants } from './tenants.ts'

/** The project without its table: what queue and outbound need as well, whatever became of the table. */
export interface ProjectSettings {
  readonly policy: Policy
  /** undefined: the two-route configuration (product.md §8). */
  readonly tenants: Tenants | undefined
  readonly proof: ProofSettings
  readonly tokens: ProofTokens
  readonly signing: SigningKeys
  readonly nonces: readonly Nonce[]
  /** Runs of probes to be made; absent: none. */
  readonly probes?: readonly PushedProbe[]
  /** Names of the project's relays beside this one's own, lower case: nobody has a mailbox there. */
  readonly hosts?: readonly string[]
  /** undefined: delivered mail is not marked, and no loop is seen but by its Received fields. */
  readonly marker: MarkerKeys | undefined
  /** addr-spec; undefined: no mail to the unqualified postmaster. */
  readonly postmaster: string | undefined
  /** Address ranges beside those of the listeners (SP-3). */
  readonly allow: readonly string[]
  /** The routes that lead to one server each. */
  readonly routes: Readonly<Record<RouteName, SmartHost>>
  readonly tenantCertificates: Credentials['tenantCertificates']
  readonly serverTrust: Credentials['serverTrust']
  /** Shown by listeners beside those of the configuration; absent: there are none but those. */
  readonly listenerCertificates?: readonly Shown[]
  /** Authorities of client certificates, where the configuration names none; absent: the public ones. */
  readonly clientTrust?: readonly X509Certificate[]
  readonly tags: Tags
}

export interface ActiveSnapshot extends PinnedTable, ProjectSettings {
  /** Of the control plane's snapshots (RC-2); undefined: it comes from files. */
  readonly snapshotVersion: number | undefined
}

export interface SnapshotStatus {
  /** Mapping revision in force; undefined: none is, or it is too old. */
  readonly version: number | undefined
  /** Why nothing is in force, or why what is offered isn't; undefined when all is well. In words for an operator, without addresses. */
  readonly trouble: string | undefined
}

/** The one place that what is in force is asked of. */
export interface CurrentSnapshot {
  /** What a message that begins now uses; undefined: 451 4.3.5. */
  get(): ActiveSnapshot | undefined
  /** The same for what is made of mail that was taken already: also while no mail is taken. */
  forReports(): PinnedTable | undefined
  /** Where no table is in force as well; undefined: there has never been any. */
  settings(): ProjectSettings | undefined
  /** No new mail is taken, and what is there is delivered: 421 4.3.2. */
  readonly isDraining: boolean
  status(): SnapshotStatus
  /** Calls `run` whenever other settings are in force, at once and then after each swap, before anything uses them. */
  onSettings(run: (settings: ProjectSettings) => void): void
  /** Reads again what is read from files. Never throws. */
  reload(): Promise<void>
}
