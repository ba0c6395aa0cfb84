-- What will hurt: findings about accounts, domains and tenants, and how far they have been judged. (migration-semantics.md §11, control-plane.md §2)

-- A finding keeps its row, and so its id and what was said about it, as long as it is found again: runs write what is new, what changed and what is gone.
create table finding (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- fnd_…
  fingerprint bytea not null,                                  -- SHA-256 of code, subject and key
  pass text not null check (pass in ('accounts', 'nesting', 'tenants')), -- that found it: each resolves its own
  code text not null,                                          -- control-plane/findings/finding-kinds.ts
  severity text not null check (severity in ('blocker', 'warning', 'notice')),
  rank smallint generated always as (case severity when 'blocker' then 0 when 'warning' then 1 else 2 end) stored,
  about text not null check (about in ('account', 'pair', 'group', 'domain', 'tenant')),
  tenant_id text not null,
  account_id text,                                             -- of accounts and groups; the first of a pair
  other_account_id text,                                       -- the second of a pair
  domain text,
  details jsonb not null default '{}',                         -- ids, counts, sizes, names that administrators gave to things
  sort_key text collate "C" not null,                          -- name of what it is about, as lists are ordered by
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,                           -- of one that is there: when it was written; the latest run saw it too
  resolved_at timestamptz,                                     -- not found any more
  acknowledged_at timestamptz,
  acknowledged_by text,
  note text not null default '',
  version integer not null default 1,                          -- ETag
  primary key (organisation_id, project_id, id),
  unique (organisation_id, project_id, fingerprint),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint finding_acknowledged check ((acknowledged_at is null) = (acknowledged_by is null))
);
select protect('finding');
create index finding_listed on finding (organisation_id, project_id, rank, code, sort_key, id) where resolved_at is null;
create index finding_of_code on finding (organisation_id, project_id, code, sort_key, id) where resolved_at is null;
create index finding_of_tenant on finding (organisation_id, project_id, tenant_id, rank, code, sort_key, id) where resolved_at is null;
create index finding_of_account on finding (organisation_id, project_id, account_id) where account_id is not null;
create index finding_of_other on finding (organisation_id, project_id, other_account_id) where other_account_id is not null;
create index finding_acknowledged on finding (organisation_id, project_id, rank, code, sort_key, id)
  where resolved_at is null and acknowledged_at is not null;
create index finding_of_tenants on finding (organisation_id, project_id) where resolved_at is null and pass = 'tenants';
create index finding_resolved on finding (organisation_id, project_id, rank, code, sort_key, id) where resolved_at is not null;
create index finding_resolved_at on finding (organisation_id, resolved_at) where resolved_at is not null;

-- One job a project judges; whoever asks while it is at it is served by the next.
create table finding_run (
  organisation_id text not null,
  project_id text not null,
  asked bigint not null default 1,                             -- how often it was asked for
  began bigint,                                                -- `asked` when the run under way began; null: none is
  judged bigint not null default 0,                            -- `asked` when the last run that went to its end began
  place jsonb,                                                 -- of the run under way: where it goes on, what it has counted
  asked_at timestamptz not null,
  finished_at timestamptz,                                     -- of the last run that went to its end
  primary key (organisation_id, project_id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('finding_run');
-- What got lost, and what has become old, is asked for by the clock.
create policy reconciled on finding_run for select using (current_scope('purpose') = 'reconcile');

-- Who in a tenant has a mail nickname. A column, since row-level security lets no index of an expression be looked into. Longer ones than an index takes
-- are none that anybody has.
alter table account add column nickname_key text collate "C" generated always as (left(lower(snapshot ->> 'mailNickname'), 200)) stored;
create index account_nickname on account (organisation_id, project_id, tenant_id, nickname_key, id) where valid_to is null;
