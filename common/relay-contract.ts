// What control plane and relay say to each other, versioned: both halves are upgraded at different times. Shapes, paths and framing only;
// each half parses what it is told by itself. (product.md §5, RC-1…RC-7)
//
// The relay dials out. It enrols once with a code, then keeps one streaming answer of `GET /relay/v1/stream` open, over which pushes come.
// A push is some parts (each in chunks), then a manifest that names and hashes them, then the manifest's signature. Parts come first, because
// their hashes are known only once they were made; nothing is activated before the signature holds.

export const RELAY_PATHS = {
  enrol: '/relay/v1/enrol',
  stream: '/relay/v1/stream',
  report: '/relay/v1/report',
  events: '/relay/v1/events',
} as const

export const SNAPSHOT_FORMAT = 'causeway-snapshot/1'
export const SETTINGS_FORMAT = 'causeway-relay-settings/1'
export const SECRETS_FORMAT = 'causeway-relay-secrets/1'

/** Life of a relay's JWT (RC-1): EdDSA, `iss` and `sub` the relay's id, `aud` the installation, `jti` used once. */
export const MAX_TOKEN_LIFE_S = 60
/** Without anything to push a heartbeat comes so often; a relay that hears nothing for three of them dials again. */
export const HEARTBEAT_MS = 15_000
export const REPORT_EVERY_MS = 30_000
export const MAX_FRAME_BYTES = 1024 * 1024
export const MAX_EVENTS_PER_BATCH = 500

/**
 * What the answers mean to a relay. 200: done. 410: it is revoked, as by the frame. Of enrol every other 4xx but 408, 425 and 429 is definite: the
 * code is not taken, and the relay stops asking. Everything else is temporary: it tries again, later and later, at most 30 s apart.
 */
export const REVOKED_STATUS = 410

// ── Enrolment ─────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Body of POST enrol; no JWT, the code authorises it. A relay whose answer got lost asks again with the same code and the same keys within the code's
 * life, and has to get the same answer: a code is used up by other keys only.
 */
export interface EnrolRequest {
  readonly code: string
  /** The relay's name on the wire (EHLO). */
  readonly name: string
  readonly softwareVersion: string
  /** Ed25519, SPKI DER in base64url. The private key never leaves the machine. */
  readonly signingKey: string
  /** X25519, SPKI DER in base64url: secret parts are sealed to it (RC-2). */
  readonly sealingKey: string
}

export interface EnrolAnswer {
  readonly relay: string
  readonly organization: string
  readonly project: string
  /** `aud` of the relay's tokens. */
  readonly installation: string
  /** Verifies snapshots; pinned from now on. */
  readonly snapshotKey: SnapshotKey
}

export interface SnapshotKey {
  readonly id: string
  /** Ed25519, SPKI DER in base64url. */
  readonly publicKey: string
}

// ── The stream ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Query of GET stream: what the relay has. Absent: nothing yet. */
export interface StreamQuery {
  /** Snapshot version. */
  readonly version?: string
  /** Mapping revision of its table, and the table's digest: a delta is offered only on exactly that. */
  readonly revision?: string
  readonly digest?: string
  /** Version of its settings. */
  readonly settings?: string
  /** `1`: whatever it has, it wants the whole. */
  readonly whole?: string
  /** Id of the snapshot key that it believes: rotations lead on from that one. A rotation by any other key is distrusted, so it has to be known. */
  readonly key?: string
}

/**
 * Frame: 4 octets length of what follows (big endian), 1 octet kind, payload.
 * - `part` JSON `PartBegin`; then any number of `chunk`s
 * - `manifest` JSON `Manifest`, its very octets are what is signed; `signature` follows: 64 octets Ed25519, made by `manifest.key`
 * - `key` JSON `KeyRotation`
 * - `revoked`: the relay is cut off; it stops dialling
 */
export const FRAME_KINDS = { heartbeat: 1, part: 2, chunk: 3, manifest: 4, signature: 5, key: 6, revoked: 7 } as const
export type FrameKind = keyof typeof FRAME_KINDS
export const FRAME_HEAD_BYTES = 5

