// Pairs over HTTP: list, make by hand, confirm, change, unpair; one by one, and proposals by the filter of the list. (control-plane.md §2)
import { z } from 'zod'
import { idText } from '../directory/account-summary.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Answer } from '../http/route.ts'
import { newId } from '../ids.ts'
import { refreshStatistics } from '../mapping/change-store.ts'
import { authorOf, placeOf, projectParams } from '../mapping/mapping-schema.ts'
import { createOperation, operationUrl } from '../operations/operation-store.ts'
import { changePair, confirmMany, confirmPair, demandCount, demandPair, makePair, unpair } from './change-pairs.ts'
import { pairChangeSchema } from './pair-change.ts'
import { insertStagedPairs } from './pair-file-store.ts'
import { PAIR_STATES, pairFilterShape, pairOptions, pairSchema, shapePair } from './pair.ts'
import type { Pair } from './pair.ts'
import { listPairs } from './pair-store.ts'

const tag = 'pairs'
const params = z.strictObject({ project: z.string(), pair: z.string() })
/** As many are confirmed within the request. */
const SMALL_PAIRS = 1_000

export const pairsStartedSchema = z
  .strictObject({ operation: z.string().meta({ description: 'See Location.' }) })
  .meta({ id: 'PairOperationStarted' })

export function pairRoutes(): AnyRoute[] {
  return [list, make, confirmAll, read, change, confirm, remove]
}

const list = route({
  method: 'get',
  path: '/projects/{project}/pairs',
  id: 'listPairs',
  summary: 'List pairs',
  description: 'By name of the source account. Without `state` all that are not unpaired.',
  tag,
  access: 'directory.read',
  params: projectParams,
  query: z.strictObject({ ...pageQuery, ...pairFilterShape }),
  responses: { 200: { description: 'A page of pairs', schema: pageOf(pairSchema) } },
  handler: (context) => {
    const page = parsePage(context.query, 2)
    return context.read(async (tx) => {
      const rows = await listPairs(tx, placeOf(context), context.query, page)
      return {
        status: 200,
        body: toPage(rows, page.limit, shapePair, ({ sortKey, id }) => [sortKey, id], context.url),
      }
    })
  },
})

const read = route({
  method: 'get',
  path: '/projects/{project}/pairs/{pair}',
  id: 'getPair',
  summary: 'Read a pair',
  tag,
  access: 'directory.read',
  params,
  responses: { 200: { description: 'The pair', schema: pairSchema } },
  handler: (context) =>
    context.read(async (tx) => answerOf(await demandPair(tx, placeOf(context), context.params.pair))),
})

const answerOf = (pair: Pair, status = 200): Answer => ({ status, body: shapePair(pair), version: pair.version })

const makeBody = z
  .strictObject({
    source: idText.meta({ description: 'Id of an account of a source.' }),
    target: idText.meta({ description: 'Id of an account of the target.' }),
    presents: pairOptions.presents.default('target'),
    holds: pairOptions.holds.default('source'),
  })
  .meta({ id: 'PairBody' })

const make = route({
  method: 'post',
  path: '/projects/{project}/pairs',
  id: 'createPair',
  summary: 'Pair two accounts by hand',
  description: 'The pair is confirmed at once, and its entry is in the mapping table with it.',
  tag,
  access: 'directory.match',
  params: projectParams,
  body: makeBody,
  problems: ['pair-conflict'],
  responses: { 201: { description: 'The pair', schema: pairSchema } },
  handler: (context) => {
    const { body, caller, now } = context
    const place = placeOf(context)
    return context.change('pair.created', async (tx) => {
      const pair = await makePair(tx, place, body, { author: authorOf(caller), now })
      return {
        answer: { ...answerOf(pair, 201), headers: { Location: `/api/v1/projects/${place.project}/pairs/${pair.id}` } },
        object: pair.id,
        details: { source: pair.source, target: pair.target, mapping: pair.mapping.state },
      }
    })
  },
})

const confirm = route({
  method: 'post',
  path: '/projects/{project}/pairs/{pair}/confirm',
  id: 'confirmPair',
  summary: 'Confirm a proposed pair',
  description: 'Its entry is written into the mapping table. Confirming again changes nothing.',
  tag,
  access: 'directory.match',
  params,
  ifMatch: 'optional',
  problems: ['conflict'],
  responses: { 200: { description: 'The pair', schema: pairSchema } },
  handler: (context) => {
    const { caller, checkVersion, now } = context
    return context.change('pair.confirmed', async (tx) => {
      const by = { author: authorOf(caller), now }
      const pair = await confirmPair(tx, placeOf(context), context.params.pair, by, checkVersion)
      return { answer: answerOf(pair), object: pair.id, details: { mapping: pair.mapping.state } }
    })
  },
})

