// New-, Set- and Remove- of the settings that are objects with a name: parameters become the properties of the same name, the noun's own rules look at
// the whole, and the tenant keeps it. (coexistence.md §2.1)
import type { ExchangeObject } from '../tenants/objects.ts'
import type { Cmdlet, CmdletAnswer, CmdletCall } from './cmdlet.ts'
import { noRows } from './cmdlet.ts'
import { findSetting, settingRows } from './configuration.ts'
import { unboundParameters } from './exchange-error.ts'
import type { Properties } from './properties.ts'
import { settingValue } from './setting-values.ts'
import { requireFreeName, requireHydrated } from './write-rules.ts'

interface SettingNoun {
  readonly noun: string
  /** What a new one has of which its maker says nothing. */
  readonly defaults: Properties
  /** Names of parameters, with spaces between, beside Name. */
  readonly parameters: { readonly both: string; readonly onlyNew?: string; readonly onlySet?: string }
  /** Properties that follow from others. @param given  what the call says */
  readonly complete?: (after: Properties, given: Properties) => Properties
  /** @param after  as it will be @throws ExchangeError when it may not be so */
  readonly check?: (call: CmdletCall, after: Properties, guid: string | undefined) => void
  /** Once it has another name. */
  readonly renamed?: (call: CmdletCall, from: string, to: string) => void
  /** @throws ExchangeError when it has to stay */
  readonly checkRemoval?: (call: CmdletCall, object: ExchangeObject) => void
}

export function settingCmdlets(setting: SettingNoun): readonly Cmdlet[] {
  const { noun, defaults, parameters, complete = (after) => after, check = () => {} } = setting
  const shared = wordsOf(parameters.both)
  const ofNew = [...shared, ...wordsOf(parameters.onlyNew ?? '')]
  const ofSet = [...shared, ...wordsOf(parameters.onlySet ?? '')]
  return [
    {
      name: `New-${noun}`,
      isWrite: true,
      heeds: ['Name', ...ofNew],
      run: (call) => {
        requireHydrated(call.tenant)
        const name = nameIn(call)
        requireFreeName(call.tenant, noun, name)
        const given = givenProperties(call, `New-${noun}`, ofNew, defaults)
        const properties = complete({ ...named(name), ...defaults, ...given }, given)
        check(call, properties, undefined)
        return made(call, noun, properties)
      },
    },
    {
      name: `Set-${noun}`,
      isWrite: true,
      heeds: ['Identity', 'Name', ...ofSet],
      run: (call) => {
        requireHydrated(call.tenant)
        const before = findSetting(call, noun, identityIn(call))
        const given = givenProperties(call, `Set-${noun}`, ofSet, before.properties)
        const renaming = renamingOf(call, before)
        const properties = complete({ ...before.properties, ...given, ...renaming }, given)
        check(call, properties, before.guid)
        if (renaming !== undefined) setting.renamed?.(call, nameOf(before), renaming.Name)
        return changed(call, { ...before, properties })
      },
    },
    {
      name: `Remove-${noun}`,
      isWrite: true,
      heeds: ['Identity'],
      run: (call) => {
        const { tenant } = call
        const object = findSetting(call, noun, identityIn(call))
        setting.checkRemoval?.(call, object)
        tenant.removeExchangeObject(object.guid)
        return { rows: noRows, guid: object.guid }
      },
    },
  ]
}

/** @param cmdlet  whose published types decide @param before  of the object, for lists that are added to */
export function givenProperties(
  { parameters, services }: CmdletCall,
  cmdlet: string,
  properties: readonly string[],
  before: Properties,
): Record<string, unknown> {
  const published = services.contracts.cmdlets.byName.get(cmdlet.toLowerCase())
  const given = parameters.given
  return Object.fromEntries(
    properties
      .filter((property) => given[property] !== undefined)
      .map((property) => {
        const type = published?.parameters.get(property.toLowerCase())?.type ?? ''
        return [property, settingValue(property, type, given[property], before[property])]
      }),
  )
}

/** Kept from now on, seen when the tenant's readers see what is new. Answers its row. */
export function made(call: CmdletCall, noun: string, properties: Properties): CmdletAnswer {
  const { tenant, services, behaviour } = call
  const at = timeOf(call)
  const object = { guid: services.guid(), noun, properties: { ...properties, WhenCreated: at, WhenChanged: at } }
  tenant.putExchangeObject(object, visibleAtMs(services.clock.nowMs(), behaviour.visibleAfterMs))
  return { rows: settingRows(call, [object]), guid: object.guid }
}

export function changed(call: CmdletCall, object: ExchangeObject): CmdletAnswer {
  call.tenant.putExchangeObject({ ...object, properties: { ...object.properties, WhenChanged: timeOf(call) } })
  return { rows: noRows, guid: object.guid }
}

/** 0: at once. */
export function visibleAtMs(nowMs: number, afterMs: number): number {
  return afterMs === 0 ? 0 : nowMs + afterMs
}

export function timeOf({ services }: CmdletCall): string {
  return new Date(services.clock.nowMs()).toISOString()
}

export function identityIn({ parameters }: CmdletCall): string {
  return parameters.text('Identity') ?? ''
}

/** @throws ExchangeError when there is none, or it is too long */
export function nameIn({ parameters }: CmdletCall): string {
  const name = settingValue('Name', 'String', parameters.value('Name') ?? null, undefined)
  if (typeof name !== 'string') throw unboundParameters(['Name'])
  return name
}

/** undefined: it keeps its name. @throws ExchangeError when another has it */
export function renamingOf(
  call: CmdletCall,
  object: ExchangeObject,
): { readonly Name: string; readonly Identity: string } | undefined {
  if (!call.parameters.has('Name')) return undefined
  const name = nameIn(call)
  requireFreeName(call.tenant, object.noun, name, object.guid)
  return name === nameOf(object) ? undefined : named(name)
}

export function nameOf({ guid, properties }: ExchangeObject): string {
  const { Name: name } = properties
  return typeof name === 'string' ? name : guid
}

export function named(name: string): { readonly Name: string; readonly Identity: string } {
  return { Name: name, Identity: name }
}

export function wordsOf(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
