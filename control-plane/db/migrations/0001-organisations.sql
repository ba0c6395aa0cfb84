-- Organisations, who may do what in them, and what every change leaves behind: audit, outbox, live events. (control-plane.md §5, TI-1, TI-2)
--
-- Every tenant table carries organisation_id, first in its keys and foreign keys, and has row-level security enabled and forced by protect().
-- A transaction says what it may see (control-plane/db/database.ts, Scope); one that says nothing sees and writes nothing.

do $$
begin
  if not exists (select from pg_roles where rolname = 'causeway_service') then
    create role causeway_service nologin;
  end if;
  if not exists (select from pg_roles where rolname = 'causeway_retention') then
    create role causeway_retention nologin;
  end if;
end $$;

grant usage on schema public to causeway_service, causeway_retention;
revoke create on schema public from public;

create function current_organisation() returns text
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.organisation', true), '') $$;

create function current_scope(name text) returns text
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.' || name, true), '') $$;

-- What every tenant table gets. Further policies of a table add to this one (they are permissive).
create function protect(tenant_table regclass) returns void
  language plpgsql
  as $$
begin
  execute format('alter table %s enable row level security', tenant_table);
  execute format('alter table %s force row level security', tenant_table);
  execute format('create policy organisation on %s using (organisation_id = current_organisation()) with check (organisation_id = current_organisation())', tenant_table);
  execute format('grant select, insert, update, delete on %s to causeway_service', tenant_table);
end $$;
revoke execute on function protect(regclass) from public;

-- ── Organisations ──────────────────────────────────────────────────────────────────────────────────────────────────

create table organisation (
  organisation_id text primary key,                            -- org_…, or 'installation' for what belongs to none
  name text not null check (length(name) between 1 and 200),
  region text not null default 'default',                      -- TI-5
  settings jsonb not null default '{}',                        -- retention, privacy, sign-in policy, notification targets
  version integer not null default 1,                          -- ETag
  created_at timestamptz not null default now(),
  deletion_requested_at timestamptz,                           -- two steps, 7 days to undo
  deletion_requested_by text
);
-- Before the table is protected: the owner is under the policies like everybody (force), unless it is a superuser.
insert into organisation (organisation_id, name) values ('installation', 'This installation');
select protect('organisation');
create policy listed on organisation for select
  using (current_scope('purpose') in ('dispatch', 'reconcile', 'retention', 'administration'));

-- Installation administrators: people, by Entra tenant and object id. Not tenant data.
create table installation_administrator (
  principal text primary key,                                  -- '<tid>/<oid>'
  added_by text not null,
  added_at timestamptz not null default now()
);
alter table installation_administrator enable row level security;
alter table installation_administrator force row level security;
create policy administration on installation_administrator using (current_scope('purpose') = 'administration')
  with check (current_scope('purpose') = 'administration');
create policy self on installation_administrator for select using (principal = current_scope('principal'));
grant select, insert, delete on installation_administrator to causeway_service;

-- The one account that exists before any administrator does (AZ-1). A single row.
create table break_glass (
  only_row boolean primary key default true check (only_row),
  code_hash text,                                              -- hex SHA-256 of the one-time code in force
  code_expires_at timestamptz,
  used_at timestamptz,
  failed_attempts integer not null default 0
);
insert into break_glass default values;
alter table break_glass enable row level security;
alter table break_glass force row level security;
create policy administration on break_glass using (current_scope('purpose') = 'administration')
  with check (current_scope('purpose') = 'administration');
grant select, insert, update on break_glass to causeway_service;

create table member (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- mbr_…
  principal text not null,                                     -- '<tid>/<oid>'; never an e-mail address
  display_name text not null default '',
  invited_by text not null,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  disabled_at timestamptz,
  primary key (organisation_id, id),
  unique (organisation_id, principal)
);
select protect('member');
create policy self on member for select using (principal = current_scope('principal'));
create index member_principal on member (principal);

create table role (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- rol_…; built-in roles are constants of the program and have no row
  name text not null check (length(name) between 1 and 100),
  permissions text[] not null,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  primary key (organisation_id, id),
  unique (organisation_id, name)
);
select protect('role');

