// Domain rules, wildcards and exceptions of a project, with their history.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import { newId } from '../ids.ts'
import type { RuleId } from '../ids.ts'
import type { Place } from './mapping.ts'
import type { RuleKind, RulePlan, StoredRule } from './rule.ts'

interface RuleRecord {
  id: RuleId
  valid_from: number
  kind: RuleKind
  rule_key: string
  wire: string
}

const toRule = ({ id, valid_from, kind, rule_key, wire }: RuleRecord): StoredRule => ({
  id,
  revision: valid_from,
  kind,
  key: rule_key,
  wire,
})

/** All in force: at most `MAX_RULES`. */
export async function currentRules(tx: Tx, { organisation, project }: Place): Promise<StoredRule[]> {
  const rows = await rowsOf<RuleRecord>(
    tx,
    sql`select id, valid_from, kind, rule_key, wire from mapping_rule
         where organisation_id = ${organisation} and project_id = ${project} and valid_to is null
         order by kind, rule_key`,
  )
  return rows.map(toRule)
}

/** By what they match. @param domain  that they match, in A-labels */
export async function listRules(
  tx: Tx,
  { organisation, project }: Place,
  kind: RuleKind,
  domain: string | undefined,
  page: PageRequest,
): Promise<StoredRule[]> {
  const rows = await rowsOf<RuleRecord>(
    tx,
    sql`select id, valid_from, kind, rule_key, wire from mapping_rule
         where organisation_id = ${organisation} and project_id = ${project} and valid_to is null and kind = ${kind}
           ${domain === undefined ? sql`` : sql`and rule_key = ${domain}`}
           ${page.after === undefined ? sql`` : sql`and rule_key > ${page.after[0]}`}
         order by rule_key limit ${page.limit + 1}`,
  )
  return rows.map(toRule)
}

export async function findRule(
  tx: Tx,
  { organisation, project }: Place,
  kind: RuleKind,
  id: RuleId,
): Promise<StoredRule | undefined> {
  const row = await rowOf<RuleRecord>(
    tx,
    sql`select id, valid_from, kind, rule_key, wire from mapping_rule
         where organisation_id = ${organisation} and project_id = ${project} and valid_to is null and kind = ${kind} and id = ${id}`,
  )
  return row && toRule(row)
}

/** Carries a plan without faults out. */
export async function writeRules(
  tx: Tx,
  { organisation, project }: Place,
  { ended, begun }: RulePlan,
  { revision, author, now }: { revision: number; author: string; now: number },
): Promise<void> {
  if (ended.length > 0) {
    await sql`
      update mapping_rule set valid_to = ${revision}
       where organisation_id = ${organisation} and project_id = ${project} and valid_to is null and id = any(${[...ended]})`.execute(
      tx,
    )
  }
  if (begun.length === 0) return
  const rows = begun.map(({ id = newId('rule'), kind, key, wire }) => ({ id, kind, rule_key: key, wire }))
  await sql`
    insert into mapping_rule (organisation_id, project_id, id, valid_from, kind, rule_key, wire, author, created_at)
    select ${organisation}, ${project}, r.id, ${revision}::bigint, r.kind, r.rule_key, r.wire, ${author}, ${new Date(now)}::timestamptz
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(id text, kind text, rule_key text, wire text)`.execute(
    tx,
  )
}
