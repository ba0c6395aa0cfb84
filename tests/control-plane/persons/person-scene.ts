// A project that knows two people, Ann and Bob, in every table that can know one: rows made as the features make them, or by SQL where it takes a tenant.
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { newId } from '../../../control-plane/ids.ts'
import { mappingRoutesOf } from '../../../control-plane/mapping/all-routes.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { personRoutes } from '../../../control-plane/persons/person-routes.ts'
import { createLog } from '../../../common/log.ts'
import { notificationRoutes } from '../../../control-plane/webhooks/notification-routes.ts'
import { tagsOf } from '../../../mta/privacy.ts'
import type { Reply } from '../../harness/api.ts'
import { withFleet } from '../relays/fleet.ts'
import type { Fleet } from '../relays/fleet.ts'

export interface Human {
  readonly name: string
  readonly source: string
  readonly target: string
  readonly alias: string
  readonly objectId: string
  readonly targetObjectId: string
  readonly account: string
  readonly targetAccount: string
  /** Both of them, as events of relays hold them. */
  readonly tags: readonly string[]
}

export interface PersonScene {
  readonly it: Fleet
  readonly ann: Human
  readonly bob: Human
  /** `path` below the project. */
  readonly ask: (method: string, path: string, body?: unknown, key?: string) => Promise<Reply>
  readonly run: (...statements: RawBuilder<unknown>[]) => Promise<void>
  /** All rows of all tables that hold this text, by table. */
  readonly holding: (text: string) => Promise<Record<string, number>>
}

const TENANTS = { source: crypto.randomUUID(), target: crypto.randomUUID() }

export const withPersons = (t: TestContext, work: (scene: PersonScene) => Promise<void>): Promise<void> =>
  withFleet(t, { routes }, async (it) => {
    const relay = await it.relay()
    await relay.open()
    const { secrets } = await relay.untilVersion((await it.versions()).snapshot)
    const tags = tagsOf('hashed', secrets.marker.secret)
    const human = (name: string): Human => {
      const source = `canary-${name}@contoso.example`
      return {
        name: `Canary ${name}`,
        source,
        target: `canary-${name}@fabrikam.example`,
        alias: `canary-${name}.alias@contoso.example`,
        objectId: crypto.randomUUID(),
        targetObjectId: crypto.randomUUID(),
        account: newId('account'),
        targetAccount: newId('account'),
        tags: [tags.address(source) ?? '', tags.address(`canary-${name}@fabrikam.example`) ?? ''],
      }
    }
    const scene: PersonScene = {
      it,
      ann: human('ann'),
      bob: human('bob'),
      ask: (method, path, body, key = it.key) =>
        it.api.request(method, it.path + path, body, { key, headers: { 'If-Match': '*' } }),
      async run(...statements) {
        for (const statement of statements) await statement.execute(it.api.database.owner.db)
      },
      async holding(text) {
        const { db } = it.api.database.owner
        const { rows: tables } = await sql<{ name: string }>`
          select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
             and not c.relispartition order by 1`.execute(db)
        const found: Record<string, number> = {}
        for (const { name } of tables) {
          const { rows } = await sql<{ rows: number }>`
            select count(*) as rows from ${sql.table(name)} t where strpos(lower(t::text), lower(${text})) > 0`.execute(
            db,
          )
          if ((rows[0]?.rows ?? 0) > 0) found[name] = rows[0]?.rows ?? 0
        }
        return found
      },
    }
    await fillTenants(scene)
    for (const one of [scene.ann, scene.bob]) await fill(scene, one)
    await work(scene)
  })

function routes(...[sealer, db]: Parameters<NonNullable<NonNullable<Parameters<typeof withFleet>[1]>['routes']>>) {
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  return [
    ...personRoutes({ db, sealer }),
    ...mappingRoutesOf({ db, tables: new CompiledTables({ db, log }) }),
    ...notificationRoutes({ sealer }),
  ]
}

