-- TLS names of the relays: one certificate towards each tenant, one per listener name. Keys sealed, and gone once retired. (KM-5, KM-7, SP-2)

create table certificate (
  organisation_id text not null,
  project_id text not null,
  id text not null,                                            -- crt_…
  purpose text not null check (purpose in ('tenant', 'listener')),
  tenant_id text,                                              -- whose servers are shown it
  names text[] not null,                                       -- dNSNames in A-labels; of a listener the first is what it stands for
  algorithm text not null,                                     -- ec-p256, rsa-3072; of keys made elsewhere also ec-p384, rsa-2048, …
  state text not null check (state in ('requested', 'issued', 'active', 'replaced', 'retired')),
  public_key text not null,                                    -- SPKI DER, base64
  key_sealed bytea,                                            -- PKCS #8 PEM; null once retired
  request text,                                                -- PKCS #10 PEM; null: the key was made elsewhere
  chain text,                                                  -- PEM, the leaf first; null: not issued yet
  fingerprint text,                                            -- hex SHA-256 of the leaf
  not_before timestamptz,
  expires_at timestamptz,                                      -- when the first of the chain ends
  replaces text,                                               -- the one that it was made to take the place of
  version integer not null default 1,                          -- ETag
  created_at timestamptz not null,
  created_by text not null,
  activated_at timestamptz,
  retired_at timestamptz,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id) references project on delete cascade,
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint certificate_tenant check ((purpose = 'tenant') = (tenant_id is not null)),
  constraint certificate_names check (cardinality(names) > 0),
  constraint certificate_key check ((state = 'retired') = (key_sealed is null) and (state = 'retired') = (retired_at is not null)),
  constraint certificate_issued check (state in ('requested', 'retired') or chain is not null),
  constraint certificate_whole check ((chain is null) = (fingerprint is null) and (chain is null) = (expires_at is null))
);
select protect('certificate');
create index certificate_listed on certificate (organisation_id, project_id, created_at, id);
create unique index certificate_one_active on certificate (organisation_id, project_id, purpose, (coalesce(tenant_id, names[1]))) where state = 'active';
create index certificate_tenant_of on certificate (organisation_id, project_id, tenant_id) where tenant_id is not null;

-- With the tenant goes the certificate, and its line in the inventory with it.
create function forget_certificate() returns trigger
  language plpgsql
  as $$
begin
  delete from key_inventory
   where organisation_id = old.organisation_id and kind in ('client-certificate', 'tls-certificate') and id = old.id;
  return null;
end $$;
create trigger certificate_forgotten after delete on certificate
  for each row execute function forget_certificate();
