// What the simulated tenants have bought. SKU and service plan ids as in Microsoft's "Product names and service plan identifiers for licensing"
// (from memory, unverified): nothing may depend on them.
import type { Licence } from './objects.ts'

type Plan = Licence['servicePlans'][number]

const plan = (servicePlanName: string, servicePlanId: string): Plan => ({ servicePlanId, servicePlanName })

const EXCHANGE_PLAN_2 = plan('EXCHANGE_S_ENTERPRISE', 'efb87545-963c-4e0d-99df-69c6916d9eb0')
const EXCHANGE_PLAN_1 = plan('EXCHANGE_S_STANDARD', '9aaf7827-d63c-4b61-89c3-182f06f82e5c')
const EXCHANGE_KIOSK = plan('EXCHANGE_S_DESKLESS', '4a82b400-a79f-41a4-b4e2-e94f5787b113')
const ONEDRIVE = plan('SHAREPOINTENTERPRISE', '5dbe027f-2339-4123-9542-606e4d348a72')
const ONEDRIVE_KIOSK = plan('SHAREPOINTDESKLESS', '902b47e5-dcb2-4fdc-858b-c63a90a2bdb9')
const TEAMS = plan('TEAMS1', '57ff2da0-773e-42df-b2af-ffb7a2317929')

export type Sku = Omit<Licence, 'enabled'>

export const SKUS = {
  E3: {
    skuId: '05e9a617-0261-4cee-bb44-138d3ef5d965',
    skuPartNumber: 'SPE_E3',
    servicePlans: [EXCHANGE_PLAN_2, ONEDRIVE, TEAMS],
  },
  E5: {
    skuId: '06ebc4ee-1bb5-47dd-8120-11324bc54e06',
    skuPartNumber: 'SPE_E5',
    servicePlans: [EXCHANGE_PLAN_2, ONEDRIVE, TEAMS],
  },
  F3: {
    skuId: '66b55226-6b4f-492c-910c-a3b7a3c9d993',
    skuPartNumber: 'SPE_F1',
    servicePlans: [EXCHANGE_KIOSK, ONEDRIVE_KIOSK, TEAMS],
  },
  'Exchange Plan 1': {
    skuId: '4b9405b0-7788-4568-add1-99614e613b69',
    skuPartNumber: 'EXCHANGESTANDARD',
    servicePlans: [EXCHANGE_PLAN_1],
  },
} as const satisfies Record<string, Sku>

export type SkuName = keyof typeof SKUS

export function hasDrive(name: SkuName): boolean {
  return SKUS[name].servicePlans.some(({ servicePlanName }) => servicePlanName.startsWith('SHAREPOINT'))
}
