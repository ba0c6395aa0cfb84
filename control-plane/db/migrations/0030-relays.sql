-- Relays: enrolment, fleet, what they are told (settings, secrets, keys), what they have applied, and what they tell of messages.
-- (control-plane.md §2, RC-1 … RC-7)

-- Names this installation to its relays: `aud` of their tokens (RC-1). A single row, no tenant data.
create table installation (
  only_row boolean primary key default true check (only_row),
  id text not null
);
insert into installation (id) values ('ins_' || replace(gen_random_uuid()::text, '-', ''));
alter table installation enable row level security;
alter table installation force row level security;
create policy known on installation for select using (true);
grant select on installation to causeway_service;

-- Signs snapshots (RC-2). Rows of organisation 'installation'. Each but the first says by whose signature relays believe it.
create table snapshot_key (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- snk_…
  state text not null check (state in ('current', 'previous')),
  public_key text not null,                                    -- Ed25519, SPKI DER in base64url
  private_sealed bytea,                                        -- PKCS #8 DER; null once replaced
  introduced_by text,                                          -- the key before it …
  introduction text,                                           -- … and its signature over the new one, base64url
  created_at timestamptz not null,
  primary key (organisation_id, id),
  foreign key (organisation_id, introduced_by) references snapshot_key,
  constraint snapshot_key_introduced check ((introduced_by is null) = (introduction is null)),
  constraint snapshot_key_current check ((state = 'current') = (private_sealed is not null))
);
select protect('snapshot_key');
create unique index snapshot_key_one_current on snapshot_key (organisation_id) where state = 'current';

-- ── Enrolment and fleet ────────────────────────────────────────────────────────────────────────────────────────────

create table relay (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- rly_…
  name text not null,                                          -- on the wire (EHLO), as the relay said at enrolment
  state text not null check (state in ('active', 'draining', 'revoked')),
  signing_key text not null,                                   -- Ed25519, SPKI DER in base64url: verifies its tokens
  sealing_key text not null,                                   -- X25519, the same: secrets are sealed to it
  software_version text not null,
  version integer not null default 1,                          -- ETag: grows with its state, not with its reports
  enrolled_at timestamptz not null,
  state_changed_at timestamptz not null,
  pinned_key text not null,                                    -- the snapshot key that it is known to believe
  seen_at timestamptz not null,                                -- any valid request
  is_stale boolean not null default false,                     -- told as silent; set back by the next request
  -- What its last report said; null before the first.
  reported_at timestamptz,
  snapshot_version bigint,
  mapping_revision bigint,
  mapping_digest text,
  mapping_entries bigint,
  settings_version bigint,
  refused_version bigint,
  refused_reason text,
  started_at timestamptz,
  is_ready boolean,
  reasons text[] not null default '{}',
  reported_state text check (reported_state in ('active', 'draining')),
  queue_messages bigint,
  queue_oldest_ms bigint,
  queue_quarantined bigint,
  queue_dead bigint,
  certificate_not_after timestamptz,
  dropped_metric bigint not null default 0,
  dropped_message bigint not null default 0,
  dropped_audit bigint not null default 0,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('relay');
create policy itself on relay for select using (id = current_scope('relay'));
create policy watched on relay for select using (current_scope('purpose') = 'reconcile');
create unique index relay_id on relay (id);                    -- random: one alone in all organisations
create index relay_fleet on relay (organisation_id, project_id, enrolled_at, id);
create index relay_silent on relay (seen_at) where state <> 'revoked' and not is_stale;

-- A code lets one relay in, once, within 15 minutes. Asked again with the same keys it gives the same answer: the first may have got lost.
create table relay_enrolment (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- enr_…
  name text not null default '',                               -- for whom it was made, in its maker's words
  code_hash text not null,                                     -- hex SHA-256 of 256 random bits
  created_at timestamptz not null,
  created_by text not null,
  expires_at timestamptz not null,
  cancelled_at timestamptz,
  used_at timestamptz,
  relay_id text,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id) references project on delete cascade,
  constraint relay_enrolment_used check ((used_at is null) = (relay_id is null)),
  constraint relay_enrolment_life check (expires_at <= created_at + interval '15 minutes')
);
select protect('relay_enrolment');
create policy opened on relay_enrolment for select using (code_hash = current_scope('credential'));
create index relay_enrolment_code on relay_enrolment (code_hash);
create index relay_enrolment_listed on relay_enrolment (organisation_id, project_id, created_at, id);

