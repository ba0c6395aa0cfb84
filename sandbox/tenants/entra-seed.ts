// The people of the simulated tenants as Entra knows them: whoever could sign in there, administrators first.
import type { AppSeed, EntraSeed, TenantSeed } from '../entra/seed.ts'
import type { TenantData } from './objects.ts'

/** The page that asks who one is has room for so many of a tenant; the rest can't sign in. */
const MAX_PEOPLE = 200

export function entraSeedOf(tenants: readonly TenantData[], apps: readonly AppSeed[]): EntraSeed {
  return { tenants: tenants.map(entraTenant), apps }
}

function entraTenant({ id, displayName, cloud, domains, objects, administrators }: TenantData): TenantSeed {
  const isAdministrator = new Set(administrators)
  const users = objects.flatMap(({ kind, id: oid, properties }) => {
    const { userPrincipalName, displayName: name, accountEnabled, userType } = properties
    if (kind !== 'user' || userType === 'Guest' || typeof userPrincipalName !== 'string') return []
    const isEnabled = accountEnabled !== false
    const user = { oid, userPrincipalName, name: typeof name === 'string' ? name : userPrincipalName, isEnabled }
    return [isAdministrator.has(oid) ? { ...user, isAdministrator: true } : user]
  })
  const first = users.toSorted((a, b) => Number(isAdministrator.has(b.oid)) - Number(isAdministrator.has(a.oid)))
  const verified = domains.filter(({ isVerified }) => isVerified)
  const main = verified.find(({ isDefault }) => isDefault) ?? verified[0]
  return {
    id,
    domain: main?.id ?? id,
    otherDomains: verified.filter((domain) => domain !== main).map((domain) => domain.id),
    name: displayName,
    cloud,
    users: first.slice(0, MAX_PEOPLE),
  }
}
