// Domain rules, wildcards and exceptions over HTTP (R23): three resources of one make. They hold for everything that no entry matches, so each
// change is held against all rules at once. (control-plane.md §2, §3)
import { z } from 'zod'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import type { Fault } from '../../rewrite-rules/index.ts'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { parseId } from '../ids.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { lockTable } from './change-store.ts'
import { warningsOf, warningsSchema } from './import-result.ts'
import { outside } from './intake.ts'
import { authorOf, ETAG_OF_TABLE, placeOf, projectParams } from './mapping-schema.ts'
import { acceptedDomains, entryCountAt, revisionOf } from './mapping-store.ts'
import type { AcceptedDomains, Place } from './mapping.ts'
import { planRules, RULE_LISTS, ruleRows, targetsOf } from './rule.ts'
import type { IncomingRule, RuleKind, RulePlan, StoredRule } from './rule.ts'
import { currentRules, findRule, listRules, writeRules } from './rule-store.ts'
import { countRuleChanges, recordRevision, refuse } from './table-change.ts'

const domain = z.string().min(1).max(255)
const exception = z.string().min(1).max(600).meta({ description: '`user@domain`, `domain`, or `user@` in any domain.' })
const except = z.array(exception).max(1_000).optional()

interface Resource {
  readonly kind: RuleKind
  readonly path: string
  /** In ids of routes. */
  readonly name: string
  readonly words: string
  readonly body: z.ZodObject
  /** From the body as the API has it to the rule as a table file has it, and back. */
  readonly toFile: (body: Record<string, unknown>) => unknown
  readonly fromFile: (rule: unknown) => Record<string, unknown>
}

const same = (value: unknown): Record<string, unknown> => value as Record<string, unknown>

const RESOURCES: readonly Resource[] = [
  {
    kind: 'domain',
    path: 'domain-rules',
    name: 'DomainRule',
    words: 'domain rule',
    body: z
      .strictObject({
        from: domain,
        to: domain,
        direction: z.enum(['both', 'out']).default('both'),
        except,
      })
      .meta({ id: 'DomainRuleBody', description: 'Keeps the local part and replaces the domain.' }),
    toFile: same,
    fromFile: same,
  },
  {
    kind: 'wildcard',
    path: 'wildcards',
    name: 'Wildcard',
    words: 'wildcard',
    body: z
      .strictObject({ from: domain.meta({ description: '`*.` and a domain: its sub-domains.' }), to: domain, except })
      .meta({ id: 'WildcardBody', description: 'For all sub-domains of a domain, outwards only.' }),
    toFile: same,
    fromFile: same,
  },
  {
    kind: 'exception',
    path: 'exceptions',
    name: 'MappingException',
    words: 'exception',
    body: z
      .strictObject({ address: exception })
      .meta({ id: 'MappingExceptionBody', description: 'What is never rewritten, in neither direction.' }),
    toFile: ({ address }) => address,
    fromFile: (address) => ({ address }),
  },
]

export function ruleRoutes(): AnyRoute[] {
  return RESOURCES.flatMap(routesOf)
}