const changeBody = z
  .strictObject({ presents: pairOptions.presents.optional(), holds: pairOptions.holds.optional() })
  .meta({ id: 'PairChange' })

const change = route({
  method: 'patch',
  path: '/projects/{project}/pairs/{pair}',
  id: 'changePair',
  summary: 'Change what a pair presents, or which side holds the mailbox',
  description: 'The entry of a confirmed pair follows in the same transaction.',
  tag,
  access: 'directory.match',
  params,
  body: changeBody,
  ifMatch: 'needed',
  problems: ['conflict'],
  responses: { 200: { description: 'The pair', schema: pairSchema } },
  handler: (context) => {
    const { body, caller, checkVersion, now } = context
    return context.change('pair.changed', async (tx) => {
      const by = { author: authorOf(caller), now }
      const pair = await changePair(tx, placeOf(context), context.params.pair, body, by, checkVersion)
      const { presents, holds, mapping } = pair
      return { answer: answerOf(pair), object: pair.id, details: { presents, holds, mapping: mapping.state } }
    })
  },
})

const remove = route({
  method: 'delete',
  path: '/projects/{project}/pairs/{pair}',
  id: 'deletePair',
  summary: 'Unpair two accounts',
  description:
    'Takes out of the mapping table what the pair wrote, and nothing else. The pair stays to be read as unpaired; both accounts are free.',
  tag,
  access: 'directory.match',
  params,
  query: z.strictObject({
    despiteContent: z
      .enum(['true', 'false'])
      .default('false')
      .meta({ description: 'Needed once content was copied for the pair.' }),
  }),
  ifMatch: 'needed',
  problems: ['conflict', 'pair-has-content'],
  responses: { 200: { description: 'The pair as it was left', schema: pairSchema } },
  handler: (context) => {
    const { caller, checkVersion, now, query } = context
    return context.change('pair.unpaired', async (tx) => {
      const by = { author: authorOf(caller), now }
      const options = { despiteContent: query.despiteContent === 'true' }
      const pair = await unpair(tx, placeOf(context), context.params.pair, options, by, checkVersion)
      return { answer: answerOf(pair), object: pair.id, details: { source: pair.source, target: pair.target } }
    })
  },
})

const { state: _state, ...proposalFilter } = pairFilterShape

const confirmAllBody = z
  .strictObject({
    filter: z
      .strictObject({ ...proposalFilter, state: z.literal(PAIR_STATES[0]).optional() })
      .default({})
      .meta({ description: 'Parameters of the list of pairs. Only proposals are taken.' }),
    confirm: z
      .int()
      .min(0)
      .optional()
      .meta({ description: 'How many proposals that are. Another number is refused, and told.' }),
  })
  .meta({ id: 'PairConfirmation' })

const confirmAll = route({
  method: 'post',
  path: '/projects/{project}/pairs/confirm',
  id: 'confirmPairs',
  summary: 'Confirm all proposals that a filter takes',
  description: `All or nothing, in one revision of the mapping table. More than ${SMALL_PAIRS} are confirmed by an operation.`,
  tag,
  access: 'directory.match',
  params: projectParams,
  body: confirmAllBody,
  problems: ['confirm-count'],
  responses: {
    200: { description: 'What changed', schema: pairChangeSchema },
    202: { description: 'Goes on as an operation', schema: pairsStartedSchema },
  },
  handler: async (context) => {
    const { body, caller, now } = context
    const place = placeOf(context)
    const author = authorOf(caller)
    const { filter, confirm: count } = body
    const found = await context.read((tx) => demandCount(tx, place, filter, count))
    if (found <= SMALL_PAIRS) {
      await context.read((tx) => refreshStatistics(tx, found))
      return context.change('pair.confirmed', async (tx) => {
        const { confirmed, mapping } = await confirmMany(tx, place, { filter, count }, { author, now })
        const none = { paired: 0, unchanged: 0, unpaired: 0, excluded: 0, collections: 0, collected: 0 }
        const changed = { ...none, confirmed, revision: mapping.revision, mapping: mapping.states }
        return { answer: { status: 200, body: changed }, details: { confirmed, revision: mapping.revision } }
      })
    }
    return context.change('pair.confirmation-started', async (tx) => {
      const id = newId('pair-import')
      await insertStagedPairs(
        tx,
        place,
        { id, kind: 'confirm', filter, confirm: count, validatesOnly: false, author },
        now,
      )
      const operation = await createOperation(tx, place, {
        kind: 'pair.change',
        permission: 'directory.match',
        object: id,
        total: found,
        unit: 'pairs',
        isCancellable: true,
        startedBy: author,
      })
      return {
        answer: { status: 202, body: { operation }, headers: { Location: operationUrl(operation) } },
        object: operation,
        details: { pairs: found },
      }
    })
  },
})
