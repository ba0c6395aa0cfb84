// Calls of Exchange that make, change and remove one object, each with what takes it back. Pure. (coexistence.md §2.1)
import { specHash } from './equality.ts'
import { parseMark, writeMark } from './mark.ts'
import type { Call, CallStep } from './step.ts'
import type { DesiredObject, Noun, ObservedObject, Properties, Value } from './tenant-object.ts'

/** What New- does not take, or what only the object's own later step may say; of remote domains everything but the domain. */
const ONLY_SET: Partial<Record<Noun, ReadonlySet<string>>> = {
  DistributionGroup: new Set(['HiddenFromAddressListsEnabled']),
  InboundConnector: new Set(['EFSkipLastIP', 'EFUsers']),
  OutboundConnector: new Set(['IsValidated']),
}
const MARKS: Partial<Record<Noun, string>> = {
  DistributionGroup: 'Notes',
  InboundConnector: 'Comment',
  OutboundConnector: 'Comment',
  TransportRule: 'Comments',
}
const CREATED_AS: Partial<Record<Noun, Properties>> = {
  DistributionGroup: { Type: 'Security' },
  TransportRule: { Enabled: false },
}

export function isOnlySet(noun: Noun, property: string): boolean {
  return noun === 'RemoteDomain' ? property !== 'DomainName' : (ONLY_SET[noun]?.has(property) ?? false)
}

/** Groups: an app owns none. Removals: nobody is there to confirm. */
function always(noun: Noun, cmdlet: string): Readonly<Record<string, Value>> {
  return {
    ...(noun === 'DistributionGroup' && !cmdlet.startsWith('New-') ? { BypassSecurityGroupManagerCheck: true } : {}),
    ...(/^(?:Remove|Disable)-/.test(cmdlet) ? { Confirm: false } : {}),
  }
}

export function callOn(
  verb: string,
  noun: Noun,
  identity: string,
  parameters: Readonly<Record<string, Value>> = {},
): Call {
  const cmdlet = `${verb}-${noun}`
  return { cmdlet, parameters: { Identity: identity, ...parameters, ...always(noun, cmdlet) } }
}

export function stepOf(
  object: Pick<DesiredObject, 'tenant' | 'noun' | 'key' | 'name'>,
  observed: ObservedObject | undefined,
  effect: CallStep['effect'],
  call: Call,
  changes: { readonly writes?: Properties; readonly before?: Properties; readonly undo?: readonly Call[] } = {},
): CallStep {
  const { tenant, noun, key, name } = object
  const { writes = {}, before = {}, undo = [] } = changes
  const guid = observed === undefined ? {} : { guid: observed.guid }
  return { kind: 'call', tenant, noun, key, name, ...guid, effect, ...call, writes, before, undo }
}

/** What others wrote beside our mark stays. @param observed  undefined: it is made */
export function markParameter(
  project: string,
  object: DesiredObject,
  observed?: ObservedObject,
): Readonly<Record<string, Value>> {
  const field = MARKS[object.noun]
  if (field === undefined) return {}
  const said = observed?.properties[field]
  const { other } = parseMark(typeof said === 'string' ? said : undefined)
  return { [field]: writeMark({ project, key: object.key, specHash: specHash(object.name, object.properties) }, other) }
}

/** @param priority  of a rule */
export function createSteps(project: string, object: DesiredObject, priority?: number): readonly CallStep[] {
  const { noun, name, properties } = object
  const entries = Object.entries(properties)
  const first = Object.fromEntries(entries.filter(([property]) => !isOnlySet(noun, property)))
  const parameters = {
    Name: name,
    ...CREATED_AS[noun],
    ...first,
    ...(priority === undefined ? {} : { Priority: priority }),
    ...markParameter(project, object),
  }
  const writes = noun === 'TransportRule' ? { ...first, State: 'Disabled' } : first
  const create = stepOf(
    object,
    undefined,
    'create',
    { cmdlet: `New-${noun}`, parameters },
    {
      writes,
      undo: [callOn('Remove', noun, name)],
    },
  )
  // A connector is said to be validated after it was.
  const later = Object.fromEntries(
    entries.filter(([property]) => isOnlySet(noun, property) && property !== 'IsValidated'),
  )
  if (Object.keys(later).length === 0) return [create]
  // Its undo is that of the creation.
  return [create, stepOf(object, undefined, 'set', callOn('Set', noun, name, later), { writes: later })]
}

/** @param changed  properties that differ, as they shall be */
export function setStep(
  object: DesiredObject,
  observed: ObservedObject,
  changed: Properties,
  extra: Readonly<Record<string, Value>> = {},
  effect: 'set' | 'write-back' = 'set',
): CallStep {
  const before = Object.fromEntries(Object.keys(changed).map((each) => [each, observed.properties[each] ?? null]))
  const { noun } = object
  return stepOf(object, observed, effect, callOn('Set', noun, identityOf(observed), { ...changed, ...extra }), {
    writes: changed,
    before,
    undo: [callOn('Set', noun, identityOf(observed), before)],
  })
}

/** The ARC configuration is known by its name alone. */
export const identityOf = (observed: ObservedObject): string =>
  observed.noun === 'ArcConfig' ? observed.name : observed.guid
