// The two organisations of an evaluation and of most tests: Contoso, which is bought, and Fabrikam, which buys it. Sixty people each, and of every
// kind of object, setting and trap at least one. The cast stands in contoso*.ts and fabrikam*.ts; ids, sizes and telephone numbers come of the seed.
// Members with a value only, as objects.ts says; `EmailAddresses` of a recipient equal `proxyAddresses` of its directory object.
import type { TenantData } from './objects.ts'
import { contoso } from './contoso.ts'
import { fabrikam } from './fabrikam.ts'

export { ADELE, CONTOSO, LEE, FABRIKAM } from './constants.ts'

/** The same seed gives the same tenants, byte for byte. People named by an id in constants.ts have it under every seed. */
export function seedTenants(seed: number): { contoso: TenantData; fabrikam: TenantData } {
  return { contoso: contoso(seed), fabrikam: fabrikam(seed) }
}
