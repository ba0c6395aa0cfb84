-- Keys that sign checkpoints of the audit chains, and indexes for searching them. (AU-1, AU-3)

-- One living key per installation; each but the first is signed by the one before, so that whoever trusts one key can follow to the next. Public
-- halves stay for ever: old checkpoints are verified with them. The private half goes when the next key takes over: nobody can sign for the past.
create table audit_key (
  organisation_id text not null default 'installation' references organisation check (organisation_id = 'installation'),
  ordinal integer not null check (ordinal >= 1),               -- dense, from 1
  id text not null,                                            -- hex SHA-256 of the public key
  public_key bytea not null check (length(public_key) = 32),   -- Ed25519
  private_key_sealed bytea,                                    -- PKCS #8; null once the next key has taken over
  signature bytea not null,                                    -- by the key before, the first by itself
  created_at timestamptz not null,
  primary key (organisation_id, ordinal),
  unique (organisation_id, id)
);
alter table audit_key enable row level security;
alter table audit_key force row level security;
create policy organisation on audit_key using (organisation_id = current_organisation()) with check (organisation_id = current_organisation());
grant select, insert on audit_key to causeway_service;
grant update (private_key_sealed) on audit_key to causeway_service;

-- The clock looks for chains that are due and for checkpoints that were not written to write-once storage yet.
create policy listed on audit_checkpoint for select using (current_scope('purpose') = 'reconcile');
create index audit_checkpoint_unexported on audit_checkpoint (organisation_id, size) where exported_at is null;

create unique index audit_event_id on audit_event (organisation_id, id);
create index audit_event_area on audit_event (organisation_id, action collate "C", sequence);
create index audit_event_actor on audit_event (organisation_id, actor, sequence);
create index audit_event_object on audit_event (organisation_id, object, sequence) where object <> '';
-- Nearly all are `done`: the others are what is looked for.
create index audit_event_result on audit_event (organisation_id, result, sequence) where result <> 'done';
-- What a redaction still has to do.
create index audit_event_payload on audit_event (organisation_id, time) where payload is not null;

-- How far each chain was verified where it is kept, and what was found (verify-chain.ts). Whoever can change the events can change this too: it finds
-- what decays and what was done without care; proof is what was exported.
create table audit_verification (
  organisation_id text primary key references organisation on delete cascade,
  size bigint not null,                                        -- events that hold, in this round
  hash bytea not null,                                         -- of the last of them
  round_started_at timestamptz not null,
  verified_at timestamptz,                                     -- when it was last gone through to its end
  fault text,                                                  -- what is wrong; null: nothing
  fault_event bigint                                           -- the first event that is not what was written
);
select protect('audit_verification');
create policy listed on audit_verification for select using (current_scope('purpose') = 'reconcile');
