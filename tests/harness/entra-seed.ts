// Two tenants, their people and two applications for the simulated Entra, and a certificate for the applications, good from 2020 to 2099.
import { readFileSync } from 'node:fs'
import type { EntraSeed } from '../../sandbox/entra/seed.ts'
import { TestAuthority } from './certificates.ts'

export const CONTOSO = 'c0c0c0c0-0000-4000-8000-000000000001'
export const FABRIKAM = 'fafafafa-0000-4000-8000-000000000002'
/** Its administrator lets nobody consent but himself. */
export const NORTHWIND = '0d0d0d0d-0000-4000-8000-000000000003'

export const ALICE = {
  oid: 'aaaaaaaa-0000-4000-8000-000000000001',
  name: 'Alice Adams',
  userPrincipalName: 'alice@contoso.example',
}
export const BOB = {
  oid: 'bbbbbbbb-0000-4000-8000-000000000002',
  name: 'Bob <Baker>',
  userPrincipalName: 'bob@fabrikam.example',
}
export const NORA = {
  oid: 'dddddddd-0000-4000-8000-000000000003',
  name: 'Nora North',
  userPrincipalName: 'nora@northwind.example',
}
export const NICK = {
  oid: 'dddddddd-0000-4000-8000-000000000004',
  name: 'Nick North',
  userPrincipalName: 'nick@northwind.example',
}

/** Registered in Contoso, for people of any tenant. */
export const SIGN_IN_APP = '51515151-0000-4000-8000-000000000001'
/** Registered in Contoso, acts by itself in tenants whose administrators agree. */
export const MIGRATION_APP = '3a3a3a3a-0000-4000-8000-000000000002'
export const REDIRECT_URI = 'https://causeway.example/api/v1/session/callback'
export const CONSENT_URI = 'https://causeway.example/api/v1/consent/callback'
export const SIGNED_OUT_URI = 'https://causeway.example/'
export const GRAPH = 'https://graph.microsoft.com'

/** PEM. */
export interface AppCertificate {
  readonly certificate: string
  readonly privateKey: string
}

export function makeAppCertificate(notAfter = '20990101000000Z'): AppCertificate {
  using authority = new TestAuthority()
  const dates = { notBefore: '20200101000000Z', notAfter }
  const made = authority.selfSigned({ commonName: 'causeway', keyType: 'rsa', ...dates })
  const pem = readFileSync(made.certificate, 'utf8')
  return {
    certificate: pem.slice(pem.indexOf('-----BEGIN')),
    privateKey: readFileSync(made.key, 'utf8'),
  }
}

export function entraSeed(...certificates: readonly AppCertificate[]): EntraSeed {
  const pems = certificates.map(({ certificate }) => certificate)
  return {
    tenants: [
      { id: CONTOSO, domain: 'contoso.example', name: 'Contoso', users: [{ ...ALICE, isAdministrator: true }] },
      { id: FABRIKAM, domain: 'fabrikam.example', name: 'Fabrikam', users: [{ ...BOB, isAdministrator: true }] },
      {
        id: NORTHWIND,
        domain: 'northwind.example',
        name: 'Northwind',
        users: [{ ...NORA, isAdministrator: true }, NICK],
        allowsUserConsent: false,
      },
    ],
    apps: [
      {
        clientId: SIGN_IN_APP,
        name: 'Causeway sign-in',
        homeTenant: CONTOSO,
        isMultiTenant: true,
        redirectUris: [REDIRECT_URI, SIGNED_OUT_URI],
        certificates: pems,
      },
      {
        clientId: MIGRATION_APP,
        name: 'Causeway migration',
        homeTenant: CONTOSO,
        isMultiTenant: true,
        redirectUris: [CONSENT_URI],
        certificates: pems,
        permissions: { [GRAPH]: ['Organization.Read.All', 'User.Read.All'] },
      },
    ],
  }
}
