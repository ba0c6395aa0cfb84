// `…/dkim-keys`: generate, publish, check, activate, rotate, retire. Private halves are in no answer: they leave only to the project's relays, sealed
// in the snapshot. (control-plane.md §2, R80, KM-5, KM-7)
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import { callerName } from '../access/caller.ts'
import { sqlState, UNIQUE_VIOLATION } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import type { DkimKeyId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { checkDkimRecord } from './check-dkim-record.ts'
import type { RecordCheck, ResolveTxt } from './check-dkim-record.ts'
import {
  actFault,
  CHECK_RESULTS,
  defaultSelector,
  DKIM_ALGORITHMS,
  DKIM_LIFE_MS,
  DKIM_STATES,
  dnsRecordOf,
  generateDkimKey,
  KEEP_RECORD_MS,
  parseSelector,
} from './dkim-key.ts'
import type { DkimAct, DkimAlgorithm, DkimKey, DkimKeyPair } from './dkim-key.ts'
import { activateDkimKey, addDkimKey, findDkimKey, listDkimKeys, retireDkimKey, storeCheck } from './dkim-key-store.ts'
import { placeOf, projectParams } from './project-params.ts'
import type { ProjectPlace } from './relay-secret-store.ts'

export interface DkimRouteDeps {
  readonly sealer: Sealer
  readonly resolveTxt: ResolveTxt
}

const keyParams = projectParams.extend({ dkimKey: z.string() })

const keySchema = z
  .strictObject({
    id: z.string(),
    domain: z.string(),
    selector: z.string(),
    algorithm: z.enum(DKIM_ALGORITHMS),
    state: z.enum(DKIM_STATES),
    version: z.int(),
    record: z
      .strictObject({ name: z.string(), type: z.literal('TXT'), value: z.string(), strings: z.array(z.string()) })
      .meta({ description: 'To be published in DNS; `strings` as a zone file has it.' }),
    keepRecordUntil: z.iso
      .datetime()
      .optional()
      .meta({ description: 'Of a retired key: mail that it signed may be under way so long.' }),
    replaces: z.string().optional(),
    createdAt: z.iso.datetime(),
    createdBy: z.string(),
    expiresAt: z.iso.datetime().meta({ description: 'When it should have been rotated (KM-7).' }),
    lastUsedAt: z.iso.datetime().optional().meta({ description: 'When it last went to a relay, to the hour.' }),
    checkedAt: z.iso.datetime().optional(),
    checkResult: z.enum(CHECK_RESULTS).optional(),
    activatedAt: z.iso.datetime().optional(),
    retiredAt: z.iso.datetime().optional(),
  })
  .meta({ id: 'DkimKey' })

const checkedSchema = z
  .strictObject({ key: keySchema, found: z.array(z.string()).meta({ description: 'TXT records of the name.' }) })
  .meta({ id: 'DkimCheck' })

const selectorMember = z.string().max(63).optional().meta({ description: 'Absent: one is made up.' })
const algorithmMember = z.enum(DKIM_ALGORITHMS)

const found = { 200: { description: 'The key', schema: keySchema } }
const made = { 201: { description: 'The key, with the record to publish', schema: keySchema } }

export function dkimKeyRoutes(deps: DkimRouteDeps): AnyRoute[] {
  const { sealer, resolveTxt } = deps
  return [
    route({
      method: 'post',
      path: '/projects/{project}/dkim-keys',
      id: 'createDkimKey',
      summary: 'Generate a DKIM key for a domain',
      tag: 'dkim',
      access: 'dkim.manage',
      params: projectParams,
      body: z.strictObject({
        domain: z.string().max(255),
        algorithm: algorithmMember.default('rsa-2048'),
        selector: selectorMember,
      }),
      responses: made,
      problems: ['conflict'],
      handler: async (context) => {
        const { body, now } = context
        const domain = normaliseDomain(body.domain)
        if (domain === undefined) throw badRequest([{ pointer: '/domain', code: 'domain', detail: 'is no domain' }])
        const selector = selectorOf(body.selector, body.algorithm, now)
        // Takes a while: not in the transaction.
        const pair = await generateDkimKey(body.algorithm)
        return context.change('dkim-key.created', (tx) =>
          create(tx, context, deps, { domain, selector, algorithm: body.algorithm, pair }),
        )
      },
    }),
    route({
      method: 'get',
      path: '/projects/{project}/dkim-keys',
      id: 'listDkimKeys',
      summary: 'List DKIM keys',
      description: 'Oldest first.',
      tag: 'dkim',
      access: 'relay.read',
      params: projectParams,
      query: z.strictObject({
        ...pageQuery,
        domain: z.string().max(255).optional(),
        state: z.enum(DKIM_STATES).optional(),
      }),
      responses: { 200: { description: 'A page of keys', schema: pageOf(keySchema).meta({ id: 'DkimKeyPage' }) } },
      handler: async (context) => {
        const { query, url } = context
        const page = parsePage(query, 2)
        const domain = query.domain === undefined ? undefined : (normaliseDomain(query.domain) ?? query.domain)
        const keys = await context.read((tx) =>
          listDkimKeys(tx, placeOf(context), { domain, state: query.state }, page),
        )
        return {
          status: 200,
          body: toPage(keys, page.limit, shapeOf, ({ createdAt, id }) => [createdAt.getTime(), id], url),
        }
      },
    }),
    route({
      method: 'get',
      path: '/projects/{project}/dkim-keys/{dkimKey}',
      id: 'readDkimKey',
      summary: 'Read one DKIM key',
      tag: 'dkim',
      access: 'relay.read',
      params: keyParams,
      responses: found,
      handler: (context) => context.read(async (tx) => answerOf(await keyOf(tx, context, 'read'))),
    }),
    route({
      method: 'post',
      path: '/projects/{project}/dkim-keys/{dkimKey}/check',
      id: 'checkDkimKey',
      summary: 'Look whether the record is in DNS',
      tag: 'dkim',
      access: 'dkim.manage',
      params: keyParams,
      responses: { 200: { description: 'What was seen', schema: checkedSchema } },
      handler: async (context) => {
        const check = await checkDkimRecord(await context.read((tx) => keyOf(tx, context, 'read')), resolveTxt)
        return context.change('dkim-key.checked', async (tx) => {
          const { id } = await keyOf(tx, context, 'lock')
          await storeCheck(tx, placeOf(context), id, check.result, new Date(context.now))
          const key = await keyOf(tx, context, 'read')
          return {
            answer: { status: 200, body: { key: shapeOf(key), found: check.found }, version: key.version },
            object: id,
            details: { result: check.result },
          }
        })
      },
    }),
    route({
      method: 'post',
      path: '/projects/{project}/dkim-keys/{dkimKey}/activate',
      id: 'activateDkimKey',
      summary: 'Let relays sign with the key',
      description:
        'Its record must be in DNS, which is looked at once more. The active key of the same domain and kind is retired.',
      tag: 'dkim',
      access: 'dkim.manage',
      params: keyParams,
      body: z.strictObject({
        force: z
          .boolean()
          .default(false)
          .meta({ description: 'Whatever DNS says: receivers may refuse what it signs.' }),
      }),
      ifMatch: 'optional',
      responses: found,
      problems: ['conflict', 'dkim-not-published'],
      handler: async (context) => {
        const check = await checkDkimRecord(await context.read((tx) => keyOf(tx, context, 'read')), resolveTxt)
        return context.change('dkim-key.activated', (tx) => activate(tx, context, check, context.body.force))
      },
    }),
    route({
      method: 'post',
      path: '/projects/{project}/dkim-keys/{dkimKey}/rotate',
      id: 'rotateDkimKey',
      summary: 'Generate the key that is to replace this one',
      description: 'This one stays in use until the new one is published and activated.',
      tag: 'dkim',
      access: 'dkim.manage',
      params: keyParams,
      body: z.strictObject({ algorithm: algorithmMember.optional(), selector: selectorMember }),
      responses: made,
      problems: ['conflict'],
      handler: async (context) => {
        const { body, now } = context
        const before = await context.read((tx) => keyOf(tx, context, 'read'))
        const algorithm = body.algorithm ?? before.algorithm
        if ((algorithm === 'ed25519') !== (before.algorithm === 'ed25519'))
          throw badRequest([
            {
              pointer: '/algorithm',
              code: 'kind',
              detail: 'an RSA key is replaced by an RSA key, an Ed25519 key by an Ed25519 key',
            },
          ])
        const selector = selectorOf(body.selector, algorithm, now)
        const pair = await generateDkimKey(algorithm)
        return context.change('dkim-key.rotated', async (tx) => {
          const { domain, id: replaces } = mayBe('rotate', await keyOf(tx, context, 'lock'))
          return create(tx, context, { sealer, resolveTxt }, { domain, selector, algorithm, pair, replaces })
        })
      },
    }),
    route({
      method: 'post',
      path: '/projects/{project}/dkim-keys/{dkimKey}/retire',
      id: 'retireDkimKey',
      summary: 'Let nobody sign with the key any more, and destroy its private half',
      tag: 'dkim',
      access: 'dkim.manage',
      params: keyParams,
      ifMatch: 'optional',
      responses: found,
      problems: ['conflict'],
      handler: (context) =>
        context.change('dkim-key.retired', async (tx) => {
          const place = placeOf(context)
          const before = await keyOf(tx, context, 'lock')
          context.checkVersion(before.version)
          mayBe('retire', before)
          await retireDkimKey(tx, place, before.id, new Date(context.now))
          if (before.state === 'active') await bumpSnapshot(tx, place.organisation, place.project, 'settings')
          const key = await keyOf(tx, context, 'read')
          return { answer: answerOf(key), object: key.id, before: { state: before.state }, after: { state: key.state } }
        }),
    }),
  ]
}

interface KeyToMake {
  readonly domain: string
  readonly selector: string
  readonly algorithm: DkimAlgorithm
  readonly pair: DkimKeyPair
  readonly replaces?: DkimKeyId
}

async function create(
  tx: Tx,
  context: Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project' | 'caller' | 'now'>,
  { sealer }: DkimRouteDeps,
  { domain, selector, algorithm, pair, replaces }: KeyToMake,
) {
  const place = placeOf(context)
  const { caller, now } = context
  if (caller === undefined) throw new Error('unreachable: the route asks for a permission')
  const id = newId('dkim-key')
  const times = { createdAt: new Date(now), expiresAt: new Date(now + DKIM_LIFE_MS) }
  try {
    await addDkimKey(tx, sealer, place, {
      id,
      domain,
      selector,
      algorithm,
      pair,
      replaces,
      createdBy: callerName(caller),
      ...times,
    })
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    throw new Problem('conflict', {
      detail: 'The domain has a key with this selector, and what DNS and receivers keep of it. Choose another.',
    })
  }
  const key = await findDkimKey(tx, place, id)
  if (key === undefined) throw new Error('unreachable: it was just added')
  return {
    answer: { ...answerOf(key), status: 201 },
    object: id,
    after: { domain, selector, algorithm },
    details: { domain, selector, algorithm, ...(replaces === undefined ? {} : { replaces }) },
  }
}

async function activate(
  tx: Tx,
  context: KeyContext & Pick<Context<unknown, unknown, unknown>, 'now' | 'checkVersion'>,
  check: RecordCheck,
  force: boolean,
) {
  const place = placeOf(context)
  const at = new Date(context.now)
  const before = await keyOf(tx, context, 'lock')
  context.checkVersion(before.version)
  mayBe('activate', before)
  if (check.result !== 'found' && !force)
    throw new Problem('dkim-not-published', { result: check.result, found: check.found })
  await storeCheck(tx, place, before.id, check.result, at)
  const retired = await activateDkimKey(tx, place, before, at)
  await bumpSnapshot(tx, place.organisation, place.project, 'settings')
  await publishEvent(tx, place, 'dkim-key.activated', { key: before.id, ...(retired && { retired }) })
  const key = await keyOf(tx, context, 'read')
  return {
    answer: answerOf(key),
    object: key.id,
    before: { state: before.state },
    after: { state: key.state },
    details: { check: check.result, isForced: force, ...(retired && { retired }) },
  }
}

function selectorOf(written: string | undefined, algorithm: DkimAlgorithm, now: number): string {
  if (written === undefined) return defaultSelector(algorithm, new Date(now), randomBytes(2).toString('hex'))
  const selector = parseSelector(written)
  if (selector === undefined)
    throw badRequest([
      {
        pointer: '/selector',
        code: 'selector',
        detail: 'must be labels of letters, digits and `-`, dots between them',
      },
    ])
  return selector
}

function mayBe(act: DkimAct, key: DkimKey): DkimKey {
  const detail = actFault(act, key.state)
  if (detail !== undefined) throw new Problem('conflict', { detail })
  return key
}

type KeyContext = Pick<Context<z.output<typeof keyParams>, unknown, unknown>, 'organisation' | 'project' | 'params'>

async function keyOf(tx: Tx, context: KeyContext, lock: 'lock' | 'read'): Promise<DkimKey> {
  const id = parseId('dkim-key', context.params.dkimKey)
  const place: ProjectPlace = placeOf(context)
  const key = id && (await findDkimKey(tx, place, id, lock))
  if (key === undefined) throw notFound()
  return key
}

const answerOf = (key: DkimKey) => ({ status: 200, body: shapeOf(key), version: key.version })

const isoOf = (at: Date | undefined): string | undefined => at?.toISOString()

function shapeOf(key: DkimKey): z.input<typeof keySchema> {
  const { name, type, value, strings } = dnsRecordOf(key)
  return {
    id: key.id,
    domain: key.domain,
    selector: key.selector,
    algorithm: key.algorithm,
    state: key.state,
    version: key.version,
    record: { name, type, value, strings: [...strings] },
    keepRecordUntil: isoOf(key.retiredAt && new Date(key.retiredAt.getTime() + KEEP_RECORD_MS)),
    ...(key.replaces && { replaces: key.replaces }),
    createdAt: key.createdAt.toISOString(),
    createdBy: key.createdBy,
    expiresAt: key.expiresAt.toISOString(),
    lastUsedAt: isoOf(key.lastUsedAt),
    checkedAt: isoOf(key.checkedAt),
    ...(key.checkResult && { checkResult: key.checkResult }),
    activatedAt: isoOf(key.activatedAt),
    retiredAt: isoOf(key.retiredAt),
  }
}
