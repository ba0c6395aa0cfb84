-- While somebody who leaves the mapping table is still in a group whose mail is routed to the relays, these go on being told the table of before: it reaches
-- them after the groups have changed. (coexistence.md §1.4)

alter table project add column held_revision bigint;           -- that relays are told; null: the newest
alter table project add column held_since timestamptz;         -- when the first change after it was made
alter table project add constraint project_held
  check ((held_revision is null) = (held_since is null) and held_revision < mapping_revision);
create index project_held on project (held_since) where held_revision is not null;
