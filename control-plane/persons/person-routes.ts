// `…/person-exports`, `…/person-erasures`: everything that is held about one person across the project's data, shown to him or taken away. (PR-6)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import { setScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { matchKey } from '../directory/account.ts'
import { badRequest, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { guid } from '../http/values.ts'
import type { Sealer } from '../keys/sealer.ts'
import { keyOf } from '../mapping/mapping-store.ts'
import { placeOf, projectParams } from '../relays/project-params.ts'
import { erasePerson } from './erase-person.ts'
import type { ErasedPerson } from './erase-person.ts'
import { writePerson } from './export-person.ts'
import { findPerson } from './find-person.ts'
import { idsOf } from './person.ts'
import type { MoreOfPerson, Person } from './person.ts'
import { REASONS } from './person-source.ts'
import type { At, Reason } from './person-source.ts'
import { PERSON_SOURCES } from './person-sources.ts'
import { allowRest } from './person-table-store.ts'

export interface PersonRouteDeps {
  readonly db: Db
  readonly sealer: Sealer
}

const tag = 'persons'
/** A client may rest in the middle of an export for as long. */
const READ_IDLE_MS = 60_000

const whom = {
  addresses: z
    .array(z.string().min(3).max(700))
    .max(50)
    .default([])
    .meta({ description: 'Any by which the person is known; the others are found.' }),
  objectId: guid.optional().meta({ description: 'Of Entra ID.' }),
  tenantId: guid.optional().meta({ description: 'Of the object id, where it is the id of somebody who signs in.' }),
}
const exportBody = z.strictObject(whom).meta({ id: 'PersonQuery', description: 'By address, by object id, or both.' })
const erasureBody = z
  .strictObject({
    ...whom,
    force: z.boolean().default(false).meta({
      description:
        'Also entries of the mapping table that are in force, and what was read of tenants, which comes back while the person is there.',
    }),
    validateOnly: z.boolean().default(false).meta({ description: 'Answers the same, and changes nothing.' }),
    confirm: z.int().min(0).optional().meta({ description: '`total` of a dry run.' }),
  })
  .meta({ id: 'PersonErasureBody' })
const erasureSchema = z
  .strictObject({
    total: z.int().meta({ description: 'Rows that went, or went without the person.' }),
    erased: z.array(z.strictObject({ section: z.string(), rows: z.int() })),
    stays: z.array(
      z.strictObject({
        section: z.string(),
        rows: z.int(),
        reason: z.enum(Object.keys(REASONS) as [Reason, ...Reason[]]),
        explanation: z.string(),
      }),
    ),
  })
  .meta({ id: 'PersonErasure' })

const OUTSIDE =
  'Beside the database: relays keep their own journals for 30 days at most, backups end after 35 days, answers kept for a repeated request are sealed and go after 24 hours.'

export function personRoutes(deps: PersonRouteDeps): AnyRoute[] {
  return [exportPerson(deps), erasePersonRoute(deps)]
}

const exportPerson = ({ db, sealer }: PersonRouteDeps): AnyRoute =>
  route({
    method: 'post',
    path: '/projects/{project}/person-exports',
    id: 'exportPerson',
    summary: 'Everything that is held about one person',
    description: `A JSON document with a section for each table. Addresses of others are left out. Of mail there is what relays told, in the form that the privacy of the project has. ${OUTSIDE}`,
    tag,
    access: 'organization.manage',
    params: projectParams,
    body: exportBody,
    isDangerous: true,
    changesNothing: true,
    isLongLived: true,
    responses: { 200: { description: 'The document', contentType: 'application/json' } },
    handler: async (context) => {
      const { body, note, now, read } = context
      const place = placeOf(context)
      const asked = askedOf(body)
      const found = await read((tx) => findPerson({ tx, place, sealer, now }, asked, PERSON_SOURCES))
      await note('person.exported', toldOf(found))
      return {
        status: 200,
        headers: {
          'Content-Type': 'application/json',
          'Content-Disposition': 'attachment; filename="person.json"',
          'Cache-Control': 'no-store',
        },
        stream: (response, signal) =>
          atOneMoment(db, context, async (tx) => {
            const at = { tx, place, sealer, now }
            // Found anew: what is shown is of one moment.
            const person = await findPerson(at, asked, PERSON_SOURCES)
            await writePerson(at, person, PERSON_SOURCES, response, signal)
          }),
      }
    },
  })

function atOneMoment(
  db: Db,
  { organisation }: Pick<Context<unknown, unknown, unknown>, 'organisation'>,
  work: (tx: Tx) => Promise<void>,
) {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      await setScope(tx, { organisation })
      await allowRest(tx, READ_IDLE_MS)
      await work(tx)
    })
}

