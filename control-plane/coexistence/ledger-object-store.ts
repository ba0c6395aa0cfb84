// What we keep in the tenants now, in the database: written beside the ledger's rows, in the same transactions. Plans begin here. Scope: the organisation.
// (coexistence.md §2.2)
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { LedgerObject } from './planning.ts'
import type { CallStep } from './step.ts'
import type { Noun, Ownership, Properties } from './tenant-object.ts'

export interface KeptObject extends LedgerObject {
  /** Of the last call. */
  readonly writtenAt: Date
}

interface Row {
  readonly tenant: TenantId
  readonly noun: Noun
  readonly key: string
  readonly name: string
  readonly ownership: Ownership
  readonly guid: string | null
  readonly written: Properties
  readonly intended: Properties | null
  readonly before: Properties | null
  readonly writtenAt: Date
}

type ObjectKey = Pick<LedgerObject, 'tenant' | 'noun' | 'key'>

const COLUMNS = sql`tenant_id as tenant, noun, object_key as key, name, ownership, object_guid as guid, written, intended, before,
  written_at as "writtenAt"`
const of = ({ organisation, project }: ProjectPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project}`
const oneOf = (place: ProjectPlace, { tenant, noun, key }: ObjectKey) =>
  sql`${of(place)} and tenant_id = ${tenant} and noun = ${noun} and object_key = ${key}`

const toKept = ({ guid, intended, before, ...row }: Row): KeptObject => ({
  ...row,
  ...(guid === null ? {} : { guid }),
  ...(intended === null ? {} : { intended }),
  ...(before === null ? {} : { before }),
})

export async function readKept(tx: Tx, place: ProjectPlace): Promise<KeptObject[]> {
  return (await rowsOf<Row>(tx, sql`select ${COLUMNS} from coexistence_object where ${of(place)}`)).map(toKept)
}

/** Before the call: what the object will have, and of a changed one what it had first. */
export async function keepIntended(
  tx: Tx,
  place: ProjectPlace,
  step: CallStep,
  { ownership, at }: { readonly ownership: Ownership; readonly at: Date },
): Promise<void> {
  const kept = await findKept(tx, place, step)
  const before = ownership === 'changed' ? { ...step.before, ...kept?.before } : kept?.before
  await store(tx, place, {
    tenant: step.tenant,
    noun: step.noun,
    key: step.key,
    name: step.name,
    ownership: kept?.ownership ?? ownership,
    written: kept?.written ?? {},
    ...kept,
    ...(step.guid === undefined ? {} : { guid: step.guid }),
    ...(before === undefined ? {} : { before }),
    intended: { ...kept?.intended, ...step.writes },
    writtenAt: at,
  })
}

/** It took effect. @param guid  of the object; undefined: as known */
export async function keepWritten(
  tx: Tx,
  place: ProjectPlace,
  what: ObjectKey & { readonly effect: CallStep['effect']; readonly guid?: string | undefined },
  at: Date,
): Promise<void> {
  const kept = await findKept(tx, place, what)
  if (kept === undefined) return
  if (what.effect === 'remove') return dropKept(tx, place, what)
  const { intended = {}, ...rest } = kept
  if (what.effect === 'write-back') {
    const left = (values: Properties = {}) =>
      Object.fromEntries(Object.entries(values).filter(([name]) => !(name in intended)))
    const written = left(kept.written)
    // All of it is as it was: nothing of ours is left there.
    if (Object.keys(written).length === 0) return dropKept(tx, place, what)
    return store(tx, place, { ...rest, written, before: left(kept.before), writtenAt: at })
  }
  const guid = what.guid === undefined ? {} : { guid: what.guid }
  await store(tx, place, { ...rest, ...guid, written: { ...kept.written, ...intended }, writtenAt: at })
}

/** It took no effect, for certain. */
export async function forgetIntended(tx: Tx, place: ProjectPlace, what: ObjectKey): Promise<void> {
  const kept = await findKept(tx, place, what)
  if (kept === undefined) return
  const { intended: _intended, ...rest } = kept
  if (Object.keys(rest.written).length === 0) return dropKept(tx, place, what)
  await store(tx, place, rest)
}

export async function dropKept(tx: Tx, place: ProjectPlace, what: ObjectKey): Promise<void> {
  await sql`delete from coexistence_object where ${oneOf(place, what)}`.execute(tx)
}

async function findKept(tx: Tx, place: ProjectPlace, what: ObjectKey): Promise<KeptObject | undefined> {
  const row = await rowOf<Row>(tx, sql`select ${COLUMNS} from coexistence_object where ${oneOf(place, what)}`)
  return row && toKept(row)
}

async function store(tx: Tx, place: ProjectPlace, object: KeptObject): Promise<void> {
  const json = (value: Properties | undefined) => sql`${value === undefined ? null : JSON.stringify(value)}::jsonb`
  await sql`
    insert into coexistence_object (organisation_id, project_id, tenant_id, noun, object_key, name, ownership, object_guid, written, intended, before, written_at)
    values (${place.organisation}, ${place.project}, ${object.tenant}, ${object.noun}, ${object.key}, ${object.name}, ${object.ownership},
            ${object.guid ?? null}, ${json(object.written)}, ${json(object.intended)}, ${json(object.before)}, ${object.writtenAt})
    on conflict (organisation_id, project_id, tenant_id, noun, object_key) do update set
      name = excluded.name, object_guid = excluded.object_guid, written = excluded.written, intended = excluded.intended, before = excluded.before,
      written_at = excluded.written_at`.execute(tx)
}
