-- Who is whom: collections, matchings with their results, pairs, mapping files on their way in. (migration-semantics.md §1–§3, control-plane.md §2)

-- ── Collections ────────────────────────────────────────────────────────────────────────────────────────────────────

create table collection (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- col_…
  name text not null check (length(name) between 1 and 200),
  name_key text collate "C" not null,                          -- as names are compared: NFC, lower case
  version integer not null default 1,                          -- ETag
  created_by text not null,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, id),
  unique (organisation_id, project_id, name_key),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('collection');

-- An account may be in several. That it is gone from its tenant does not take it out.
create table collection_member (
  organisation_id text not null,
  project_id text not null,
  collection_id text not null,
  account_id text not null,
  tenant_id text not null,
  added_at timestamptz not null,
  primary key (organisation_id, project_id, collection_id, account_id),
  foreign key (organisation_id, project_id, collection_id) references collection on delete cascade,
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('collection_member');
create index collection_member_added on collection_member (organisation_id, project_id, collection_id, added_at, account_id);
create index collection_member_account on collection_member (organisation_id, project_id, account_id, collection_id);

-- ── Matchings ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Its state is that of its operation, until it is complete: results and pairs then appear at once.
create table matching (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- mch_…
  operation_id text not null,
  options jsonb not null,                                      -- rules in their order, domain map, what else was chosen
  discoveries jsonb,                                           -- number by tenant: of what it looked at
  counts jsonb,                                                -- by outcome and by rule
  author text not null,
  created_at timestamptz not null,
  completed_at timestamptz,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('matching');
create index matching_created on matching (organisation_id, project_id, created_at desc, id desc);

-- One row a source account.
create table match_result (
  organisation_id text not null,
  project_id text not null,
  matching_id text not null,
  sort_key text collate "C" not null,                          -- of the source account
  source_account_id text not null,
  source_tenant_id text not null,
  outcome text not null check (outcome in ('paired', 'ambiguous', 'conflict', 'suggested', 'unmatched')),
  reason text,
  rule text not null default '',                               -- that decided, as control-plane/matching/match-rule.ts names it
  confidence text check (confidence in ('certain', 'high', 'medium', 'low')),
  target_account_id text,
  pair_id text,
  candidates text[] not null,                                  -- the first of them
  candidate_count integer not null,
  primary key (organisation_id, project_id, matching_id, sort_key, source_account_id),
  foreign key (organisation_id, project_id, matching_id) references matching on delete cascade
);
select protect('match_result');
create index match_result_outcome on match_result (organisation_id, project_id, matching_id, outcome, sort_key, source_account_id);

-- Accounts that no matching looks at.
create table match_exclusion (
  organisation_id text not null,
  project_id text not null,
  account_id text not null,
  tenant_id text not null,
  author text not null,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, account_id),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('match_exclusion');

-- ── Pairs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

create table pair (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- par_…
  source_tenant_id text not null,
  source_account_id text not null,
  target_tenant_id text not null,
  target_account_id text not null,
  origin text not null check (origin in ('matched', 'mapped', 'created')),
  state text not null check (state in ('proposed', 'confirmed', 'unpaired')),
  rule text not null default '',
  confidence text not null check (confidence in ('certain', 'high', 'medium', 'low')),
  matching_id text,
  presents text not null default 'target' check (presents in ('source', 'target')),
  holds text not null default 'source' check (holds in ('source', 'target')), -- which side has the mailbox
  sort_key text collate "C" not null,                          -- of the source account
  mapping_state text not null default 'none' check (mapping_state in ('none', 'written', 'manual-wins', 'blocked')),
  mapping_reason text not null default '',
  mapping_seen bigint not null default 0,                      -- snapshot version when the entry was last looked at
  source_version bigint,                                       -- account.valid_from that the entry was made of
  target_version bigint,
  content_copied_at timestamptz,                               -- from then on unpairing has to be confirmed
  version integer not null default 1,                          -- ETag
  created_by text not null,
  created_at timestamptz not null,
  decided_by text,                                             -- who confirmed or unpaired it
  decided_at timestamptz,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id, source_tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  foreign key (organisation_id, project_id, target_tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint pair_confirmed check ((state = 'proposed') = (decided_at is null))
);
select protect('pair');
-- At most one live pair per source object and per target object, whoever writes.
create unique index pair_source on pair (organisation_id, project_id, source_account_id) where state <> 'unpaired';
create unique index pair_target on pair (organisation_id, project_id, target_account_id) where state <> 'unpaired';
create index pair_sorted on pair (organisation_id, project_id, sort_key, id) where state <> 'unpaired';
create index pair_sorted_state on pair (organisation_id, project_id, state, sort_key, id);
-- What did not get its entry, or not the whole of it, to be looked at again.
create index pair_unwritten on pair (organisation_id, project_id, mapping_seen) where state = 'confirmed' and (mapping_state <> 'written' or mapping_reason <> '');

-- ── Changes of many pairs on their way in ──────────────────────────────────────────────────────────────────────────

create table pair_import (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- pim_…
  kind text not null check (kind in ('file', 'confirm')),
  filter jsonb,                                                -- of kind confirm: which proposals
  confirm bigint,                                              -- how many may go, or are confirmed
  validates_only boolean not null default false,
  result jsonb,                                                -- once it is applied
  author text not null,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('pair_import');
create index pair_import_created on pair_import (organisation_id, created_at);

create table pair_import_row (
  organisation_id text not null,
  project_id text not null,
  import_id text not null,
  line integer not null,                                       -- where the row begins: no two on one line
  source_column integer not null,
  target_column integer not null,
  action text not null check (action in ('pair', 'unpair', 'exclude')),
  source_key text collate "C" not null,                        -- as matching compares; '': none
  target_key text collate "C" not null,
  collection text not null,                                    -- '': none
  collection_key text collate "C" not null,
  source_id text,                                              -- accounts that they are, once looked up
  target_id text,
  source_count integer,
  target_count integer,
  pair_id text,                                                -- that goes
  primary key (organisation_id, project_id, import_id, line),
  foreign key (organisation_id, project_id, import_id) references pair_import on delete cascade
);
select protect('pair_import_row');
create index pair_import_row_source on pair_import_row (organisation_id, project_id, import_id, source_id, line);
create index pair_import_row_target on pair_import_row (organisation_id, project_id, import_id, target_id, line);

-- ── What pairs write into the mapping table ────────────────────────────────────────────────────────────────────────

alter table mapping_import_row add column source_ref text not null default '';
create unique index mapping_entry_pair on mapping_entry (organisation_id, project_id, source_ref) where valid_to is null and source = 'pair';

-- As in 0020-mapping.sql, with the tables of this file and those it reads.
create or replace function refresh_mapping_statistics() returns void
  language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '1s'
  as $$
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
end $$;
