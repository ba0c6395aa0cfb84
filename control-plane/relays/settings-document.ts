// The relay settings of a project as people write them (`…/relay-settings`): one versioned document, checked whole, all faults told. What relays
// are told is made of it and of the project's tenants and keys (relay-settings.ts). Pure. (rewriting.md §13, SP-3, SP-4, DL-1)
import { X509Certificate } from 'node:crypto'
import { z } from 'zod'
import { normaliseDomain, parseAddrSpec, parsePolicy, PolicyFault } from '../../rewrite-rules/index.ts'
import type { RequestFault } from '../http/problem.ts'
import { isAddress, isAddressRange, isLoopbackHost, parseHostName } from './network-names.ts'

const DAY_MS = 86_400_000

const smartHostSchema = z
  .strictObject({
    tenant: z.string().meta({ description: 'Label of the tenant.' }),
    host: z.string().min(1).max(255).meta({ description: 'Name or address of the server.' }),
    port: z.int().min(1).max(65_535).default(25),
    tls: z.enum(['verify', 'none']).default('verify').meta({
      description:
        '`verify`: STARTTLS with a verified certificate, else mail waits. `none`: cleartext, to a loopback address only.',
    }),
    tlsName: z
      .string()
      .max(255)
      .optional()
      .meta({ description: 'Name that its certificate must have; default: `host`.' }),
    trust: z
      .string()
      .max(64 * 1024)
      .optional()
      .meta({ description: 'PEM of the authorities that are believed; default: the public ones.' }),
  })
  .meta({ id: 'SmartHost', description: 'Where mail for one tenant is delivered.' })

export const settingsDocumentSchema = z
  .strictObject({
    smartHosts: z.array(smartHostSchema).max(100).default([]),
    proof: z
      .strictObject({
        need: z.enum(['token', 'dkim', 'token+dkim']).default('token'),
        crossTenantId: z.enum(['count', 'demand']).default('count'),
      })
      .prefault({})
      .meta({ description: 'What proves that a message comes from a tenant of the project (SP-4).' }),
    policy: z.record(z.string(), z.unknown()).default({}).meta({
      description:
        'inHeaders, displayNameAddress, noExtensions, tnef, signed, route, staleDkim, arc; what is absent has its default.',
    }),
    allow: z.array(z.string().max(64)).max(1_000).default([]).meta({
      description: 'Address ranges that may connect, beside those of Exchange Online and of the listeners (SP-3).',
    }),
    seal: z
      .strictObject({ domain: z.string().max(255) })
      .optional()
      .meta({ description: "The domain whose active RSA key makes the ARC seal; absent: mail isn't sealed." }),
    privacy: z
      .enum(['hashed', 'plain', 'off'])
      .default('hashed')
      .meta({ description: 'What of addresses relays write and tell (PR-2).' }),
    maxTableAgeMs: z
      .int()
      .min(60_000)
      .max(3_650 * DAY_MS)
      .optional()
      .meta({ description: 'ms; older tables are not used any more (451). Absent: any age will do.' }),
    clientTrust: z
      .string()
      .max(64 * 1024)
      .optional()
      .meta({
        description:
          'PEM of the authorities whose client certificates listeners believe, where the machine of a relay names none (SP-2); default: the public ones.',
      }),
    postmaster: z.string().max(600).optional().meta({ description: 'Who gets mail to the unqualified postmaster.' }),
  })
  .meta({ id: 'RelaySettingsDocument' })

export type SettingsDocument = z.output<typeof settingsDocumentSchema>

export const DEFAULT_DOCUMENT: SettingsDocument = settingsDocumentSchema.parse({})

/**
 * What the schema can't say. Empty: the document is fine.
 *
 * @param labels  of the project's tenants
 */
export function settingsFaults(document: SettingsDocument, labels: ReadonlySet<string>): RequestFault[] {
  return [
    ...smartHostFaults(document.smartHosts, labels),
    ...policyFaults(document.policy),
    ...document.allow.flatMap((range, index) =>
      isAddressRange(range)
        ? []
        : [faultAt(`/allow/${index}`, 'range', 'must be an address, or one with a prefix length above 0')],
    ),
    ...(document.seal !== undefined && normaliseDomain(document.seal.domain) === undefined
      ? [faultAt('/seal/domain', 'domain', 'is no domain')]
      : []),
    ...(document.clientTrust !== undefined && !areCertificates(document.clientTrust)
      ? [faultAt('/clientTrust', 'pem', 'must be certificates in PEM')]
      : []),
    ...(document.postmaster !== undefined && parseAddrSpec(document.postmaster) === undefined
      ? [faultAt('/postmaster', 'address', 'is no address `local-part@domain`')]
      : []),
  ]
}

const faultAt = (pointer: string, code: string, detail: string): RequestFault => ({ pointer, code, detail })

function smartHostFaults(hosts: SettingsDocument['smartHosts'], labels: ReadonlySet<string>): RequestFault[] {
  const seen = new Set<string>()
  return hosts.flatMap((host, index) => {
    const at = (member: string, code: string, detail: string) => faultAt(`/smartHosts/${index}/${member}`, code, detail)
    const isTwice = seen.has(host.tenant)
    seen.add(host.tenant)
    return [
      ...(labels.has(host.tenant) ? [] : [at('tenant', 'unknown-tenant', 'no tenant of the project has this label')]),
      ...(isTwice ? [at('tenant', 'twice', 'the tenant has a smart host already')] : []),
      ...(isAddress(host.host) || parseHostName(host.host) !== undefined
        ? []
        : [at('host', 'host', 'must be a host name or an address')]),
      ...(host.tls === 'none' && !isLoopbackHost(host.host)
        ? [at('tls', 'cleartext', 'mail goes in cleartext to a loopback address only')]
        : []),
      ...(host.tls === 'verify' && host.tlsName === undefined && isAddress(host.host)
        ? [at('tlsName', 'missing', 'a host given by its address has no name to verify')]
        : []),
      ...(host.tlsName !== undefined && parseHostName(host.tlsName) === undefined
        ? [at('tlsName', 'host', 'must be a host name')]
        : []),
      ...(host.trust !== undefined && !areCertificates(host.trust)
        ? [at('trust', 'pem', 'must be certificates in PEM')]
        : []),
    ]
  })
}

function policyFaults(policy: SettingsDocument['policy']): RequestFault[] {
  try {
    parsePolicy(policy)
    return []
  } catch (error) {
    if (!(error instanceof PolicyFault)) throw error
    return error.faults.map(({ path, reason }) =>
      faultAt(path === '' ? '/policy' : `/policy/${path}`, 'policy', reason),
    )
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

function areCertificates(pem: string): boolean {
  const certificates = pem.match(CERTIFICATE) ?? []
  // A private key pasted along would be stored and shown as if it were none.
  if (certificates.length === 0 || pem.replaceAll(CERTIFICATE, '').includes('-----BEGIN')) return false
  return certificates.every((certificate) => {
    try {
      return new X509Certificate(certificate).subject !== ''
    } catch {
      return false // no certificate
    }
  })
}
