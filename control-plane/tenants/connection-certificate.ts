// The certificates by which a single-tenant app registration knows us: made here, uploaded there by the tenant's administrator, one active at a
// time. Pure but for the making of keys. (EC-1, KM-7)
import { X509Certificate } from 'node:crypto'
import { z } from 'zod'
import { makeSelfSigned } from '../../common/self-signed.ts'
import { time } from '../http/values.ts'
import type { ConnectionCertificateId, TenantId } from '../ids.ts'

export interface ConnectionCertificate {
  readonly id: ConnectionCertificateId
  readonly tenant: TenantId
  readonly state: 'new' | 'active' | 'retired'
  /** SHA-256 of the DER, hex, as Entra's portal may show it. */
  readonly thumbprint: string
  /** PEM */
  readonly certificate: string
  readonly expiresAt: Date
  readonly createdAt: Date
  readonly activatedAt: Date | undefined
  readonly retiredAt: Date | undefined
  readonly version: number
}

export const LIFE_DAYS = 365
/** New and active ones of a tenant: a rotation needs two. */
export const MAX_USABLE = 3

export interface MadeCertificate {
  readonly certificate: string
  readonly privateKey: string
  readonly thumbprint: string
  readonly expiresAt: Date
}

/** @param label  of the tenant: stands in the certificate's name, for whoever looks at the portal @param now  ms since the epoch */
export async function makeConnectionCertificate(label: string, now: number): Promise<MadeCertificate> {
  const { certificate, privateKey } = await makeSelfSigned(`Causeway ${label}`, LIFE_DAYS, now)
  const read = new X509Certificate(certificate)
  return { certificate, privateKey, thumbprint: thumbprintOf(read), expiresAt: read.validToDate }
}

export const thumbprintOf = ({ fingerprint256 }: X509Certificate): string =>
  fingerprint256.replaceAll(':', '').toLowerCase()

export const connectionCertificateSchema = z
  .strictObject({
    id: z.string(),
    state: z.enum(['new', 'active', 'retired']),
    thumbprint: z.string().meta({ description: 'SHA-256 of the certificate, hex.' }),
    certificate: z
      .string()
      .meta({ description: 'PEM, to be uploaded to the app registration. The private key never leaves.' }),
    expiresAt: time,
    createdAt: time,
    activatedAt: time.optional(),
    retiredAt: time.optional(),
  })
  .meta({ id: 'ConnectionCertificate', description: 'By which a single-tenant app registration knows the product.' })

export function shapeCertificate(of: ConnectionCertificate): z.input<typeof connectionCertificateSchema> {
  const { id, state, thumbprint, certificate, expiresAt, createdAt, activatedAt, retiredAt } = of
  return {
    id,
    state,
    thumbprint,
    certificate,
    expiresAt: expiresAt.toISOString(),
    createdAt: createdAt.toISOString(),
    ...(activatedAt === undefined ? {} : { activatedAt: activatedAt.toISOString() }),
    ...(retiredAt === undefined ? {} : { retiredAt: retiredAt.toISOString() }),
  }
}
