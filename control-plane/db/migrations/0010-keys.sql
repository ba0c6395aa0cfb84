-- Project keys, wrapped by the key service (KM-1 … KM-3), and the inventory of all keys and certificates (KM-7).

-- The installation's own key is the one without a project, in organisation 'installation'.
-- Neither foreign key cascades: as long as a project has keys that were not destroyed first, it can't be deleted (KM-3).
create table project_key (
  organisation_id text not null references organisation,
  id text not null check (id ~ '^[0-9a-f]{32}$'),              -- stands in every value that it sealed
  project_id text,                                             -- null: the installation key
  version integer not null check (version > 0),
  state text not null check (state in ('current', 'previous', 'destroyed')),
  provider text not null,                                      -- which key service, and which vault or directory of it
  provider_key text not null,
  provider_version text not null,
  wrapped bytea,
  created_at timestamptz not null,
  replaced_at timestamptz,
  resealed_at timestamptz,                                     -- since when nothing is left that it sealed, but what no key opens
  destroyed_at timestamptz,
  provider_destroyed_at timestamptz,                           -- when the key service had destroyed its part
  purge_at timestamptz,                                        -- until then its administrators can bring it back
  primary key (organisation_id, id),
  foreign key (organisation_id, project_id) references project (organisation_id, id),
  constraint project_key_installation check ((project_id is null) = (organisation_id = 'installation')),
  constraint project_key_shredded check ((state = 'destroyed') = (wrapped is null) and (state = 'destroyed') = (destroyed_at is not null))
);
select protect('project_key');
-- Every organisation's secrets that belong to no project are sealed by the installation key, so each may read it: wrapped, it tells nothing.
create policy installation on project_key for select
  using (organisation_id = 'installation' and current_organisation() is not null);
create unique index project_key_version on project_key (organisation_id, coalesce(project_id, ''), version);
-- New data has one key: two rotations at once can't leave two.
create unique index project_key_current on project_key (organisation_id, coalesce(project_id, '')) where state = 'current';
-- What rotations are due, in all organisations.
create policy listed on project_key for select using (current_scope('purpose') = 'reconcile');
create index project_key_age on project_key (created_at) where state = 'current';
create index project_key_to_reseal on project_key (replaced_at) where state = 'previous' and resealed_at is null;

-- Every key and certificate of the product, whoever uses it: whose it is and until when.
create table key_inventory (
  organisation_id text not null references organisation on delete cascade,
  kind text not null,                                          -- project-key, dkim, tls, snapshot, app-certificate, …
  id text not null,
  project_id text,
  owner text not null,                                         -- who answers for it, in words: a feature, a domain, a tenant's label
  created_at timestamptz not null,
  expires_at timestamptz,                                      -- null: never
  last_used_at timestamptz,                                    -- to the hour
  alarmed_days integer,                                        -- the last alarm was that many days before expiry
  primary key (organisation_id, kind, id),
  foreign key (organisation_id, project_id) references project (organisation_id, id) on delete cascade
);
select protect('key_inventory');
create policy listed on key_inventory for select using (current_scope('purpose') = 'reconcile');
create index key_inventory_project on key_inventory (organisation_id, project_id, kind, id);
create index key_inventory_expiry on key_inventory (expires_at) where expires_at is not null;
