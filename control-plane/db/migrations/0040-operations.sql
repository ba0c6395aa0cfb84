-- Jobs, operations, live events, webhooks and notifications: what goes on after a change is committed. (JQ-1 … JQ-6, PR-4)

-- ── Jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Every job that was asked for and is not done: the truth. The queue only says when a worker may look here (JQ-1); a job that is done has no row.
-- Times are this database's, which all workers share.
create table job (
  organisation_id text not null references organisation on delete cascade,
  id bigint not null,                                          -- the outbox row's
  project_id text not null default '',
  kind text not null,
  object_id text not null default '',
  state text not null default 'queued' check (state in ('queued', 'running', 'failed')),
  attempts integer not null default 0,                         -- begun
  fence bigint not null default 0,                             -- JQ-2: grows with every attempt; a stale writer is refused
  run_after timestamptz not null default now(),
  published_at timestamptz,                                    -- handed to the queue; null: waits for its turn
  lease_until timestamptz,                                     -- running: whoever runs it is taken for dead from then on
  failed_reason text,                                          -- a code and no more: never a message of somebody else
  failed_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (organisation_id, id),
  constraint job_running_has_lease check ((state = 'running') = (lease_until is not null)),
  constraint job_failed_has_reason check ((state = 'failed') = (failed_reason is not null) and (state = 'failed') = (failed_at is not null))
);
select protect('job');
create policy dispatched on job using (current_scope('purpose') = 'dispatch') with check (current_scope('purpose') = 'dispatch');
create policy seen on job for select using (current_scope('purpose') = 'reconcile');
create unique index job_id on job (id);                        -- one alone in all organisations
create index job_waiting on job (organisation_id, run_after, id) where state = 'queued' and published_at is null;
create index job_published on job (organisation_id) where state <> 'failed' and published_at is not null;
create index job_object on job (organisation_id, object_id, kind);
create index job_failed on job (organisation_id, id) where state = 'failed';

-- Steps of a job that were done, so that the next attempt leaves them out (JQ-2).
create table job_step (
  organisation_id text not null,
  job_id bigint not null,
  step text not null,
  primary key (organisation_id, job_id, step),
  foreign key (organisation_id, job_id) references job on delete cascade
);
select protect('job_step');

-- When work that comes by the clock was asked for last: by one process, however many look. Not tenant data.
create table job_schedule (
  name text primary key,
  requested_at timestamptz not null
);
alter table job_schedule enable row level security;
alter table job_schedule force row level security;
create policy reconcile on job_schedule using (current_scope('purpose') = 'reconcile') with check (current_scope('purpose') = 'reconcile');
grant select, insert, update on job_schedule to causeway_service;

create policy seen on outbox for select using (current_scope('purpose') = 'reconcile');

-- ── Operations ─────────────────────────────────────────────────────────────────────────────────────────────────────

alter table operation add column version bigint not null default 1;   -- grows with every change: id of its live events
create policy found on operation for select using (id = current_scope('operation'));
create unique index operation_id on operation (id);            -- random: one alone in all organisations
create index operation_list on operation (organisation_id, created_at, id);
create index operation_list_project on operation (organisation_id, project_id, created_at, id);
create index operation_finished on operation (organisation_id, finished_at) where finished_at is not null;

-- ── Live events ────────────────────────────────────────────────────────────────────────────────────────────────────

-- Identities are given out when a transaction writes, and seen when it commits: a reader that remembers the highest one it saw would miss what
-- commits later. So events get their place in the stream after the commit, by whoever reads first (events/event-store.ts).
create sequence event_position;
grant usage on sequence event_position to causeway_service;
alter table event add column position bigint;
create index event_age on event (organisation_id, created_at);
create unique index event_place on event (organisation_id, position);
create index event_unplaced on event (organisation_id, id) where position is null;

-- Up to where events of an organisation were deleted: who has seen less than that has missed some.
create table event_horizon (
  organisation_id text primary key references organisation on delete cascade,
  position bigint not null
);
select protect('event_horizon');

-- ── Webhooks and notifications ─────────────────────────────────────────────────────────────────────────────────────

-- Patterns: a type, `area.*`, or `*`.
create function takes_event(patterns text[], type text) returns boolean
  language sql immutable parallel safe
  as $$ select '*' = any (patterns) or type = any (patterns) or split_part(type, '.', 1) || '.*' = any (patterns) $$;

create table webhook (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- whk_…
  project_id text not null default '',                         -- '': events of the whole organisation
  url text not null check (length(url) <= 2000),
  description text not null default '' check (length(description) <= 200),
  events text[] not null check (cardinality(events) between 1 and 50),
  is_enabled boolean not null default true,
  secret_sealed bytea not null,
  previous_secret_sealed bytea,                                -- signs as well until then, so that receivers can change over
  previous_secret_until timestamptz,
  failures integer not null default 0,                         -- deliveries that failed since the last one that did not
  rests_until timestamptz,                                     -- the receiver is let alone until then
  version integer not null default 1,
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (organisation_id, id)
);
select protect('webhook');
create index webhook_list on webhook (organisation_id, project_id, id);

create table webhook_delivery (
  organisation_id text not null,
  id text not null,                                            -- dlv_…: the same in every attempt, so that receivers can tell
  webhook_id text not null,
  project_id text not null default '',
  event_type text not null,
  body jsonb not null,                                         -- ids, states, counts: as the event
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  last_attempt_at timestamptz,
  last_status integer,                                         -- of the receiver's answer
  last_fault text,                                             -- a code: dns, connect, timeout, status, …
  retry_until timestamptz not null default now() + interval '24 hours',
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (organisation_id, id),
  foreign key (organisation_id, webhook_id) references webhook on delete cascade
);
select protect('webhook_delivery');
create index webhook_delivery_list on webhook_delivery (organisation_id, webhook_id, created_at, id);
create index webhook_delivery_created on webhook_delivery (organisation_id, created_at);

create table notification (
  organisation_id text not null references organisation on delete cascade,
  id text not null,                                            -- ntf_…
  project_id text not null default '',
  events text[] not null check (cardinality(events) between 1 and 50),
  recipients_sealed bytea not null,                            -- addresses
  is_enabled boolean not null default true,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (organisation_id, id)
);
select protect('notification');
create index notification_list on notification (organisation_id, project_id, id);

create table notification_delivery (
  organisation_id text not null,
  id text not null,                                            -- dlv_…: also the Message-ID, the same in every attempt
  notification_id text not null,
  project_id text not null default '',
  event_type text not null,
  body jsonb not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  last_fault text,
  retry_until timestamptz not null default now() + interval '24 hours',
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (organisation_id, id),
  foreign key (organisation_id, notification_id) references notification on delete cascade
);
select protect('notification_delivery');
create index notification_delivery_list on notification_delivery (organisation_id, notification_id, created_at, id);
create index notification_delivery_created on notification_delivery (organisation_id, created_at);
