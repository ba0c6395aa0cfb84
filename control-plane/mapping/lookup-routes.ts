// Looks one address up over HTTP. (control-plane.md §2)
import { z } from 'zod'
import { x500Key } from '../../rewrite-rules/index.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'
import type { Tx } from '../db/database.ts'
import { badRequest, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import type { CompiledTables } from './compiled-tables.ts'
import { DECIDED_BY, entryKeysOf, outcomeOf, subjectOf } from './lookup.ts'
import type { Outcome, Subject } from './lookup.ts'
import { entrySchema, entryView, placeOf, projectParams } from './mapping-schema.ts'
import { findEntriesByKey, revisionOf } from './mapping-store.ts'
import type { StoredEntry } from './mapping-store.ts'
import type { Place } from './mapping.ts'
import { projectPolicy } from './project-policy.ts'
import { currentRules } from './rule-store.ts'

/** Changes may be committed between the table and what is read of it; not for long one after another. */
const TRIES = 5

const outcomeSchema = z
  .strictObject({
    result: z.string(),
    isChanged: z.boolean(),
    by: z.enum(DECIDED_BY).meta({ description: 'What the address was found by, whether or not it changes.' }),
    code: z
      .enum(['rule-conflict', 'eai-skipped'])
      .optional()
      .meta({ description: 'Why it stays, though something was found.' }),
    rule: z.string().optional().meta({ description: 'Id of the domain rule, wildcard or exception.' }),
    since: z.int().optional().meta({ description: 'Revision that made the entry or rule what it is.' }),
  })
  .meta({ id: 'MappingOutcome' })

const lookupSchema = z
  .strictObject({
    address: z.string(),
    revision: z.int().meta({ description: 'Of the table that was asked.' }),
    out: outcomeSchema.meta({ description: 'What the world sees where this address wrote a message.' }),
    in: outcomeSchema.meta({ description: 'Where a message to this address goes.' }),
    entry: entrySchema.optional(),
  })
  .meta({ id: 'MappingLookup' })

export function lookupRoutes(tables: CompiledTables): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/projects/{project}/mapping-lookup',
      id: 'lookUpMapping',
      summary: 'Look an address up, in both directions',
      tag: 'mappings',
      access: 'mapping.read',
      params: projectParams,
      query: z.strictObject({
        address: z.string().min(1).max(1_100).meta({ description: 'An address, or an X.500 name (`/o=…`).' }),
      }),
      responses: { 200: { description: 'What would happen to it', schema: lookupSchema } },
      handler: async (context) => {
        const { organisation, project } = placeOf(context)
        const { address } = context.query
        for (let i = 0; i < TRIES; i++) {
          const table = await tables.current(organisation, project)
          const body = await context.read((tx) => lookUp(tx, { organisation, project }, table, address))
          if (body !== undefined) return { status: 200, body, version: table.version }
        }
        throw new Problem('unavailable', { retryAfter: 1, detail: 'The table is being changed all the time.' })
      },
    }),
  ]
}

/** undefined: the table is not the one in force any more. @throws Problem 400 */
async function lookUp(
  tx: Tx,
  place: Place,
  table: MappingTable,
  address: string,
): Promise<z.output<typeof lookupSchema> | undefined> {
  if ((await revisionOf(tx, place)) !== table.version) return undefined
  const policy = await projectPolicy(tx, place)
  const isX500 = address.startsWith('/')
  const subject = isX500 ? undefined : subjectOf(address, policy)
  if (!isX500 && subject === undefined)
    throw badRequest([{ pointer: '/query/address', code: 'address', detail: 'neither an address nor an X.500 name' }])
  const keys = subject === undefined ? [x500Key(address)] : entryKeysOf(subject, table)
  const found =
    keys.length === 0 || address.includes('\0')
      ? new Map<string, StoredEntry>()
      : await findEntriesByKey(tx, place, keys)
  const entry = keys.map((key) => found.get(key)).find((other) => other !== undefined)
  const outcomes =
    subject === undefined ? x500Outcomes(address, entry) : await addressOutcomes(tx, place, subject, table, entry)
  return {
    address,
    revision: table.version,
    out: view(outcomes.out),
    in: view(outcomes.in),
    ...(entry === undefined ? {} : { entry: entryView(entry) }),
  }
}

async function addressOutcomes(
  tx: Tx,
  place: Place,
  subject: Subject,
  table: MappingTable,
  entry: StoredEntry | undefined,
): Promise<{ out: Outcome; in: Outcome }> {
  const about = { entry, rules: await currentRules(tx, place) }
  return { out: outcomeOf('present', subject, table, about), in: outcomeOf('locate', subject, table, about) }
}

/** A bare name, as a directory has it; in messages it stands in an IMCEAEX address (R26). */
function x500Outcomes(name: string, entry: StoredEntry | undefined): { out: Outcome; in: Outcome } {
  if (entry === undefined) {
    const nothing = {
      result: name,
      isChanged: false,
      by: 'nothing',
      code: undefined,
      rule: undefined,
      since: undefined,
    } as const
    return { out: nothing, in: nothing }
  }
  const { presented, mailbox } = JSON.parse(entry.wire) as { presented: string; mailbox: string }
  const found = { isChanged: true, by: 'x500', code: undefined, rule: undefined, since: entry.revision } as const
  return { out: { ...found, result: presented }, in: { ...found, result: mailbox } }
}

function view({ result, isChanged, by, code, rule, since }: Outcome): z.output<typeof outcomeSchema> {
  return {
    result,
    isChanged,
    by,
    ...(code === undefined ? {} : { code }),
    ...(rule === undefined ? {} : { rule }),
    ...(since === undefined ? {} : { since }),
  }
}
