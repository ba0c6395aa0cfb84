-- The schema of this version: made from the catalogue of a migrated database by scripts/schema.ts, not to be edited or run.
-- Migrations are what is run; read the difference of this file when they change.

create role causeway_retention;
create role causeway_service;
grant usage on schema public to causeway_retention;
grant usage on schema public to causeway_service;
grant usage on schema public to public;

create sequence event_position;
grant usage on sequence event_position to causeway_service;

CREATE OR REPLACE FUNCTION public.close_break_glass()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  update break_glass set is_open = false, code_hash = null, code_expires_at = null;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.current_organisation()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('app.organisation', true), '') $function$;

CREATE OR REPLACE FUNCTION public.current_scope(name text)
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('app.' || name, true), '') $function$;

CREATE OR REPLACE FUNCTION public.drop_message_partitions(before date)
 RETURNS text[]
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public'
 SET lock_timeout TO '10s'
AS $function$
declare
  day text;
  days text[] := '{}';
begin
  perform pg_advisory_xact_lock(hashtext('message_event partitions'));
  for day in
    select right(c.relname, 8) from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'public.message_event'::regclass and right(c.relname, 8) < to_char(before, 'YYYYMMDD')
     order by 1
  loop
    execute format('drop table public.%I, public.%I', 'message_event_' || day, 'message_recipient_' || day);
    days := days || day;
  end loop;
  return days;
end $function$;
revoke execute on function drop_message_partitions(date) from public;
grant execute on function drop_message_partitions(date) to causeway_service;

CREATE OR REPLACE FUNCTION public.forget_api_key()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  delete from key_inventory where organisation_id = old.organisation_id and kind = 'api-key' and id = old.id;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.forget_certificate()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  delete from key_inventory
   where organisation_id = old.organisation_id and kind in ('client-certificate', 'tls-certificate') and id = old.id;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.forget_connection_certificate()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  delete from key_inventory where organisation_id = old.organisation_id and kind = 'app-certificate' and id = old.id;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.make_message_partition(day date)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public'
 SET lock_timeout TO '10s'
AS $function$
declare
  whole text;
  partition text;
  from_time timestamptz := day::timestamp at time zone 'UTC';
begin
  if abs(day - (now() at time zone 'UTC')::date) > 400 then
    raise exception 'no events are kept of %', day;
  end if;
  perform pg_advisory_xact_lock(hashtext('message_event partitions'));
  if to_regclass('public.message_event_' || to_char(day, 'YYYYMMDD')) is not null then
    return false;
  end if;
  foreach whole in array array['message_event', 'message_recipient'] loop
    partition := whole || '_' || to_char(day, 'YYYYMMDD');
    execute format('create table public.%I (like public.%I including defaults including constraints)', partition, whole);
    execute format('alter table public.%I enable row level security', partition);
    execute format('alter table public.%I force row level security', partition);
    execute format('create policy organisation on public.%I using (organisation_id = public.current_organisation()) with check (organisation_id = public.current_organisation())', partition);
    execute format('alter table public.%I attach partition public.%I for values from (%L) to (%L)', whole, partition, from_time, from_time + interval '1 day');
  end loop;
  return true;
end $function$;
revoke execute on function make_message_partition(date) from public;
grant execute on function make_message_partition(date) to causeway_service;

CREATE OR REPLACE FUNCTION public.protect(tenant_table regclass)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  execute format('alter table %s enable row level security', tenant_table);
  execute format('alter table %s force row level security', tenant_table);
  execute format('create policy organisation on %s using (organisation_id = current_organisation()) with check (organisation_id = current_organisation())', tenant_table);
  execute format('grant select, insert, update, delete on %s to causeway_service', tenant_table);
end $function$;
revoke execute on function protect(regclass) from public;

CREATE OR REPLACE FUNCTION public.redact_audit_events(sequences bigint[])
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public'
AS $function$
    with cleared as (
      update audit_event set payload = null
       where organisation_id = current_organisation() and sequence = any(sequences) and payload is not null
      returning 1)
    select count(*) from cleared
  $function$;
alter function redact_audit_events(bigint[]) owner to causeway_retention;
revoke execute on function redact_audit_events(bigint[]) from public;
grant execute on function redact_audit_events(bigint[]) to causeway_service;