function routesOf(resource: Resource): AnyRoute[] {
  const { kind, path, name, words, body } = resource
  const shape = {
    id: z.string(),
    ...body.shape,
    revision: z.int().meta({ description: 'Of the table that made it so.' }),
  }
  const schema = z.strictObject(shape).meta({ id: name })
  const changed = z.strictObject({ ...shape, warnings: warningsSchema }).meta({ id: `${name}Changed` })
  const list = `/projects/{project}/mappings/${path}`
  const one = { path: `${list}/{rule}`, params: z.strictObject({ project: z.string(), rule: z.string() }) }
  const view = (rule: StoredRule): Record<string, unknown> => viewOf(resource, rule)
  return [
    route({
      method: 'get',
      path: list,
      id: `list${name}s`,
      summary: `List ${words}s`,
      description: `By what they match. ${ETAG_OF_TABLE}`,
      tag: 'mappings',
      access: 'mapping.read',
      params: projectParams,
      query: z.strictObject({
        ...pageQuery,
        ...(kind === 'exception'
          ? {}
          : { domain: domain.optional().meta({ description: 'The one for this domain.' }) }),
      }),
      responses: { 200: { description: `A page of ${words}s`, schema: pageOf(schema) } },
      handler: async (context) => {
        const { query, read, url } = context
        const place = placeOf(context)
        const page = parsePage(query, 1)
        const wanted = matchOf(query['domain'] as string | undefined)
        return read(async (tx) => {
          const version = await revisionOf(tx, place)
          const rows = await listRules(tx, place, kind, wanted, page)
          return { status: 200, body: toPage(rows, page.limit, view, ({ key }) => [key], url), version }
        })
      },
    }),
    route({
      method: 'post',
      path: list,
      id: `create${name}`,
      summary: `Make a ${words}`,
      description:
        'Refused where one matches the same already, or where rules would chain. If-Match is the ETag of the table.',
      tag: 'mappings',
      access: 'mapping.write',
      params: projectParams,
      body,
      ifMatch: 'optional',
      problems: ['mapping-conflict'],
      responses: { 201: { description: `The ${words}`, schema: changed } },
      handler: (context) =>
        context.change(`mapping.${kind}-rule-created`, async (tx) => {
          const place = placeOf(context)
          const current = await lockTable(tx, place)
          context.checkVersion(current)
          const { rule, accepted } = await readRule(tx, place, resource, context.body)
          const rules = await currentRules(tx, place)
          const twin = rules.find((other) => other.kind === kind && other.key === rule.key)
          if (twin !== undefined)
            refuse(
              [{ pointer: '', code: 'matches-the-same', detail: `a ${words} matches the same`, existing: twin.id }],
              1,
            )
          await writePlan(tx, context, planRules(rules, [rule]), current)
          const made = await currentRule(tx, place, rule)
          return {
            answer: {
              status: 201,
              body: { ...view(made), warnings: warningsOf(accepted) },
              version: made.revision,
              headers: { Location: `/api/v1${list.replace('{project}', place.project)}/${made.id}` },
            },
            object: made.id,
            after: made.wire,
            details: { revision: made.revision },
          }
        }),
    }),
    route({
      ...one,
      method: 'get',
      id: `get${name}`,
      summary: `Read a ${words}`,
      tag: 'mappings',
      access: 'mapping.read',
      responses: { 200: { description: `The ${words}`, schema } },
      handler: (context) =>
        context.read(async (tx) => {
          const rule = await demandRule(tx, placeOf(context), kind, context.params.rule)
          return { status: 200, body: view(rule), version: rule.revision }
        }),
    }),
    route({
      ...one,
      method: 'put',
      id: `replace${name}`,
      summary: `Replace a ${words}`,
      tag: 'mappings',
      access: 'mapping.write',
      body,
      ifMatch: 'needed',
      problems: ['mapping-conflict'],
      responses: { 200: { description: `The ${words}`, schema: changed } },
      handler: (context) =>
        context.change(`mapping.${kind}-rule-changed`, async (tx) => {
          const place = placeOf(context)
          const current = await lockTable(tx, place)
          const before = await demandRule(tx, place, kind, context.params.rule)
          context.checkVersion(before.revision)
          const { rule, accepted } = await readRule(tx, place, resource, context.body)
          await writePlan(tx, context, planReplacing(await currentRules(tx, place), before, rule, words), current)
          const made = await currentRule(tx, place, rule)
          return {
            answer: { status: 200, body: { ...view(made), warnings: warningsOf(accepted) }, version: made.revision },
            object: made.id,
            before: before.wire,
            after: made.wire,
            details: { revision: made.revision },
          }
        }),
    }),
    route({
      ...one,
      method: 'delete',
      id: `delete${name}`,
      summary: `Remove a ${words}`,
      tag: 'mappings',
      access: 'mapping.write',
      ifMatch: 'needed',
      responses: { 204: { description: 'Removed' } },
      handler: (context) =>
        context.change(`mapping.${kind}-rule-removed`, async (tx) => {
          const place = placeOf(context)
          const current = await lockTable(tx, place)
          const before = await demandRule(tx, place, kind, context.params.rule)
          context.checkVersion(before.revision)
          const plan = planRules(await currentRules(tx, place), [], { removed: new Set([before.id]) })
          const revision = await writePlan(tx, context, plan, current)
          return { answer: { status: 204 }, object: before.id, before: before.wire, details: { revision } }
        }),
    }),
  ]
}

