// The switches as the API takes and gives them. What can't be said by a schema is checked here too, all faults at once. Pure. (control-plane.md §2)
import { z } from 'zod'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import { badRequest } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { readableText, time } from '../http/values.ts'
import { parseHostName } from '../relays/network-names.ts'
import type { CoexistenceSetting, FreeBusySetting } from './coexistence.ts'
import type { Difference } from './equality-proof.ts'
import { isList } from './equality.ts'
import type { SwitchProblem, SwitchTransition } from './switch-store.ts'
import type { SwitchView } from './switch.ts'
import { NOUNS } from './tenant-object.ts'
import type { Properties, Value } from './tenant-object.ts'

const DAY_MS = 86_400_000
const MAX_HOLD_MS = 14 * DAY_MS
const STATES = ['off', 'turning_on', 'on', 'turning_off', 'drift'] as const

const state = z.enum(STATES).meta({
  description:
    '`off`: both tenants are as they were; `turning_on`, `turning_off`: under way, see `step`; `on`; `drift`: a tenant is no longer as we left it.',
})
const host = z.string().max(253)

const settingMembers = {
  state: z.enum(['on', 'off']),
  scope: z.enum(['pairs', 'all-mapped']).meta({ description: 'People of pairs only, or all entries of the table.' }),
  mode: z.enum(['member', 'all-outbound']).meta({
    description:
      'Which mail passes the relay: that of members of a group, or all that leaves the tenant with the mailboxes.',
  }),
  hasPartners: z.boolean().meta({ description: 'Also mail to colleagues who are mail users or contacts there.' }),
  route: z.enum(['owner-tenant', 'return']).meta({
    description:
      'Who delivers to outsiders: the tenant that owns the presented domain, or the one that mail came from.',
  }),
  enhancedFiltering: z.enum(['off', 'everyone', 'pilot']),
  arcSealingDomain: z
    .string()
    .max(255)
    .nullable()
    .optional()
    .meta({ description: 'Domain whose ARC seals both tenants shall trust; null or absent: their list stays.' }),
  turnsTnefOff: z.boolean().meta({ description: 'Rich text off for all outsiders, tenant-wide.' }),
  connectorHoldMs: z
    .int()
    .min(0)
    .max(MAX_HOLD_MS)
    .meta({ description: 'ms; how long connectors stay after the last mail when it is switched off.' }),
  relayHosts: z
    .strictObject({ out: host, in: host })
    .meta({ description: 'Names by which Exchange reaches the relays, for each direction. May be the same.' }),
}

export const settingSchema = z.strictObject(settingMembers).meta({ id: 'CoexistenceSetting' })
export const settingBody = z
  .strictObject(settingMembers)
  .partial()
  .required({ state: true })
  .extend({
    confirmsDrift: z
      .boolean()
      .default(false)
      .meta({ description: 'What others changed of ours is overwritten: somebody has looked at `drift`.' }),
  })
  .meta({ id: 'CoexistenceChange', description: 'Members that are left out stay as they are.' })
export const planBody = z
  .strictObject(settingMembers)
  .partial()
  .extend({
    recipientsADay: z.record(z.string().max(32), z.int().min(0).max(1e9)).optional().meta({
      description: 'External recipients of a day by label of the tenant, as its Exchange admin center shows them.',
    }),
  })
  .meta({ id: 'CoexistenceQuestion', description: 'Members that are left out are as they are set; `state` is on.' })

export const freeBusyMembers = {
  state: z.enum(['on', 'off']),
  accessLevel: z.enum(['AvailabilityOnly', 'LimitedDetails']),
  accessScope: readableText(1, 256)
    .nullable()
    .optional()
    .meta({ description: 'Name of a group of under 10,000 members; null or absent: everybody.' }),
}
export const freeBusyBody = z
  .strictObject(freeBusyMembers)
  .partial()
  .required({ state: true })
  .extend({ confirmsDrift: settingBody.shape.confirmsDrift })
  .meta({ id: 'FreeBusyChange', description: 'Members that are left out stay as they are.' })

// ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────

const value = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.null(),
  z.array(z.string()),
  z.strictObject({ proof: z.enum(['out', 'in']), sha256: z.string() }).meta({
    description: 'Stands for a proof token: its digest. The token itself is in no answer.',
  }),
])
export const properties = z.record(z.string(), value)