CREATE OR REPLACE FUNCTION public.redact_audit_payloads(before timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public'
AS $function$
    with cleared as (
      update audit_event set payload = null
       where organisation_id = current_organisation() and time < before and payload is not null
      returning 1)
    select count(*) from cleared
  $function$;
alter function redact_audit_payloads(timestamp with time zone) owner to causeway_retention;
revoke execute on function redact_audit_payloads(timestamp with time zone) from public;
grant execute on function redact_audit_payloads(timestamp with time zone) to causeway_service;

CREATE OR REPLACE FUNCTION public.refresh_directory_statistics(about text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public'
 SET lock_timeout TO '1s'
AS $function$
declare
  grown regclass;
begin
  foreach grown in array case about when 'parts' then array['account_part', 'group_member']::regclass[]
                                    when 'accounts' then array['account', 'account_address']::regclass[] end
  loop
    begin
      execute format('analyze %s', grown);
    exception when lock_not_available then
      null;
    end;
  end loop;
end $function$;
revoke execute on function refresh_directory_statistics(text) from public;
grant execute on function refresh_directory_statistics(text) to causeway_service;

CREATE OR REPLACE FUNCTION public.refresh_mapping_statistics()
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public'
 SET lock_timeout TO '1s'
AS $function$
declare
  grown text;
begin
  for grown in
    select c.oid::regclass from pg_class c
     where c.oid in ('mapping_entry'::regclass, 'mapping_address'::regclass, 'mapping_rule'::regclass, 'mapping_import_row'::regclass,
                     'pair'::regclass, 'match_result'::regclass, 'pair_import_row'::regclass, 'account'::regclass,
                     'account_address'::regclass)
       and pg_relation_size(c.oid) / current_setting('block_size')::integer > 4 + 1.5 * c.relpages
  loop
    begin
      execute format('analyze %s', grown);
    exception when lock_not_available then
      null;
    end;
  end loop;
end $function$;
revoke execute on function refresh_mapping_statistics() from public;
grant execute on function refresh_mapping_statistics() to causeway_service;

CREATE OR REPLACE FUNCTION public.takes_event(patterns text[], type text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ select '*' = any (patterns) or type = any (patterns) or split_part(type, '.', 1) || '.*' = any (patterns) $function$;

create table account (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  id text not null,
  object_id text collate "C" not null,
  valid_from bigint not null,
  valid_to bigint,
  kind text not null,
  display_name text not null,
  user_principal_name text,
  mail text,
  primary_key text collate "C",
  sort_key text collate "C" not null,
  is_synced boolean not null,
  snapshot jsonb not null,
  digest bytea not null,
  created_at timestamp with time zone not null,
  nickname_key text collate "C" generated always as ("left"(lower((snapshot ->> 'mailNickname'::text)), 200)) stored,
  constraint account_pkey PRIMARY KEY (organisation_id, project_id, id, valid_from),
  constraint account_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint account_life CHECK ((valid_to > valid_from))
);
alter table account enable row level security;
alter table account force row level security;
CREATE INDEX account_begun ON account USING btree (organisation_id, project_id, tenant_id, valid_from, id);
CREATE INDEX account_ended ON account USING btree (organisation_id, project_id, tenant_id, valid_to, id) WHERE (valid_to IS NOT NULL);
CREATE INDEX account_nickname ON account USING btree (organisation_id, project_id, tenant_id, nickname_key, id) WHERE (valid_to IS NULL);
CREATE UNIQUE INDEX account_object ON account USING btree (organisation_id, project_id, tenant_id, object_id) WHERE (valid_to IS NULL);
CREATE INDEX account_object_history ON account USING btree (organisation_id, project_id, tenant_id, object_id, valid_from);
CREATE INDEX account_sorted ON account USING btree (organisation_id, project_id, sort_key, id) WHERE (valid_to IS NULL);
CREATE INDEX account_sorted_kind ON account USING btree (organisation_id, project_id, tenant_id, kind, sort_key, id) WHERE (valid_to IS NULL);
CREATE INDEX account_sorted_tenant ON account USING btree (organisation_id, project_id, tenant_id, sort_key, id) WHERE (valid_to IS NULL);
create policy organisation on account for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on account to causeway_service;

create table account_address (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  key text collate "C" not null,
  kind text not null,
  account_id text not null,
  constraint account_address_pkey PRIMARY KEY (organisation_id, project_id, key, tenant_id, kind, account_id),
  constraint account_address_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint account_address_kind_check CHECK ((kind = ANY (ARRAY['smtp'::text, 'upn'::text, 'x500'::text])))
);
alter table account_address enable row level security;
alter table account_address force row level security;
CREATE INDEX account_address_account ON account_address USING btree (organisation_id, project_id, account_id);
create policy organisation on account_address for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on account_address to causeway_service;

create table account_part (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  object_id text collate "C" not null,
  source text not null,
  part jsonb,
  upn_key text collate "C",
  digest bytea,
  changed_in bigint not null,
  seen_in bigint not null,
  constraint account_part_pkey PRIMARY KEY (organisation_id, project_id, tenant_id, object_id, source),
  constraint account_part_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint account_part_source_check CHECK ((source = ANY (ARRAY['directory'::text, 'owners'::text, 'exchange'::text, 'mailbox-report'::text, 'drive-report'::text, 'statistics'::text])))
);
alter table account_part enable row level security;
alter table account_part force row level security;
CREATE INDEX account_part_changed ON account_part USING btree (organisation_id, project_id, tenant_id, changed_in, object_id);
CREATE INDEX account_part_upn ON account_part USING btree (organisation_id, project_id, tenant_id, upn_key) WHERE (upn_key IS NOT NULL);
create policy organisation on account_part for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on account_part to causeway_service;

create table api_key (
  organisation_id text not null,
  id text not null,
  name text not null,
  prefix text not null,
  key_hash text not null,
  principal text not null,
  is_service boolean default false not null,
  member_id text,
  permissions text[] not null,
  project_id text default ''::text not null,
  allows_dangerous boolean default false not null,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone not null,
  last_used_at timestamp with time zone,
  revoked_at timestamp with time zone,
  constraint api_key_pkey PRIMARY KEY (organisation_id, id),
  constraint api_key_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint api_key_organisation_id_member_id_fkey FOREIGN KEY (organisation_id, member_id) REFERENCES member(organisation_id, id) ON DELETE CASCADE,
  constraint api_key_dangerous_life CHECK (((NOT allows_dangerous) OR (expires_at <= (created_at + '24:00:00'::interval)))),
  constraint api_key_life CHECK ((expires_at <= (created_at + '365 days'::interval))),
  constraint api_key_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
  constraint api_key_owner CHECK ((is_service = (member_id IS NULL)))
);
alter table api_key enable row level security;
alter table api_key force row level security;
CREATE INDEX api_key_created ON api_key USING btree (organisation_id, created_at, id);
CREATE UNIQUE INDEX api_key_hash ON api_key USING btree (organisation_id, key_hash);
CREATE INDEX api_key_hash_lookup ON api_key USING btree (key_hash);
CREATE INDEX api_key_principal ON api_key USING btree (organisation_id, principal, created_at, id);
CREATE TRIGGER api_key_forgotten AFTER DELETE ON api_key FOR EACH ROW EXECUTE FUNCTION forget_api_key();
create policy opened on api_key for select to public
  using ((key_hash = current_scope('credential'::text)));
create policy organisation on api_key for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on api_key to causeway_service;

create table audit_chain (
  organisation_id text not null,
  size bigint default 0 not null,
  head bytea default '\x0000000000000000000000000000000000000000000000000000000000000000'::bytea not null,
  constraint audit_chain_pkey PRIMARY KEY (organisation_id),
  constraint audit_chain_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table audit_chain enable row level security;
alter table audit_chain force row level security;
create policy listed on audit_chain for select to public
  using ((current_scope('purpose'::text) = ANY (ARRAY['reconcile'::text, 'retention'::text])));
create policy organisation on audit_chain for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant insert, select, update on audit_chain to causeway_service;

create table audit_checkpoint (
  organisation_id text not null,
  size bigint not null,
  hash bytea not null,
  "time" timestamp with time zone not null,
  key_id text not null,
  signature bytea not null,
  exported_at timestamp with time zone,
  constraint audit_checkpoint_pkey PRIMARY KEY (organisation_id, size),
  constraint audit_checkpoint_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table audit_checkpoint enable row level security;
alter table audit_checkpoint force row level security;
CREATE INDEX audit_checkpoint_unexported ON audit_checkpoint USING btree (organisation_id, size) WHERE (exported_at IS NULL);
create policy listed on audit_checkpoint for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
create policy organisation on audit_checkpoint for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant insert, select, update (exported_at) on audit_checkpoint to causeway_service;

create table audit_event (
  organisation_id text not null,
  sequence bigint not null,
  id text not null,
  "time" timestamp with time zone not null,
  action text not null,
  actor text not null,
  project_id text default ''::text not null,
  object text default ''::text not null,
  result text not null,
  header text not null,
  payload text,
  hash bytea not null,
  constraint audit_event_pkey PRIMARY KEY (organisation_id, sequence),
  constraint audit_event_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint audit_event_result_check CHECK ((result = ANY (ARRAY['done'::text, 'denied'::text, 'failed'::text])))
);
alter table audit_event enable row level security;
alter table audit_event force row level security;
CREATE INDEX audit_event_action ON audit_event USING btree (organisation_id, action, sequence);
CREATE INDEX audit_event_actor ON audit_event USING btree (organisation_id, actor, sequence);
CREATE INDEX audit_event_area ON audit_event USING btree (organisation_id, action COLLATE "C", sequence);
CREATE UNIQUE INDEX audit_event_id ON audit_event USING btree (organisation_id, id);
CREATE INDEX audit_event_object ON audit_event USING btree (organisation_id, object, sequence) WHERE (object <> ''::text);
CREATE INDEX audit_event_payload ON audit_event USING btree (organisation_id, "time") WHERE (payload IS NOT NULL);
CREATE INDEX audit_event_project ON audit_event USING btree (organisation_id, project_id, sequence);
CREATE INDEX audit_event_result ON audit_event USING btree (organisation_id, result, sequence) WHERE (result <> 'done'::text);
CREATE INDEX audit_event_time ON audit_event USING btree (organisation_id, "time", sequence);
create policy organisation on audit_event for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant select, update (payload) on audit_event to causeway_retention;
grant insert, select on audit_event to causeway_service;

create table audit_key (
  organisation_id text default 'installation'::text not null,
  ordinal integer not null,
  id text not null,
  public_key bytea not null,
  private_key_sealed bytea,
  signature bytea not null,
  created_at timestamp with time zone not null,
  constraint audit_key_pkey PRIMARY KEY (organisation_id, ordinal),
  constraint audit_key_organisation_id_id_key UNIQUE (organisation_id, id),
  constraint audit_key_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id),
  constraint audit_key_ordinal_check CHECK ((ordinal >= 1)),
  constraint audit_key_organisation_id_check CHECK ((organisation_id = 'installation'::text)),
  constraint audit_key_public_key_check CHECK ((length(public_key) = 32))
);
alter table audit_key enable row level security;
alter table audit_key force row level security;
create policy organisation on audit_key for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant insert, select, update (private_key_sealed) on audit_key to causeway_service;

create table audit_verification (
  organisation_id text not null,
  size bigint not null,
  hash bytea not null,
  round_started_at timestamp with time zone not null,
  verified_at timestamp with time zone,
  fault text,
  fault_event bigint,
  constraint audit_verification_pkey PRIMARY KEY (organisation_id),
  constraint audit_verification_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table audit_verification enable row level security;
alter table audit_verification force row level security;
create policy listed on audit_verification for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
create policy organisation on audit_verification for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on audit_verification to causeway_service;

create table break_glass (
  only_row boolean default true not null,
  code_hash text,
  code_expires_at timestamp with time zone,
  used_at timestamp with time zone,
  is_open boolean default true not null,
  constraint break_glass_pkey PRIMARY KEY (only_row),
  constraint break_glass_only_row_check CHECK (only_row)
);
alter table break_glass enable row level security;
alter table break_glass force row level security;
create policy administration on break_glass for all to public
  using ((current_scope('purpose'::text) = 'administration'::text))
  with check ((current_scope('purpose'::text) = 'administration'::text));
grant insert, select, update on break_glass to causeway_service;

create table certificate (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  purpose text not null,
  tenant_id text,
  names text[] not null,
  algorithm text not null,
  state text not null,
  public_key text not null,
  key_sealed bytea,
  request text,
  chain text,
  fingerprint text,
  not_before timestamp with time zone,
  expires_at timestamp with time zone,
  replaces text,
  version integer default 1 not null,
  created_at timestamp with time zone not null,
  created_by text not null,
  activated_at timestamp with time zone,
  retired_at timestamp with time zone,
  constraint certificate_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint certificate_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint certificate_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint certificate_issued CHECK (((state = ANY (ARRAY['requested'::text, 'retired'::text])) OR (chain IS NOT NULL))),
  constraint certificate_key CHECK ((((state = 'retired'::text) = (key_sealed IS NULL)) AND ((state = 'retired'::text) = (retired_at IS NOT NULL)))),
  constraint certificate_names CHECK ((cardinality(names) > 0)),
  constraint certificate_purpose_check CHECK ((purpose = ANY (ARRAY['tenant'::text, 'listener'::text]))),
  constraint certificate_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'issued'::text, 'active'::text, 'replaced'::text, 'retired'::text]))),
  constraint certificate_tenant CHECK (((purpose = 'tenant'::text) = (tenant_id IS NOT NULL))),
  constraint certificate_whole CHECK ((((chain IS NULL) = (fingerprint IS NULL)) AND ((chain IS NULL) = (expires_at IS NULL))))
);
alter table certificate enable row level security;
alter table certificate force row level security;
CREATE INDEX certificate_listed ON certificate USING btree (organisation_id, project_id, created_at, id);
CREATE UNIQUE INDEX certificate_one_active ON certificate USING btree (organisation_id, project_id, purpose, COALESCE(tenant_id, names[1])) WHERE (state = 'active'::text);
CREATE INDEX certificate_tenant_of ON certificate USING btree (organisation_id, project_id, tenant_id) WHERE (tenant_id IS NOT NULL);
CREATE TRIGGER certificate_forgotten AFTER DELETE ON certificate FOR EACH ROW EXECUTE FUNCTION forget_certificate();
create policy organisation on certificate for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on certificate to causeway_service;

create table coexistence_event (
  organisation_id text not null,
  project_id text not null,
  sequence bigint not null,
  switch text not null,
  event text not null,
  from_state text not null,
  to_state text not null,
  actor text not null,
  cause text not null,
  operation_id text,
  created_at timestamp with time zone not null,
  constraint coexistence_event_pkey PRIMARY KEY (organisation_id, project_id, sequence),
  constraint coexistence_event_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint coexistence_event_sequence_check CHECK ((sequence > 0)),
  constraint coexistence_event_switch_check CHECK ((switch = ANY (ARRAY['coexistence'::text, 'free-busy'::text])))
);
alter table coexistence_event enable row level security;
alter table coexistence_event force row level security;
create policy organisation on coexistence_event for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant insert, select on coexistence_event to causeway_service;

create table coexistence_evidence (
  organisation_id text not null,
  project_id text not null,
  nonce text not null,
  maker text not null,
  index integer not null,
  relay_id text not null,
  verdict text not null,
  seen_at timestamp with time zone not null,
  constraint coexistence_evidence_pkey PRIMARY KEY (organisation_id, project_id, nonce, maker, index),
  constraint coexistence_evidence_organisation_id_project_id_nonce_fkey FOREIGN KEY (organisation_id, project_id, nonce) REFERENCES coexistence_run(organisation_id, project_id, nonce) ON DELETE CASCADE,
  constraint coexistence_evidence_index_check CHECK (((index >= 0) AND (index <= 999))),
  constraint coexistence_evidence_verdict_check CHECK ((verdict = ANY (ARRAY['expected'::text, 'no-proof'::text, 'other-tenant'::text, 'altered'::text, 'seen'::text])))
);
alter table coexistence_evidence enable row level security;
alter table coexistence_evidence force row level security;
create policy organisation on coexistence_evidence for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on coexistence_evidence to causeway_service;

create table coexistence_object (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  noun text not null,
  object_key text not null,
  name text not null,
  ownership text not null,
  object_guid text,
  written jsonb default '{}'::jsonb not null,
  intended jsonb,
  before jsonb,
  written_at timestamp with time zone not null,
  constraint coexistence_object_pkey PRIMARY KEY (organisation_id, project_id, tenant_id, noun, object_key),
  constraint coexistence_object_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint coexistence_object_ownership_check CHECK ((ownership = ANY (ARRAY['created'::text, 'changed'::text])))
);
alter table coexistence_object enable row level security;
alter table coexistence_object force row level security;
create policy organisation on coexistence_object for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on coexistence_object to causeway_service;

create table coexistence_run (
  organisation_id text not null,
  project_id text not null,
  nonce text not null,
  kind text not null,
  tenant_id text not null,
  direction text not null,
  host text not null,
  nonce_id text not null,
  started_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  constraint coexistence_run_pkey PRIMARY KEY (organisation_id, project_id, nonce),
  constraint coexistence_run_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint coexistence_run_direction_check CHECK ((direction = ANY (ARRAY['out'::text, 'in'::text]))),
  constraint coexistence_run_kind_check CHECK ((kind = ANY (ARRAY['probe'::text, 'validation'::text]))),
  constraint coexistence_run_nonce_check CHECK ((nonce ~ '^[a-z0-9]{16,64}$'::text))
);
alter table coexistence_run enable row level security;
alter table coexistence_run force row level security;
CREATE INDEX coexistence_run_of ON coexistence_run USING btree (organisation_id, project_id, started_at);
create policy organisation on coexistence_run for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on coexistence_run to causeway_service;

create table coexistence_switch (
  organisation_id text not null,
  project_id text not null,
  setting jsonb not null,
  state text not null,
  since timestamp with time zone not null,
  free_busy jsonb not null,
  free_busy_state text not null,
  free_busy_since timestamp with time zone not null,
  step text,
  waiting_for text,
  problems jsonb default '[]'::jsonb not null,
  drift jsonb default '[]'::jsonb not null,
  confirms_drift boolean default false not null,
  operation_id text,
  baseline_operation_id text,
  proof jsonb,
  marks jsonb default '{}'::jsonb not null,
  runner bigint,
  observed_at timestamp with time zone,
  looked_revision bigint,
  version integer default 1 not null,
  author text not null,
  changed_at timestamp with time zone not null,
  constraint coexistence_switch_pkey PRIMARY KEY (organisation_id, project_id),
  constraint coexistence_switch_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint coexistence_switch_free_busy_state_check CHECK ((free_busy_state = ANY (ARRAY['off'::text, 'turning_on'::text, 'on'::text, 'turning_off'::text, 'drift'::text]))),
  constraint coexistence_switch_state_check CHECK ((state = ANY (ARRAY['off'::text, 'turning_on'::text, 'on'::text, 'turning_off'::text, 'drift'::text])))
);
alter table coexistence_switch enable row level security;
alter table coexistence_switch force row level security;
CREATE INDEX coexistence_switch_looked ON coexistence_switch USING btree (observed_at) WHERE ((state <> 'off'::text) OR (free_busy_state <> 'off'::text));
create policy organisation on coexistence_switch for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy reconciled on coexistence_switch for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on coexistence_switch to causeway_service;

create table collection (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  name text not null,
  name_key text collate "C" not null,
  version integer default 1 not null,
  created_by text not null,
  created_at timestamp with time zone not null,
  constraint collection_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint collection_organisation_id_project_id_name_key_key UNIQUE (organisation_id, project_id, name_key),
  constraint collection_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint collection_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
);
alter table collection enable row level security;
alter table collection force row level security;
create policy organisation on collection for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on collection to causeway_service;

create table collection_member (
  organisation_id text not null,
  project_id text not null,
  collection_id text not null,
  account_id text not null,
  tenant_id text not null,
  added_at timestamp with time zone not null,
  constraint collection_member_pkey PRIMARY KEY (organisation_id, project_id, collection_id, account_id),
  constraint collection_member_organisation_id_project_id_collection_id_fkey FOREIGN KEY (organisation_id, project_id, collection_id) REFERENCES collection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint collection_member_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE
);
alter table collection_member enable row level security;
alter table collection_member force row level security;
CREATE INDEX collection_member_account ON collection_member USING btree (organisation_id, project_id, account_id, collection_id);
CREATE INDEX collection_member_added ON collection_member USING btree (organisation_id, project_id, collection_id, added_at, account_id);
create policy organisation on collection_member for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on collection_member to causeway_service;

create table connection_certificate (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  id text not null,
  state text not null,
  thumbprint text not null,
  certificate text not null,
  private_key_sealed bytea,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  created_by text not null,
  activated_at timestamp with time zone,
  retired_at timestamp with time zone,
  version integer default 1 not null,
  constraint connection_certificate_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint connection_certificate_organisation_id_project_id_tenant_i_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint connection_certificate_key CHECK (((state = 'retired'::text) = (private_key_sealed IS NULL))),
  constraint connection_certificate_state_check CHECK ((state = ANY (ARRAY['new'::text, 'active'::text, 'retired'::text])))
);
alter table connection_certificate enable row level security;
alter table connection_certificate force row level security;
CREATE UNIQUE INDEX connection_certificate_active ON connection_certificate USING btree (organisation_id, project_id, tenant_id) WHERE (state = 'active'::text);
CREATE INDEX connection_certificate_made ON connection_certificate USING btree (organisation_id, project_id, tenant_id, created_at, id);
CREATE TRIGGER connection_certificate_forgotten AFTER DELETE ON connection_certificate FOR EACH ROW EXECUTE FUNCTION forget_connection_certificate();
create policy organisation on connection_certificate for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on connection_certificate to causeway_service;

create table consent (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  state text not null,
  choices jsonb not null,
  granted text[] default '{}'::text[] not null,
  missing text[] default '{}'::text[] not null,
  exchange text default 'not-asked'::text not null,
  problem text,
  problem_details jsonb,
  domains_problem jsonb,
  proved_at timestamp with time zone,
  proved_by text,
  connected_at timestamp with time zone,
  state_since timestamp with time zone default now() not null,
  checked_at timestamp with time zone,
  version integer default 1 not null,
  constraint consent_pkey PRIMARY KEY (organisation_id, project_id, tenant_id),
  constraint consent_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint consent_exchange_check CHECK ((exchange = ANY (ARRAY['not-asked'::text, 'ready'::text, 'missing'::text, 'unknown'::text]))),
  constraint consent_proved CHECK (((state = ANY (ARRAY['asked'::text, 'refused'::text])) OR (proved_at IS NOT NULL))),
  constraint consent_state_check CHECK ((state = ANY (ARRAY['asked'::text, 'checking'::text, 'connected'::text, 'paused'::text, 'refused'::text])))
);
alter table consent enable row level security;
alter table consent force row level security;
create policy organisation on consent for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy reconciled on consent for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on consent to causeway_service;

create table consent_flow (
  secret_hash text not null,
  flow_sealed bytea not null,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone not null,
  constraint consent_flow_pkey PRIMARY KEY (secret_hash)
);
alter table consent_flow enable row level security;
alter table consent_flow force row level security;
CREATE INDEX consent_flow_expiry ON consent_flow USING btree (expires_at);
create policy opened on consent_flow for all to public
  using ((secret_hash = current_scope('credential'::text)))
  with check ((secret_hash = current_scope('credential'::text)));
create policy seen on consent_flow for select to public
  using ((current_scope('purpose'::text) = 'retention'::text));
create policy swept on consent_flow for delete to public
  using ((current_scope('purpose'::text) = 'retention'::text));
grant delete, insert, select on consent_flow to causeway_service;

create table deletion_certificate (
  organisation_id text not null,
  id text not null,
  subject text not null,
  document text not null,
  created_at timestamp with time zone not null,
  constraint deletion_certificate_pkey PRIMARY KEY (organisation_id, id),
  constraint deletion_certificate_organisation_id_subject_key UNIQUE (organisation_id, subject),
  constraint deletion_certificate_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id)
);
alter table deletion_certificate enable row level security;
alter table deletion_certificate force row level security;
CREATE INDEX deletion_certificate_time ON deletion_certificate USING btree (organisation_id, created_at, id);
create policy organisation on deletion_certificate for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant insert, select on deletion_certificate to causeway_service;