export const PART_NAMES = ['table', 'table-delta', 'settings', 'secrets'] as const
export type PartName = (typeof PART_NAMES)[number]

/** A larger part is refused. What changes more than a delta may hold is pushed as a table: a delta is applied in one go. */
export const MAX_PART_BYTES: Readonly<Record<PartName, number>> = {
  table: 1024 * 1024 * 1024,
  'table-delta': 4 * 1024 * 1024,
  settings: 4 * 1024 * 1024,
  secrets: 4 * 1024 * 1024,
}

export interface PartBegin {
  readonly name: PartName
}

/**
 * - `table`: the table file (product.md §8), `table-delta`: `causeway-mapping-delta`, both with digest
 * - `settings`: JSON `PushedSettings`
 * - `secrets`: JSON `PushedSecrets`, sealed to the relay (common/sealed-box.ts) with `sealContext` as its context
 * A part that is the same as what the relay has is left out; `Manifest.table` and `.settings` say what then holds.
 */
export interface ManifestPart {
  readonly name: PartName
  readonly sizeBytes: number
  /** Hex, of the part as it travels. */
  readonly sha256: string
}

export interface Manifest {
  readonly format: typeof SNAPSHOT_FORMAT
  readonly installation: string
  readonly project: string
  /** Made for this relay and no other. */
  readonly relay: string
  /** Grows with every relay-visible change of the project. */
  readonly version: number
  readonly createdAt: string
  /** Id of the key that signs. */
  readonly key: string
  /** Set: the parts complete exactly this version; unset: they are the whole. */
  readonly base?: number
  readonly parts: readonly ManifestPart[]
  readonly table: { readonly revision: number; readonly digest: string; readonly entries: number }
  readonly settings: { readonly version: number }
  /** `draining`: takes no new mail (not ready, 421), delivers what it holds. */
  readonly state: 'active' | 'draining'
}

export const sealContext = (manifest: Pick<Manifest, 'project' | 'relay' | 'version'>): string =>
  `${SECRETS_FORMAT} ${manifest.project} ${manifest.relay} ${manifest.version}`

/** A new snapshot key, signed by the pinned one: `signature` over `${KEY_ROTATION_PREFIX}${next.id} ${next.publicKey}`, base64url. */
export interface KeyRotation {
  readonly by: string
  readonly next: SnapshotKey
  readonly signature: string
}
export const KEY_ROTATION_PREFIX = 'causeway-snapshot-key/1 '

// ── Settings of the project's relays ──────────────────────────────────────────────────────────────────────────────

export interface PushedSmartHost {
  readonly host: string
  readonly port: number
  readonly tls: 'verify' | 'none'
  readonly tlsName?: string
  /** PEM of the authorities that are believed; absent: the public ones. */
  readonly trust?: string
}

export interface PushedTenant {
  /** 1 to 32 lower case letters, digits and `-`. */
  readonly id: string
  readonly tenantId?: string
  readonly acceptedDomains: readonly string[]
  /** Absent: nothing can be delivered to it yet (451). */
  readonly smartHost?: PushedSmartHost
}

/** Same names and meanings as in the relay's configuration file; what is local to a machine (listeners, spool, limits) stays there. */
export interface PushedSettings {
  readonly format: typeof SETTINGS_FORMAT
  readonly version: number
  readonly tenants: readonly PushedTenant[]
  readonly proof: { readonly need: 'token' | 'dkim' | 'token+dkim'; readonly crossTenantId: 'count' | 'demand' }
  /** rewriting.md §13; what `parsePolicy` reads. */
  readonly policy: Readonly<Record<string, unknown>>
  /** Address ranges of Exchange Online, added to those of the listeners (SP-3). */
  readonly allow: readonly string[]
  readonly dkim: readonly { readonly domain: string; readonly selector: string }[]
  readonly seal?: { readonly domain: string; readonly selector: string }
  readonly privacy: 'plain' | 'hashed' | 'off'
  /** ms; absent: any age will do. */
  readonly maxTableAgeMs?: number
  readonly postmaster?: string
  /** Names of the project's relays beside their own: mail to a nonce there is theirs, and nobody has a mailbox there. */
  readonly hosts?: readonly string[]
  /** PEM of the authorities whose client certificates listeners believe, where the machine names none (SP-2); absent: the public ones. */
  readonly clientTrust?: string
}