export const driftSchema = z
  .strictObject({
    kind: z.enum(['drift', 'conflict', 'limit', 'in-use']).meta({
      description:
        '`drift`: ours, changed by somebody; `conflict`: somebody else’s object has our name; `limit`: the tenant takes no more; `in-use`: a rule that stays names it.',
    }),
    tenant: z.string(),
    noun: z.enum(NOUNS),
    key: z.string().meta({ description: 'Ours: `rule-20`, `in`, `out` …' }),
    properties: z.array(z.string()),
  })
  .meta({ id: 'CoexistenceDrift' })

export const problemSchema = z
  .strictObject({
    code: z.string(),
    tenant: z.string().optional(),
    noun: z.string().optional(),
    key: z.string().optional(),
    properties: z.array(z.string()).optional(),
    serviceCode: z.string().optional().meta({ description: 'As Microsoft says it.' }),
  })
  .meta({ id: 'CoexistenceProblem' })

const differenceSchema = z
  .strictObject({
    tenant: z.string(),
    kind: z.enum(['added', 'removed', 'changed', 'rule-order']),
    noun: z.enum(NOUNS).optional(),
    guid: z.string().optional(),
    name: z.string().optional(),
    properties: z.array(z.strictObject({ name: z.string(), before: value, after: value })).optional(),
  })
  .meta({ id: 'TenantDifference' })

const proofSchema = z
  .strictObject({
    at: time,
    isRestored: z.boolean().meta({ description: 'Nothing of ours is left, and what we changed is as it was.' }),
    isEqual: z.boolean().meta({ description: 'Nothing at all differs from before.' }),
    ours: z.array(differenceSchema),
    byOthers: z.array(differenceSchema).meta({ description: 'What others changed meanwhile.' }),
  })
  .meta({ id: 'EqualityProof', description: 'Both tenants after it went off, compared with before it went on.' })

const transitionSchema = z
  .strictObject({
    sequence: z.int(),
    switch: z.enum(['coexistence', 'free-busy']),
    event: z.string(),
    from: state,
    to: state,
    by: z.string(),
    cause: z.string(),
    operation: z.string().optional(),
    at: time,
  })
  .meta({ id: 'SwitchTransition' })

const commonMembers = {
  state,
  since: time.optional().meta({ description: 'Of the state; absent: it was never on.' }),
  step: z.string().optional().meta({ description: 'What is being done.' }),
  waitingFor: z.string().optional().meta({ description: 'Why it does not go on: a code.' }),
  problems: z.array(problemSchema).meta({ description: 'What keeps it from what was asked for.' }),
  drift: z.array(driftSchema).meta({ description: 'What somebody else changed of ours.' }),
  operation: z.string().optional().meta({ description: 'That works at it, or did last: `/operations/{operation}`.' }),
  proof: proofSchema.optional(),
  transitions: z.array(transitionSchema).meta({ description: 'The last ones, the newest first.' }),
}

export const coexistenceSchema = z
  .strictObject({ setting: settingSchema, ...commonMembers })
  .meta({ id: 'Coexistence', description: 'What is asked for, and how far the tenants are.' })
export const freeBusySchema = z
  .strictObject({
    setting: z.strictObject(freeBusyMembers).meta({ id: 'FreeBusySetting' }),
    ...commonMembers,
  })
  .meta({ id: 'FreeBusy', description: 'Calendars of the other organisation: a switch of its own.' })

type Shown = z.input<typeof coexistenceSchema>

export function shapeCoexistence(view: SwitchView, transitions: readonly SwitchTransition[]): Shown {
  const { setting, state: reached, since } = view
  return {
    setting: { ...setting, relayHosts: { ...setting.relayHosts } },
    ...shapeCommon(view, reached, since, transitions),
  }
}

export function shapeFreeBusy(
  view: SwitchView,
  transitions: readonly SwitchTransition[],
): z.input<typeof freeBusySchema> {
  const { freeBusy, freeBusyState, freeBusySince } = view
  return { setting: { ...freeBusy }, ...shapeCommon(view, freeBusyState, freeBusySince, transitions) }
}

