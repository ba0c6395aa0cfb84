// What mail flow rules name: outbound connectors and groups. A rule means the object and not the word: it goes along when that gets another name.
import type { ExchangeObject } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'

const CONNECTOR = 'RouteMessageOutboundConnector'
const GROUPS = /MemberOf\d?$/

export function isGroupProperty(property: string): boolean {
  return GROUPS.test(property)
}

export function rulesNamingConnector(
  tenant: SimulatedTenant,
  { guid, properties }: ExchangeObject,
): readonly ExchangeObject[] {
  return tenant
    .exchangeObjects('TransportRule')
    .filter((rule) => [guid, properties['Name']].some((name) => isSame(rule.properties[CONNECTOR], name)))
}

export function renameConnectorInRules(tenant: SimulatedTenant, from: string, to: string): void {
  for (const rule of tenant.exchangeObjects('TransportRule')) {
    if (!isSame(rule.properties[CONNECTOR], from)) continue
    tenant.putExchangeObject({ ...rule, properties: { ...rule.properties, [CONNECTOR]: to } })
  }
}

/** @param to  by what the group named `from` goes from now on */
export function renameGroupInRules(tenant: SimulatedTenant, from: string, to: string): void {
  for (const rule of tenant.exchangeObjects('TransportRule')) {
    const renamed = Object.entries(rule.properties).flatMap(([property, value]) => {
      const names = isGroupProperty(property) && Array.isArray(value) ? (value as readonly unknown[]) : []
      const after = names.map((name) => (isSame(name, from) ? to : name))
      return names.some((name) => isSame(name, from)) ? [[property, after] as const] : []
    })
    if (renamed.length === 0) continue
    tenant.putExchangeObject({ ...rule, properties: { ...rule.properties, ...Object.fromEntries(renamed) } })
  }
}

function isSame(value: unknown, name: unknown): boolean {
  return typeof value === 'string' && typeof name === 'string' && value.toLowerCase() === name.toLowerCase()
}
