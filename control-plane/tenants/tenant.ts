// Tenants of a project, registered: which Microsoft 365 tenant, on which side, with which domains. Connecting them (consent) comes on top. Pure.
// (control-plane.md §2, §3.3)
import { z } from 'zod'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import { guid, readableText, time } from '../http/values.ts'
import type { TenantId } from '../ids.ts'
import { CLOUDS } from '../microsoft/clouds.ts'
import type { Cloud } from '../microsoft/clouds.ts'

export const MAX_TENANTS = 50
/** Microsoft: a tenant holds 5,000 domains at most ("Microsoft Entra service limits and restrictions"). */
const MAX_DOMAINS = 5_000

/** Under what a cloud makes the initial domain of each tenant. */
const INITIAL_DOMAIN_SUFFIX: Record<Cloud, string> = {
  global: '.onmicrosoft.com',
  'gcc-high': '.onmicrosoft.us',
  dod: '.onmicrosoft.us',
  china: '.partner.onmschina.cn',
}

export interface Tenant {
  readonly id: TenantId
  readonly side: 'source' | 'target'
  /** Names it in relays' settings, logs and traces; never changed. */
  readonly label: string
  readonly name: string
  readonly cloud: Cloud
  /** GUID, lower case. */
  readonly entraTenantId: string
  readonly appModel: 'single-tenant' | 'multi-tenant'
  readonly clientId: string | undefined
  /** A-labels, in their order. */
  readonly acceptedDomains: readonly string[]
  readonly initialDomain: string | undefined
  readonly version: number
  readonly createdAt: Date
}

/** Of the tenant as a whole: mail to each is its. */
export const domainsOf = ({ acceptedDomains, initialDomain }: Pick<Tenant, 'acceptedDomains' | 'initialDomain'>) =>
  initialDomain === undefined ? acceptedDomains : [...new Set([...acceptedDomains, initialDomain])]

const domain = z
  .string()
  .max(255)
  .refine((text) => normaliseDomain(text)?.includes('.') === true, 'a domain name')
  .overwrite((text) => normaliseDomain(text) ?? text)

const fields = {
  name: readableText(0, 200),
  appModel: z.enum(['single-tenant', 'multi-tenant']).meta({
    description: "`single-tenant`: an app registration in the tenant itself; `multi-tenant`: the installation's.",
  }),
  clientId: guid.meta({ description: 'Application (client) id, of a single-tenant registration.' }),
  acceptedDomains: z
    .array(domain)
    .max(MAX_DOMAINS)
    .refine((list) => new Set(list).size === list.length, 'no domain twice')
    .meta({
      description:
        'In any form, kept as A-labels. Until the tenant is connected and says itself what it accepts. Mapped addresses must be in them (RC-5).',
    }),
  initialDomain: domain.meta({ description: 'Its `.onmicrosoft.com` name, or what the cloud has in place of it.' }),
}

export const registerBody = z
  .strictObject({
    side: z.enum(['source', 'target']).meta({ description: 'A project has one target, and one or more sources.' }),
    label: z
      .string()
      .regex(/^[a-z0-9-]{1,32}$/)
      .meta({ description: "Unique in the project: names it in relays' logs and traces." }),
    name: fields.name.default(''),
    cloud: z.enum(CLOUDS).default('global'),
    tenantId: guid.meta({ description: 'Of Entra.' }),
    appModel: fields.appModel.default('multi-tenant'),
    clientId: fields.clientId.optional(),
    acceptedDomains: fields.acceptedDomains.default([]),
    initialDomain: fields.initialDomain.optional(),
  })
  .superRefine(({ cloud, initialDomain }, context) => {
    if (initialDomain !== undefined && !isInitialDomain(initialDomain, cloud))
      context.addIssue({ code: 'custom', path: ['initialDomain'], message: initialDomainRule(cloud) })
  })

export const changeBody = z.strictObject({
  name: fields.name.optional(),
  appModel: fields.appModel.optional(),
  clientId: fields.clientId.nullable().optional(),
  acceptedDomains: fields.acceptedDomains.optional(),
  initialDomain: fields.initialDomain.nullable().optional(),
})

/** One label before the cloud's own suffix: `contoso.mail.onmicrosoft.com` is a routing domain, not the initial one. */
export function isInitialDomain(text: string, cloud: Cloud): boolean {
  const suffix = INITIAL_DOMAIN_SUFFIX[cloud]
  return text.endsWith(suffix) && /^[a-z0-9-]+$/.test(text.slice(0, -suffix.length))
}

export const initialDomainRule = (cloud: Cloud): string => `<name>${INITIAL_DOMAIN_SUFFIX[cloud]}`

export const tenantSchema = z
  .strictObject({
    id: z.string(),
    side: z.enum(['source', 'target']),
    label: z.string(),
    name: z.string(),
    cloud: z.enum(CLOUDS),
    tenantId: z.string(),
    appModel: z.enum(['single-tenant', 'multi-tenant']),
    clientId: z.string().optional(),
    acceptedDomains: z.array(z.string()),
    initialDomain: z.string().optional(),
    createdAt: time,
    warnings: z.array(z.strictObject({ code: z.literal('no-accepted-domains'), detail: z.string() })),
  })
  .meta({ id: 'Tenant', description: 'A Microsoft 365 tenant of the project.' })

export function shapeTenant(tenant: Tenant): z.input<typeof tenantSchema> {
  const { id, side, label, name, cloud, appModel, clientId, acceptedDomains, initialDomain, createdAt } = tenant
  return {
    id,
    side,
    label,
    name,
    cloud,
    tenantId: tenant.entraTenantId,
    appModel,
    ...(clientId === undefined ? {} : { clientId }),
    acceptedDomains: [...acceptedDomains],
    ...(initialDomain === undefined ? {} : { initialDomain }),
    createdAt: createdAt.toISOString(),
    warnings:
      acceptedDomains.length > 0
        ? []
        : [
            {
              code: 'no-accepted-domains',
              detail: 'Until it has some, nothing checks whether mapped addresses are in domains of the project.',
            },
          ],
  }
}

/** Domains of the tenant that another one of the project has. */
export function takenDomains(tenant: Tenant, others: readonly Tenant[]): string[] {
  const taken = new Set(others.filter(({ id }) => id !== tenant.id).flatMap(domainsOf))
  return domainsOf(tenant).filter((name) => taken.has(name))
}

/** Members of a new tenant that must be unique in the project and aren't. */
export function clashOf(tenant: Tenant, others: readonly Tenant[]): 'tenantId' | 'label' | 'side' | undefined {
  if (others.some(({ entraTenantId }) => entraTenantId === tenant.entraTenantId)) return 'tenantId'
  if (others.some(({ label }) => label === tenant.label)) return 'label'
  if (tenant.side === 'target' && others.some(({ side }) => side === 'target')) return 'side'
  return undefined
}

/** Whether relays have to be told. */
export const changesRelays = (before: Tenant, after: Tenant): boolean =>
  domainsOf(before).join(' ') !== domainsOf(after).join(' ')