async function fillTenants({ it, run }: PersonScene): Promise<void> {
  for (const side of ['source', 'target'] as const) {
    const guid = TENANTS[side]
    await run(
      sql`insert into tenant_claim (entra_tenant_id, organisation_id) values (${guid}, ${it.organisation})`,
      sql`insert into tenant_connection (organisation_id, project_id, id, side, label, cloud, entra_tenant_id, app_model, created_by)
          values (${it.organisation}, ${it.project}, ${`tnt_${side}`}, ${side}, ${side}, 'global', ${guid}, 'multi-tenant', 'test')`,
    )
  }
}

async function fill(scene: PersonScene, one: Human): Promise<void> {
  await fillDirectory(scene, one)
  await fillMapping(scene, one)
  await fillMail(scene, one)
  await fillWork(scene, one)
  await fillAccess(scene, one)
}

async function fillDirectory({ it, run }: PersonScene, one: Human): Promise<void> {
  const place = sql`${it.organisation}, ${it.project}`
  const account = (id: string, tenant: string, object: string, address: string, from: number, to: number | null) => {
    const snapshot = {
      objectId: object,
      kind: 'user',
      displayName: one.name,
      addresses: [address, one.alias],
      x500: [],
    }
    return sql`insert into account (organisation_id, project_id, tenant_id, id, object_id, valid_from, valid_to, kind, display_name,
                                    user_principal_name, primary_key, sort_key, is_synced, snapshot, digest, created_at)
        values (${place}, ${tenant}, ${id}, ${object}, ${from}, ${to}, 'user', ${one.name}, ${address}, ${address}, ${one.name}, false,
                ${JSON.stringify(snapshot)}::jsonb, '', now())`
  }
  const { account: source, targetAccount: target } = one
  await run(
    account(source, 'tnt_source', one.objectId, one.source, 1, 2),
    account(source, 'tnt_source', one.objectId, one.source, 2, null),
    account(target, 'tnt_target', one.targetObjectId, one.target, 1, null),
    sql`insert into account_part (organisation_id, project_id, tenant_id, object_id, source, part, upn_key, changed_in, seen_in)
        values (${place}, 'tnt_source', ${one.objectId}, 'directory', ${JSON.stringify({ mail: one.source })}::jsonb, ${one.source}, 1, 1)`,
    sql`insert into account_address (organisation_id, project_id, tenant_id, key, kind, account_id)
        values (${place}, 'tnt_source', ${one.source}, 'smtp', ${source}), (${place}, 'tnt_target', ${one.target}, 'smtp', ${target})`,
    sql`insert into group_member (organisation_id, project_id, tenant_id, group_object_id, member_object_id, valid_from, valid_to, seen_in)
        values (${place}, 'tnt_source', 'group', ${one.objectId}, 1, 2, 1), (${place}, 'tnt_source', 'group', ${one.objectId}, 2, null, 2)`,
    sql`insert into finding (organisation_id, project_id, id, fingerprint, pass, code, severity, about, tenant_id, account_id, details, sort_key,
                             first_seen_at, last_seen_at)
        values (${place}, ${newId('finding')}, ${Buffer.from(one.source)}, 'accounts', 'x', 'notice', 'account', 'tnt_source', ${source}, '{}', ${one.name}, now(), now())`,
    sql`insert into collection (organisation_id, project_id, id, name, name_key, created_by, created_at)
        values (${place}, 'col_1', 'Wave', 'wave', 'test', now()) on conflict do nothing`,
    sql`insert into collection_member (organisation_id, project_id, collection_id, account_id, tenant_id, added_at)
        values (${place}, 'col_1', ${source}, 'tnt_source', now())`,
    sql`insert into match_exclusion (organisation_id, project_id, account_id, tenant_id, author, created_at)
        values (${place}, ${source}, 'tnt_source', 'test', now())`,
    sql`insert into matching (organisation_id, project_id, id, operation_id, options, author, created_at)
        values (${place}, 'mch_1', 'opr_1', '{}', 'test', now()) on conflict do nothing`,
    sql`insert into match_result (organisation_id, project_id, matching_id, sort_key, source_account_id, source_tenant_id, outcome, candidates, candidate_count)
        values (${place}, 'mch_1', ${one.name}, ${source}, 'tnt_source', 'unmatched', '{}', 0)`,
    sql`insert into pair (organisation_id, project_id, id, source_tenant_id, source_account_id, target_tenant_id, target_account_id, origin, state,
                          confidence, sort_key, created_by, created_at, decided_by, decided_at)
        values (${place}, ${newId('pair')}, 'tnt_source', ${source}, 'tnt_target', ${target}, 'mapped', 'confirmed', 'certain', ${one.name}, 'test', now(), 'test', now()),
               (${place}, ${newId('pair')}, 'tnt_source', ${source}, 'tnt_target', 'acc_other', 'mapped', 'unpaired', 'certain', ${one.name}, 'test', now(), 'test', now())`,
    sql`insert into pair_import (organisation_id, project_id, id, kind, filter, author, created_at)
        values (${place}, ${`pim_${one.objectId}`}, 'confirm', ${JSON.stringify({ address: one.source })}::jsonb, 'test', now())`,
    sql`insert into pair_import_row (organisation_id, project_id, import_id, line, source_column, target_column, action, source_key, target_key, collection, collection_key)
        values (${place}, ${`pim_${one.objectId}`}, 1, 1, 1, 'pair', ${one.source}, ${one.target}, '', '')`,
    sql`insert into tenant_facts (organisation_id, project_id, tenant_id, discovery_number, facts, created_at)
        values (${place}, 'tnt_source', ${one.source.length}, ${JSON.stringify({ rules: [`to ${one.source}`] })}::jsonb, now())
        on conflict (organisation_id, project_id, tenant_id, discovery_number)
        do update set facts = tenant_facts.facts || ${JSON.stringify({ more: one.source })}::jsonb`,
    sql`insert into tenant_change (organisation_id, project_id, sequence, tenant_id, noun, object_key, cmdlet, parameters, before, state, operation_id,
                                   author, created_at)
        select ${place}, 1 + coalesce(max(sequence), 0), 'tnt_source', 'InboundConnector', 'in', 'Set-InboundConnector', '{}',
               ${JSON.stringify({ properties: { EFUsers: [one.source] } })}::jsonb, 'intent', 'opr_1', 'test', now() from tenant_change`,
    sql`insert into tenant_state (organisation_id, project_id, tenant_id, operation_id, moment, objects, observed_at)
        values (${place}, 'tnt_source', ${one.objectId}, 'before', ${JSON.stringify([{ properties: { From: [one.source] } }])}::jsonb, now())`,
    sql`insert into coexistence_object (organisation_id, project_id, tenant_id, noun, object_key, name, ownership, written, written_at)
        values (${place}, 'tnt_source', 'InboundConnector', ${one.objectId}, 'in', 'created', ${JSON.stringify({ EFUsers: [one.source] })}::jsonb, now())`,
    sql`insert into coexistence_switch (organisation_id, project_id, setting, state, since, free_busy, free_busy_state, free_busy_since, proof, author, changed_at)
        values (${place}, '{}', 'off', now(), '{}', 'off', now(), ${JSON.stringify({ byOthers: [{ name: one.source }] })}::jsonb, 'test', now())
        on conflict (organisation_id, project_id) do update
          set proof = jsonb_build_object('before', coexistence_switch.proof, 'after', excluded.proof)`,
  )
}