create table project (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- prj_…
  name text not null check (length(name) between 1 and 200),
  description text not null default '',
  shows_titles boolean not null default false,                 -- whether auditors see titles
  settings jsonb not null default '{}',
  version integer not null default 1,
  mapping_revision bigint not null default 0,                  -- dense, never reused
  settings_version bigint not null default 0,                  -- of what relays are told beside the table
  snapshot_version bigint not null default 0,                  -- grows with every relay-visible change (RC-2)
  created_at timestamptz not null default now(),
  created_by text not null,
  deletion_requested_at timestamptz,
  deletion_requested_by text,
  primary key (organisation_id, id)
);
select protect('project');
create policy found on project for select using (id = current_scope('project'));
create policy listed on project for select using (current_scope('purpose') in ('dispatch', 'reconcile', 'retention'));
create unique index project_id on project (id);                -- random: one alone in all organisations

create table role_assignment (
  organisation_id text not null,
  member_id text not null,
  role_id text not null,                                       -- rol_… or the name of a built-in role
  project_id text not null default '',                         -- '': the whole organisation
  assigned_by text not null,
  assigned_at timestamptz not null default now(),
  primary key (organisation_id, member_id, role_id, project_id),
  foreign key (organisation_id, member_id) references member on delete cascade
);
select protect('role_assignment');
create policy self on role_assignment for select
  using (exists (select from member m where m.organisation_id = role_assignment.organisation_id
                   and m.id = role_assignment.member_id and m.principal = current_scope('principal')));

create table api_key (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- key_…
  name text not null check (length(name) between 1 and 100),
  prefix text not null,                                        -- shown: enough to recognise it
  key_hash text not null,                                      -- hex SHA-256 of 256 random bits
  principal text not null,                                     -- whose it is; of a service key who made it
  is_service boolean not null default false,
  member_id text,                                              -- personal: the member whose permissions bound it
  permissions text[] not null,
  project_id text not null default '',
  allows_dangerous boolean not null default false,             -- AZ-6: made under fresh sign-in, lives ≤ 24 h
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz,
  primary key (organisation_id, id),
  foreign key (organisation_id, member_id) references member on delete cascade
);
select protect('api_key');
create policy opened on api_key for select using (key_hash = current_scope('credential'));
create unique index api_key_hash on api_key (organisation_id, key_hash);
create index api_key_hash_lookup on api_key (key_hash);

create table support_grant (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- sup_…
  principal text not null,
  reason text not null,
  granted_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null check (expires_at <= created_at + interval '72 hours'),   -- AZ-7
  revoked_at timestamptz,
  primary key (organisation_id, id)
);
select protect('support_grant');
create policy self on support_grant for select using (principal = current_scope('principal'));

-- Browser sessions (AZ-2): of a person, in no organisation. The id is only ever known to the browser.
create table session (
  id_hash text primary key,                                    -- hex SHA-256
  principal text not null,
  display_name text not null,
  csrf_hash text not null,
  refresh_sealed bytea,                                        -- the provider's refresh token, sealed by the installation key
  is_break_glass boolean not null default false,
  created_at timestamptz not null default now(),
  authenticated_at timestamptz not null,                       -- AZ-6: freshness
  checked_at timestamptz not null,                             -- last proof that the provider still knows the person (AZ-3)
  last_used_at timestamptz not null,
  expires_at timestamptz not null                              -- absolute
);
alter table session enable row level security;
alter table session force row level security;
create policy opened on session using (id_hash = current_scope('credential')) with check (id_hash = current_scope('credential'));
create policy self on session for all using (principal = current_scope('principal')) with check (principal = current_scope('principal'));
create policy swept on session for delete using (current_scope('purpose') = 'retention');
create policy seen on session for select using (current_scope('purpose') = 'retention');
grant select, insert, update, delete on session to causeway_service;
create index session_principal on session (principal);

