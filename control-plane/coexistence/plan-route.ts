// `…/coexistence/plan`: what switching would change in each tenant, and what stands against it. Reads the tenants, DNS and the database; changes nothing.
// (control-plane.md §2, coexistence.md §1.6, §2.1 row 0)
import { z } from 'zod'
import { judgePreflight } from '../findings/judge-preflight.ts'
import { preflightFindingSchema, shapePreflightFinding } from '../findings/preflight-shape.ts'
import { badRequest } from '../http/problem.ts'
import { route } from '../http/route.ts'
import { placeOf, projectParams } from '../mapping/mapping-schema.ts'
import type { InTenantDeps } from '../tenants/in-tenant.ts'
import { listTenants } from '../tenants/tenant-store.ts'
import {
  driftSchema,
  planBody,
  problemSchema,
  properties,
  settingOf,
  settingSchema,
  shapeDrift,
  shapeProblem,
  shapeProperties,
} from './coexistence-shape.ts'
import { planNow } from './plan-now.ts'
import { readPreflight } from './preflight.ts'
import type { Dns } from './published-records.ts'
import type { CallStep, GateStep, Step } from './step.ts'
import { readSwitch } from './switch.ts'
import { NOUNS } from './tenant-object.ts'

const callSchema = z
  .strictObject({
    kind: z.literal('call'),
    tenant: z.string(),
    noun: z.enum(NOUNS),
    key: z.string(),
    name: z.string(),
    guid: z.string().optional().meta({ description: 'Absent: the object is not there yet.' }),
    effect: z.enum([
      'create',
      'set',
      'validate',
      'enable',
      'disable',
      'add-member',
      'remove-member',
      'remove',
      'write-back',
    ]),
    cmdlet: z.string(),
    parameters: properties,
    before: properties,
  })
  .meta({ id: 'PlannedCall' })
const gateSchema = z
  .strictObject({
    kind: z.literal('gate'),
    gate: z.enum(['relays-ready', 'table-before', 'table-after', 'validated', 'probes', 'propagated', 'hold']),
    tenant: z.string().optional(),
    key: z.string().optional(),
  })
  .meta({ id: 'PlannedWait', description: 'What is waited for before it goes on.' })

const planSchema = z
  .strictObject({
    setting: settingSchema.meta({ description: 'That it was planned for.' }),
    obstacles: z
      .array(
        z.strictObject({
          tenant: z.string(),
          code: z.string(),
          cause: z.string().optional(),
          remedy: z.string(),
          serviceCode: z.string().optional().meta({ description: 'As Microsoft says it.' }),
        }),
      )
      .meta({
        description:
          'Tenants that could not be looked at. There are no steps then, and findings go by the last discovery.',
      }),
    missing: z
      .array(problemSchema)
      .meta({ description: 'What has to be there before anything can be made. There are no steps then.' }),
    stepCount: z.int(),
    summary: z
      .array(z.strictObject({ tenant: z.string(), effect: callSchema.shape.effect, count: z.int() }))
      .meta({ description: 'Steps counted by tenant and what they do.' }),
    steps: z.array(z.union([callSchema, gateSchema])).meta({ description: 'In their order; the first 1,000.' }),
    problems: z.array(driftSchema).meta({ description: 'What keeps the plan from going to its end.' }),
    findings: z.array(preflightFindingSchema).meta({ description: 'The worst first.' }),
  })
  .meta({ id: 'CoexistencePlan' })

const MAX_STEPS = 1_000

export interface PlanRouteDeps extends InTenantDeps {
  readonly dns: Dns
}

export const planRoute = (deps: PlanRouteDeps) =>
  route({
    method: 'post',
    path: '/projects/{project}/coexistence/plan',
    id: 'planCoexistence',
    summary: 'What switching would change in each tenant, and what stands against it',
    description:
      'Looks at both tenants and at DNS, and changes nothing. Where a tenant can not be looked at, findings go by its last discovery, and there are no steps.',
    tag: 'coexistence',
    access: 'coexistence.read',
    params: projectParams,
    body: planBody,
    changesNothing: true,
    responses: { 200: { description: 'The plan', schema: planSchema } },
    handler: async (context) => {
      const place = placeOf(context)
      const { recipientsADay = {}, ...asked } = context.body
      const { before, labels } = await context.read(async (tx) => ({
        before: (await readSwitch(tx, place)).setting,
        labels: new Set((await listTenants(tx, place)).map(({ label }) => label)),
      }))
      const unknown = Object.keys(recipientsADay).filter((label) => !labels.has(label))
      if (unknown.length > 0)
        throw badRequest([
          { pointer: '/recipientsADay', code: 'unknown-tenant', detail: 'no tenant of the project has this label' },
        ])
      const setting = settingOf({ ...asked, state: asked.state ?? 'on' }, before, 'optional')
      const { steps, problems, missing, observed, obstacles } = await planNow(deps, place, setting, context.signal)
      const preflight = await readPreflight(deps, place, { setting, observed, recipients: recipientsADay })
      return {
        status: 200,
        body: {
          setting,
          obstacles: [...obstacles],
          missing: missing.map(shapeProblem),
          stepCount: steps.length,
          summary: summarise(steps),
          steps: steps.slice(0, MAX_STEPS).map(shapeStep),
          problems: problems.map(shapeDrift),
          findings: judgePreflight(preflight).map(shapePreflightFinding),
        },
      }
    },
  })

function summarise(steps: readonly Step[]) {
  const counts = new Map<string, { tenant: string; effect: CallStep['effect']; count: number }>()
  for (const step of steps) {
    if (step.kind !== 'call') continue
    const { tenant, effect } = step
    const counted = counts.get(`${tenant} ${effect}`) ?? { tenant, effect, count: 0 }
    counts.set(`${tenant} ${effect}`, { ...counted, count: counted.count + 1 })
  }
  return [...counts.values()]
}

const shapeStep = (step: Step): z.input<typeof callSchema> | z.input<typeof gateSchema> =>
  step.kind === 'gate' ? shapeGate(step) : shapeCall(step)

const shapeGate = ({ kind, gate, tenant, key }: GateStep): z.input<typeof gateSchema> => ({
  kind,
  gate,
  ...(tenant === undefined ? {} : { tenant }),
  ...(key === undefined ? {} : { key }),
})

function shapeCall(step: CallStep): z.input<typeof callSchema> {
  const { kind, tenant, noun, key, name, guid, effect, cmdlet, parameters, before } = step
  return {
    kind,
    tenant,
    noun,
    key,
    name,
    ...(guid === undefined ? {} : { guid }),
    effect,
    cmdlet,
    parameters: shapeProperties(parameters),
    before: shapeProperties(before),
  }
}
