-- Erasing what is held about one person. (PR-6, AU-4)

-- Clears the payloads of single events, under the name of the role that can do nothing else; headers and hashes stay. Returns how many were cleared.
create function redact_audit_events(sequences bigint[]) returns bigint
  language sql security definer set search_path = pg_catalog, public
  as $$
    with cleared as (
      update audit_event set payload = null
       where organisation_id = current_organisation() and sequence = any(sequences) and payload is not null
      returning 1)
    select count(*) from cleared
  $$;
revoke execute on function redact_audit_events(bigint[]) from public;
grant execute on function redact_audit_events(bigint[]) to causeway_service;
do $$ begin
  grant create on schema public to causeway_retention;
  alter function redact_audit_events(bigint[]) owner to causeway_retention;
  revoke create on schema public from causeway_retention;
end $$;
