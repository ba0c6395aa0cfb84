// Is a push what it says, from whom it must be, for this relay, and newer than what there is? Before anything of it is believed. (RC-2, RC-3) Pure.
import { PART_NAMES, SNAPSHOT_FORMAT } from '../../common/relay-contract.ts'
import type { Manifest, ManifestPart, PartName, SnapshotKey } from '../../common/relay-contract.ts'
import { isSignedBy } from '../enrolment/snapshot-key.ts'
import { PushRefused } from './push-refused.ts'

/** Whom the relay belongs to, and by which key it believes. */
export interface Addressee {
  readonly relay: string
  readonly project: string
  readonly installation: string
  readonly snapshotKey: SnapshotKey
}

/** What the relay has; a push builds on it, or is newer. */
export interface HeldVersion {
  readonly version: number
}

export interface SignedManifest {
  /** The very octets that were signed. */
  readonly manifest: Uint8Array
  readonly signature: Uint8Array
  /** Of the parts that came before it. */
  readonly parts: readonly ManifestPart[]
}

const distrusted = (reason: string) => new PushRefused(reason, 'distrust')

/**
 * @param held  undefined: nothing yet
 * @throws PushRefused
 */
export function judgePush(push: SignedManifest, to: Addressee, held: HeldVersion | undefined): Manifest {
  // The key's id stands in what it signs: read it, and believe nothing else before the signature holds.
  const value = parseJson(push.manifest)
  if (value?.['key'] !== to.snapshotKey.id) throw distrusted('it is signed by another key than the pinned one')
  if (!isSignedBy(to.snapshotKey, push.manifest, push.signature)) throw distrusted('its signature does not hold')
  if (value['format'] !== SNAPSHOT_FORMAT) throw new PushRefused('its format is unknown to this version')
  const manifest = parseManifest(value)
  if (manifest === undefined) throw new PushRefused('its manifest is malformed')
  if (manifest.installation !== to.installation) throw distrusted('it is of another installation')
  if (manifest.project !== to.project) throw distrusted('it is of another project')
  if (manifest.relay !== to.relay) throw distrusted('it is for another relay')
  judgeVersion(manifest, held)
  judgeParts(manifest, push.parts)
  return manifest
}

function judgeVersion({ version, base }: Manifest, held: HeldVersion | undefined): void {
  if (held !== undefined && version <= held.version)
    throw distrusted(`its version ${version} is not newer than ${held.version}`)
  if (base === undefined) return
  if (base >= version) throw new PushRefused(`it builds on version ${base}, which is not older than its own`)
  if (base !== held?.version) {
    throw new PushRefused(`it builds on version ${base}, the relay has ${held?.version ?? 'none'}`, 'resume')
  }
}

function judgeParts({ parts, base }: Manifest, received: readonly ManifestPart[]): void {
  const same = (a: ManifestPart, b: ManifestPart | undefined) =>
    a.name === b?.name && a.sizeBytes === b.sizeBytes && a.sha256 === b.sha256
  if (parts.length !== received.length || !parts.every((part, index) => same(part, received[index])))
    throw distrusted('its parts are not those of its manifest')
  const has = (name: PartName) => parts.some((part) => part.name === name)
  if (has('table') && has('table-delta')) throw new PushRefused('it has a table and a change of one')
  if (base !== undefined) return
  if (has('table-delta') || !has('table') || !has('settings') || !has('secrets'))
    throw new PushRefused('it is neither whole nor says what it builds on')
}

/** undefined when it has another form. Members that are unknown are of a later version, and were signed. */
function parseManifest(value: Readonly<Record<string, unknown>>): Manifest | undefined {
  const { installation, project, relay, version, createdAt, key, base, parts, table, settings, state } = value
  if (!isText(installation) || !isText(project) || !isText(relay) || !isText(createdAt) || !isText(key))
    return undefined
  if (!isCount(version) || !(base === undefined || isCount(base))) return undefined
  if (state !== 'active' && state !== 'draining') return undefined
  const { revision, digest, entries } = membersOf(table)
  const { version: settingsVersion } = membersOf(settings)
  if (!isCount(revision) || !isText(digest) || !isCount(entries) || !isCount(settingsVersion)) return undefined
  if (!Array.isArray(parts)) return undefined
  const parsed = parts.map(parsePart)
  if (!parsed.every((part) => part !== undefined)) return undefined
  return {
    format: SNAPSHOT_FORMAT,
    installation,
    project,
    relay,
    version,
    createdAt,
    key,
    ...(base === undefined ? {} : { base }),
    parts: parsed,
    table: { revision, digest, entries },
    settings: { version: settingsVersion },
    state,
  }
}

function parsePart(value: unknown): ManifestPart | undefined {
  const { name, sizeBytes, sha256 } = membersOf(value)
  const known = PART_NAMES.find((each) => each === name)
  return known === undefined || !isCount(sizeBytes) || !isText(sha256) ? undefined : { name: known, sizeBytes, sha256 }
}

/** One that was judged before, as the relay kept it. undefined when it is none. */
export function readManifest(bytes: Uint8Array): Manifest | undefined {
  const value = parseJson(bytes)
  return value?.['format'] === SNAPSHOT_FORMAT ? parseManifest(value) : undefined
}

function parseJson(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined // told as malformed
  }
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 1024
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
