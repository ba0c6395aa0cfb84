-- Connecting tenants: how far the consent of each is, the certificates we prove ourselves with, and consents under way. (EC-1 … EC-4)

-- One row a tenant, made when somebody first asks for its consent. Nobody works in a tenant whose state is not `connected`.
create table consent (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  -- asked: a link was made; checking: the administrator consented and proved who he is, it has to spread; paused: it worked and works no more;
  -- refused: declined, another tenant, or it never spread
  state text not null check (state in ('asked', 'checking', 'connected', 'paused', 'refused')),
  choices jsonb not null,                                      -- capabilities with their levels, optional permissions
  granted text[] not null default '{}',                        -- Graph application roles, and Exchange.ManageAsApp
  missing text[] not null default '{}',                        -- of those that the choices need
  exchange text not null default 'not-asked' check (exchange in ('not-asked', 'ready', 'missing', 'unknown')),
  problem text,                                                -- a MicrosoftErrorCode, or a code of consent.ts
  problem_details jsonb,                                       -- status, service code, request id: for Microsoft's support
  domains_problem jsonb,                                       -- mapped domains that the tenant does not accept
  proved_at timestamptz,                                       -- by the administrator's sign-in
  proved_by text,                                              -- tid/oid
  connected_at timestamptz,                                    -- first
  state_since timestamptz not null default now(),
  checked_at timestamptz,
  version integer not null default 1,
  primary key (organisation_id, project_id, tenant_id),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint consent_proved check (state in ('asked', 'refused') or proved_at is not null)
);
select protect('consent');
-- Checks come by the clock.
create policy reconciled on consent for select using (current_scope('purpose') = 'reconcile');

-- A consent under way, between two visits of a browser: sealed, found by who holds the secret, given out once.
create table consent_flow (
  secret_hash text primary key,
  flow_sealed bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
alter table consent_flow enable row level security;
alter table consent_flow force row level security;
create policy opened on consent_flow using (secret_hash = current_scope('credential')) with check (secret_hash = current_scope('credential'));
create policy swept on consent_flow for delete using (current_scope('purpose') = 'retention');
create policy seen on consent_flow for select using (current_scope('purpose') = 'retention');
grant select, insert, delete on consent_flow to causeway_service;
create index consent_flow_expiry on consent_flow (expires_at);

-- What a single-tenant app registration knows us by. The private half never leaves but into memory.
create table connection_certificate (
  organisation_id text not null,
  project_id text not null,
  tenant_id text not null,
  id text not null,                                            -- ccr_…
  state text not null check (state in ('new', 'active', 'retired')),
  thumbprint text not null,                                    -- SHA-256 of the DER, hex
  certificate text not null,                                   -- PEM
  private_key_sealed bytea,                                    -- null: retired
  expires_at timestamptz not null,
  created_at timestamptz not null,
  created_by text not null,
  activated_at timestamptz,
  retired_at timestamptz,
  version integer not null default 1,
  primary key (organisation_id, project_id, id),
  foreign key (organisation_id, project_id, tenant_id) references tenant_connection (organisation_id, project_id, id) on delete cascade,
  constraint connection_certificate_key check ((state = 'retired') = (private_key_sealed is null))
);
select protect('connection_certificate');
create unique index connection_certificate_active on connection_certificate (organisation_id, project_id, tenant_id) where state = 'active';
create index connection_certificate_made on connection_certificate (organisation_id, project_id, tenant_id, created_at, id);

create function forget_connection_certificate() returns trigger
  language plpgsql
  as $$
begin
  delete from key_inventory where organisation_id = old.organisation_id and kind = 'app-certificate' and id = old.id;
  return null;
end $$;
create trigger connection_certificate_forgotten after delete on connection_certificate
  for each row execute function forget_connection_certificate();

-- A tenant is an organisation's from the proof of its administrator on, not from its registration (EC-3).
alter table tenant_connection drop constraint tenant_connection_organisation_id_entra_tenant_id_fkey;
