// How a certificate of a TLS name is written and shown over HTTP: never its key. (KM-5)
import { z } from 'zod'
import { time } from '../http/values.ts'
import { CERTIFICATE_PURPOSES, CERTIFICATE_STATES, daysLeft, MAX_NAMES } from './certificate.ts'
import type { Certificate } from './certificate.ts'
import { MAX_CHAIN_LENGTH, MAX_KEY_LENGTH } from './certificate-chain.ts'
import { MADE_ALGORITHMS } from './signing-request.ts'

export const purposeMember = z.enum(CERTIFICATE_PURPOSES)
export const algorithmMember = z.enum(MADE_ALGORITHMS)
export const chainMember = z
  .string()
  .max(MAX_CHAIN_LENGTH)
  .meta({ description: 'PEM: the certificate of the names first, then its issuers in order; no private key.' })

export const newCertificateSchema = z.strictObject({
  purpose: purposeMember,
  tenant: z
    .string()
    .max(64)
    .optional()
    .meta({ description: 'Id of the tenant that it is for; of purpose `tenant` only.' }),
  names: z.array(z.string().max(255)).min(1).max(MAX_NAMES).meta({
    description: 'Host names; a listener certificate takes the place of another one with the same first name.',
  }),
  algorithm: algorithmMember.optional().meta({ description: 'Of the key to make; default ec-p256.' }),
  key: z
    .string()
    .max(MAX_KEY_LENGTH)
    .optional()
    .meta({ description: 'PEM of a key made elsewhere, together with `chain`. It is never shown again.' }),
  chain: chainMember.optional(),
})

export const certificateSchema = z
  .strictObject({
    id: z.string(),
    purpose: purposeMember,
    tenant: z.string().optional(),
    names: z.array(z.string()),
    algorithm: z.string(),
    state: z.enum(CERTIFICATE_STATES),
    version: z.int(),
    request: z
      .string()
      .optional()
      .meta({ description: 'PKCS #10 in PEM, for an authority to sign; absent of a key that was made elsewhere.' }),
    chain: z.string().optional().meta({ description: 'PEM, the leaf first.' }),
    fingerprint: z.string().optional().meta({ description: 'Hexadecimal SHA-256 of the leaf.' }),
    notBefore: time.optional(),
    expiresAt: time.optional().meta({ description: 'When the first of the chain ends (KM-7).' }),
    daysLeft: z.int().optional().meta({ description: 'Whole days until then; below 0: it is over.' }),
    replaces: z.string().optional().meta({ description: 'The one that it was made to take the place of.' }),
    createdAt: time,
    createdBy: z.string(),
    activatedAt: time.optional(),
    retiredAt: time.optional(),
    lastUsedAt: time.optional().meta({ description: 'When it last went to a relay, to the hour.' }),
  })
  .meta({ id: 'Certificate' })

const isoOf = (at: Date | undefined): string | undefined => at?.toISOString()

/** @param now  ms since the epoch */
export function shapeCertificate(certificate: Certificate, now: number): z.input<typeof certificateSchema> {
  const { publicKey: _, names, expiresAt, ...rest } = certificate
  return {
    ...rest,
    names: [...names],
    expiresAt: isoOf(expiresAt),
    daysLeft: expiresAt && daysLeft(expiresAt, now),
    notBefore: isoOf(rest.notBefore),
    createdAt: rest.createdAt.toISOString(),
    activatedAt: isoOf(rest.activatedAt),
    retiredAt: isoOf(rest.retiredAt),
    lastUsedAt: isoOf(rest.lastUsedAt),
  }
}