create table discovery (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  tenant_id text not null,
  number bigint not null,
  mode text not null,
  state text not null,
  operation_id text not null,
  statistics_for text[] default '{}'::text[] not null,
  counts jsonb default '{}'::jsonb not null,
  gaps jsonb default '[]'::jsonb not null,
  author text not null,
  started_at timestamp with time zone not null,
  finished_at timestamp with time zone,
  constraint discovery_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint discovery_organisation_id_project_id_tenant_id_number_key UNIQUE (organisation_id, project_id, tenant_id, number),
  constraint discovery_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint discovery_mode_check CHECK ((mode = ANY (ARRAY['full'::text, 'delta'::text]))),
  constraint discovery_number_check CHECK ((number > 0)),
  constraint discovery_state_check CHECK ((state = ANY (ARRAY['running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);
alter table discovery enable row level security;
alter table discovery force row level security;
CREATE UNIQUE INDEX discovery_running ON discovery USING btree (organisation_id, project_id, tenant_id) WHERE (state = 'running'::text);
CREATE INDEX discovery_started ON discovery USING btree (organisation_id, project_id, started_at DESC, id);
create policy organisation on discovery for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy reconciled on discovery for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on discovery to causeway_service;

create table discovery_checkpoint (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  collection text not null,
  discovery_id text not null,
  state text not null,
  is_full boolean not null,
  link text,
  updated_at timestamp with time zone default now() not null,
  constraint discovery_checkpoint_pkey PRIMARY KEY (organisation_id, project_id, tenant_id, collection),
  constraint discovery_checkpoint_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint discovery_checkpoint_state_check CHECK ((state = ANY (ARRAY['pages'::text, 'done'::text])))
);
alter table discovery_checkpoint enable row level security;
alter table discovery_checkpoint force row level security;
create policy organisation on discovery_checkpoint for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on discovery_checkpoint to causeway_service;

create table dkim_key (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  domain text not null,
  selector text not null,
  algorithm text not null,
  state text not null,
  public_key text not null,
  private_sealed bytea,
  replaces text,
  version integer default 1 not null,
  created_at timestamp with time zone not null,
  created_by text not null,
  expires_at timestamp with time zone not null,
  checked_at timestamp with time zone,
  check_result text,
  activated_at timestamp with time zone,
  retired_at timestamp with time zone,
  constraint dkim_key_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint dkim_key_organisation_id_project_id_domain_selector_key UNIQUE (organisation_id, project_id, domain, selector),
  constraint dkim_key_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint dkim_key_algorithm_check CHECK ((algorithm = ANY (ARRAY['rsa-2048'::text, 'rsa-3072'::text, 'ed25519'::text]))),
  constraint dkim_key_check_result_check CHECK ((check_result = ANY (ARRAY['found'::text, 'missing'::text, 'different'::text, 'unreachable'::text]))),
  constraint dkim_key_retired CHECK ((((state = 'retired'::text) = (private_sealed IS NULL)) AND ((state = 'retired'::text) = (retired_at IS NOT NULL)))),
  constraint dkim_key_state_check CHECK ((state = ANY (ARRAY['generated'::text, 'published'::text, 'active'::text, 'retired'::text])))
);
alter table dkim_key enable row level security;
alter table dkim_key force row level security;
CREATE INDEX dkim_key_listed ON dkim_key USING btree (organisation_id, project_id, created_at, id);
CREATE UNIQUE INDEX dkim_key_one_active ON dkim_key USING btree (organisation_id, project_id, domain, ((algorithm = 'ed25519'::text))) WHERE (state = 'active'::text);
create policy organisation on dkim_key for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on dkim_key to causeway_service;

create table event (
  organisation_id text not null,
  id bigint generated always as identity not null,
  project_id text default ''::text not null,
  type text not null,
  body jsonb not null,
  created_at timestamp with time zone default now() not null,
  "position" bigint,
  constraint event_pkey PRIMARY KEY (organisation_id, id),
  constraint event_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table event enable row level security;
alter table event force row level security;
CREATE INDEX event_age ON event USING btree (organisation_id, created_at);
CREATE INDEX event_created ON event USING btree (created_at);
CREATE UNIQUE INDEX event_place ON event USING btree (organisation_id, "position");
CREATE INDEX event_project ON event USING btree (organisation_id, project_id, id);
CREATE INDEX event_unplaced ON event USING btree (organisation_id, id) WHERE ("position" IS NULL);
create policy organisation on event for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy seen on event for select to public
  using ((current_scope('purpose'::text) = 'retention'::text));
create policy swept on event for delete to public
  using ((current_scope('purpose'::text) = 'retention'::text));
grant delete, insert, select, update on event to causeway_service;

create table event_horizon (
  organisation_id text not null,
  "position" bigint not null,
  constraint event_horizon_pkey PRIMARY KEY (organisation_id),
  constraint event_horizon_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table event_horizon enable row level security;
alter table event_horizon force row level security;
create policy organisation on event_horizon for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on event_horizon to causeway_service;

create table exchange_range (
  cloud text not null,
  range text not null,
  first_seen_at timestamp with time zone not null,
  last_seen_at timestamp with time zone not null,
  constraint exchange_range_pkey PRIMARY KEY (cloud, range),
  constraint exchange_range_cloud_check CHECK ((cloud = ANY (ARRAY['global'::text, 'gcc-high'::text, 'dod'::text, 'china'::text])))
);
alter table exchange_range enable row level security;
alter table exchange_range force row level security;
create policy known on exchange_range for select to public
  using (true);
create policy refreshed on exchange_range for all to public
  using ((current_scope('purpose'::text) = 'reconcile'::text))
  with check ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on exchange_range to causeway_service;

create table finding (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  fingerprint bytea not null,
  pass text not null,
  code text not null,
  severity text not null,
  rank smallint generated always as (
CASE severity
    WHEN 'blocker'::text THEN 0
    WHEN 'warning'::text THEN 1
    ELSE 2
END) stored,
  about text not null,
  tenant_id text not null,
  account_id text,
  other_account_id text,
  domain text,
  details jsonb default '{}'::jsonb not null,
  sort_key text collate "C" not null,
  first_seen_at timestamp with time zone not null,
  last_seen_at timestamp with time zone not null,
  resolved_at timestamp with time zone,
  acknowledged_at timestamp with time zone,
  acknowledged_by text,
  note text default ''::text not null,
  version integer default 1 not null,
  constraint finding_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint finding_organisation_id_project_id_fingerprint_key UNIQUE (organisation_id, project_id, fingerprint),
  constraint finding_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint finding_about_check CHECK ((about = ANY (ARRAY['account'::text, 'pair'::text, 'group'::text, 'domain'::text, 'tenant'::text]))),
  constraint finding_acknowledged CHECK (((acknowledged_at IS NULL) = (acknowledged_by IS NULL))),
  constraint finding_pass_check CHECK ((pass = ANY (ARRAY['accounts'::text, 'nesting'::text, 'tenants'::text]))),
  constraint finding_severity_check CHECK ((severity = ANY (ARRAY['blocker'::text, 'warning'::text, 'notice'::text])))
);
alter table finding enable row level security;
alter table finding force row level security;
CREATE INDEX finding_acknowledged ON finding USING btree (organisation_id, project_id, rank, code, sort_key, id) WHERE ((resolved_at IS NULL) AND (acknowledged_at IS NOT NULL));
CREATE INDEX finding_listed ON finding USING btree (organisation_id, project_id, rank, code, sort_key, id) WHERE (resolved_at IS NULL);
CREATE INDEX finding_of_account ON finding USING btree (organisation_id, project_id, account_id) WHERE (account_id IS NOT NULL);
CREATE INDEX finding_of_code ON finding USING btree (organisation_id, project_id, code, sort_key, id) WHERE (resolved_at IS NULL);
CREATE INDEX finding_of_other ON finding USING btree (organisation_id, project_id, other_account_id) WHERE (other_account_id IS NOT NULL);
CREATE INDEX finding_of_tenant ON finding USING btree (organisation_id, project_id, tenant_id, rank, code, sort_key, id) WHERE (resolved_at IS NULL);
CREATE INDEX finding_of_tenants ON finding USING btree (organisation_id, project_id) WHERE ((resolved_at IS NULL) AND (pass = 'tenants'::text));
CREATE INDEX finding_resolved ON finding USING btree (organisation_id, project_id, rank, code, sort_key, id) WHERE (resolved_at IS NOT NULL);
CREATE INDEX finding_resolved_at ON finding USING btree (organisation_id, resolved_at) WHERE (resolved_at IS NOT NULL);
create policy organisation on finding for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on finding to causeway_service;

create table finding_run (
  organisation_id text not null,
  project_id text not null,
  asked bigint default 1 not null,
  began bigint,
  judged bigint default 0 not null,
  place jsonb,
  asked_at timestamp with time zone not null,
  finished_at timestamp with time zone,
  constraint finding_run_pkey PRIMARY KEY (organisation_id, project_id),
  constraint finding_run_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table finding_run enable row level security;
alter table finding_run force row level security;
create policy organisation on finding_run for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy reconciled on finding_run for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on finding_run to causeway_service;

create table group_member (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  group_object_id text collate "C" not null,
  member_object_id text collate "C" not null,
  valid_from bigint not null,
  valid_to bigint,
  seen_in bigint not null,
  constraint group_member_pkey PRIMARY KEY (organisation_id, project_id, tenant_id, group_object_id, member_object_id, valid_from),
  constraint group_member_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint group_member_life CHECK ((valid_to > valid_from))
);
alter table group_member enable row level security;
alter table group_member force row level security;
CREATE INDEX group_member_of ON group_member USING btree (organisation_id, project_id, tenant_id, member_object_id) WHERE (valid_to IS NULL);
create policy organisation on group_member for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on group_member to causeway_service;

create table idempotency_key (
  organisation_id text not null,
  caller text not null,
  key text not null,
  request_hash text not null,
  status integer not null,
  answer_sealed bytea not null,
  created_at timestamp with time zone default now() not null,
  constraint idempotency_key_pkey PRIMARY KEY (organisation_id, caller, key),
  constraint idempotency_key_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table idempotency_key enable row level security;
alter table idempotency_key force row level security;
CREATE INDEX idempotency_key_created ON idempotency_key USING btree (created_at);
create policy organisation on idempotency_key for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy seen on idempotency_key for select to public
  using ((current_scope('purpose'::text) = 'retention'::text));
create policy swept on idempotency_key for delete to public
  using ((current_scope('purpose'::text) = 'retention'::text));
grant delete, insert, select, update on idempotency_key to causeway_service;

create table installation (
  only_row boolean default true not null,
  id text not null,
  constraint installation_pkey PRIMARY KEY (only_row),
  constraint installation_only_row_check CHECK (only_row)
);
alter table installation enable row level security;
alter table installation force row level security;
create policy known on installation for select to public
  using (true);
grant select on installation to causeway_service;

create table installation_administrator (
  principal text not null,
  added_by text not null,
  added_at timestamp with time zone default now() not null,
  display_name text default ''::text not null,
  constraint installation_administrator_pkey PRIMARY KEY (principal)
);
alter table installation_administrator enable row level security;
alter table installation_administrator force row level security;
CREATE TRIGGER closes_break_glass AFTER INSERT ON installation_administrator FOR EACH STATEMENT EXECUTE FUNCTION close_break_glass();
create policy administration on installation_administrator for all to public
  using ((current_scope('purpose'::text) = 'administration'::text))
  with check ((current_scope('purpose'::text) = 'administration'::text));
create policy self on installation_administrator for select to public
  using ((principal = current_scope('principal'::text)));
grant delete, insert, select on installation_administrator to causeway_service;

create table job (
  organisation_id text not null,
  id bigint not null,
  project_id text default ''::text not null,
  kind text not null,
  object_id text default ''::text not null,
  state text default 'queued'::text not null,
  attempts integer default 0 not null,
  fence bigint default 0 not null,
  run_after timestamp with time zone default now() not null,
  published_at timestamp with time zone,
  lease_until timestamp with time zone,
  failed_reason text,
  failed_at timestamp with time zone,
  created_at timestamp with time zone default now() not null,
  constraint job_pkey PRIMARY KEY (organisation_id, id),
  constraint job_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint job_failed_has_reason CHECK ((((state = 'failed'::text) = (failed_reason IS NOT NULL)) AND ((state = 'failed'::text) = (failed_at IS NOT NULL)))),
  constraint job_running_has_lease CHECK (((state = 'running'::text) = (lease_until IS NOT NULL))),
  constraint job_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'failed'::text])))
);
alter table job enable row level security;
alter table job force row level security;
CREATE INDEX job_failed ON job USING btree (organisation_id, id) WHERE (state = 'failed'::text);
CREATE UNIQUE INDEX job_id ON job USING btree (id);
CREATE INDEX job_object ON job USING btree (organisation_id, object_id, kind);
CREATE INDEX job_published ON job USING btree (organisation_id) WHERE ((state <> 'failed'::text) AND (published_at IS NOT NULL));
CREATE INDEX job_waiting ON job USING btree (organisation_id, run_after, id) WHERE ((state = 'queued'::text) AND (published_at IS NULL));
create policy dispatched on job for all to public
  using ((current_scope('purpose'::text) = 'dispatch'::text))
  with check ((current_scope('purpose'::text) = 'dispatch'::text));
create policy organisation on job for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy seen on job for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on job to causeway_service;

create table job_schedule (
  name text not null,
  requested_at timestamp with time zone not null,
  constraint job_schedule_pkey PRIMARY KEY (name)
);
alter table job_schedule enable row level security;
alter table job_schedule force row level security;
create policy reconcile on job_schedule for all to public
  using ((current_scope('purpose'::text) = 'reconcile'::text))
  with check ((current_scope('purpose'::text) = 'reconcile'::text));
grant insert, select, update on job_schedule to causeway_service;

create table job_step (
  organisation_id text not null,
  job_id bigint not null,
  step text not null,
  constraint job_step_pkey PRIMARY KEY (organisation_id, job_id, step),
  constraint job_step_organisation_id_job_id_fkey FOREIGN KEY (organisation_id, job_id) REFERENCES job(organisation_id, id) ON DELETE CASCADE
);
alter table job_step enable row level security;
alter table job_step force row level security;
create policy organisation on job_step for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on job_step to causeway_service;

create table key_inventory (
  organisation_id text not null,
  kind text not null,
  id text not null,
  project_id text,
  owner text not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone,
  last_used_at timestamp with time zone,
  alarmed_days integer,
  constraint key_inventory_pkey PRIMARY KEY (organisation_id, kind, id),
  constraint key_inventory_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint key_inventory_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table key_inventory enable row level security;
alter table key_inventory force row level security;
CREATE INDEX key_inventory_expiry ON key_inventory USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX key_inventory_project ON key_inventory USING btree (organisation_id, project_id, kind, id);
create policy listed on key_inventory for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
create policy organisation on key_inventory for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on key_inventory to causeway_service;

create table mapping_address (
  organisation_id text not null,
  project_id text not null,
  key text collate "C" not null,
  entry_id text not null,
  constraint mapping_address_pkey PRIMARY KEY (organisation_id, project_id, key),
  constraint mapping_address_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table mapping_address enable row level security;
alter table mapping_address force row level security;
create policy organisation on mapping_address for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on mapping_address to causeway_service;

create table mapping_entry (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  valid_from bigint not null,
  valid_to bigint,
  presented_key text collate "C" not null,
  presented text not null,
  mailbox text not null,
  mailbox_domain text collate "C" not null,
  keys text[] collate "C" not null,
  wire text not null,
  source text not null,
  source_ref text default ''::text not null,
  author text not null,
  created_at timestamp with time zone not null,
  constraint mapping_entry_pkey PRIMARY KEY (organisation_id, project_id, id, valid_from),
  constraint mapping_entry_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint mapping_entry_life CHECK ((valid_to > valid_from)),
  constraint mapping_entry_source_check CHECK ((source = ANY (ARRAY['manual'::text, 'pair'::text, 'import'::text])))
);
alter table mapping_entry enable row level security;
alter table mapping_entry force row level security;
CREATE INDEX mapping_entry_begun ON mapping_entry USING btree (organisation_id, project_id, valid_from, presented_key);
CREATE INDEX mapping_entry_ended ON mapping_entry USING btree (organisation_id, project_id, valid_to, presented_key) WHERE (valid_to IS NOT NULL);
CREATE INDEX mapping_entry_mailbox_domain ON mapping_entry USING btree (organisation_id, project_id, mailbox_domain, presented_key) WHERE (valid_to IS NULL);
CREATE UNIQUE INDEX mapping_entry_pair ON mapping_entry USING btree (organisation_id, project_id, source_ref) WHERE ((valid_to IS NULL) AND (source = 'pair'::text));
CREATE UNIQUE INDEX mapping_entry_presented ON mapping_entry USING btree (organisation_id, project_id, presented_key) WHERE (valid_to IS NULL);
CREATE INDEX mapping_entry_source ON mapping_entry USING btree (organisation_id, project_id, source, presented_key) WHERE (valid_to IS NULL);
create policy organisation on mapping_entry for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on mapping_entry to causeway_service;

create table mapping_horizon (
  organisation_id text not null,
  project_id text not null,
  revision bigint not null,
  constraint mapping_horizon_pkey PRIMARY KEY (organisation_id, project_id),
  constraint mapping_horizon_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table mapping_horizon enable row level security;
alter table mapping_horizon force row level security;
create policy organisation on mapping_horizon for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on mapping_horizon to causeway_service;

create table mapping_import (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  mode text not null,
  validates_only boolean default false not null,
  confirm bigint,
  expected_revision bigint,
  restored_revision bigint,
  rules jsonb,
  result jsonb,
  author text not null,
  created_at timestamp with time zone not null,
  constraint mapping_import_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint mapping_import_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint mapping_import_mode_check CHECK ((mode = ANY (ARRAY['upsert'::text, 'replace'::text, 'restore'::text]))),
  constraint mapping_import_restored CHECK (((mode = 'restore'::text) = (restored_revision IS NOT NULL)))
);
alter table mapping_import enable row level security;
alter table mapping_import force row level security;
CREATE INDEX mapping_import_created ON mapping_import USING btree (organisation_id, created_at);
create policy organisation on mapping_import for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on mapping_import to causeway_service;

create table mapping_import_row (
  organisation_id text not null,
  project_id text not null,
  import_id text not null,
  presented_key text collate "C" not null,
  "row" integer not null,
  path text not null,
  line integer not null,
  col integer not null,
  id text not null,
  presented text not null,
  mailbox text not null,
  mailbox_domain text collate "C" not null,
  keys text[] collate "C" not null,
  wire text,
  source_ref text default ''::text not null,
  constraint mapping_import_row_pkey PRIMARY KEY (organisation_id, project_id, import_id, presented_key, "row"),
  constraint mapping_import_row_organisation_id_project_id_import_id_fkey FOREIGN KEY (organisation_id, project_id, import_id) REFERENCES mapping_import(organisation_id, project_id, id) ON DELETE CASCADE
);
alter table mapping_import_row enable row level security;
alter table mapping_import_row force row level security;
create policy organisation on mapping_import_row for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on mapping_import_row to causeway_service;

create table mapping_revision (
  organisation_id text not null,
  project_id text not null,
  revision bigint not null,
  author text not null,
  cause text not null,
  restored_from bigint,
  created integer not null,
  changed integer not null,
  removed integer not null,
  rules_changed integer not null,
  entries bigint not null,
  created_at timestamp with time zone not null,
  constraint mapping_revision_pkey PRIMARY KEY (organisation_id, project_id, revision),
  constraint mapping_revision_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint mapping_revision_cause_check CHECK ((cause = ANY (ARRAY['change'::text, 'bulk'::text, 'import'::text, 'restore'::text, 'rule'::text, 'pair'::text]))),
  constraint mapping_revision_restored CHECK (((cause = 'restore'::text) = (restored_from IS NOT NULL))),
  constraint mapping_revision_revision_check CHECK ((revision > 0))
);
alter table mapping_revision enable row level security;
alter table mapping_revision force row level security;
create policy organisation on mapping_revision for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on mapping_revision to causeway_service;

create table mapping_rule (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  valid_from bigint not null,
  valid_to bigint,
  kind text not null,
  rule_key text collate "C" not null,
  wire text not null,
  author text not null,
  created_at timestamp with time zone not null,
  constraint mapping_rule_pkey PRIMARY KEY (organisation_id, project_id, id, valid_from),
  constraint mapping_rule_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint mapping_rule_kind_check CHECK ((kind = ANY (ARRAY['domain'::text, 'wildcard'::text, 'exception'::text]))),
  constraint mapping_rule_life CHECK ((valid_to > valid_from))
);
alter table mapping_rule enable row level security;
alter table mapping_rule force row level security;
CREATE INDEX mapping_rule_begun ON mapping_rule USING btree (organisation_id, project_id, valid_from);
CREATE INDEX mapping_rule_ended ON mapping_rule USING btree (organisation_id, project_id, valid_to) WHERE (valid_to IS NOT NULL);
CREATE UNIQUE INDEX mapping_rule_key ON mapping_rule USING btree (organisation_id, project_id, kind, rule_key) WHERE (valid_to IS NULL);
create policy organisation on mapping_rule for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on mapping_rule to causeway_service;

create table match_exclusion (
  organisation_id text not null,
  project_id text not null,
  account_id text not null,
  tenant_id text not null,
  author text not null,
  created_at timestamp with time zone not null,
  constraint match_exclusion_pkey PRIMARY KEY (organisation_id, project_id, account_id),
  constraint match_exclusion_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE
);
alter table match_exclusion enable row level security;
alter table match_exclusion force row level security;
create policy organisation on match_exclusion for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on match_exclusion to causeway_service;

create table match_result (
  organisation_id text not null,
  project_id text not null,
  matching_id text not null,
  sort_key text collate "C" not null,
  source_account_id text not null,
  source_tenant_id text not null,
  outcome text not null,
  reason text,
  rule text default ''::text not null,
  confidence text,
  target_account_id text,
  pair_id text,
  candidates text[] not null,
  candidate_count integer not null,
  constraint match_result_pkey PRIMARY KEY (organisation_id, project_id, matching_id, sort_key, source_account_id),
  constraint match_result_organisation_id_project_id_matching_id_fkey FOREIGN KEY (organisation_id, project_id, matching_id) REFERENCES matching(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint match_result_confidence_check CHECK ((confidence = ANY (ARRAY['certain'::text, 'high'::text, 'medium'::text, 'low'::text]))),
  constraint match_result_outcome_check CHECK ((outcome = ANY (ARRAY['paired'::text, 'ambiguous'::text, 'conflict'::text, 'suggested'::text, 'unmatched'::text])))
);
alter table match_result enable row level security;
alter table match_result force row level security;
CREATE INDEX match_result_outcome ON match_result USING btree (organisation_id, project_id, matching_id, outcome, sort_key, source_account_id);
create policy organisation on match_result for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on match_result to causeway_service;

create table matching (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  operation_id text not null,
  options jsonb not null,
  discoveries jsonb,
  counts jsonb,
  author text not null,
  created_at timestamp with time zone not null,
  completed_at timestamp with time zone,
  constraint matching_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint matching_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table matching enable row level security;
alter table matching force row level security;
CREATE INDEX matching_created ON matching USING btree (organisation_id, project_id, created_at DESC, id DESC);
create policy organisation on matching for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on matching to causeway_service;

create table member (
  organisation_id text not null,
  id text not null,
  principal text not null,
  display_name text default ''::text not null,
  invited_by text not null,
  version integer default 1 not null,
  created_at timestamp with time zone default now() not null,
  disabled_at timestamp with time zone,
  constraint member_pkey PRIMARY KEY (organisation_id, id),
  constraint member_organisation_id_principal_key UNIQUE (organisation_id, principal),
  constraint member_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table member enable row level security;
alter table member force row level security;
CREATE INDEX member_principal ON member USING btree (principal);
create policy organisation on member for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy self on member for select to public
  using ((principal = current_scope('principal'::text)));
grant delete, insert, select, update on member to causeway_service;

create table message_event (
  organisation_id text not null,
  project_id text not null,
  relay_id text not null,
  "time" timestamp with time zone not null,
  id text not null,
  received_at timestamp with time zone not null,
  class text not null,
  event text not null,
  queue_id text,
  message_id text,
  sender text,
  fields jsonb not null,
  constraint message_event_pkey PRIMARY KEY (organisation_id, project_id, relay_id, "time", id),
  constraint message_event_organisation_id_project_id_relay_id_fkey FOREIGN KEY (organisation_id, project_id, relay_id) REFERENCES relay(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint message_event_class_check CHECK ((class = ANY (ARRAY['metric'::text, 'message'::text, 'audit'::text])))
) partition by range ("time");
alter table message_event enable row level security;
alter table message_event force row level security;
CREATE INDEX message_event_accepted ON ONLY message_event USING btree (organisation_id, project_id, "time", relay_id, id) WHERE (event = 'accepted'::text);
CREATE INDEX message_event_message_id ON ONLY message_event USING btree (organisation_id, project_id, message_id, "time") WHERE (message_id IS NOT NULL);
CREATE INDEX message_event_outcome ON ONLY message_event USING btree (organisation_id, project_id, event, "time") WHERE ((class = 'message'::text) AND (event <> ALL (ARRAY['accepted'::text, 'delivered'::text])));
CREATE INDEX message_event_queue_id ON ONLY message_event USING btree (organisation_id, project_id, queue_id, "time") WHERE (queue_id IS NOT NULL);
CREATE INDEX message_event_sender ON ONLY message_event USING btree (organisation_id, project_id, sender, "time") WHERE (sender IS NOT NULL);
create policy organisation on message_event for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on message_event to causeway_service;

create table message_recipient (
  organisation_id text not null,
  project_id text not null,
  address text not null,
  "time" timestamp with time zone not null,
  relay_id text not null,
  queue_id text not null,
  constraint message_recipient_pkey PRIMARY KEY (organisation_id, project_id, address, "time", relay_id, queue_id),
  constraint message_recipient_organisation_id_project_id_relay_id_fkey FOREIGN KEY (organisation_id, project_id, relay_id) REFERENCES relay(organisation_id, project_id, id) ON DELETE CASCADE
) partition by range ("time");
alter table message_recipient enable row level security;
alter table message_recipient force row level security;
CREATE INDEX message_recipient_relay ON ONLY message_recipient USING btree (organisation_id, project_id, relay_id);
create policy organisation on message_recipient for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on message_recipient to causeway_service;

create table notification (
  organisation_id text not null,
  id text not null,
  project_id text default ''::text not null,
  events text[] not null,
  recipients_sealed bytea not null,
  is_enabled boolean default true not null,
  version integer default 1 not null,
  created_at timestamp with time zone default now() not null,
  created_by text not null,
  constraint notification_pkey PRIMARY KEY (organisation_id, id),
  constraint notification_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint notification_events_check CHECK (((cardinality(events) >= 1) AND (cardinality(events) <= 50)))
);
alter table notification enable row level security;
alter table notification force row level security;
CREATE INDEX notification_list ON notification USING btree (organisation_id, project_id, id);
create policy organisation on notification for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on notification to causeway_service;

create table notification_delivery (
  organisation_id text not null,
  id text not null,
  notification_id text not null,
  project_id text default ''::text not null,
  event_type text not null,
  body jsonb not null,
  state text default 'pending'::text not null,
  attempts integer default 0 not null,
  last_fault text,
  retry_until timestamp with time zone default (now() + '24:00:00'::interval) not null,
  created_at timestamp with time zone default now() not null,
  finished_at timestamp with time zone,
  constraint notification_delivery_pkey PRIMARY KEY (organisation_id, id),
  constraint notification_delivery_organisation_id_notification_id_fkey FOREIGN KEY (organisation_id, notification_id) REFERENCES notification(organisation_id, id) ON DELETE CASCADE,
  constraint notification_delivery_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
);
alter table notification_delivery enable row level security;
alter table notification_delivery force row level security;
CREATE INDEX notification_delivery_created ON notification_delivery USING btree (organisation_id, created_at);
CREATE INDEX notification_delivery_list ON notification_delivery USING btree (organisation_id, notification_id, created_at, id);
create policy organisation on notification_delivery for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on notification_delivery to causeway_service;

create table operation (
  organisation_id text not null,
  id text not null,
  project_id text default ''::text not null,
  kind text not null,
  permission text not null,
  object_id text default ''::text not null,
  state text not null,
  done bigint default 0 not null,
  total bigint,
  unit text default ''::text not null,
  step text default ''::text not null,
  problem jsonb,
  result jsonb,
  started_by text not null,
  created_at timestamp with time zone default now() not null,
  updated_at timestamp with time zone default now() not null,
  finished_at timestamp with time zone,
  is_cancellable boolean default false not null,
  fence bigint default 0 not null,
  attempts integer default 0 not null,
  lease_until timestamp with time zone,
  version bigint default 1 not null,
  constraint operation_pkey PRIMARY KEY (organisation_id, id),
  constraint operation_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint operation_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'cancelling'::text, 'cancelled'::text, 'succeeded'::text, 'failed'::text])))
);
alter table operation enable row level security;
alter table operation force row level security;
CREATE INDEX operation_finished ON operation USING btree (organisation_id, finished_at) WHERE (finished_at IS NOT NULL);
CREATE UNIQUE INDEX operation_id ON operation USING btree (id);
CREATE INDEX operation_list ON operation USING btree (organisation_id, created_at, id);
CREATE INDEX operation_list_project ON operation USING btree (organisation_id, project_id, created_at, id);
CREATE INDEX operation_open ON operation USING btree (state, lease_until) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text, 'cancelling'::text]));
create policy found on operation for select to public
  using ((id = current_scope('operation'::text)));
create policy listed on operation for select to public
  using ((current_scope('purpose'::text) = ANY (ARRAY['dispatch'::text, 'reconcile'::text])));
create policy organisation on operation for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on operation to causeway_service;

create table organisation (
  organisation_id text not null,
  name text not null,
  region text default 'default'::text not null,
  settings jsonb default '{}'::jsonb not null,
  version integer default 1 not null,
  created_at timestamp with time zone default now() not null,
  deletion_requested_at timestamp with time zone,
  deletion_requested_by text,
  settings_version integer default 1 not null,
  deletion_started_at timestamp with time zone,
  deleted_at timestamp with time zone,
  constraint organisation_pkey PRIMARY KEY (organisation_id),
  constraint organisation_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
);
alter table organisation enable row level security;
alter table organisation force row level security;
CREATE INDEX organisation_deletion ON organisation USING btree (deletion_requested_at) WHERE (deletion_requested_at IS NOT NULL);
CREATE INDEX organisation_name ON organisation USING btree (lower(name) COLLATE "C", organisation_id);
create policy listed on organisation for select to public
  using ((current_scope('purpose'::text) = ANY (ARRAY['dispatch'::text, 'reconcile'::text, 'retention'::text, 'administration'::text])));
create policy mine on organisation for select to public
  using (((EXISTS ( SELECT
   FROM member m
  WHERE ((m.organisation_id = organisation.organisation_id) AND (m.principal = current_scope('principal'::text))))) OR (EXISTS ( SELECT
   FROM support_grant g
  WHERE ((g.organisation_id = organisation.organisation_id) AND (g.principal = current_scope('principal'::text)))))));
create policy organisation on organisation for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant insert, select, update on organisation to causeway_service;

create table outbox (
  organisation_id text not null,
  id bigint generated always as identity not null,
  project_id text default ''::text not null,
  kind text not null,
  object_id text default ''::text not null,
  created_at timestamp with time zone default now() not null,
  constraint outbox_pkey PRIMARY KEY (organisation_id, id),
  constraint outbox_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table outbox enable row level security;
alter table outbox force row level security;
CREATE INDEX outbox_id ON outbox USING btree (id);
create policy dispatched on outbox for all to public
  using ((current_scope('purpose'::text) = 'dispatch'::text))
  with check (false);
create policy organisation on outbox for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy seen on outbox for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on outbox to causeway_service;

create table pair (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  source_tenant_id text not null,
  source_account_id text not null,
  target_tenant_id text not null,
  target_account_id text not null,
  origin text not null,
  state text not null,
  rule text default ''::text not null,
  confidence text not null,
  matching_id text,
  presents text default 'target'::text not null,
  holds text default 'source'::text not null,
  sort_key text collate "C" not null,
  mapping_state text default 'none'::text not null,
  mapping_reason text default ''::text not null,
  mapping_seen bigint default 0 not null,
  source_version bigint,
  target_version bigint,
  content_copied_at timestamp with time zone,
  version integer default 1 not null,
  created_by text not null,
  created_at timestamp with time zone not null,
  decided_by text,
  decided_at timestamp with time zone,
  constraint pair_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint pair_organisation_id_project_id_source_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, source_tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint pair_organisation_id_project_id_target_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, target_tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint pair_confidence_check CHECK ((confidence = ANY (ARRAY['certain'::text, 'high'::text, 'medium'::text, 'low'::text]))),
  constraint pair_confirmed CHECK (((state = 'proposed'::text) = (decided_at IS NULL))),
  constraint pair_holds_check CHECK ((holds = ANY (ARRAY['source'::text, 'target'::text]))),
  constraint pair_mapping_state_check CHECK ((mapping_state = ANY (ARRAY['none'::text, 'written'::text, 'manual-wins'::text, 'blocked'::text]))),
  constraint pair_origin_check CHECK ((origin = ANY (ARRAY['matched'::text, 'mapped'::text, 'created'::text]))),
  constraint pair_presents_check CHECK ((presents = ANY (ARRAY['source'::text, 'target'::text]))),
  constraint pair_state_check CHECK ((state = ANY (ARRAY['proposed'::text, 'confirmed'::text, 'unpaired'::text])))
);
alter table pair enable row level security;
alter table pair force row level security;
CREATE INDEX pair_sorted ON pair USING btree (organisation_id, project_id, sort_key, id) WHERE (state <> 'unpaired'::text);
CREATE INDEX pair_sorted_state ON pair USING btree (organisation_id, project_id, state, sort_key, id);
CREATE UNIQUE INDEX pair_source ON pair USING btree (organisation_id, project_id, source_account_id) WHERE (state <> 'unpaired'::text);
CREATE UNIQUE INDEX pair_target ON pair USING btree (organisation_id, project_id, target_account_id) WHERE (state <> 'unpaired'::text);
CREATE INDEX pair_unwritten ON pair USING btree (organisation_id, project_id, mapping_seen) WHERE ((state = 'confirmed'::text) AND ((mapping_state <> 'written'::text) OR (mapping_reason <> ''::text)));
create policy organisation on pair for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on pair to causeway_service;

create table pair_import (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  kind text not null,
  filter jsonb,
  confirm bigint,
  validates_only boolean default false not null,
  result jsonb,
  author text not null,
  created_at timestamp with time zone not null,
  constraint pair_import_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint pair_import_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint pair_import_kind_check CHECK ((kind = ANY (ARRAY['file'::text, 'confirm'::text])))
);
alter table pair_import enable row level security;
alter table pair_import force row level security;
CREATE INDEX pair_import_created ON pair_import USING btree (organisation_id, created_at);
create policy organisation on pair_import for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on pair_import to causeway_service;

create table pair_import_row (
  organisation_id text not null,
  project_id text not null,
  import_id text not null,
  line integer not null,
  source_column integer not null,
  target_column integer not null,
  action text not null,
  source_key text collate "C" not null,
  target_key text collate "C" not null,
  collection text not null,
  collection_key text collate "C" not null,
  source_id text,
  target_id text,
  source_count integer,
  target_count integer,
  pair_id text,
  constraint pair_import_row_pkey PRIMARY KEY (organisation_id, project_id, import_id, line),
  constraint pair_import_row_organisation_id_project_id_import_id_fkey FOREIGN KEY (organisation_id, project_id, import_id) REFERENCES pair_import(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint pair_import_row_action_check CHECK ((action = ANY (ARRAY['pair'::text, 'unpair'::text, 'exclude'::text])))
);
alter table pair_import_row enable row level security;
alter table pair_import_row force row level security;
CREATE INDEX pair_import_row_source ON pair_import_row USING btree (organisation_id, project_id, import_id, source_id, line);
CREATE INDEX pair_import_row_target ON pair_import_row USING btree (organisation_id, project_id, import_id, target_id, line);
create policy organisation on pair_import_row for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on pair_import_row to causeway_service;

create table project (
  organisation_id text not null,
  id text not null,
  name text not null,
  description text default ''::text not null,
  shows_titles boolean default false not null,
  settings jsonb default '{}'::jsonb not null,
  version integer default 1 not null,
  mapping_revision bigint default 0 not null,
  settings_version bigint default 0 not null,
  snapshot_version bigint default 0 not null,
  created_at timestamp with time zone default now() not null,
  created_by text not null,
  deletion_requested_at timestamp with time zone,
  deletion_requested_by text,
  deletion_forced_by text[] default '{}'::text[] not null,
  deletion_started_at timestamp with time zone,
  deletion_steps jsonb default '[]'::jsonb not null,
  held_revision bigint,
  held_since timestamp with time zone,
  constraint project_pkey PRIMARY KEY (organisation_id, id),
  constraint project_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint project_held CHECK ((((held_revision IS NULL) = (held_since IS NULL)) AND (held_revision < mapping_revision))),
  constraint project_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
);
alter table project enable row level security;
alter table project force row level security;
CREATE INDEX project_deletion ON project USING btree (deletion_requested_at) WHERE (deletion_requested_at IS NOT NULL);
CREATE INDEX project_held ON project USING btree (held_since) WHERE (held_revision IS NOT NULL);
CREATE UNIQUE INDEX project_id ON project USING btree (id);
CREATE INDEX project_name ON project USING btree (organisation_id, lower(name) COLLATE "C", id);
create policy found on project for select to public
  using ((id = current_scope('project'::text)));
create policy listed on project for select to public
  using ((current_scope('purpose'::text) = ANY (ARRAY['dispatch'::text, 'reconcile'::text, 'retention'::text])));
create policy organisation on project for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on project to causeway_service;

create table project_key (
  organisation_id text not null,
  id text not null,
  project_id text,
  version integer not null,
  state text not null,
  provider text not null,
  provider_key text not null,
  provider_version text not null,
  wrapped bytea,
  created_at timestamp with time zone not null,
  replaced_at timestamp with time zone,
  resealed_at timestamp with time zone,
  destroyed_at timestamp with time zone,
  provider_destroyed_at timestamp with time zone,
  purge_at timestamp with time zone,
  constraint project_key_pkey PRIMARY KEY (organisation_id, id),
  constraint project_key_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id),
  constraint project_key_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id),
  constraint project_key_id_check CHECK ((id ~ '^[0-9a-f]{32}$'::text)),
  constraint project_key_installation CHECK (((project_id IS NULL) = (organisation_id = 'installation'::text))),
  constraint project_key_shredded CHECK ((((state = 'destroyed'::text) = (wrapped IS NULL)) AND ((state = 'destroyed'::text) = (destroyed_at IS NOT NULL)))),
  constraint project_key_state_check CHECK ((state = ANY (ARRAY['current'::text, 'previous'::text, 'destroyed'::text]))),
  constraint project_key_version_check CHECK ((version > 0))
);
alter table project_key enable row level security;
alter table project_key force row level security;
CREATE INDEX project_key_age ON project_key USING btree (created_at) WHERE (state = 'current'::text);
CREATE UNIQUE INDEX project_key_current ON project_key USING btree (organisation_id, COALESCE(project_id, ''::text)) WHERE (state = 'current'::text);
CREATE INDEX project_key_to_reseal ON project_key USING btree (replaced_at) WHERE ((state = 'previous'::text) AND (resealed_at IS NULL));
CREATE UNIQUE INDEX project_key_version ON project_key USING btree (organisation_id, COALESCE(project_id, ''::text), version);
create policy installation on project_key for select to public
  using (((organisation_id = 'installation'::text) AND (current_organisation() IS NOT NULL)));
create policy listed on project_key for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
create policy organisation on project_key for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on project_key to causeway_service;

create table proof_token (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  tenant_id text not null,
  direction text not null,
  state text not null,
  token_sealed bytea not null,
  created_at timestamp with time zone not null,
  constraint proof_token_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint proof_token_organisation_id_project_id_tenant_id_direction__key UNIQUE (organisation_id, project_id, tenant_id, direction, state),
  constraint proof_token_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint proof_token_direction_check CHECK ((direction = ANY (ARRAY['out'::text, 'in'::text]))),
  constraint proof_token_state_check CHECK ((state = ANY (ARRAY['current'::text, 'previous'::text])))
);
alter table proof_token enable row level security;
alter table proof_token force row level security;
create policy organisation on proof_token for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on proof_token to causeway_service;

create table relay (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  name text not null,
  state text not null,
  signing_key text not null,
  sealing_key text not null,
  software_version text not null,
  version integer default 1 not null,
  enrolled_at timestamp with time zone not null,
  state_changed_at timestamp with time zone not null,
  pinned_key text not null,
  seen_at timestamp with time zone not null,
  is_stale boolean default false not null,
  reported_at timestamp with time zone,
  snapshot_version bigint,
  mapping_revision bigint,
  mapping_digest text,
  mapping_entries bigint,
  settings_version bigint,
  refused_version bigint,
  refused_reason text,
  started_at timestamp with time zone,
  is_ready boolean,
  reasons text[] default '{}'::text[] not null,
  reported_state text,
  queue_messages bigint,
  queue_oldest_ms bigint,
  queue_quarantined bigint,
  queue_dead bigint,
  certificate_not_after timestamp with time zone,
  dropped_metric bigint default 0 not null,
  dropped_message bigint default 0 not null,
  dropped_audit bigint default 0 not null,
  constraint relay_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint relay_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint relay_reported_state_check CHECK ((reported_state = ANY (ARRAY['active'::text, 'draining'::text]))),
  constraint relay_state_check CHECK ((state = ANY (ARRAY['active'::text, 'draining'::text, 'revoked'::text])))
);
alter table relay enable row level security;
alter table relay force row level security;
CREATE INDEX relay_fleet ON relay USING btree (organisation_id, project_id, enrolled_at, id);
CREATE UNIQUE INDEX relay_id ON relay USING btree (id);
CREATE INDEX relay_silent ON relay USING btree (seen_at) WHERE ((state <> 'revoked'::text) AND (NOT is_stale));
create policy itself on relay for select to public
  using ((id = current_scope('relay'::text)));
create policy organisation on relay for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy watched on relay for select to public
  using ((current_scope('purpose'::text) = 'reconcile'::text));
grant delete, insert, select, update on relay to causeway_service;

create table relay_enrolment (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  name text default ''::text not null,
  code_hash text not null,
  created_at timestamp with time zone not null,
  created_by text not null,
  expires_at timestamp with time zone not null,
  cancelled_at timestamp with time zone,
  used_at timestamp with time zone,
  relay_id text,
  constraint relay_enrolment_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint relay_enrolment_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint relay_enrolment_life CHECK ((expires_at <= (created_at + '00:15:00'::interval))),
  constraint relay_enrolment_used CHECK (((used_at IS NULL) = (relay_id IS NULL)))
);
alter table relay_enrolment enable row level security;
alter table relay_enrolment force row level security;
CREATE INDEX relay_enrolment_code ON relay_enrolment USING btree (code_hash);
CREATE INDEX relay_enrolment_listed ON relay_enrolment USING btree (organisation_id, project_id, created_at, id);
create policy opened on relay_enrolment for select to public
  using ((code_hash = current_scope('credential'::text)));
create policy organisation on relay_enrolment for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on relay_enrolment to causeway_service;

create table relay_marker (
  organisation_id text not null,
  project_id text not null,
  keys_sealed bytea not null,
  version integer default 1 not null,
  created_at timestamp with time zone not null,
  token_at timestamp with time zone,
  secret_at timestamp with time zone,
  token_pending_since timestamp with time zone,
  constraint relay_marker_pkey PRIMARY KEY (organisation_id, project_id),
  constraint relay_marker_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table relay_marker enable row level security;
alter table relay_marker force row level security;
create policy organisation on relay_marker for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on relay_marker to causeway_service;

create table relay_nonce (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  nonce_sealed bytea not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  constraint relay_nonce_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint relay_nonce_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table relay_nonce enable row level security;
alter table relay_nonce force row level security;
create policy organisation on relay_nonce for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on relay_nonce to causeway_service;

create table relay_settings (
  organisation_id text not null,
  project_id text not null,
  version bigint not null,
  document jsonb not null,
  created_at timestamp with time zone not null,
  created_by text not null,
  constraint relay_settings_pkey PRIMARY KEY (organisation_id, project_id, version),
  constraint relay_settings_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table relay_settings enable row level security;
alter table relay_settings force row level security;
create policy organisation on relay_settings for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on relay_settings to causeway_service;

create table relay_token_use (
  organisation_id text not null,
  project_id text not null,
  relay_id text not null,
  jti text not null,
  expires_at timestamp with time zone not null,
  constraint relay_token_use_pkey PRIMARY KEY (organisation_id, project_id, relay_id, jti),
  constraint relay_token_use_organisation_id_project_id_relay_id_fkey FOREIGN KEY (organisation_id, project_id, relay_id) REFERENCES relay(organisation_id, project_id, id) ON DELETE CASCADE
);
alter table relay_token_use enable row level security;
alter table relay_token_use force row level security;
CREATE INDEX relay_token_use_expiry ON relay_token_use USING btree (expires_at);
create policy organisation on relay_token_use for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy seen on relay_token_use for select to public
  using ((current_scope('purpose'::text) = 'retention'::text));
create policy swept on relay_token_use for delete to public
  using ((current_scope('purpose'::text) = 'retention'::text));
grant delete, insert, select, update on relay_token_use to causeway_service;

create table role (
  organisation_id text not null,
  id text not null,
  name text not null,
  permissions text[] not null,
  version integer default 1 not null,
  created_at timestamp with time zone default now() not null,
  constraint role_pkey PRIMARY KEY (organisation_id, id),
  constraint role_organisation_id_name_key UNIQUE (organisation_id, name),
  constraint role_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint role_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100)))
);
alter table role enable row level security;
alter table role force row level security;
CREATE UNIQUE INDEX role_name ON role USING btree (organisation_id, lower(name));
create policy organisation on role for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on role to causeway_service;

create table role_assignment (
  organisation_id text not null,
  member_id text not null,
  role_id text not null,
  project_id text default ''::text not null,
  assigned_by text not null,
  assigned_at timestamp with time zone default now() not null,
  constraint role_assignment_pkey PRIMARY KEY (organisation_id, member_id, role_id, project_id),
  constraint role_assignment_organisation_id_member_id_fkey FOREIGN KEY (organisation_id, member_id) REFERENCES member(organisation_id, id) ON DELETE CASCADE
);
alter table role_assignment enable row level security;
alter table role_assignment force row level security;
CREATE INDEX role_assignment_project ON role_assignment USING btree (organisation_id, project_id, member_id);
CREATE INDEX role_assignment_role ON role_assignment USING btree (organisation_id, role_id, member_id);
create policy organisation on role_assignment for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy self on role_assignment for select to public
  using ((EXISTS ( SELECT
   FROM member m
  WHERE ((m.organisation_id = role_assignment.organisation_id) AND (m.id = role_assignment.member_id) AND (m.principal = current_scope('principal'::text))))));
grant delete, insert, select, update on role_assignment to causeway_service;

create table session (
  id_hash text not null,
  principal text not null,
  display_name text not null,
  csrf_hash text not null,
  refresh_sealed bytea,
  is_break_glass boolean default false not null,
  created_at timestamp with time zone default now() not null,
  authenticated_at timestamp with time zone not null,
  checked_at timestamp with time zone not null,
  last_used_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  constraint session_pkey PRIMARY KEY (id_hash)
);
alter table session enable row level security;
alter table session force row level security;
CREATE INDEX session_expiry ON session USING btree (expires_at);
CREATE INDEX session_last_use ON session USING btree (last_used_at);
CREATE INDEX session_principal ON session USING btree (principal);
create policy opened on session for all to public
  using ((id_hash = current_scope('credential'::text)))
  with check ((id_hash = current_scope('credential'::text)));
create policy seen on session for select to public
  using ((current_scope('purpose'::text) = 'retention'::text));
create policy self on session for all to public
  using ((principal = current_scope('principal'::text)))
  with check ((principal = current_scope('principal'::text)));
create policy swept on session for delete to public
  using ((current_scope('purpose'::text) = 'retention'::text));
grant delete, insert, select, update on session to causeway_service;

create table sign_in_flow (
  state_hash text not null,
  flow_sealed bytea not null,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone not null,
  constraint sign_in_flow_pkey PRIMARY KEY (state_hash)
);
alter table sign_in_flow enable row level security;
alter table sign_in_flow force row level security;
CREATE INDEX sign_in_flow_expiry ON sign_in_flow USING btree (expires_at);
create policy opened on sign_in_flow for all to public
  using ((state_hash = current_scope('credential'::text)))
  with check ((state_hash = current_scope('credential'::text)));
create policy seen on sign_in_flow for select to public
  using ((current_scope('purpose'::text) = 'retention'::text));
create policy swept on sign_in_flow for delete to public
  using ((current_scope('purpose'::text) = 'retention'::text));
grant delete, insert, select on sign_in_flow to causeway_service;

create table snapshot_applied (
  organisation_id text not null,
  project_id text not null,
  snapshot_version bigint not null,
  mapping_revision bigint not null,
  settings_version bigint not null,
  relays integer not null,
  applied_at timestamp with time zone not null,
  constraint snapshot_applied_pkey PRIMARY KEY (organisation_id, project_id, snapshot_version),
  constraint snapshot_applied_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE
);
alter table snapshot_applied enable row level security;
alter table snapshot_applied force row level security;
CREATE INDEX snapshot_applied_revision ON snapshot_applied USING btree (organisation_id, project_id, mapping_revision, snapshot_version);
CREATE INDEX snapshot_applied_settings ON snapshot_applied USING btree (organisation_id, project_id, settings_version, snapshot_version);
create policy organisation on snapshot_applied for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on snapshot_applied to causeway_service;

create table snapshot_key (
  organisation_id text not null,
  id text not null,
  state text not null,
  public_key text not null,
  private_sealed bytea,
  introduced_by text,
  introduction text,
  created_at timestamp with time zone not null,
  constraint snapshot_key_pkey PRIMARY KEY (organisation_id, id),
  constraint snapshot_key_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint snapshot_key_organisation_id_introduced_by_fkey FOREIGN KEY (organisation_id, introduced_by) REFERENCES snapshot_key(organisation_id, id),
  constraint snapshot_key_current CHECK (((state = 'current'::text) = (private_sealed IS NOT NULL))),
  constraint snapshot_key_introduced CHECK (((introduced_by IS NULL) = (introduction IS NULL))),
  constraint snapshot_key_state_check CHECK ((state = ANY (ARRAY['current'::text, 'previous'::text])))
);
alter table snapshot_key enable row level security;
alter table snapshot_key force row level security;
CREATE UNIQUE INDEX snapshot_key_one_current ON snapshot_key USING btree (organisation_id) WHERE (state = 'current'::text);
create policy organisation on snapshot_key for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on snapshot_key to causeway_service;

create table support_grant (
  organisation_id text not null,
  id text not null,
  principal text not null,
  reason text not null,
  granted_by text not null,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone not null,
  revoked_at timestamp with time zone,
  constraint support_grant_pkey PRIMARY KEY (organisation_id, id),
  constraint support_grant_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint support_grant_check CHECK ((expires_at <= (created_at + '72:00:00'::interval)))
);
alter table support_grant enable row level security;
alter table support_grant force row level security;
CREATE INDEX support_grant_expiry ON support_grant USING btree (organisation_id, expires_at, id);
CREATE INDEX support_grant_principal ON support_grant USING btree (principal);
create policy organisation on support_grant for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
create policy self on support_grant for select to public
  using ((principal = current_scope('principal'::text)));
grant delete, insert, select, update on support_grant to causeway_service;

create table tenant_change (
  organisation_id text not null,
  project_id text not null,
  sequence bigint not null,
  tenant_id text not null,
  noun text not null,
  object_key text not null,
  object_guid text,
  cmdlet text not null,
  parameters jsonb not null,
  before jsonb,
  after jsonb,
  state text not null,
  problem text,
  operation_id text not null,
  author text not null,
  created_at timestamp with time zone not null,
  settled_at timestamp with time zone,
  constraint tenant_change_pkey PRIMARY KEY (organisation_id, project_id, sequence),
  constraint tenant_change_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint tenant_change_sequence_check CHECK ((sequence > 0)),
  constraint tenant_change_settled CHECK (((state = 'intent'::text) = (settled_at IS NULL))),
  constraint tenant_change_state_check CHECK ((state = ANY (ARRAY['intent'::text, 'done'::text, 'undone'::text, 'failed'::text])))
);
alter table tenant_change enable row level security;
alter table tenant_change force row level security;
CREATE INDEX tenant_change_object ON tenant_change USING btree (organisation_id, project_id, tenant_id, noun, object_key, sequence DESC);
CREATE INDEX tenant_change_open ON tenant_change USING btree (organisation_id, project_id, sequence) WHERE (state = 'intent'::text);
create policy organisation on tenant_change for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on tenant_change to causeway_service;

create table tenant_claim (
  entra_tenant_id text not null,
  organisation_id text not null,
  constraint tenant_claim_pkey PRIMARY KEY (entra_tenant_id),
  constraint tenant_claim_organisation_id_entra_tenant_id_key UNIQUE (organisation_id, entra_tenant_id),
  constraint tenant_claim_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE
);
alter table tenant_claim enable row level security;
alter table tenant_claim force row level security;
create policy organisation on tenant_claim for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select on tenant_claim to causeway_service;

create table tenant_connection (
  organisation_id text not null,
  project_id text not null,
  id text not null,
  side text not null,
  label text not null,
  name text default ''::text not null,
  cloud text not null,
  entra_tenant_id text not null,
  app_model text not null,
  client_id text,
  accepted_domains text[] default '{}'::text[] not null,
  initial_domain text,
  version integer default 1 not null,
  created_at timestamp with time zone default now() not null,
  created_by text not null,
  constraint tenant_connection_pkey PRIMARY KEY (organisation_id, project_id, id),
  constraint tenant_connection_organisation_id_project_id_entra_tenant_i_key UNIQUE (organisation_id, project_id, entra_tenant_id),
  constraint tenant_connection_organisation_id_project_id_label_key UNIQUE (organisation_id, project_id, label),
  constraint tenant_connection_organisation_id_project_id_fkey FOREIGN KEY (organisation_id, project_id) REFERENCES project(organisation_id, id) ON DELETE CASCADE,
  constraint tenant_connection_app_model_check CHECK ((app_model = ANY (ARRAY['single-tenant'::text, 'multi-tenant'::text]))),
  constraint tenant_connection_cloud_check CHECK ((cloud = ANY (ARRAY['global'::text, 'gcc-high'::text, 'dod'::text, 'china'::text]))),
  constraint tenant_connection_label_check CHECK ((label ~ '^[a-z0-9-]{1,32}$'::text)),
  constraint tenant_connection_side_check CHECK ((side = ANY (ARRAY['source'::text, 'target'::text])))
);
alter table tenant_connection enable row level security;
alter table tenant_connection force row level security;
CREATE INDEX tenant_connection_claim ON tenant_connection USING btree (organisation_id, entra_tenant_id);
CREATE UNIQUE INDEX tenant_connection_one_target ON tenant_connection USING btree (organisation_id, project_id) WHERE (side = 'target'::text);
create policy organisation on tenant_connection for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on tenant_connection to causeway_service;

create table tenant_facts (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  discovery_number bigint not null,
  facts jsonb not null,
  created_at timestamp with time zone not null,
  constraint tenant_facts_pkey PRIMARY KEY (organisation_id, project_id, tenant_id, discovery_number),
  constraint tenant_facts_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE
);
alter table tenant_facts enable row level security;
alter table tenant_facts force row level security;
create policy organisation on tenant_facts for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on tenant_facts to causeway_service;

create table tenant_state (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  operation_id text not null,
  moment text not null,
  objects jsonb not null,
  observed_at timestamp with time zone not null,
  constraint tenant_state_pkey PRIMARY KEY (organisation_id, project_id, tenant_id, operation_id, moment),
  constraint tenant_state_organisation_id_project_id_tenant_id_fkey FOREIGN KEY (organisation_id, project_id, tenant_id) REFERENCES tenant_connection(organisation_id, project_id, id) ON DELETE CASCADE,
  constraint tenant_state_moment_check CHECK ((moment = ANY (ARRAY['before'::text, 'after'::text])))
);
alter table tenant_state enable row level security;
alter table tenant_state force row level security;
CREATE INDEX tenant_state_newest ON tenant_state USING btree (organisation_id, project_id, tenant_id, moment, observed_at DESC);
create policy organisation on tenant_state for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on tenant_state to causeway_service;

create table webhook (
  organisation_id text not null,
  id text not null,
  project_id text default ''::text not null,
  url text not null,
  description text default ''::text not null,
  events text[] not null,
  is_enabled boolean default true not null,
  secret_sealed bytea not null,
  previous_secret_sealed bytea,
  previous_secret_until timestamp with time zone,
  failures integer default 0 not null,
  rests_until timestamp with time zone,
  version integer default 1 not null,
  created_at timestamp with time zone default now() not null,
  created_by text not null,
  constraint webhook_pkey PRIMARY KEY (organisation_id, id),
  constraint webhook_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES organisation(organisation_id) ON DELETE CASCADE,
  constraint webhook_description_check CHECK ((length(description) <= 200)),
  constraint webhook_events_check CHECK (((cardinality(events) >= 1) AND (cardinality(events) <= 50))),
  constraint webhook_url_check CHECK ((length(url) <= 2000))
);
alter table webhook enable row level security;
alter table webhook force row level security;
CREATE INDEX webhook_list ON webhook USING btree (organisation_id, project_id, id);
create policy organisation on webhook for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on webhook to causeway_service;

create table webhook_delivery (
  organisation_id text not null,
  id text not null,
  webhook_id text not null,
  project_id text default ''::text not null,
  event_type text not null,
  body jsonb not null,
  state text default 'pending'::text not null,
  attempts integer default 0 not null,
  last_attempt_at timestamp with time zone,
  last_status integer,
  last_fault text,
  retry_until timestamp with time zone default (now() + '24:00:00'::interval) not null,
  created_at timestamp with time zone default now() not null,
  finished_at timestamp with time zone,
  constraint webhook_delivery_pkey PRIMARY KEY (organisation_id, id),
  constraint webhook_delivery_organisation_id_webhook_id_fkey FOREIGN KEY (organisation_id, webhook_id) REFERENCES webhook(organisation_id, id) ON DELETE CASCADE,
  constraint webhook_delivery_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
);
alter table webhook_delivery enable row level security;
alter table webhook_delivery force row level security;
CREATE INDEX webhook_delivery_created ON webhook_delivery USING btree (organisation_id, created_at);
CREATE INDEX webhook_delivery_list ON webhook_delivery USING btree (organisation_id, webhook_id, created_at, id);
create policy organisation on webhook_delivery for all to public
  using ((organisation_id = current_organisation()))
  with check ((organisation_id = current_organisation()));
grant delete, insert, select, update on webhook_delivery to causeway_service;

