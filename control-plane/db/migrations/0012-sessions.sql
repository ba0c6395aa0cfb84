-- Sign-in, sessions, the one-time code and API keys beyond their first shape. (AZ-1 … AZ-3, AZ-6, AZ-8, KM-7)

-- ── Sessions ───────────────────────────────────────────────────────────────────────────────────────────────────────

create index session_expiry on session (expires_at);
create index session_last_use on session (last_used_at);
create index sign_in_flow_expiry on sign_in_flow (expires_at);
comment on column sign_in_flow.state_hash is 'hex SHA-256 of the browser''s binding secret and the state: a callback needs both';

-- ── The one-time code (AZ-1) ───────────────────────────────────────────────────────────────────────────────────────

-- Guessing is answered by rate (AZ-9): a count here would let anybody use up somebody else's code.
alter table break_glass drop column failed_attempts;
-- Whether code and session of it count for anything. Closed by the first installation administrator, opened again only on the server.
alter table break_glass add column is_open boolean not null default true;

-- In the very transaction that appoints, whoever wrote it: a code that is being used meanwhile waits for this row, and finds it closed.
create function close_break_glass() returns trigger
  language plpgsql
  as $$
begin
  update break_glass set is_open = false, code_hash = null, code_expires_at = null;
  return null;
end $$;
create trigger closes_break_glass after insert on installation_administrator
  for each statement execute function close_break_glass();

-- ── API keys ───────────────────────────────────────────────────────────────────────────────────────────────────────

alter table api_key
  add constraint api_key_life check (expires_at <= created_at + interval '365 days'),                             -- AZ-8
  add constraint api_key_dangerous_life check (not allows_dangerous or expires_at <= created_at + interval '24 hours'), -- AZ-6
  -- A personal key goes with its member; a service key stays when its maker leaves.
  add constraint api_key_owner check (is_service = (member_id is null));
create index api_key_created on api_key (organisation_id, created_at, id);
create index api_key_principal on api_key (organisation_id, principal, created_at, id);

-- A key that went with its member or organisation is not to be alarmed about (KM-7).
create function forget_api_key() returns trigger
  language plpgsql
  as $$
begin
  delete from key_inventory where organisation_id = old.organisation_id and kind = 'api-key' and id = old.id;
  return null;
end $$;
create trigger api_key_forgotten after delete on api_key for each row execute function forget_api_key();
