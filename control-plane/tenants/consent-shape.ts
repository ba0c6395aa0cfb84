// The consent of a tenant as the API shows it: what is needed and why, what was granted, what to do next. (EC-2)
import { z } from 'zod'
import { time } from '../http/values.ts'
import { REMEDIES as MICROSOFT_REMEDIES } from '../microsoft/remedies.ts'
import { CAPABILITIES, choicesBody, defaultLevel, LEVELS, neededFor, optionalOf, setOf } from './capabilities.ts'
import type { Choices } from './capabilities.ts'
import { CONSENT_STATES, EXCHANGE_STATES, REMEDIES } from './consent.ts'
import type { Consent, ConsentProblem } from './consent.ts'
import { exchangeSetup } from './exchange-setup.ts'
import { PERMISSION_SETS } from './permission-sets.ts'
import type { PermissionSet } from './permission-sets.ts'
import type { Tenant } from './tenant.ts'

const permission = z.strictObject({
  resource: z.enum(['graph', 'exchange']),
  name: z.string(),
  id: z.string().meta({ description: 'Of the application role.' }),
  reasons: z.array(z.string()),
  isOptional: z.boolean(),
})

export const manifestSchema = z
  .strictObject({
    capabilities: z.array(
      z.strictObject({
        capability: z.enum(CAPABILITIES),
        level: z.enum(LEVELS),
        isDefault: z.boolean().meta({ description: 'Whether this is the level for the side of the tenant.' }),
        set: z.string(),
        purpose: z.string(),
        permissions: z.array(permission),
        exchangeRoles: z.array(z.string()).meta({ description: "Of Exchange's own, for the application." }),
      }),
    ),
  })
  .meta({ id: 'PermissionManifest', description: 'Every permission that can be asked for, and why.' })

export function shapeManifest(side: Tenant['side']): z.input<typeof manifestSchema> {
  const entries = CAPABILITIES.flatMap((capability) =>
    LEVELS.filter(
      (level) => level === defaultLevel(side) || setOf(capability, 'minimal') !== setOf(capability, 'full'),
    ).map((level) => ({ capability, level })),
  )
  return {
    capabilities: entries.map(({ capability, level }) => {
      const set: PermissionSet = PERMISSION_SETS[setOf(capability, level)]
      const all: Choices = { capabilities: [{ capability, level }], optional: [...optionalOf([{ capability, level }])] }
      const { permissions, exchangeRoles } = neededFor(all)
      return {
        capability,
        level,
        isDefault: level === defaultLevel(side),
        set: setOf(capability, level),
        purpose: set.purpose,
        permissions: permissions.map((each) => ({ ...each, reasons: [...each.reasons] })),
        exchangeRoles: [...exchangeRoles],
      }
    }),
  }
}

const trouble = z
  .strictObject({
    code: z.string(),
    cause: z.string(),
    remedy: z.string(),
    serviceCode: z.string().optional(),
    status: z.int().optional(),
    requestId: z.string().optional().meta({ description: "Of Microsoft's answer, for its support." }),
  })
  .meta({ id: 'TenantTrouble', description: 'What keeps the product from working in the tenant, and what to do.' })

export const consentSchema = z
  .strictObject({
    state: z.enum(['none', ...CONSENT_STATES]),
    since: time.optional(),
    choices: choicesBody.optional(),
    needed: z.array(permission),
    granted: z.array(z.string()),
    missing: z.array(z.string()),
    exchange: z.strictObject({
      state: z.enum(EXCHANGE_STATES),
      commands: z.array(z.string()).meta({ description: 'To be run once by an administrator of the tenant.' }),
      alternative: z.string().optional(),
    }),
    trouble: trouble.optional(),
    domains: z
      .strictObject({ outside: z.array(z.string()) })
      .optional()
      .meta({ description: 'Mapped domains that the tenant does not accept: its own list was not taken over.' }),
    connectedAt: time.optional(),
    checkedAt: time.optional(),
  })
  .meta({ id: 'TenantConsent', description: 'How far the connection to a tenant is.' })

/** @param clientId  undefined: no application yet */
export function shapeConsent(
  consent: Consent | undefined,
  clientId: string | undefined,
  project8: string,
): z.input<typeof consentSchema> {
  if (consent === undefined)
    return { state: 'none', needed: [], granted: [], missing: [], exchange: { state: 'not-asked', commands: [] } }
  const { choices, granted, missing, exchange, stateSince, problem, problemDetails, domainsProblem } = consent
  const needed = neededFor(choices)
  const setup =
    clientId !== undefined && needed.exchangeRoles.length > 0
      ? exchangeSetup(clientId, needed.exchangeRoles, `Causeway-${project8}`)
      : undefined
  return {
    state: consent.state,
    since: stateSince.toISOString(),
    choices: { capabilities: [...choices.capabilities], optionalPermissions: [...choices.optional] },
    needed: needed.permissions.map((each) => ({ ...each, reasons: [...each.reasons] })),
    granted: [...granted],
    missing: [...missing],
    exchange: {
      state: exchange,
      commands: [...(setup?.commands ?? [])],
      ...(setup === undefined ? {} : { alternative: setup.alternative }),
    },
    ...(problem === undefined
      ? {}
      : { trouble: { code: problem, ...explain(problem), ...told(problemDetails ?? {}) } }),
    ...(domainsProblem === undefined ? {} : { domains: { outside: [...domainsProblem.outside] } }),
    ...(consent.connectedAt === undefined ? {} : { connectedAt: consent.connectedAt.toISOString() }),
    ...(consent.checkedAt === undefined ? {} : { checkedAt: consent.checkedAt.toISOString() }),
  }
}

const ALL_REMEDIES = { ...MICROSOFT_REMEDIES, ...REMEDIES }

export const explain = (problem: ConsentProblem): { readonly cause: string; readonly remedy: string } => ({
  ...ALL_REMEDIES[problem],
})

function told({ serviceCode, status, requestId }: NonNullable<Consent['problemDetails']>) {
  return {
    ...(serviceCode === undefined ? {} : { serviceCode }),
    ...(status === undefined ? {} : { status }),
    ...(requestId === undefined ? {} : { requestId }),
  }
}