const erasePersonRoute = ({ sealer }: PersonRouteDeps): AnyRoute =>
  route({
    method: 'post',
    path: '/projects/{project}/person-erasures',
    id: 'erasePerson',
    summary: 'Erase what is held about one person',
    description: `What has to stay is told with the reason. A dry run says how much would go; the request then carries that number. Where older versions of mapping entries go, tables of the revisions before can not be had any more. ${OUTSIDE}`,
    tag,
    access: 'organization.manage',
    params: projectParams,
    body: erasureBody,
    isDangerous: true,
    problems: ['confirm-count'],
    responses: { 200: { description: 'What went, and what stays', schema: erasureSchema } },
    handler: async (context) => {
      const { body, caller, change, now, read } = context
      const place = placeOf(context)
      const asked = askedOf(body)
      const options = { isForced: body.force, author: callerName(callerOf(caller)) }
      const erase = async (at: At) => {
        const person = await findPerson(at, asked, PERSON_SOURCES)
        return { person, result: await erasePerson(at, person, options, PERSON_SOURCES) }
      }
      if (body.validateOnly)
        return { status: 200, body: shapeOf(await dryRun(read, (tx) => erase({ tx, place, sealer, now }))) }
      return change('person.erased', async (tx) => {
        const { person, result } = await erase({ tx, place, sealer, now })
        if (result.total !== body.confirm) throw new Problem('confirm-count', { count: result.total })
        const { object } = toldOf(person)
        return {
          answer: { status: 200, body: shapeOf(result) },
          ...(object === undefined ? {} : { object }),
          details: {
            force: body.force,
            erased: Object.fromEntries(result.erased.map(({ section, rows }) => [section, rows])),
            stays: Object.fromEntries(result.stays.map(({ section, rows, reason }) => [`${section} ${reason}`, rows])),
          },
        }
      })
    },
  })

/** Done, and taken back: what it says is then what the real one says. */
async function dryRun(
  read: Context<unknown, unknown, unknown>['read'],
  erase: (tx: Tx) => Promise<{ result: ErasedPerson }>,
): Promise<ErasedPerson> {
  const takenBack = new Error('a dry run')
  let result: ErasedPerson | undefined
  await read(async (tx) => {
    ;({ result } = await erase(tx))
    throw takenBack
  }).catch((error: unknown) => {
    if (error !== takenBack) throw error
  })
  if (result === undefined) throw new Error('unreachable: it was done')
  return result
}

/** @throws Problem 400 */
function askedOf({ addresses, objectId, tenantId }: z.output<typeof exportBody>): MoreOfPerson {
  if (addresses.length === 0 && objectId === undefined)
    throw badRequest([{ pointer: '', code: 'nobody', detail: 'an address or an object id' }])
  const keys = addresses.map((address) => keyOf(address) ?? '')
  const faults = keys.flatMap((key, i) =>
    key === '' ? [{ pointer: `/addresses/${i}`, code: 'address', detail: 'not an address' }] : [],
  )
  if (faults.length > 0) throw badRequest(faults)
  if (tenantId !== undefined && objectId === undefined)
    throw badRequest([{ pointer: '/tenantId', code: 'object-id', detail: 'only with an object id' }])
  return {
    addresses,
    keys: [...keys, ...addresses.map(matchKey)],
    ...(objectId === undefined ? {} : { objectIds: [objectId] }),
    ...(objectId === undefined || tenantId === undefined ? {} : { principals: [`${tenantId}/${objectId}`] }),
  }
}

/** The trail names nobody: an opaque id, where there is one, and how many others. */
function toldOf(person: Person) {
  const { accounts, mappings, members } = person
  const [object] = [...members, ...accounts, ...mappings]
  return { ...(object === undefined ? {} : { object }), details: { ids: idsOf(person).length } }
}

function shapeOf({ total, erased, stays }: ErasedPerson): z.input<typeof erasureSchema> {
  return {
    total,
    erased: [...erased],
    stays: stays.map((kept) => ({ ...kept, explanation: REASONS[kept.reason] })),
  }
}
