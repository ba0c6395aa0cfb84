-- The switch of coexistence and the one of free/busy, what became of them, and what we keep in the tenants. (coexistence.md §1, migration-semantics.md §2)

create table coexistence_switch (
  organisation_id text not null,
  project_id text not null,
  setting jsonb not null,                                      -- CoexistenceSetting: as asked for
  state text not null check (state in ('off', 'turning_on', 'on', 'turning_off', 'drift')),
  since timestamptz not null,                                  -- of the state
  free_busy jsonb not null,                                    -- FreeBusySetting
  free_busy_state text not null check (free_busy_state in ('off', 'turning_on', 'on', 'turning_off', 'drift')),
  free_busy_since timestamptz not null,
  step text,                                                   -- what is being done
  waiting_for text,                                            -- code; null: nothing
  problems jsonb not null default '[]',                        -- SwitchProblem[] of the last pass
  drift jsonb not null default '[]',                           -- Problem[] of the last pass
  confirms_drift boolean not null default false,               -- somebody has looked at what others changed, and wants it overwritten
  operation_id text,                                           -- that was begun last
  baseline_operation_id text,                                  -- whose states `before` are what off restores; null: all is off
  proof jsonb,                                                 -- EqualityProof, once it went off
  marks jsonb not null default '{}',                           -- since when a run waits, and for what
  runner bigint,                                               -- job that works in the tenants: one at a time
  observed_at timestamptz,                                     -- when both tenants were last looked at whole
  looked_revision bigint,                                      -- of the mapping table, then
  version integer not null default 1,                          -- ETag of the settings
  author text not null,                                        -- of the settings
  changed_at timestamptz not null,
  primary key (organisation_id, project_id),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('coexistence_switch');
-- What is on is looked at by the clock.
create policy reconciled on coexistence_switch for select using (current_scope('purpose') = 'reconcile');
create index coexistence_switch_looked on coexistence_switch (observed_at) where state <> 'off' or free_busy_state <> 'off';

-- Every transition, with who or what caused it.
create table coexistence_event (
  organisation_id text not null,
  project_id text not null,
  sequence bigint not null check (sequence > 0),               -- dense in the project
  switch text not null check (switch in ('coexistence', 'free-busy')),
  event text not null,
  from_state text not null,
  to_state text not null,
  actor text not null,
  cause text not null,
  operation_id text,
  created_at timestamptz not null,
  primary key (organisation_id, project_id, sequence),
  foreign key (organisation_id, project_id) references project on delete cascade
);
select protect('coexistence_event');
revoke update, delete on coexistence_event from causeway_service;

-- What we keep in a tenant now: LedgerObject. Written with the ledger's rows (tenant_change), in the same transactions; gone with the object.
create table coexistence_object (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  noun text not null,
  object_key text not null,
  name text not null,
  ownership text not null check (ownership in ('created', 'changed')),
  object_guid text,                                            -- null: its creation was meant, and how that ended is not known
  written jsonb not null default '{}',
  intended jsonb,
  before jsonb,                                                -- of changed objects: what was there first
  written_at timestamptz not null,                             -- of the last call: what is changed may be seen late
  primary key (organisation_id, project_id, tenant_id, noun, object_key),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('coexistence_object');
