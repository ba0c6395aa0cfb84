// Two hand-made tenants, small enough to know by heart: what the tests of the simulated Graph ask about.
import type { DirectoryObject, TenantData } from '../../../sandbox/tenants/objects.ts'

export const TENANT = 'c0c0c0c0-0000-4000-8000-0000000000aa'
export const OTHER_TENANT = 'fafafafa-0000-4000-8000-0000000000bb'
export const APP = 'a0a0a0a0-0000-4000-8000-000000000001'
export const APP_PRINCIPAL = 'a0a0a0a0-0000-4000-8000-000000000002'
export const E3 = '05e9a617-0261-4cee-bb44-138d3ef5d965'

export const ANNA = 'aaaaaaaa-0000-4000-8000-000000000001'
export const BEN = 'aaaaaaaa-0000-4000-8000-000000000002'
export const CARA = 'aaaaaaaa-0000-4000-8000-000000000003'
export const GUEST = 'aaaaaaaa-0000-4000-8000-000000000004'
export const SALES = 'bbbbbbbb-0000-4000-8000-000000000001'
export const STAFF = 'bbbbbbbb-0000-4000-8000-000000000002'
export const LOOP = 'bbbbbbbb-0000-4000-8000-000000000003'
export const CONTACT = 'cccccccc-0000-4000-8000-000000000001'

export function user(id: string, name: string, properties: Record<string, unknown> = {}): DirectoryObject {
  const local = name.split(' ')[0]?.toLowerCase() ?? name
  return {
    id,
    kind: 'user',
    properties: {
      accountEnabled: true,
      displayName: name,
      userPrincipalName: `${local}@contoso.example`,
      mail: `${local}@contoso.example`,
      mailNickname: local,
      proxyAddresses: [`SMTP:${local}@contoso.example`, `smtp:${local}@contoso.onmicrosoft.com`],
      businessPhones: [],
      userType: 'Member',
      createdDateTime: '2024-01-02T03:04:05Z',
      ...properties,
    },
    members: [],
    owners: [],
  }
}

export function group(id: string, name: string, members: readonly string[], properties = {}): DirectoryObject {
  return {
    id,
    kind: 'group',
    properties: {
      displayName: name,
      mailEnabled: false,
      securityEnabled: true,
      mailNickname: name.toLowerCase(),
      groupTypes: [],
      proxyAddresses: [],
      ...properties,
    },
    members,
    owners: [],
  }
}

export function tinyTenant(changes: Partial<TenantData> = {}): TenantData {
  return {
    id: TENANT,
    displayName: 'Contoso',
    countryLetterCode: 'DE',
    isSyncedFromOnPremises: false,
    cloud: 'global',
    domains: [
      domain('contoso.onmicrosoft.com', { isInitial: true }),
      domain('contoso.example', { isDefault: true }),
      domain('new.example', { isVerified: false }),
    ],
    licences: [
      {
        skuId: E3,
        skuPartNumber: 'SPE_E3',
        enabled: 25,
        servicePlans: [
          { servicePlanId: 'efb87545-963c-4e0d-99df-69c6916d9eb0', servicePlanName: 'EXCHANGE_S_ENTERPRISE' },
        ],
      },
    ],
    objects: [
      {
        ...user(ANNA, 'Anna O’Neil', {
          department: 'Sales',
          employeeId: '007',
          assignedLicenses: [{ skuId: E3, disabledPlans: [] }],
        }),
        manager: BEN,
      },
      user(BEN, 'Ben Boss', { accountEnabled: false, createdDateTime: '2025-06-01T00:00:00Z' }),
      user(CARA, 'Cara "<b>" Ćosić', {
        department: 'sales',
        onPremisesExtensionAttributes: { extensionAttribute1: 'x' },
      }),
      user(GUEST, 'Gus Guest', {
        userType: 'Guest',
        userPrincipalName: 'gus_fabrikam.example#EXT#@contoso.onmicrosoft.com',
        mail: 'gus@fabrikam.example',
        proxyAddresses: ['SMTP:gus@fabrikam.example'],
      }),
      {
        ...group(SALES, 'Sales team', [ANNA, CARA, CONTACT], {
          mailEnabled: true,
          groupTypes: ['Unified'],
          mail: 'sales@contoso.example',
          proxyAddresses: ['SMTP:sales@contoso.example'],
        }),
        owners: [ANNA],
      },
      group(STAFF, 'Staff', [BEN, SALES, LOOP]),
      group(LOOP, 'Loop', [STAFF, LOOP, GUEST]),
      {
        id: CONTACT,
        kind: 'orgContact',
        properties: {
          displayName: 'Carl Contact',
          mail: 'carl@partner.example',
          proxyAddresses: ['SMTP:carl@partner.example'],
          addresses: [],
          phones: [],
        },
        members: [],
        owners: [],
      },
    ],
    recipients: [
      {
        guid: 'dddddddd-0000-4000-8000-000000000001',
        recipientTypeDetails: 'UserMailbox',
        externalDirectoryObjectId: ANNA,
        properties: {},
        statistics: { items: 1234, bytes: 5_000_000_000, deletedItemBytes: 100_000, archiveItems: 7, archiveBytes: 70 },
      },
    ],
    exchangeObjects: [],
    drives: { [ANNA]: { usedBytes: 42_000, files: 12 } },
    reportsConcealNames: false,
    administrators: [BEN],
    ...changes,
  }
}

export function otherTenant(): TenantData {
  return {
    ...tinyTenant(),
    id: OTHER_TENANT,
    displayName: 'Fabrikam',
    domains: [domain('fabrikam.onmicrosoft.com', { isInitial: true }), domain('fabrikam.example', { isDefault: true })],
    objects: [],
    recipients: [],
    drives: {},
    administrators: [],
  }
}

function domain(id: string, changes: Partial<TenantData['domains'][number]>): TenantData['domains'][number] {
  return {
    id,
    isVerified: true,
    isDefault: false,
    isInitial: false,
    authenticationType: 'Managed',
    supportedServices: ['Email'],
    ...changes,
  }
}