async function fillMapping({ it, ask, run }: PersonScene, one: Human): Promise<void> {
  const entry = { known: [one.source, one.target, one.alias], presented: one.target, mailbox: one.source }
  await must(ask('POST', '/mappings/bulk', { upsert: [entry] }))
  await must(ask('POST', '/mappings/bulk', { upsert: [{ ...entry, route: 'mx' }] }))
  const { body } = await must(ask('POST', '/mappings/exceptions', { address: one.alias }))
  await must(ask('DELETE', `/mappings/exceptions/${body.id}`))
  await must(ask('POST', '/mappings/exceptions', { address: one.source }))
  const place = sql`${it.organisation}, ${it.project}`
  const id = `imp_${one.objectId}`
  await run(
    sql`insert into mapping_import (organisation_id, project_id, id, mode, rules, author, created_at)
        values (${place}, ${id}, 'upsert', ${JSON.stringify({ exceptions: [one.source] })}::jsonb, 'test', now())`,
    sql`insert into mapping_import_row (organisation_id, project_id, import_id, presented_key, row, path, line, col, id, presented, mailbox, mailbox_domain, keys, wire)
        values (${place}, ${id}, ${one.target}, 1, 'entries/0', 1, 1, 'map_x', ${one.target}, ${one.source}, 'contoso.example', '{}', '{}')`,
  )
}

