-- What is known of the tenants: discoveries, accounts with their history, who is in which group, facts of the tenant, findings, collections.
-- (migration-semantics.md §1, microsoft-365.md §4)
--
-- Rows of accounts and memberships are never changed but for their end: a version holds from discovery number `valid_from` up to, not including,
-- `valid_to`. So the state at any discovery can be had, and two can be compared. Only a discovery that is still running may write a version of its own
-- number anew.

create table discovery (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- dsc_…
  tenant_id text not null,
  number bigint not null check (number > 0),                   -- dense in the tenant: what versions of accounts count by
  mode text not null check (mode in ('full', 'delta')),
  state text not null check (state in ('running', 'completed', 'failed', 'cancelled')),
  operation_id text not null,
  statistics_for text[] not null default '{}',                 -- accounts whose mailboxes are asked one by one
  counts jsonb not null default '{}',                          -- by kind, created, changed, removed, unchanged
  gaps jsonb not null default '[]',                            -- what could not be seen, and why: codes with a remedy
  author text not null,
  started_at timestamptz not null,
  finished_at timestamptz,
  primary key (organisation_id, project_id, id),
  unique (organisation_id, project_id, tenant_id, number),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('discovery');
create index discovery_started on discovery (organisation_id, project_id, started_at desc, id);
-- One at a time in a tenant.
create unique index discovery_running on discovery (organisation_id, project_id, tenant_id) where state = 'running';
-- Those whose operation ended without them are ended by the clock.
create policy reconciled on discovery for select using (current_scope('purpose') = 'reconcile');

-- Where each collection of a tenant goes on. Written with the effects of the page before, in one transaction.
create table discovery_checkpoint (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  collection text not null,                                    -- users, groups, contacts, mailboxes …
  discovery_id text not null,                                  -- that wrote it
  state text not null check (state in ('pages', 'done')),      -- in the middle of its pages, or at its end
  is_full boolean not null,                                    -- from the beginning: what does not come is not there
  link text,                                                   -- next page, or where the next delta begins
  updated_at timestamptz not null default now(),
  primary key (organisation_id, project_id, tenant_id, collection),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('discovery_checkpoint');

-- What was last read of an object, by where it was read: the pages of Graph, Exchange and reports land here, and at the end of a discovery the parts
-- that changed make new versions of accounts.
create table account_part (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  object_id text collate "C" not null,
  source text not null check (source in ('directory', 'owners', 'exchange', 'mailbox-report', 'drive-report', 'statistics')),
  part jsonb,                                                  -- null: it is not there any more, and accounts have to learn it
  upn_key text collate "C",                                    -- of a user: what reports name it by
  digest bytea,
  changed_in bigint not null,                                  -- discovery.number
  seen_in bigint not null,
  primary key (organisation_id, project_id, tenant_id, object_id, source),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('account_part');
create index account_part_changed on account_part (organisation_id, project_id, tenant_id, changed_in, object_id);
create index account_part_upn on account_part (organisation_id, project_id, tenant_id, upn_key) where upn_key is not null;

create table account (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  id text not null,                                            -- acc_…; stays through all its versions
  object_id text collate "C" not null,                         -- of Entra, else of Exchange
  valid_from bigint not null,                                  -- discovery.number
  valid_to bigint,                                             -- null: is there
  kind text not null,
  display_name text not null,
  user_principal_name text,
  mail text,
  primary_key text collate "C",                                -- first SMTP address, as matching compares
  sort_key text collate "C" not null,                          -- display name as lists are ordered by: NFC, lower case, 200 characters
  is_synced boolean not null,
  snapshot jsonb not null,                                     -- AccountSnapshot
  digest bytea not null,                                       -- SHA-256 of it, canonical
  created_at timestamptz not null,
  primary key (organisation_id, project_id, id, valid_from),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint account_life check (valid_to > valid_from)
);
select protect('account');
create unique index account_object on account (organisation_id, project_id, tenant_id, object_id) where valid_to is null;
create index account_object_history on account (organisation_id, project_id, tenant_id, object_id, valid_from);
create index account_sorted on account (organisation_id, project_id, sort_key, id) where valid_to is null;
create index account_sorted_tenant on account (organisation_id, project_id, tenant_id, sort_key, id) where valid_to is null;
create index account_sorted_kind on account (organisation_id, project_id, tenant_id, kind, sort_key, id) where valid_to is null;
create index account_begun on account (organisation_id, project_id, tenant_id, valid_from, id);
create index account_ended on account (organisation_id, project_id, tenant_id, valid_to, id) where valid_to is not null;

-- Addresses in force: SMTP addresses and user principal names, for look-ups, collisions and search by the start of an address.
create table account_address (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  key text collate "C" not null,                               -- as matching compares
  kind text not null check (kind in ('smtp', 'upn', 'x500')),
  account_id text not null,
  primary key (organisation_id, project_id, key, tenant_id, kind, account_id),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('account_address');
create index account_address_account on account_address (organisation_id, project_id, account_id);

create table group_member (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  group_object_id text collate "C" not null,
  member_object_id text collate "C" not null,
  valid_from bigint not null,
  valid_to bigint,
  seen_in bigint not null,
  primary key (organisation_id, project_id, tenant_id, group_object_id, member_object_id, valid_from),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint group_member_life check (valid_to > valid_from)
);
select protect('group_member');
create index group_member_of on group_member (organisation_id, project_id, tenant_id, member_object_id) where valid_to is null;

-- What was read of the tenant as a whole: organisation, domains, licences, connectors, rules, remote domains, settings.
create table tenant_facts (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  discovery_number bigint not null,
  facts jsonb not null,                                        -- TenantFacts
  created_at timestamptz not null,
  primary key (organisation_id, project_id, tenant_id, discovery_number),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('tenant_facts');

-- The planner takes the rows of a tenant that it has not seen for a handful, and then any index that begins with the tenant is as good to it as the
-- right one. So the reader of a large one has tables looked at as they grow. The service may do no more of maintenance than this. Not waited for:
-- somebody else may be at it.
alter table account_part alter column part set statistics 0;   -- never searched, and the most of the work
alter table account alter column snapshot set statistics 0;
create function refresh_directory_statistics(about text) returns void
  language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '1s'
  as $$
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
end $$;
revoke execute on function refresh_directory_statistics(text) from public;
grant execute on function refresh_directory_statistics(text) to causeway_service;
