// The database's schema as one readable file, from the catalogue: what all migrations add up to, for reviews. The same schema gives the same text.
//
// `node scripts/schema.ts` writes control-plane/db/schema.sql anew, by way of the test that keeps the two equal.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Runs one statement as the schema's owner; rows as objects. */
export type Query = (statement: string) => Promise<Record<string, unknown>[]>

const HEADER = `-- The schema of this version: made from the catalogue of a migrated database by scripts/schema.ts, not to be edited or run.
-- Migrations are what is run; read the difference of this file when they change.
`

export async function dumpSchema(query: Query): Promise<string> {
  const parts = [
    HEADER,
    ...(await roles(query)),
    ...(await sequences(query)),
    ...(await functions(query)),
    ...(await tables(query)),
  ]
  return `${parts.join('\n')}\n`
}

async function textsOf(query: Query, statement: string): Promise<string[]> {
  return (await query(statement)).map(({ text }) => String(text))
}

/** What the roles of the product are and may do to the schema itself; whoever owns it is the installation's business. */
async function roles(query: Query): Promise<string[]> {
  const made = await textsOf(
    query,
    `select format('create role %I%s%s%s%s%s;', rolname,
                   case when rolsuper then ' superuser' else '' end,
                   case when rolbypassrls then ' bypassrls' else '' end,
                   case when rolcreaterole then ' createrole' else '' end,
                   case when rolcreatedb then ' createdb' else '' end,
                   case when rolreplication then ' replication' else '' end) as text
       from pg_roles where rolname like 'causeway\\_%' order by rolname`,
  )
  const granted = await textsOf(
    query,
    `select format('grant %s on schema public to %s;', string_agg(lower(privilege_type), ', ' order by privilege_type), grantee) as text
       from (select a.privilege_type, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end as grantee
               from pg_namespace n, aclexplode(n.nspacl) a
              where n.nspname = 'public' and a.grantee <> n.nspowner
                -- Memberships and the database's own owner are no part of the schema.
                and (a.grantee = 0 or a.grantee::regrole::text like 'causeway\\_%')) granted
      group by grantee order by grantee`,
  )
  return [...made, ...granted, '']
}

async function sequences(query: Query): Promise<string[]> {
  const found = await textsOf(
    query,
    `select format('create sequence %I;', c.relname) ||
            coalesce((select string_agg(format(E'\\ngrant %s on sequence %I to %s;', lower(a.privilege_type), c.relname, a.grantee::regrole), '' order by a.grantee::regrole::text, a.privilege_type)
                        from aclexplode(c.relacl) a where a.grantee <> c.relowner), '') || E'\\n' as text
       from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('i', 'a'))
      order by c.relname`,
  )
  return found
}

async function functions(query: Query): Promise<string[]> {
  return textsOf(
    query,
    `select rtrim(pg_get_functiondef(p.oid), E' \\n') || ';' ||
            case when p.proowner::regrole::text like 'causeway\\_%'
                 then format(E'\\nalter function %s owner to %s;', p.oid::regprocedure, p.proowner::regrole) else '' end ||
            case when p.proacl is not null and not exists (select from aclexplode(p.proacl) a where a.grantee = 0)
                 then format(E'\\nrevoke execute on function %s from public;', p.oid::regprocedure) else '' end ||
            coalesce((select string_agg(format(E'\\ngrant execute on function %s to %s;', p.oid::regprocedure, a.grantee::regrole), '' order by a.grantee::regrole::text)
                        from aclexplode(p.proacl) a where a.grantee <> 0 and a.grantee <> p.proowner), '') || E'\\n' as text
       from pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p')
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
      order by p.proname, p.oid::regprocedure::text`,
  )
}

async function tables(query: Query): Promise<string[]> {
  const found = await query(
    `select c.oid::text as oid, c.relname as name, c.relrowsecurity as is_protected, c.relforcerowsecurity as is_forced,
            pg_get_partkeydef(c.oid) as partition_key
       from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and c.relname not like 'kysely\\_%'
      order by c.relname`,
  )
  const parts: string[] = []
  for (const table of found) parts.push(await tableText(query, table))
  return parts
}