-- Tokens are for one use: who comes with a `jti` again is refused while the token could still be in date (RC-1).
create table relay_token_use (
  organisation_id text not null,
  project_id text not null,
  relay_id text not null,
  jti text not null,
  expires_at timestamptz not null,
  primary key (organisation_id, project_id, relay_id, jti),
  foreign key (organisation_id, project_id, relay_id) references relay on delete cascade
);
select protect('relay_token_use');
create policy swept on relay_token_use for delete using (current_scope('purpose') = 'retention');
create policy seen on relay_token_use for select using (current_scope('purpose') = 'retention');
create index relay_token_use_expiry on relay_token_use (expires_at);

-- ── What relays are told beside the table ──────────────────────────────────────────────────────────────────────────

-- All documents there have been; the one in force is the newest. Its version is the project's settings_version that it made.
create table relay_settings (
  organisation_id text not null,
  project_id text not null,
  version bigint not null,
  document jsonb not null,
  created_at timestamptz not null,
  created_by text not null,
  primary key (organisation_id, project_id, version),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('relay_settings');

-- Token and secret of the marker (R76, DL-10), each with the one before; address tags are made with the secret too (PR-2).
create table relay_marker (
  organisation_id text not null,
  project_id text not null,
  keys_sealed bytea not null,                                  -- JSON: token, secret, previousToken, previousSecret
  version integer not null default 1,                          -- ETag: grows with every rotation
  created_at timestamptz not null,
  token_at timestamptz,                                        -- when it was replaced last; null: it is the first
  secret_at timestamptz,
  primary key (organisation_id, project_id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('relay_marker');

-- Tenant-proof tokens (SP-4): per tenant and direction the current and, while it is being replaced, the previous one.
create table proof_token (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- ptk_…
  tenant_id text not null,
  direction text not null check (direction in ('out', 'in')),
  state text not null check (state in ('current', 'previous')),
  token_sealed bytea not null,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, id),
  unique (organisation_id, project_id, tenant_id, direction, state),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection on delete cascade
);
select protect('proof_token');

-- Nonces of connector validation and probes (SP-11).
create table relay_nonce (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- non_…
  nonce_sealed bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('relay_nonce');

create table dkim_key (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- dkm_…
  domain text not null,                                        -- A-labels
  selector text not null,
  algorithm text not null check (algorithm in ('rsa-2048', 'rsa-3072', 'ed25519')),
  state text not null check (state in ('generated', 'published', 'active', 'retired')),
  public_key text not null,                                    -- `p=` of the DNS record
  private_sealed bytea,                                        -- PKCS #8 PEM; null once retired
  replaces text,                                               -- the key whose place it takes when it is activated
  version integer not null default 1,                          -- ETag
  created_at timestamptz not null,
  created_by text not null,
  expires_at timestamptz not null,                             -- when it should have been replaced (KM-7)
  checked_at timestamptz,
  check_result text check (check_result in ('found', 'missing', 'different', 'unreachable')),
  activated_at timestamptz,
  retired_at timestamptz,
  primary key (organisation_id, project_id, id),
  unique (organisation_id, project_id, domain, selector),
  foreign key (organisation_id, project_id) references project on delete cascade,
  constraint dkim_key_retired check ((state = 'retired') = (private_sealed is null) and (state = 'retired') = (retired_at is not null))
);
select protect('dkim_key');
create index dkim_key_listed on dkim_key (organisation_id, project_id, created_at, id);
-- A message gets one signature of each kind (R80).
create unique index dkim_key_one_active on dkim_key (organisation_id, project_id, domain, (algorithm = 'ed25519')) where state = 'active';

-- Addresses that Exchange Online sends from, by cloud, as Microsoft publishes them (SP-3). Of the installation: public, no tenant data.
create table exchange_range (
  cloud text not null check (cloud in ('global', 'gcc-high', 'dod', 'china')),
  range text not null,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  primary key (cloud, range)
);
alter table exchange_range enable row level security;
alter table exchange_range force row level security;
create policy known on exchange_range for select using (true);
create policy refreshed on exchange_range using (current_scope('purpose') = 'reconcile') with check (current_scope('purpose') = 'reconcile');
grant select, insert, update, delete on exchange_range to causeway_service;

-- When all live relays of a project had acknowledged a snapshot (control-plane.md §3.7). Sparse: relays skip versions.
create table snapshot_applied (
  organisation_id text not null,
  project_id text not null,
  snapshot_version bigint not null,
  mapping_revision bigint not null,
  settings_version bigint not null,
  relays integer not null,
  applied_at timestamptz not null,
  primary key (organisation_id, project_id, snapshot_version),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('snapshot_applied');
create index snapshot_applied_revision on snapshot_applied (organisation_id, project_id, mapping_revision, snapshot_version);
create index snapshot_applied_settings on snapshot_applied (organisation_id, project_id, settings_version, snapshot_version);

-- ── What relays tell ───────────────────────────────────────────────────────────────────────────────────────────────

-- Events of relays (RC-7), kept 30 days (PR-4): one partition a day (UTC), dropped whole. `id` is the relay's: sent again, it is the same row.
-- Addresses and Message-IDs as the project's privacy has them (PR-2).
create table message_event (
  organisation_id text not null,
  project_id text not null,
  relay_id text not null,
  time timestamptz not null,
  id text not null,
  received_at timestamptz not null,
  class text not null check (class in ('metric', 'message', 'audit')),
  event text not null,
  queue_id text,
  message_id text,
  sender text,
  fields jsonb not null,
  primary key (organisation_id, project_id, relay_id, time, id),
  foreign key (organisation_id, project_id, relay_id) references relay on delete cascade
) partition by range (time);
select protect('message_event');
create index message_event_accepted on message_event (organisation_id, project_id, time, relay_id, id) where event = 'accepted';
create index message_event_queue_id on message_event (organisation_id, project_id, queue_id, time) where queue_id is not null;
create index message_event_message_id on message_event (organisation_id, project_id, message_id, time) where message_id is not null;
create index message_event_sender on message_event (organisation_id, project_id, sender, time) where sender is not null;
-- What a search by outcome begins with; the two that nearly every message has are found from the message's side.
create index message_event_outcome on message_event (organisation_id, project_id, event, time)
  where class = 'message' and event not in ('accepted', 'delivered');

-- Who a message was for, as its sender wrote it and as it was rewritten: a list in a column could not be searched by an index, because operators on
-- lists are not leakproof, and row-level security lets only such ones go first.
create table message_recipient (
  organisation_id text not null,
  project_id text not null,
  address text not null,                                       -- as the project's privacy has it
  time timestamptz not null,
  relay_id text not null,
  queue_id text not null,
  primary key (organisation_id, project_id, address, time, relay_id, queue_id),
  foreign key (organisation_id, project_id, relay_id) references relay on delete cascade
) partition by range (time);
select protect('message_recipient');
create index message_recipient_relay on message_recipient (organisation_id, project_id, relay_id);

-- The service has no DDL (TI-2): these two functions are all it can do to partitions. Each day's table gets the same policy, and no grants:
-- it is reached through the whole only.
create function make_message_partition(day date) returns boolean
  language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '10s'
  as $$
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
end $$;
revoke execute on function make_message_partition(date) from public;
grant execute on function make_message_partition(date) to causeway_service;

-- Returns the days that went.
create function drop_message_partitions(before date) returns text[]
  language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '10s'
  as $$
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
end $$;
revoke execute on function drop_message_partitions(date) from public;
grant execute on function drop_message_partitions(date) to causeway_service;
