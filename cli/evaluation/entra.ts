// The simulated Entra of an evaluation: two tenants with a few people, and the application that signs them in.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { startEntra } from '../../sandbox/entra/entra.ts'
import type { Entra } from '../../sandbox/entra/entra.ts'
import { makeSelfSigned } from '../../sandbox/self-signed.ts'
import type { Places, Ports } from './places.ts'

export const CONTOSO = '11111111-0000-4000-8000-00000000c0c0'
export const FABRIKAM = '22222222-0000-4000-8000-0000000000fa'
export const APP = '33333333-0000-4000-8000-0000000000a0'
/** Signs in as administrator of the evaluation's organisation. */
export const ADELE = {
  oid: '44444444-0000-4000-8000-0000000000ad',
  name: 'Adele Vance',
  userPrincipalName: 'adele@contoso.com',
}
const LEE = { oid: '55555555-0000-4000-8000-00000000001e', name: 'Lee Gu', userPrincipalName: 'lee@fabrikam.com' }

const CERTIFICATE_DAYS = 3650

export function startEvaluationEntra(places: Places, ports: Ports): Promise<Entra> {
  if (!existsSync(places.appCertificate) || !existsSync(places.appKey)) {
    const { certificate, privateKey } = makeSelfSigned('causeway evaluation', CERTIFICATE_DAYS, Date.now())
    writeFileSync(places.appKey, privateKey, { mode: 0o600 })
    writeFileSync(places.appCertificate, certificate, { mode: 0o600 })
  }
  const origin = `http://127.0.0.1:${ports.api}`
  return startEntra({
    now: Date.now,
    at: { address: '127.0.0.1', port: ports.entra },
    seed: {
      tenants: [
        { id: CONTOSO, domain: 'contoso.com', name: 'Contoso', users: [{ ...ADELE, isAdministrator: true }] },
        { id: FABRIKAM, domain: 'fabrikam.com', name: 'Fabrikam', users: [{ ...LEE, isAdministrator: true }] },
      ],
      apps: [
        {
          clientId: APP,
          name: 'Causeway',
          homeTenant: CONTOSO,
          isMultiTenant: true,
          redirectUris: [`${origin}/api/v1/session/callback`, `${origin}/`],
          certificates: [readFileSync(places.appCertificate, 'utf8')],
        },
      ],
    },
  })
}
