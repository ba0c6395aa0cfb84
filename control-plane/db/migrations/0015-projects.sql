-- Organisations, people, projects and tenants beyond their first shape: settings with a version of their own, deletion that can be undone and
-- resumed and leaves a certificate (KM-3, PR-5), and the indexes that their lists need.

-- ── Organisations ──────────────────────────────────────────────────────────────────────────────────────────────────

alter table organisation
  add column settings_version integer not null default 1,      -- ETag of the settings
  add column deletion_started_at timestamptz,                  -- from here on nobody gets in, and nothing undoes it
  add column deleted_at timestamptz;                           -- only the audit trail is left
-- The audit trail outlives the organisation, so its row stays, without name and settings (AU-2: nothing may take events away).
revoke delete on organisation, audit_chain from causeway_service;

-- A person's own list, over all organisations.
create policy mine on organisation for select
  using (exists (select from member m where m.organisation_id = organisation.organisation_id
                   and m.principal = current_scope('principal'))
      or exists (select from support_grant g where g.organisation_id = organisation.organisation_id
                   and g.principal = current_scope('principal')));
create index support_grant_principal on support_grant (principal);
create index organisation_name on organisation (lower(name) collate "C", organisation_id);
create index organisation_deletion on organisation (deletion_requested_at) where deletion_requested_at is not null;

-- ── People ─────────────────────────────────────────────────────────────────────────────────────────────────────────

create index role_assignment_role on role_assignment (organisation_id, role_id, member_id);
create index role_assignment_project on role_assignment (organisation_id, project_id, member_id);
create index support_grant_expiry on support_grant (organisation_id, expires_at, id);
-- 'Auditor' and 'auditor' are one name to whoever picks a role.
create unique index role_name on role (organisation_id, lower(name));
alter table installation_administrator add column display_name text not null default '';

-- ── Projects ───────────────────────────────────────────────────────────────────────────────────────────────────────

alter table project
  add column deletion_forced_by text[] not null default '{}',  -- principals; two of them make the 7 days void
  add column deletion_started_at timestamptz,
  add column deletion_steps jsonb not null default '[]';       -- what is done, in order: name, when, what the certificate says of it
create index project_name on project (organisation_id, lower(name) collate "C", id);
create index project_deletion on project (deletion_requested_at) where deletion_requested_at is not null;

-- What was deleted, when, on whose word. Of an organisation it is kept under 'installation'.
create table deletion_certificate (
  organisation_id text not null references organisation,
  id text not null,                                            -- del_…
  subject text not null,                                       -- prj_… or org_…
  document text not null,                                      -- canonical JSON; its SHA-256 is in the audit trail
  created_at timestamptz not null,
  primary key (organisation_id, id),
  unique (organisation_id, subject)
);
select protect('deletion_certificate');
revoke update, delete on deletion_certificate from causeway_service;
create index deletion_certificate_time on deletion_certificate (organisation_id, created_at, id);

-- ── Tenants ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- No tenant of a project without the organisation's claim on it (EC-3).
alter table tenant_claim add unique (organisation_id, entra_tenant_id);
alter table tenant_connection add foreign key (organisation_id, entra_tenant_id)
  references tenant_claim (organisation_id, entra_tenant_id);
create index tenant_connection_claim on tenant_connection (organisation_id, entra_tenant_id);