-- A sign-in under way: what must come back with the callback. Bound to a browser by its cookie.
create table sign_in_flow (
  state_hash text primary key,
  flow_sealed bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
alter table sign_in_flow enable row level security;
alter table sign_in_flow force row level security;
create policy opened on sign_in_flow using (state_hash = current_scope('credential')) with check (state_hash = current_scope('credential'));
create policy swept on sign_in_flow for delete using (current_scope('purpose') = 'retention');
create policy seen on sign_in_flow for select using (current_scope('purpose') = 'retention');
grant select, insert, delete on sign_in_flow to causeway_service;

-- ── Tenants (registered; connecting them comes with consent) ───────────────────────────────────────────────────────

create table tenant_connection (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- tnt_…
  side text not null check (side in ('source', 'target')),
  label text not null check (label ~ '^[a-z0-9-]{1,32}$'),     -- names it in relays' logs and traces
  name text not null default '',
  cloud text not null check (cloud in ('global', 'gcc-high', 'dod', 'china')),
  entra_tenant_id text not null,                               -- GUID, lower case
  app_model text not null check (app_model in ('single-tenant', 'multi-tenant')),
  client_id text,
  accepted_domains text[] not null default '{}',               -- A-labels; named at registration, later the tenant's own word
  initial_domain text,                                         -- ….onmicrosoft.com
  version integer not null default 1,
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (organisation_id, project_id, id),
  unique (organisation_id, project_id, label),
  unique (organisation_id, project_id, entra_tenant_id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('tenant_connection');
create unique index tenant_connection_one_target on tenant_connection (organisation_id, project_id) where side = 'target';

-- A tenant belongs to one organisation on the installation (EC-3). Not tenant data: says that it is taken, to nobody by whom.
create table tenant_claim (
  entra_tenant_id text primary key,
  organisation_id text not null references organisation on delete cascade
);
alter table tenant_claim enable row level security;
alter table tenant_claim force row level security;
create policy organisation on tenant_claim using (organisation_id = current_organisation()) with check (organisation_id = current_organisation());
grant select, insert, delete on tenant_claim to causeway_service;

-- ── Audit (AU-1 … AU-4) ────────────────────────────────────────────────────────────────────────────────────────────

-- Head of the chain: its row is locked by whoever appends.
create table audit_chain (
  organisation_id text primary key references organisation on delete cascade,
  size bigint not null default 0,
  head bytea not null default '\x0000000000000000000000000000000000000000000000000000000000000000'
);
insert into audit_chain (organisation_id) values ('installation');
select protect('audit_chain');
create policy listed on audit_chain for select using (current_scope('purpose') in ('reconcile', 'retention'));

create table audit_event (
  organisation_id text not null references organisation on delete cascade,
  sequence bigint not null,                                    -- dense, from 1
  id text not null,
  time timestamptz not null,
  action text not null,                                        -- '<area>.<what>'; so far columns for searching, the header is what is hashed
  actor text not null,
  project_id text not null default '',
  object text not null default '',
  result text not null check (result in ('done', 'denied', 'failed')),
  header text not null,                                        -- canonical JSON; holds the payload's hash
  payload text,                                                -- canonical JSON with a random salt; null once redacted (AU-4)
  hash bytea not null,                                         -- SHA-256(hash before ‖ header)
  primary key (organisation_id, sequence)
);
alter table audit_event enable row level security;
alter table audit_event force row level security;
create policy organisation on audit_event using (organisation_id = current_organisation()) with check (organisation_id = current_organisation());
-- Append-only, by privilege: nobody but the retention role may change anything, and that one column only.
grant select, insert on audit_event to causeway_service;
create index audit_event_time on audit_event (organisation_id, time, sequence);
create index audit_event_action on audit_event (organisation_id, action, sequence);
create index audit_event_project on audit_event (organisation_id, project_id, sequence);

grant select on audit_event to causeway_retention;
grant update (payload) on audit_event to causeway_retention;

-- Clears payloads up to a time: what api and worker may do of it, under the name of a role that can do nothing else (AU-4).
create function redact_audit_payloads(before timestamptz) returns bigint
  language sql security definer set search_path = pg_catalog, public
  as $$
    with cleared as (
      update audit_event set payload = null
       where organisation_id = current_organisation() and time < before and payload is not null
      returning 1)
    select count(*) from cleared
  $$;
revoke execute on function redact_audit_payloads(timestamptz) from public;
grant execute on function redact_audit_payloads(timestamptz) to causeway_service;
do $$ begin
  -- A function is given away by one who is a member of the role that takes it, and that role must be able to own something here.
  execute format('grant causeway_retention to %I', current_user);
  grant create on schema public to causeway_retention;
  alter function redact_audit_payloads(timestamptz) owner to causeway_retention;
  revoke create on schema public from causeway_retention;
end $$;

create table audit_checkpoint (
  organisation_id text not null references organisation on delete cascade,
  size bigint not null,
  hash bytea not null,
  time timestamptz not null,
  key_id text not null,
  signature bytea not null,                                    -- Ed25519 over origin, size, hash, time
  exported_at timestamptz,
  primary key (organisation_id, size)
);
alter table audit_checkpoint enable row level security;
alter table audit_checkpoint force row level security;
create policy organisation on audit_checkpoint using (organisation_id = current_organisation()) with check (organisation_id = current_organisation());
grant select, insert on audit_checkpoint to causeway_service;
grant update (exported_at) on audit_checkpoint to causeway_service;

-- ── Work and news that a change leaves behind ──────────────────────────────────────────────────────────────────────

-- Written with the change, handed to the queue after it (JQ-1). Ids only (JQ-4).
create table outbox (
  organisation_id text not null references organisation on delete cascade,
  id bigint generated always as identity,
  project_id text not null default '',
  kind text not null,                                          -- name of a job
  object_id text not null default '',
  created_at timestamptz not null default now(),
  primary key (organisation_id, id)
);
select protect('outbox');
create policy dispatched on outbox for all using (current_scope('purpose') = 'dispatch') with check (false);
create index outbox_id on outbox (id);

-- Live events (SSE), kept 24 h for those who come back (Last-Event-ID). Ids and states, no personal data.
create table event (
  organisation_id text not null references organisation on delete cascade,
  id bigint generated always as identity,
  project_id text not null default '',
  type text not null,
  body jsonb not null,
  created_at timestamptz not null default now(),
  primary key (organisation_id, id)
);
select protect('event');
create policy swept on event for delete using (current_scope('purpose') = 'retention');
create policy seen on event for select using (current_scope('purpose') = 'retention');
create index event_project on event (organisation_id, project_id, id);
create index event_created on event (created_at);

create table operation (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- opr_…
  project_id text not null default '',
  kind text not null,
  permission text not null,                                    -- that started it: reads and cancels it
  object_id text not null default '',
  state text not null check (state in ('queued', 'running', 'cancelling', 'cancelled', 'succeeded', 'failed')),
  done bigint not null default 0,
  total bigint,
  unit text not null default '',
  step text not null default '',
  problem jsonb,
  result jsonb,
  started_by text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  is_cancellable boolean not null default false,
  fence bigint not null default 0,                             -- JQ-2: grows with every attempt; a stale writer is refused
  attempts integer not null default 0,
  lease_until timestamptz,
  primary key (organisation_id, id)
);
select protect('operation');
create policy listed on operation for select using (current_scope('purpose') in ('dispatch', 'reconcile'));
create index operation_open on operation (state, lease_until) where state in ('queued', 'running', 'cancelling');

-- Answers of POSTs with an Idempotency-Key, kept 24 h per caller.
create table idempotency_key (
  organisation_id text not null references organisation on delete cascade,
  caller text not null,
  key text not null,
  request_hash text not null,                                  -- of method, path and body
  status integer not null,
  answer_sealed bytea not null,                                -- under a key that only the caller's credential gives
  created_at timestamptz not null default now(),
  primary key (organisation_id, caller, key)
);
select protect('idempotency_key');
create policy swept on idempotency_key for delete using (current_scope('purpose') = 'retention');
create policy seen on idempotency_key for select using (current_scope('purpose') = 'retention');
create index idempotency_key_created on idempotency_key (created_at);
