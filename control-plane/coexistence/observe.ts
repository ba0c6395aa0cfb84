// Reads what a tenant has of the nouns that coexistence touches, whole each time: before the first change, for every plan, and when it went off as the
// proof that all is as it was. A proof token becomes its digest here and goes no further. (coexistence.md §2.1 row 0, §2.2, KM-5)
import { createHash } from 'node:crypto'
import type { TenantId } from '../ids.ts'
import type { ExchangeClient, Parameters } from '../microsoft/clients.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { parseMark } from './mark.ts'
import { readProperties } from './settable.ts'
import { PROOF_HEADER } from './tenant-object.ts'
import type { Noun, ObservedObject, ProofToken, Properties } from './tenant-object.ts'

/** Of one noun in one tenant. Exchange Online allows 300 rules, and fewer connectors. */
const MAX_OBJECTS = 5_000
const MAX_MEMBERS = 200_000
const GUID = /^[0-9a-f-]{36}$/i

export interface ObserveOptions {
  readonly tenant: TenantId
  /** `Causeway-<project8>-`: distribution groups of other names are nobody's business here. */
  readonly groupPrefix: string
  /** Tokens that are known, to say which direction one is of. */
  readonly proofs?: readonly ProofToken[]
  /** Only these; default: all. */
  readonly nouns?: readonly Noun[]
  readonly signal?: AbortSignal
}

type Row = Readonly<Record<string, unknown>>

const SETTINGS: readonly { readonly noun: Noun; readonly parameters: Parameters }[] = [
  { noun: 'InboundConnector', parameters: { ResultSize: 'Unlimited' } },
  { noun: 'OutboundConnector', parameters: { ResultSize: 'Unlimited', IncludeTestModeConnectors: true } },
  { noun: 'ArcConfig', parameters: {} },
  { noun: 'RemoteDomain', parameters: { ResultSize: 'Unlimited' } },
  { noun: 'OrganizationRelationship', parameters: {} },
  { noun: 'TransportRule', parameters: { ResultSize: 'Unlimited' } },
]

/** @throws MicrosoftError; UNEXPECTED as well for answers that no tenant gives: objects without a Guid, or far too many */
export async function observeTenant(exchange: ExchangeClient, options: ObserveOptions): Promise<ObservedObject[]> {
  const isWanted = (noun: Noun) => options.nouns?.includes(noun) ?? true
  const observed = isWanted('DistributionGroup') ? await observeGroups(exchange, options) : []
  for (const { noun, parameters } of SETTINGS.filter((each) => isWanted(each.noun))) {
    const rows = await readRows(exchange, `Get-${noun}`, parameters, MAX_OBJECTS, options)
    observed.push(...rows.map((row) => toObserved(noun, row, options)))
  }
  return observed
}

async function observeGroups(exchange: ExchangeClient, options: ObserveOptions): Promise<ObservedObject[]> {
  const { groupPrefix } = options
  if (!/^[A-Za-z0-9-]+-$/.test(groupPrefix)) throw new RangeError('a prefix of letters, digits and hyphens')
  const chosen = { Filter: `Name -like '${groupPrefix}*'`, ResultSize: 'Unlimited' }
  const isOurs = (row: Row) => textOf(row['Name']).toLowerCase().startsWith(groupPrefix.toLowerCase())
  const groups = (await readRows(exchange, 'Get-DistributionGroup', chosen, MAX_OBJECTS, options)).filter(isOurs)
  // Notes are not among what Get-DistributionGroup answers.
  const notes = new Map<string, unknown>()
  if (groups.length > 0)
    for (const row of await readRows(exchange, 'Get-Group', chosen, MAX_OBJECTS, options))
      notes.set(guidOf('Get-Group', row), row['Notes'])
  const observed: ObservedObject[] = []
  for (const row of groups) {
    const group = toObserved(
      'DistributionGroup',
      { ...row, Notes: notes.get(guidOf('Get-DistributionGroup', row)) },
      options,
    )
    observed.push({ ...group, members: await readMembers(exchange, group.guid, options) })
  }
  return observed
}

async function readMembers(exchange: ExchangeClient, group: string, options: ObserveOptions): Promise<string[]> {
  const cmdlet = 'Get-DistributionGroupMember'
  const parameters = { Identity: group, ResultSize: 'Unlimited' }
  const rows = await readRows(exchange, cmdlet, parameters, MAX_MEMBERS, options, ['Guid', 'ExternalDirectoryObjectId'])
  return [...new Set(rows.map((row) => memberOf(cmdlet, row)))].toSorted()
}

async function readRows(
  exchange: ExchangeClient,
  cmdlet: string,
  parameters: Parameters,
  max: number,
  { signal }: ObserveOptions,
  select?: readonly string[],
): Promise<Row[]> {
  const rows: Row[] = []
  const how = { ...(select === undefined ? {} : { select }), ...(signal === undefined ? {} : { signal }) }
  for await (const page of exchange.read<Row>(cmdlet, parameters, how)) {
    rows.push(...page)
    if (rows.length > max)
      throw new MicrosoftError('UNEXPECTED', { operation: cmdlet, serviceCode: 'too-many-objects' })
  }
  return rows
}

function toObserved(noun: Noun, row: Row, options: ObserveOptions): ObservedObject {
  const { mark } = parseMark(textOf(row['Comment'] ?? row['Comments'] ?? row['Notes']))
  const { State: state, Priority: priority } = row
  return {
    tenant: options.tenant,
    noun,
    guid: guidOf(`Get-${noun}`, row),
    name: textOf(row['Name']),
    properties: withoutProof(readProperties(noun, row), mark?.key, options),
    ...(mark === undefined ? {} : { mark }),
    ...(noun === 'TransportRule' ? { isEnabled: textOf(state).toLowerCase() === 'enabled' } : {}),
    ...(noun === 'TransportRule' && typeof priority === 'number' ? { priority } : {}),
  }
}

function withoutProof(properties: Properties, key: string | undefined, { proofs = [] }: ObserveOptions): Properties {
  const { SetHeaderName: header, SetHeaderValue: token } = properties
  if (typeof header !== 'string' || header.trim().toLowerCase() !== PROOF_HEADER.toLowerCase()) return properties
  if (token === null || token === undefined) return properties
  const sha256 = createHash('sha256')
    .update(typeof token === 'string' ? token : JSON.stringify(token))
    .digest('hex')
  const connector = properties['RouteMessageOutboundConnector']
  const isIn = key?.startsWith('rule-40') === true || (typeof connector === 'string' && /-Elsewhere$/i.test(connector))
  const known = proofs.find((proof) => proof.sha256 === sha256)
  return { ...properties, SetHeaderValue: { proof: known?.proof ?? (isIn ? 'in' : 'out'), sha256 } }
}

function guidOf(cmdlet: string, row: Row): string {
  const { Guid: guid } = row
  if (typeof guid === 'string' && GUID.test(guid)) return guid.toLowerCase()
  // The one there is of its noun.
  if (cmdlet === 'Get-ArcConfig') return 'default'
  throw new MicrosoftError('UNEXPECTED', { operation: cmdlet, serviceCode: 'no-guid' })
}

/** As the directory knows a recipient: by Entra's id, where it has one. */
function memberOf(cmdlet: string, row: Row): string {
  const { ExternalDirectoryObjectId: id } = row
  return typeof id === 'string' && GUID.test(id) ? id.toLowerCase() : guidOf(cmdlet, row)
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\uFFFD') : ''
