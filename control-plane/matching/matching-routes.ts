// Matchings over HTTP: start, list, read, results; and accounts that none looks at. (control-plane.md §2)
import { z } from 'zod'
import { accountShape } from '../directory/account-summary.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { time } from '../http/values.ts'
import { newId, parseId } from '../ids.ts'
import type { Tx } from '../db/database.ts'
import { authorOf, placeOf, projectParams } from '../mapping/mapping-schema.ts'
import type { Place } from '../mapping/mapping.ts'
import { createOperation, operationUrl } from '../operations/operation-store.ts'
import { findLiveAccount } from './account-record-store.ts'
import { OUTCOMES } from './match.ts'
import { defaultRules, optionsBody } from './match-rule.ts'
import { matchingSchema, resultSchema, shapeMatching } from './matching.ts'
import type { Matching } from './matching.ts'
import {
  excludeAccount,
  findMatching,
  findUnfinished,
  includeAccounts,
  insertMatching,
  listExclusions,
  listMatchings,
  listResults,
} from './matching-store.ts'
import { ruleText, searchText } from './pair.ts'
import { lockPairs, pairsOf } from './pair-store.ts'

const tag = 'matchings'
const params = z.strictObject({ project: z.string(), matching: z.string() })
const accountParams = z.strictObject({ project: z.string(), account: z.string() })

export const startedSchema = z
  .strictObject({
    operation: z.string().meta({ description: 'See Location.' }),
    matching: z.string(),
  })
  .meta({ id: 'MatchingStarted' })

export function matchingRoutes(): AnyRoute[] {
  return [startMatching, list, read, results, exclusions, exclude, include]
}

const startMatching = route({
  method: 'post',
  path: '/projects/{project}/matchings',
  id: 'startMatching',
  summary: 'Match the accounts of both sides',
  description:
    'Looks at the latest completed discovery of each tenant and writes to none. What is found without doubt becomes a proposed pair; what can be read two ways is listed with its candidates. Pairs that there are stay.',
  tag,
  access: 'directory.match',
  params: projectParams,
  body: optionsBody,
  problems: ['matching-running'],
  responses: { 202: { description: 'Goes on as an operation', schema: startedSchema } },
  handler: (context) => {
    const { body, caller, change, now } = context
    const place = placeOf(context)
    const { rules = defaultRules(body.domainMap), domainMap, allowGuests, replaceProposals } = body
    return change('matching.started', async (tx) => {
      await lockPairs(tx, place)
      const running = await findUnfinished(tx, place)
      if (running !== undefined) throw new Problem('matching-running', { operation: running })
      const id = newId('matching')
      const author = authorOf(caller)
      const operation = await createOperation(tx, place, {
        kind: 'matching.run',
        permission: 'directory.match',
        object: id,
        unit: 'accounts',
        isCancellable: true,
        startedBy: author,
      })
      const options = { rules, domainMap, allowGuests, replaceProposals }
      await insertMatching(tx, place, { id, operation, options, author }, now)
      return {
        answer: { status: 202, body: { operation, matching: id }, headers: { Location: operationUrl(operation) } },
        object: id,
        details: { operation, rules: rules.map(({ kind }) => kind) },
      }
    })
  },
})

const list = route({
  method: 'get',
  path: '/projects/{project}/matchings',
  id: 'listMatchings',
  summary: 'List matchings',
  description: 'The newest first.',
  tag,
  access: 'directory.read',
  params: projectParams,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'A page of matchings', schema: pageOf(matchingSchema) } },
  handler: (context) => {
    const page = parsePage(context.query, 2)
    return context.read(async (tx) => {
      const rows = await listMatchings(tx, placeOf(context), page)
      return {
        status: 200,
        body: toPage(rows, page.limit, shapeMatching, ({ createdMicros, id }) => [createdMicros, id], context.url),
      }
    })
  },
})

const read = route({
  method: 'get',
  path: '/projects/{project}/matchings/{matching}',
  id: 'getMatching',
  summary: 'Read a matching',
  tag,
  access: 'directory.read',
  params,
  responses: { 200: { description: 'The matching', schema: matchingSchema } },
  handler: (context) =>
    context.read(async (tx) => ({
      status: 200,
      body: shapeMatching(await demandMatching(tx, placeOf(context), context.params.matching)),
    })),
})