function viewOf({ fromFile }: Resource, { id, wire, revision }: StoredRule): Record<string, unknown> {
  return { id, ...fromFile(JSON.parse(wire)), revision }
}

/** @throws Problem 400 for what is no domain */
function matchOf(written: string | undefined): string | undefined {
  if (written === undefined) return undefined
  const normal = normaliseDomain(written.replace(/^\*\./, ''))
  if (normal === undefined) throw badRequest([{ pointer: '/query/domain', code: 'domain', detail: 'not a domain' }])
  return normal
}

async function demandRule(tx: Tx, place: Place, kind: RuleKind, id: string): Promise<StoredRule> {
  const rule = parseId('rule', id)
  const found = rule && (await findRule(tx, place, kind, rule))
  if (found === undefined) throw notFound()
  return found
}

async function currentRule(tx: Tx, place: Place, { kind, key }: IncomingRule): Promise<StoredRule> {
  const [rule] = (await currentRules(tx, place)).filter((other) => other.kind === kind && other.key === key)
  if (rule === undefined) throw new Error('unreachable: it was written a moment ago')
  return rule
}

/** @throws Problem 400 for what is no such rule, or leads out of the accepted domains */
async function readRule(
  tx: Tx,
  place: Place,
  { kind, toFile }: Resource,
  body: unknown,
): Promise<{ rule: IncomingRule; accepted: AcceptedDomains }> {
  const { rows, faults } = ruleRows({ [RULE_LISTS[kind]]: [toFile(body as Record<string, unknown>)] })
  const [rule] = rows
  if (rule === undefined) throw badRequest(faults.map(bodyFault))
  const accepted = await acceptedDomains(tx, place)
  if (accepted.isComplete && targetsOf(rule).some((target) => !accepted.domains.has(target)))
    throw badRequest([outside('to', undefined)])
  return { rule, accepted }
}

/** The rule's path in its list of one is the body itself. */
function bodyFault({ path, rule, reason }: Fault): RequestFault {
  const [list, , ...below] = path.split('/')
  const pointer = below.length > 0 ? `/${below.join('/')}` : list === RULE_LISTS.exception ? '/address' : ''
  return { pointer, code: rule, detail: reason }
}

/** One rule in the place of another, under its id; unless a third one matches the same. */
function planReplacing(rules: readonly StoredRule[], before: StoredRule, rule: IncomingRule, words: string): RulePlan {
  const twin = rules.find((other) => other.kind === rule.kind && other.key === rule.key)
  if (twin !== undefined && twin.id !== before.id)
    refuse([{ pointer: '', code: 'matches-the-same', detail: `a ${words} matches the same`, existing: twin.id }], 1)
  if (twin?.wire === rule.wire) return { ended: [], begun: [], faults: [] }
  const plan = planRules(rules, [rule], { removed: new Set([before.id]) })
  return { ...plan, begun: plan.begun.map((made) => ({ ...made, id: before.id })) }
}

/** @returns the revision in force then */
async function writePlan(
  tx: Tx,
  context: Pick<Context<unknown, unknown, unknown>, 'caller' | 'now' | 'organisation' | 'project'>,
  plan: RulePlan,
  current: number,
): Promise<number> {
  const place = placeOf(context)
  const told = plan.faults.map((fault) => ({ ...fault, pointer: withoutList(fault.pointer) }))
  refuse(told, told.length)
  const rulesChanged = countRuleChanges(plan)
  if (rulesChanged === 0) return current
  const { mappingRevision: revision } = await bumpSnapshot(tx, place.organisation, place.project, 'mapping')
  const { now } = context
  const author = authorOf(context.caller)
  await writeRules(tx, place, plan, { revision, author, now })
  const entries = await entryCountAt(tx, place, current)
  const counts = { created: 0, changed: 0, unchanged: entries, removed: 0, rulesChanged, entries, revision }
  await recordRevision(tx, place, counts, { author, cause: 'rule', now })
  return revision
}

const withoutList = (pointer: string): string => pointer.replace(/^\/[^/]+\/\d+/, '')
