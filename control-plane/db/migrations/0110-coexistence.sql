-- What coexistence changed in tenants, and how they were before. (coexistence.md §2.2, EC-5)

-- The ledger: one row a call that changes a tenant, written before the call and settled after it. What was intended and never settled may have
-- happened: whoever goes on looks first. Proof tokens stand as digests in all of it (KM-5); members of groups as Guids.
create table tenant_change (
  organisation_id text not null,
  project_id text not null,
  sequence bigint not null check (sequence > 0),               -- dense in the project: undoing goes down it
  tenant_id text not null,
  noun text not null,                                          -- of the cmdlet: TransportRule …
  object_key text not null,                                    -- ours: rule-20, in, out …
  object_guid text,                                            -- Exchange's; null: not known until it is made
  cmdlet text not null,
  parameters jsonb not null,
  before jsonb,                                                -- null: there was no such object
  after jsonb,                                                 -- as observed after the call; null: none, or not settled
  state text not null check (state in ('intent', 'done', 'undone', 'failed')),
  problem text,                                                -- code, where it failed
  operation_id text not null,
  author text not null,
  created_at timestamptz not null,
  settled_at timestamptz,                                      -- of the last change of its state
  primary key (organisation_id, project_id, sequence),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint tenant_change_settled check ((state = 'intent') = (settled_at is null))
);
select protect('tenant_change');
create index tenant_change_object on tenant_change (organisation_id, project_id, tenant_id, noun, object_key, sequence desc);
create index tenant_change_open on tenant_change (organisation_id, project_id, sequence) where state = 'intent';

-- Whole observations of a tenant: before the first change of an operation, and after its last.
create table tenant_state (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  operation_id text not null,
  moment text not null check (moment in ('before', 'after')),
  objects jsonb not null,                                      -- ObservedObject[]
  observed_at timestamptz not null,
  primary key (organisation_id, project_id, tenant_id, operation_id, moment),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('tenant_state');
create index tenant_state_newest on tenant_state (organisation_id, project_id, tenant_id, moment, observed_at desc);
