// What an administrator chooses to let the product do in a tenant, and which permissions that takes. Pure. (EC-2, microsoft-365.md §2.5)
import { z } from 'zod'
import { EXCHANGE_MANAGE_AS_APP, PERMISSION_SETS } from './permission-sets.ts'
import type { PermissionSet, PermissionSetName } from './permission-sets.ts'
import type { Tenant } from './tenant.ts'

export const CAPABILITIES = ['discovery', 'accounts', 'mailboxes', 'drives', 'coexistence'] as const
export type Capability = (typeof CAPABILITIES)[number]
export const LEVELS = ['minimal', 'full'] as const
export type Level = (typeof LEVELS)[number]

/** A tenant's consent as it was asked for. */
export interface Choices {
  readonly capabilities: readonly { readonly capability: Capability; readonly level: Level }[]
  /** Names of optional permissions that are wanted too. */
  readonly optional: readonly string[]
}

const SETS: Readonly<Record<Capability, Readonly<Record<Level, PermissionSetName>>>> = {
  discovery: { minimal: 'Basic Minimal', full: 'Basic Minimal' },
  accounts: { minimal: 'Basic Minimal', full: 'Basic Full' },
  mailboxes: { minimal: 'Mailbox Minimal', full: 'Mailbox Full' },
  drives: { minimal: 'OneDrive Minimal', full: 'OneDrive Full' },
  coexistence: { minimal: 'Coexistence', full: 'Coexistence' },
}

/** Reads of the source, writes of the target. */
export const defaultLevel = (side: Tenant['side']): Level => (side === 'source' ? 'minimal' : 'full')

export const setOf = (capability: Capability, level: Level): PermissionSetName => SETS[capability][level]

export interface NeededPermission {
  readonly resource: 'graph' | 'exchange'
  readonly name: string
  readonly id: string
  /** What for, by capability. */
  readonly reasons: readonly string[]
  readonly isOptional: boolean
}

export interface Needed {
  readonly permissions: readonly NeededPermission[]
  /** Exchange's own roles for the application; empty: it needs none. */
  readonly exchangeRoles: readonly string[]
}

/** What the choices take, each permission once. Optional ones only where they were chosen. */
export function neededFor({ capabilities, optional }: Choices): Needed {
  const permissions = new Map<string, NeededPermission>()
  const exchangeRoles = new Set<string>()
  const add = (resource: 'graph' | 'exchange', name: string, id: string, why: string, isOptional: boolean): void => {
    if (isOptional && !optional.includes(name)) return
    const before = permissions.get(name)
    permissions.set(name, {
      resource,
      name,
      id,
      reasons: [...new Set([...(before?.reasons ?? []), why])],
      isOptional: isOptional && (before?.isOptional ?? true),
    })
  }
  for (const { capability, level } of capabilities) {
    const set: PermissionSet = PERMISSION_SETS[setOf(capability, level)]
    for (const { name, id, why, isOptional = false } of set.graph) add('graph', name, id, why, isOptional)
    if (set.exchange === undefined) continue
    add('exchange', EXCHANGE_MANAGE_AS_APP.name, EXCHANGE_MANAGE_AS_APP.id, set.exchange.why, set.exchange.isOptional)
    if (permissions.has(EXCHANGE_MANAGE_AS_APP.name)) for (const role of set.exchange.roles) exchangeRoles.add(role)
  }
  return { permissions: [...permissions.values()], exchangeRoles: [...exchangeRoles] }
}

/** Every optional permission that the capabilities know. */
export function optionalOf(capabilities: Choices['capabilities']): ReadonlySet<string> {
  const names = new Set<string>()
  for (const { capability, level } of capabilities) {
    const set: PermissionSet = PERMISSION_SETS[setOf(capability, level)]
    for (const { name, isOptional } of set.graph) if (isOptional === true) names.add(name)
    if (set.exchange?.isOptional === true) names.add(EXCHANGE_MANAGE_AS_APP.name)
  }
  return names
}

/** Names of what is needed and was not granted. A wider permission stands for the narrower one of its name. */
export function missingFrom(needed: readonly Pick<NeededPermission, 'name'>[], granted: readonly string[]): string[] {
  const has = new Set(granted)
  return needed.map(({ name }) => name).filter((name) => !widerThan(name).some((wider) => has.has(wider)))
}

/** `User.Read.All` is held by whoever holds `User.ReadWrite.All`; `Directory.Read.All` stands for nothing here: nobody has to grant it. */
function widerThan(name: string): readonly string[] {
  const [, area, verb, rest = ''] = /^([\w.]+?)\.(ReadBasic|Read)(\..+)?$/.exec(name) ?? []
  if (area === undefined) return [name]
  const wider = [name, `${area}.ReadWrite${rest}`]
  return verb === 'ReadBasic' ? [...wider, `${area}.Read${rest}`] : wider
}

export const choicesBody = z
  .strictObject({
    capabilities: z
      .array(
        z.strictObject({
          capability: z.enum(CAPABILITIES),
          level: z
            .enum(LEVELS)
            .optional()
            .meta({ description: '`minimal` reads only. Default: minimal in a source, full in a target.' }),
        }),
      )
      .min(1)
      .max(CAPABILITIES.length)
      .refine((list) => new Set(list.map(({ capability }) => capability)).size === list.length, 'no capability twice')
      .default([{ capability: 'discovery' }]),
    optionalPermissions: z
      .array(z.string().max(100))
      .max(50)
      .default([])
      .meta({ description: 'Of those that the manifest marks optional; `Exchange.ManageAsApp` shows mailboxes too.' }),
  })
  .meta({ id: 'ConsentChoices', description: 'What the product is to be let do in the tenant.' })

/** @returns the choices, or the names of optional permissions that these capabilities don't know */
export function readChoices(
  { capabilities, optionalPermissions }: z.output<typeof choicesBody>,
  side: Tenant['side'],
): Choices | { readonly unknown: readonly string[] } {
  const chosen = capabilities.map(({ capability, level }) => ({ capability, level: level ?? defaultLevel(side) }))
  const known = optionalOf(chosen)
  const unknown = optionalPermissions.filter((name) => !known.has(name))
  return unknown.length > 0 ? { unknown } : { capabilities: chosen, optional: [...new Set(optionalPermissions)] }
}
