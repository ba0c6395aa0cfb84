// From what the relay has, and what came, to what it has next: the whole of it, checked, or nothing. The same for what is pushed, read from disk, or
// passed on to a worker. Large work is done in slices: mail goes on meanwhile. (RC-3, RC-5, RC-6)
import { setImmediate } from 'node:timers/promises'
import type { Manifest } from '../../common/relay-contract.ts'
import { normaliseDomain, TableFault } from '../../rewrite-rules/index.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'
import { makePushedProject } from '../pushed-project.ts'
import type { LocalAbilities, PushedProjectSettings } from '../pushed-project.ts'
import { PushedFault } from '../pushed-settings.ts'
import { PushRefused } from './push-refused.ts'

/** One version, complete. Never changes. */
export interface HeldSnapshot {
  readonly version: number
  readonly manifest: Manifest
  /** As it was signed. */
  readonly manifestBytes: Uint8Array
  readonly table: MappingTable
  /** JSON, as pushed. */
  readonly settings: Uint8Array
  /** JSON, opened. */
  readonly secrets: Uint8Array
  readonly project: PushedProjectSettings
}

/** Parts of a push; what is absent stays as it is. */
export interface PushedParts {
  readonly table?: MappingTable
  /** JSON of `causeway-mapping-delta/1` */
  readonly delta?: Uint8Array
  readonly settings?: Uint8Array
  readonly secrets?: Uint8Array
}

export interface Pushed {
  readonly manifest: Manifest
  readonly manifestBytes: Uint8Array
  readonly parts: PushedParts
}

/**
 * @param held  what the manifest's `base` names; undefined where it is whole
 * @throws PushRefused; then nothing has changed
 */
export async function nextSnapshot(
  held: HeldSnapshot | undefined,
  { manifest, manifestBytes, parts }: Pushed,
  local: LocalAbilities,
): Promise<HeldSnapshot> {
  const settings = parts.settings ?? held?.settings
  const secrets = parts.secrets ?? held?.secrets
  if (settings === undefined || secrets === undefined) throw new PushRefused('it is not whole', 'whole')
  const isProjectSame = parts.settings === undefined && parts.secrets === undefined
  const project = (isProjectSame ? held?.project : undefined) ?? projectOf(settings, secrets, local)
  if (project.version !== manifest.settings.version)
    throw new PushRefused(
      `its settings have version ${project.version}, its manifest says ${manifest.settings.version}`,
    )
  const delta = parts.delta && readDelta(parts.delta, manifest)
  // Before it is applied: a table that was changed in vain has to be copied for the next change.
  if (delta !== undefined) mustBeAccepted(targetsOf(delta), project.acceptedDomains)
  const table = tableOf(held, manifest, parts.table, delta)
  const isChecked = table === held?.table || (delta !== undefined && parts.table === undefined)
  if (parts.settings !== undefined || !isChecked) mustBeAccepted(await allTargets(table), project.acceptedDomains)
  return { version: manifest.version, manifest, manifestBytes, table, settings, secrets, project }
}

function projectOf(settings: Uint8Array, secrets: Uint8Array, local: LocalAbilities): PushedProjectSettings {
  try {
    return makePushedProject(settings, secrets, local)
  } catch (error) {
    if (error instanceof PushedFault) throw new PushRefused(error.message)
    throw error
  }
}

function tableOf(
  held: HeldSnapshot | undefined,
  manifest: Manifest,
  whole: MappingTable | undefined,
  delta: DeltaJson | undefined,
): MappingTable {
  const before = held?.table
  const table = whole ?? (delta === undefined ? before : changed(before, delta))
  if (table === undefined) throw new PushRefused('it has no table', 'whole')
  const { revision, digest, entries } = manifest.table
  if (table.project !== manifest.project) throw new PushRefused('its table is of another project')
  if (table.version !== revision || table.digest !== digest || table.entryCount !== entries) {
    if (whole !== undefined) throw new PushRefused('its table is not the one that its manifest names')
    throw new PushRefused('the table with its change is not the one that its manifest names', 'whole')
  }
  if (before !== undefined && table.version < before.version)
    throw new PushRefused(`its mapping revision ${table.version} is older than ${before.version}`)
  if (before !== undefined && table.version === before.version && table.digest !== before.digest)
    throw new PushRefused(`its mapping has other content, and still revision ${table.version}`)
  return table
}

type DeltaJson = Readonly<Record<string, unknown>>

/** As far as it has to fit its manifest; the table judges the rest. */
function readDelta(bytes: Uint8Array, { table }: Manifest): DeltaJson {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new PushRefused('its change of the table is no JSON', 'whole') // without the cause: it quotes what is written
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new PushRefused('its change of the table is no JSON object', 'whole')
  const delta = { ...json } as DeltaJson
  if (delta['toVersion'] !== table.revision || delta['digest'] !== table.digest)
    throw new PushRefused('its change of the table does not lead to the table that its manifest names', 'whole')
  return delta
}

function changed(table: MappingTable | undefined, delta: DeltaJson): MappingTable {
  if (table === undefined) throw new PushRefused('it changes a table that the relay has not', 'whole')
  try {
    return table.apply(delta)
  } catch (error) {
    if (!(error instanceof TableFault)) throw error
    throw new PushRefused(`its change of the table is refused: ${faultText(error)}`, 'whole')
  }
}

/** Without the values: they are addresses (PR-2). */
export function faultText({ faults }: TableFault): string {
  const [first] = faults
  const more = faults.length > 1 ? `, and ${faults.length - 1} more` : ''
  return first === undefined ? 'faulty' : `${first.path}: ${ruleText(first)}${more}`
}

/** A reason may name who else has an address: only those of a fixed text are told. */
function ruleText({ rule, reason }: TableFault['faults'][number]): string {
  return reason.includes('@') ? rule : `${reason} (${rule})`
}

/** RC-5: no target outside the domains that the project's tenants accept. Without any there is nowhere to send mail to anyway. */
function mustBeAccepted(targets: ReadonlySet<string>, accepted: ReadonlySet<string>): void {
  const outside = accepted.size === 0 ? undefined : [...targets].find((domain) => !accepted.has(domain))
  if (outside !== undefined)
    throw new PushRefused(`its mapping leads to ${outside}, which is no accepted domain of a tenant`)
}

async function allTargets(table: MappingTable): Promise<ReadonlySet<string>> {
  const slice = table.targetDomains()
  for (;;) {
    const found = slice()
    if (found !== undefined) return found
    await setImmediate()
  }
}

/** What is malformed is for the table to refuse. */
function targetsOf({ upsert, domainRules, wildcards }: DeltaJson): ReadonlySet<string> {
  const texts = (list: unknown, members: readonly string[]): string[] =>
    (Array.isArray(list) ? list : []).flatMap((item: unknown) => {
      const values =
        typeof item === 'object' && item !== null ? new Map<string, unknown>(Object.entries(item)) : new Map()
      return members.map((member) => values.get(member)).filter((value) => typeof value === 'string')
    })
  const twoWay = (Array.isArray(domainRules) ? domainRules : []).filter((rule: unknown) => {
    return typeof rule === 'object' && rule !== null && 'direction' in rule && rule.direction === 'both'
  })
  return new Set(
    [
      ...texts(upsert, ['presented', 'mailbox']),
      ...texts(domainRules, ['to']),
      ...texts(twoWay, ['from']),
      ...texts(wildcards, ['to']),
    ].map(domainOf),
  )
}

function domainOf(address: string): string {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  return normaliseDomain(domain) ?? domain
}
