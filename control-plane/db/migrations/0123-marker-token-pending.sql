-- A new token of the marker is stamped by relays only once the mail flow rules of both tenants name it for certain; until then it stands in
-- second place. (DL-10, coexistence.md §1.5)

alter table relay_marker add column token_pending_since timestamptz; -- when it was made; null: the newest one is stamped