/** @throws Problem 404 */
export async function demandMatching(tx: Tx, place: Place, text: string): Promise<Matching> {
  const id = parseId('matching', text)
  const matching = id && (await findMatching(tx, place, id))
  if (matching === undefined) throw notFound()
  return matching
}

const resultQuery = z.strictObject({
  ...pageQuery,
  outcome: z.enum(OUTCOMES).optional(),
  rule: ruleText.optional().meta({ description: 'As results name it: `address`, `attribute:employeeId=employeeId`.' }),
  search: searchText.optional(),
})

const results = route({
  method: 'get',
  path: '/projects/{project}/matchings/{matching}/results',
  id: 'listMatchResults',
  summary: 'List what a matching says of each account of the sources',
  description:
    'By name. Empty until the matching is complete; kept for the five newest. Names and addresses are those of now, not of then.',
  tag,
  access: 'directory.read',
  params,
  query: resultQuery,
  responses: { 200: { description: 'A page of results', schema: pageOf(resultSchema) } },
  handler: (context) => {
    const { query, url } = context
    const page = parsePage(query, 2)
    return context.read(async (tx) => {
      const place = placeOf(context)
      const { id } = await demandMatching(tx, place, context.params.matching)
      const rows = await listResults(tx, place, id, query, page)
      return {
        status: 200,
        body: toPage(
          rows,
          page.limit,
          ({ body }) => body,
          ({ sortKey, source }) => [sortKey, source],
          url,
        ),
      }
    })
  },
})

// ── Accounts that no matching looks at ─────────────────────────────────────────────────────────────────────────────

const exclusionSchema = z
  .strictObject({ account: accountShape, excludedBy: z.string(), createdAt: time })
  .meta({ id: 'MatchExclusion', description: 'An account that no matching looks at.' })

const exclusions = route({
  method: 'get',
  path: '/projects/{project}/match-exclusions',
  id: 'listMatchExclusions',
  summary: 'List accounts that are excluded from matching',
  description: 'By id of the account.',
  tag,
  access: 'directory.read',
  params: projectParams,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'A page of them', schema: pageOf(exclusionSchema) } },
  handler: (context) => {
    const page = parsePage(context.query, 1)
    return context.read(async (tx) => {
      const rows = await listExclusions(tx, placeOf(context), page)
      const shape = ({ account, excludedBy, createdAt }: (typeof rows)[number]) => ({
        account,
        excludedBy,
        createdAt: createdAt.toISOString(),
      })
      return { status: 200, body: toPage(rows, page.limit, shape, ({ id }) => [id], context.url) }
    })
  },
})

const exclude = route({
  method: 'put',
  path: '/projects/{project}/match-exclusions/{account}',
  id: 'excludeFromMatching',
  summary: 'Exclude an account from matching',
  description: 'Of either side. One that is paired has to be unpaired first.',
  tag,
  access: 'directory.match',
  params: accountParams,
  problems: ['pair-conflict'],
  responses: { 204: { description: 'It is excluded' } },
  handler: (context) => {
    const { caller, change, now } = context
    const place = placeOf(context)
    return change('matching.excluded', async (tx) => {
      await lockPairs(tx, place)
      const id = parseId('account', context.params.account)
      const account = id && (await findLiveAccount(tx, place, id))
      if (account === undefined) throw notFound()
      const [pair] = await pairsOf(tx, place, [account.id])
      if (pair !== undefined)
        throw new Problem('pair-conflict', {
          faults: [{ pointer: '/account', code: 'already-paired', detail: pair.state, existing: pair.id }],
        })
      await excludeAccount(tx, place, account, authorOf(caller), now)
      return { answer: { status: 204 }, object: account.id }
    })
  },
})

const include = route({
  method: 'delete',
  path: '/projects/{project}/match-exclusions/{account}',
  id: 'includeInMatching',
  summary: 'Take an account back into matching',
  tag,
  access: 'directory.match',
  params: accountParams,
  responses: { 204: { description: 'It is not excluded any more' } },
  handler: (context) => {
    const id = parseId('account', context.params.account)
    if (id === undefined) throw notFound()
    return context.change('matching.included', async (tx) => {
      if ((await includeAccounts(tx, placeOf(context), [id])) === 0) throw notFound()
      return { answer: { status: 204 }, object: id }
    })
  },
})
