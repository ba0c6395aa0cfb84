-- What relays saw of probes and of validation mail of connectors: the gates of the switch open on it. (coexistence.md §2.1 rows 5b and 12, SP-11)

-- A run of probes through one tenant and direction, or one validation mail of a connector. Known by the nonce, which is no secret to a mail flow rule.
create table coexistence_run (
  organisation_id text not null,
  project_id text not null,
  nonce text not null check (nonce ~ '^[a-z0-9]{16,64}$'),
  kind text not null check (kind in ('probe', 'validation')),
  tenant_id text not null,
  direction text not null check (direction in ('out', 'in')),
  host text not null,                                          -- recipients are at this name
  nonce_id text not null,                                      -- non_…: lets relays take its mail
  started_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (organisation_id, project_id, nonce),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade
);
select protect('coexistence_run');
create index coexistence_run_of on coexistence_run (organisation_id, project_id, started_at);

-- One message of a run as a relay took it back. Sent again, the better word for it stays; what came back altered never becomes good again.
create table coexistence_evidence (
  organisation_id text not null,
  project_id text not null,
  nonce text not null,
  maker text not null,                                         -- rly_… that handed it over; '': the tenant wrote it
  index integer not null check (index between 0 and 999),
  relay_id text not null,                                      -- that took it back
  verdict text not null check (verdict in ('expected', 'no-proof', 'other-tenant', 'altered', 'seen')),
  seen_at timestamptz not null,
  primary key (organisation_id, project_id, nonce, maker, index),
  foreign key (organisation_id, project_id, nonce) references coexistence_run on delete cascade
);
select protect('coexistence_evidence');