/** In both forms of privacy, as sender and as recipient; each beside the other person, who must not be shown. */
async function fillMail({ it, run, ann, bob }: PersonScene, one: Human): Promise<void> {
  const { rows } = await sql<{ id: string }>`select id from relay`.execute(it.api.database.owner.db)
  const relay = rows[0]?.id ?? ''
  const other = one === ann ? bob : ann
  await run(sql`select make_message_partition((now() at time zone 'UTC')::date)`)
  const event = (queue: string, name: string, sender: string | null, fields: Record<string, unknown>) =>
    sql`insert into message_event (organisation_id, project_id, relay_id, time, id, received_at, class, event, queue_id, sender, fields)
        values (${it.organisation}, ${it.project}, ${relay}, date_trunc('milliseconds', now()), ${crypto.randomUUID()}, now(), 'message', ${name}, ${queue},
                ${sender}, ${JSON.stringify({ ...fields, bytes: 1 })}::jsonb)`
  const recipient = (queue: string, address: string) =>
    sql`insert into message_recipient (organisation_id, project_id, address, time, relay_id, queue_id)
        values (${it.organisation}, ${it.project}, ${address}, date_trunc('milliseconds', now()), ${relay}, ${queue})`
  const [own = ''] = one.tags
  const [others = ''] = other.tags
  const queue = crypto.randomUUID()
  await run(
    event(`${queue}-1`, 'accepted', own, { from: own, to: [others] }),
    event(`${queue}-1`, 'delivered', null, { recipient: others }),
    recipient(`${queue}-1`, others),
    event(`${queue}-2`, 'accepted', other.source, { from: other.source, to: [one.source, other.alias] }),
    event(`${queue}-2`, 'failed', null, { recipient: one.source, reply: `550 <${one.source}> unknown` }),
    recipient(`${queue}-2`, one.source),
    recipient(`${queue}-2`, other.alias),
  )
}

