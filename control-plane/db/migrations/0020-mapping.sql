-- Mapping tables: entries and rules with their history, the addresses in force, revisions, uploads on their way in. (control-plane.md §3, rewriting.md §5)
--
-- Rows of entries and rules are never changed but for their end: a version holds from revision `valid_from` up to, not including, `valid_to`.
-- What revision r changed is what begins or ends with r; deltas, differences and restoring all come from that.

-- Look-up keys and what lists are ordered by compare by octets: `like` and ranges then agree, whatever the database's collation.

-- One row a change, dense. Revision 0, the empty table, has none.
create table mapping_revision (
  organisation_id text not null,
  project_id text not null,
  revision bigint not null check (revision > 0),
  author text not null,                                        -- as in the audit trail
  cause text not null check (cause in ('change', 'bulk', 'import', 'restore', 'rule', 'pair')),
  restored_from bigint,
  created integer not null,                                    -- entries
  changed integer not null,
  removed integer not null,
  rules_changed integer not null,                              -- rules that came, changed or went
  entries bigint not null,                                     -- in the table since then
  created_at timestamptz not null,
  primary key (organisation_id, project_id, revision),
  foreign key (organisation_id, project_id) references project on delete cascade,
  constraint mapping_revision_restored check ((cause = 'restore') = (restored_from is not null))
);
select protect('mapping_revision');

-- Up to where versions that ended were deleted: tables of earlier revisions can't be had any more.
create table mapping_horizon (
  organisation_id text not null,
  project_id text not null,
  revision bigint not null,
  primary key (organisation_id, project_id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('mapping_horizon');

create table mapping_entry (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- map_…; stays through all its versions
  valid_from bigint not null,
  valid_to bigint,                                             -- null: in force
  presented_key text collate "C" not null,                     -- presented address as it is compared (R20)
  presented text not null,
  mailbox text not null,
  mailbox_domain text collate "C" not null,                    -- A-labels
  keys text[] collate "C" not null,                            -- of all known addresses and X.500 names
  wire text not null,                                          -- the entry as a table file writes it
  source text not null check (source in ('manual', 'pair', 'import')),
  source_ref text not null default '',                         -- of a pair: its id
  author text not null,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, id, valid_from),
  foreign key (organisation_id, project_id) references project on delete cascade,
  constraint mapping_entry_life check (valid_to > valid_from)
);
select protect('mapping_entry');
create unique index mapping_entry_presented on mapping_entry (organisation_id, project_id, presented_key) where valid_to is null;
create index mapping_entry_mailbox_domain on mapping_entry (organisation_id, project_id, mailbox_domain, presented_key) where valid_to is null;
create index mapping_entry_source on mapping_entry (organisation_id, project_id, source, presented_key) where valid_to is null;
create index mapping_entry_begun on mapping_entry (organisation_id, project_id, valid_from, presented_key);
create index mapping_entry_ended on mapping_entry (organisation_id, project_id, valid_to, presented_key) where valid_to is not null;

-- R3: an address is known in one entry only, for example alice@contoso.example, or X500:/o=contoso/cn=alice.
create table mapping_address (
  organisation_id text not null,
  project_id text not null,
  key text collate "C" not null,
  entry_id text not null,
  primary key (organisation_id, project_id, key),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('mapping_address');

create table mapping_rule (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- rul_…
  valid_from bigint not null,
  valid_to bigint,
  kind text not null check (kind in ('domain', 'wildcard', 'exception')),
  rule_key text collate "C" not null,                          -- what it matches, as it is compared; one rule a kind
  wire text not null,                                          -- as a table file writes it
  author text not null,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, id, valid_from),
  foreign key (organisation_id, project_id) references project on delete cascade,
  constraint mapping_rule_life check (valid_to > valid_from)
);
select protect('mapping_rule');
create unique index mapping_rule_key on mapping_rule (organisation_id, project_id, kind, rule_key) where valid_to is null;
create index mapping_rule_begun on mapping_rule (organisation_id, project_id, valid_from);
create index mapping_rule_ended on mapping_rule (organisation_id, project_id, valid_to) where valid_to is not null;

-- ── Changes on their way in ────────────────────────────────────────────────────────────────────────────────────────

-- A change whose rows are staged: a small one within one transaction, a large one until its operation is done or it is swept.
create table mapping_import (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- imp_…
  mode text not null check (mode in ('upsert', 'replace', 'restore')),
  validates_only boolean not null default false,
  confirm bigint,                                              -- entries that may go (control-plane.md §3.6)
  expected_revision bigint,                                    -- If-Match
  restored_revision bigint,
  rules jsonb,                                                 -- lists as a table file writes them; null: the file has no say in rules
  result jsonb,                                                -- once it is applied
  author text not null,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id) references project on delete cascade,
  constraint mapping_import_restored check ((mode = 'restore') = (restored_revision is not null))
);
select protect('mapping_import');
create index mapping_import_created on mapping_import (organisation_id, created_at);

create table mapping_import_row (
  organisation_id text not null,
  project_id text not null,
  import_id text not null,
  presented_key text collate "C" not null,
  row integer not null,                                        -- in the order of the input
  path text not null,                                          -- in the input: entries/17, row/18
  line integer not null,
  col integer not null,
  id text not null,                                            -- of the entry, should it be a new one
  presented text not null,
  mailbox text not null,
  mailbox_domain text collate "C" not null,
  keys text[] collate "C" not null,
  wire text,                                                   -- null: the entry is to go
  primary key (organisation_id, project_id, import_id, presented_key, row),
  foreign key (organisation_id, project_id, import_id) references mapping_import on delete cascade
);
select protect('mapping_import_row');

-- Without statistics the planner takes the rows of any one project for a handful. It learns otherwise within a minute or so of a large change,
-- which is too late for the next one: so whoever makes large changes has tables looked at that have grown by half. The service may do no more of
-- maintenance than this. Not waited for: somebody else may be at it.
create function refresh_mapping_statistics() returns void
  language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '1s'
  as $$
declare
  grown text;
begin
  for grown in
    select c.oid::regclass from pg_class c
     where c.oid in ('mapping_entry'::regclass, 'mapping_address'::regclass, 'mapping_rule'::regclass, 'mapping_import_row'::regclass)
       and pg_relation_size(c.oid) / current_setting('block_size')::integer > 4 + 1.5 * c.relpages
  loop
    begin
      execute format('analyze %s', grown);
    exception when lock_not_available then
      null;
    end;
  end loop;
end $$;
revoke execute on function refresh_mapping_statistics() from public;
grant execute on function refresh_mapping_statistics() to causeway_service;