/** How many messages a relay hands over in one run of probes. */
export const PROBES_IN_A_RUN = 20

export interface PushedProbe {
  /** The word in `X-Causeway-Probe` that the tenant's probe rule looks for. */
  readonly nonce: string
  /** Who gets the messages, and brings them back in this direction. */
  readonly tenant: string
  readonly direction: 'out' | 'in'
  /** A name of the relays: recipients are `probe-<nonce>` there. */
  readonly host: string
}

export interface PushedSecrets {
  readonly format: typeof SECRETS_FORMAT
  /** Current, then previous: at most two each. */
  readonly proofTokens: readonly {
    readonly tenant: string
    readonly direction: 'out' | 'in'
    readonly tokens: readonly string[]
  }[]
  /** PKCS #8 PEM. */
  readonly dkim: readonly { readonly domain: string; readonly selector: string; readonly key: string }[]
  readonly seal?: { readonly domain: string; readonly selector: string; readonly key: string }
  /** PEM; shown to the tenant's smart host. */
  readonly clientCertificates: readonly {
    readonly tenant: string
    readonly certificate: string
    readonly key: string
  }[]
  /** PEM; shown by listeners to who names one of `names`, beside the certificates of the machine. Absent: none. */
  readonly listenerCertificates?: readonly {
    readonly names: readonly string[]
    readonly certificate: string
    readonly key: string
  }[]
  readonly nonces: readonly { readonly nonce: string; readonly until: string }[]
  /** Runs of probes that are asked for: each relay hands the tenant PROBES_IN_A_RUN messages to one of `nonces`, and again later, until the run is named no more. Absent: none. */
  readonly probes?: readonly PushedProbe[]
  /** R76: the same for all relays of the project. */
  readonly marker: {
    readonly token: string
    readonly previousToken?: string
    readonly secret: string
    readonly previousSecret?: string
  }
}

// ── Reports and events ────────────────────────────────────────────────────────────────────────────────────────────

/** Body of POST report: at each activation or refusal, and every REPORT_EVERY_MS. What the relay has, not "ok". */
export interface RelayReport {
  readonly version: number
  readonly revision: number
  readonly digest: string
  readonly entries: number
  readonly settings: number
  /** The last push that was refused, if it is newer than what it has; bland words. */
  readonly refused?: { readonly version: number; readonly reason: string }
  readonly softwareVersion: string
  readonly startedAt: string
  readonly isReady: boolean
  readonly reasons: readonly string[]
  readonly state: 'active' | 'draining'
  readonly queue: {
    readonly messages: number
    readonly oldestAgeMs: number
    readonly quarantined: number
    readonly dead: number
  }
  /** The certificate that expires first. */
  readonly certificateNotAfter?: string
  /** Events thrown away since enrolment because the buffer was full, by class (RC-7). */
  readonly droppedEvents: { readonly metric: number; readonly message: number; readonly audit: number }
}

export type EventClass = 'metric' | 'message' | 'audit'

/** Body of POST events: `{ events: RelayEvent[] }`, oldest first; 200 means stored. At-least-once: `id` makes it idempotent. */
export interface RelayEvent {
  /** Random, unique; sorts by time. */
  readonly id: string
  readonly class: EventClass
  /** RFC 3339, UTC. */
  readonly time: string
  /**
   * Of messages the journal's word (accepted, delivered, deferred, failed, reported, …); of audit `refused` and so on. Without a message of their own:
   * `probe` with `nonce`, `maker` (relay that handed it over), `index`, `tenant`, `direction`, `verdict`, and `validation` with `nonce` (SP-11).
   */
  readonly event: string
  readonly queueId?: string
  /** The journal's line without time, event and queueId: ids, codes, tags as privacy allows. At most 8 KiB. */
  readonly fields: Readonly<Record<string, unknown>>
}