async function fillWork({ it, run }: PersonScene, one: Human): Promise<void> {
  const text = JSON.stringify({ faults: [{ detail: `${one.source} is known twice` }] })
  const { rows } = await sql<{ id: string }>`
    select id from mapping_entry where presented = ${one.target} and valid_to is null`.execute(it.api.database.owner.db)
  const mapping = JSON.stringify({ mapping: rows[0]?.id })
  const path = `/organizations/${it.organisation}/notifications`
  const somebody = { events: ['webhook.*'], recipients: ['operators@contoso.example'] }
  const made = await must(it.api.request('POST', path, somebody, { key: it.key }))
  const place = sql`${it.organisation}, ${it.project}`
  await run(
    sql`insert into operation (organisation_id, project_id, id, kind, permission, state, started_by, finished_at, problem)
        values (${place}, ${newId('operation')}, 'a.b', 'mapping.import', 'failed', 'test', now(), ${text}::jsonb)`,
    sql`insert into operation (organisation_id, project_id, id, kind, permission, state, started_by, result)
        values (${place}, ${newId('operation')}, 'a.b', 'mapping.import', 'running', 'test', ${text}::jsonb)`,
    sql`insert into event (organisation_id, project_id, type, body) values (${place}, 'mapping.changed', ${mapping}::jsonb)`,
    sql`insert into webhook (organisation_id, id, url, events, secret_sealed, created_by)
        values (${it.organisation}, 'whk_1', 'https://x.example/', '{none.such}', '', 'test') on conflict do nothing`,
    sql`insert into webhook_delivery (organisation_id, project_id, id, webhook_id, event_type, body)
        values (${place}, ${newId('delivery')}, 'whk_1', 'mapping.changed', ${mapping}::jsonb)`,
    sql`insert into notification_delivery (organisation_id, project_id, id, notification_id, event_type, body)
        values (${place}, ${newId('delivery')}, ${String(made.body.id)}, 'mapping.changed', ${mapping}::jsonb)`,
    sql`insert into relay_settings (organisation_id, project_id, version, document, created_at, created_by)
        select ${place}, n + coalesce((select max(version) from relay_settings), 0), ${JSON.stringify({ postmaster: one.source })}::jsonb, now(), 'test'
          from generate_series(1, 2) n`,
    sql`update organisation set settings = jsonb_set(coalesce(settings, '{}'), ${`{${one.objectId}}`}::text[], ${JSON.stringify(one.source)}::jsonb)
         where organisation_id = ${it.organisation}`,
  )
}

async function fillAccess({ it, run }: PersonScene, one: Human): Promise<void> {
  const principal = `${TENANTS.source}/${one.objectId}`
  const member = newId('member')
  const inAnHour = new Date(Date.now() + 3_600_000)
  await run(
    sql`insert into member (organisation_id, id, principal, display_name, invited_by)
        values (${it.organisation}, ${member}, ${principal}, ${one.name}, 'test')`,
    sql`insert into role_assignment (organisation_id, member_id, role_id, project_id, assigned_by)
        values (${it.organisation}, ${member}, 'auditor', ${it.project}, 'test')`,
    sql`insert into api_key (organisation_id, id, name, prefix, key_hash, principal, member_id, permissions, expires_at)
        values (${it.organisation}, ${newId('api-key')}, 'Own', 'cw_', ${one.objectId}, ${principal}, ${member}, '{}', ${inAnHour})`,
    sql`insert into support_grant (organisation_id, id, principal, reason, granted_by, expires_at, revoked_at)
        values (${it.organisation}, ${newId('support-grant')}, ${principal}, ${`for ${one.name}`}, 'test', ${inAnHour}, now())`,
    sql`insert into session (id_hash, principal, display_name, csrf_hash, authenticated_at, checked_at, last_used_at, expires_at)
        values (${one.objectId}, ${principal}, ${one.name}, 'x', now(), now(), now(), ${inAnHour})`,
    sql`insert into installation_administrator (principal, display_name, added_by) values (${principal}, ${one.name}, 'test')`,
    sql`insert into audit_event (organisation_id, sequence, id, time, action, actor, project_id, result, header, payload, hash)
        select ${it.organisation}, size + 1, ${newId('event')}, now(), 'a.b', ${`person:${principal}`}, ${it.project}, 'done', '{}',
               ${JSON.stringify({ salt: 'x', sourceAddress: '192.0.2.77', note: one.source })}, ''
          from audit_chain where organisation_id = ${it.organisation}`,
    sql`update audit_chain set size = size + 1 where organisation_id = ${it.organisation}`,
  )
}

async function must(reply: Promise<Reply>): Promise<Reply> {
  const { status, body } = await reply
  if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`)
  return reply
}