async function tableText(query: Query, table: Record<string, unknown>): Promise<string> {
  const { oid, name, is_protected, is_forced, partition_key } = table as {
    oid: string
    name: string
    is_protected: boolean
    is_forced: boolean
    partition_key: string | null
  }
  const columns = await textsOf(
    query,
    `select format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) ||
            case when a.attcollation <> t.typcollation then ' collate ' || (select quote_ident(collname) from pg_collation where oid = a.attcollation) else '' end ||
            case when a.attidentity = 'a' then ' generated always as identity'
                 when a.attidentity = 'd' then ' generated by default as identity'
                 when a.attgenerated = 's' then ' generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
                 when d.adbin is not null then ' default ' || pg_get_expr(d.adbin, d.adrelid) else '' end ||
            case when a.attnotnull then ' not null' else '' end as text
       from pg_attribute a join pg_type t on t.oid = a.atttypid
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = ${oid} and a.attnum > 0 and not a.attisdropped
      order by a.attnum`,
  )
  // Not-null constraints are named ones from Postgres 18 on: they stand with their columns.
  const constraints = await textsOf(
    query,
    `select format('constraint %I %s', conname, pg_get_constraintdef(oid)) as text
       from pg_constraint where conrelid = ${oid} and contype in ('p', 'u', 'c', 'f', 'x')
      order by array_position(array['p', 'u', 'x', 'f', 'c'], contype::text), conname`,
  )
  const indexes = await textsOf(
    query,
    `select replace(pg_get_indexdef(i.indexrelid), ' public.', ' ') || ';' as text
       from pg_index i join pg_class c on c.oid = i.indexrelid
      where i.indrelid = ${oid} and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
      order by c.relname`,
  )
  const policies = await textsOf(
    query,
    `select format('create policy %I on %I%s for %s to %s%s%s;', p.polname, c.relname,
                   case when p.polpermissive then '' else ' as restrictive' end,
                   case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end,
                   (select string_agg(case when r = 0 then 'public' else r::regrole::text end, ', ' order by r) from unnest(p.polroles) r),
                   coalesce(E'\\n  using (' || pg_get_expr(p.polqual, p.polrelid) || ')', ''),
                   coalesce(E'\\n  with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')) as text
       from pg_policy p join pg_class c on c.oid = p.polrelid where p.polrelid = ${oid} order by p.polname`,
  )
  const grants = await textsOf(
    query,
    `select format('grant %s on %I to %s;', string_agg(privilege, ', ' order by privilege), name, grantee) as text
       from (select c.relname as name, a.grantee::regrole::text as grantee, lower(a.privilege_type) as privilege
               from pg_class c, aclexplode(c.relacl) a where c.oid = ${oid} and a.grantee <> c.relowner
             union all
             select c.relname, a.grantee::regrole::text, format('%s (%I)', lower(a.privilege_type), t.attname)
               from pg_class c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a
              where c.oid = ${oid} and a.grantee <> c.relowner) granted
      group by name, grantee order by grantee`,
  )
  const triggers = await textsOf(
    query,
    `select replace(pg_get_triggerdef(oid), ' public.', ' ') || ';' as text from pg_trigger where tgrelid = ${oid} and not tgisinternal order by tgname`,
  )
  const partition = partition_key === null ? '' : ` partition by ${partition_key.toLowerCase()}`
  return [
    `create table ${name} (\n  ${[...columns, ...constraints].join(',\n  ')}\n)${partition};`,
    ...(is_protected ? [`alter table ${name} enable row level security;`] : []),
    ...(is_forced ? [`alter table ${name} force row level security;`] : []),
    ...indexes,
    ...triggers,
    ...policies,
    ...grants,
    '',
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = new URL('../', import.meta.url)
  const { status } = spawnSync(
    process.execPath,
    ['--test', '--test-global-setup=tests/setup.ts', 'tests/control-plane/db/schema.test.ts'],
    { cwd: root, env: { ...process.env, UPDATE_GOLDEN: '1' }, stdio: 'inherit' },
  )
  process.exitCode = status ?? 1
}