function shapeCommon(
  { step, waitingFor, problems, drift, operation, proof }: SwitchView,
  reached: Shown['state'],
  since: Date,
  transitions: readonly SwitchTransition[],
): Omit<Shown, 'setting'> {
  return {
    state: reached,
    ...(since.getTime() === 0 ? {} : { since: since.toISOString() }),
    ...(step === undefined ? {} : { step }),
    ...(waitingFor === undefined ? {} : { waitingFor }),
    problems: problems.map(shapeProblem),
    drift: drift.map(shapeDrift),
    ...(operation === undefined ? {} : { operation }),
    ...(proof === undefined ? {} : { proof: shapeProof(proof) }),
    transitions: transitions.map(({ actor, operation: of, at, ...transition }) => ({
      ...transition,
      by: actor,
      ...(of === null ? {} : { operation: of }),
      at: at.toISOString(),
    })),
  }
}

const shapeProof = ({ ours, byOthers, ...proof }: NonNullable<SwitchView['proof']>): z.input<typeof proofSchema> => ({
  ...proof,
  ours: ours.map(shapeDifference),
  byOthers: byOthers.map(shapeDifference),
})

function shapeDifference({ properties: changed, ...difference }: Difference): z.input<typeof differenceSchema> {
  if (changed === undefined) return difference
  const shown = changed.map(({ name, before, after }) => ({
    name,
    before: shapeValue(before),
    after: shapeValue(after),
  }))
  return { ...difference, properties: shown }
}

/** As the schema has it: lists that may be changed. */
const shapeValue = (of: Value): z.input<typeof value> => (isList(of) ? [...of] : of)

export const shapeProperties = (of: Properties): z.input<typeof properties> =>
  Object.fromEntries(Object.entries(of).map(([name, each]) => [name, shapeValue(each)]))

export const shapeProblem = ({ properties: names, ...problem }: SwitchProblem): z.input<typeof problemSchema> => ({
  ...problem,
  ...(names === undefined ? {} : { properties: [...names] }),
})

export const shapeDrift = (problem: SwitchView['drift'][number]): z.input<typeof driftSchema> => ({
  ...problem,
  properties: [...problem.properties],
})

// ── What is asked for ──────────────────────────────────────────────────────────────────────────────────────────────

type Asked = Partial<Omit<z.output<typeof settingBody>, 'confirmsDrift'>>

/**
 * @param hosts  for a dry run: `optional`, since what has no name yet can be thought about
 * @throws Problem 400 with every fault
 */
export function settingOf(
  asked: Asked,
  before: CoexistenceSetting,
  hosts: 'needed' | 'optional' = 'needed',
): CoexistenceSetting {
  const { arcSealingDomain, ...rest } = asked
  const faults: RequestFault[] = []
  const { arcSealingDomain: earlier, ...kept } = before
  const merged = { ...kept, ...(rest as Partial<CoexistenceSetting>) }
  const sealer = arcSealingDomain === null ? undefined : readDomain(arcSealingDomain ?? earlier, faults)
  // Off needs none: what is there is taken away by what was written down.
  const isNeeded = merged.state === 'on' && hosts === 'needed'
  const relayHosts = {
    out: readHost('out', merged.relayHosts.out, isNeeded, faults),
    in: readHost('in', merged.relayHosts.in, isNeeded, faults),
  }
  if (faults.length > 0) throw badRequest(faults)
  return { ...merged, relayHosts, ...(sealer === undefined ? {} : { arcSealingDomain: sealer }) }
}

function readDomain(written: string | undefined, faults: RequestFault[]): string | undefined {
  const domain = written === undefined ? undefined : normaliseDomain(written)
  if (written !== undefined && domain === undefined)
    faults.push({ pointer: '/arcSealingDomain', code: 'domain', detail: 'is no domain' })
  return domain
}

function readHost(direction: 'out' | 'in', written: string, isNeeded: boolean, faults: RequestFault[]): string {
  const name = parseHostName(written)
  if (name?.includes('.') === true) return name
  if (written !== '' || isNeeded)
    faults.push({ pointer: `/relayHosts/${direction}`, code: 'host', detail: 'must be a full host name' })
  return ''
}

export function freeBusyOf(
  { confirmsDrift: _confirms, accessScope, ...asked }: z.output<typeof freeBusyBody>,
  { accessScope: earlier, ...before }: FreeBusySetting,
): FreeBusySetting {
  const scope = accessScope === undefined ? earlier : (accessScope ?? undefined)
  const merged = { ...before, ...(asked as Partial<FreeBusySetting>) }
  return scope === undefined ? merged : { ...merged, accessScope: scope }
}
