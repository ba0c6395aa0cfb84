#!/bin/sh
# Tries whether a backup of the control plane would come back: dumps the database (or takes a dump), restores it beside production, and goes through all of
# it with a copy of the keys. Changes nothing in production; what it makes it takes away again. (reliability-security.md OP-4)
#
#   export BACKUP_DATABASE_URL_FILE=/run/backup/database-url    # a role that passes row-level security; or DUMP=backup.dump, of `pg_dump -Fc`
#   export SCRATCH_DATABASE_URL_FILE=/run/scratch/database-url  # a superuser of a server where a database may come and go, not production's
#   export KEY_DIRECTORY=/srv/restore-test/keys                 # a copy, as it comes out of its backup; or KEY_PROVIDER=key-vault and its settings
#   deploy/rehearse-restore.sh
#
# Needs pg_dump, pg_restore and psql, of the server's version or newer, and URLs of the form postgres://user:password@host:port/database. One line a
# step; exit code 0 only when all held. docs/running-the-control-plane.md says how a backup is made and restored for good.
set -eu
umask 077
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
work=$(mktemp -d)
scratch=causeway_rehearsal_$$
made_database=''
made_role=''
made_roles=''

step() { printf '%s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
clean_up() {
  [ -z "$made_database" ] || on_scratch psql -q -c "drop database if exists $scratch with (force)" >/dev/null 2>&1 || :
  for role in $made_role $made_roles; do on_scratch psql -q -c "drop role if exists \"$role\"" >/dev/null 2>&1 || :; done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

for program in pg_dump pg_restore psql; do
  command -v "$program" >/dev/null || fail "$program is needed: apt-get install postgresql-client"
done
value_of() { # of a setting, or of the file that NAME_FILE names
  eval "file=\${$1_FILE:-}; value=\${$1:-}"
  if [ -n "$file" ]; then cat "$file"; else printf '%s' "$value"; fi
}
# Nobody else sees the environment of a process; its arguments everybody does. (KM-5)
node=$root/node_modules/.bin/node
[ -x "$node" ] || node=$(command -v node) || fail 'node is needed'
at() { # URL DATABASE COMMAND…; DATABASE '' is the URL's own
  settings=$(CAUSEWAY_URL=$1 CAUSEWAY_DATABASE=$2 "$node" -e '
    const url = new URL(process.env.CAUSEWAY_URL)
    const own = decodeURIComponent(url.pathname.slice(1))
    const values = { PGHOST: url.hostname.replace(/^\[|\]$/g, ""), PGPORT: url.port || "5432", PGUSER: decodeURIComponent(url.username),
      PGPASSWORD: decodeURIComponent(url.password), PGDATABASE: process.env.CAUSEWAY_DATABASE || own,
      PGSSLMODE: url.searchParams.get("sslmode") ?? "prefer", PGSSLROOTCERT: url.searchParams.get("sslrootcert") ?? "" }
    for (const [name, value] of Object.entries(values))
      if (value !== "") console.log(`export ${name}=\x27${value.replaceAll("\x27", "\x27\\\x27\x27")}\x27`)' 2>/dev/null) ||
    fail 'a database URL is of the form postgres://user:password@host:port/database'
  shift 2
  (
    eval "$settings"
    exec "$@"
  )
}
on_scratch() { at "$scratch_url" '' "$@"; }
in_scratch() { at "$scratch_url" "$scratch" "$@"; }

scratch_url=$(value_of SCRATCH_DATABASE_URL)
[ -n "$scratch_url" ] || fail 'SCRATCH_DATABASE_URL_FILE is not set: a superuser of a server where a database may come and go'
export PGCONNECT_TIMEOUT=10 PGOPTIONS=--client-min-messages=warning

# 1. The dump. Row-level security would leave rows out in silence: pg_dump refuses that unless it is told to.
dump=${DUMP:-}
if [ -z "$dump" ]; then
  backup_url=$(value_of BACKUP_DATABASE_URL)
  [ -n "$backup_url" ] || fail 'neither BACKUP_DATABASE_URL_FILE nor DUMP is set'
  dump=$work/database.dump
  at "$backup_url" '' pg_dump --format=custom --file="$dump" || fail 'pg_dump: has its role BYPASSRLS, and may it read all tables?'
fi
[ -s "$dump" ] || fail "$dump is not there, or empty"
step "dump: $(wc -c <"$dump") octets"

# 2. How many rows it holds, as the dump itself says.
pg_restore --data-only --file=- "$dump" | awk '
  inside && $0 == "\\." { print table "\t" rows; inside = 0; next }
  inside { rows++; next }
  /^COPY .* FROM stdin;$/ { table = $2; rows = 0; inside = 1 }' | LC_ALL=C sort >"$work/dumped"
[ -s "$work/dumped" ] || fail 'the dump holds no table'

# 3. Restored, with every role that it names. A role that is there already stays as it is.
pg_restore --schema-only --file=- "$dump" |
  sed -n -e 's/^ALTER .* OWNER TO "\{0,1\}\([a-z_][a-z0-9_]*\)"\{0,1\};$/\1/p' -e 's/^GRANT .* TO "\{0,1\}\([a-z_][a-z0-9_]*\)"\{0,1\};$/\1/p' |
  LC_ALL=C sort -u >"$work/roles"
for role in $(cat "$work/roles"); do
  [ "$(on_scratch psql -Atc "select count(*) from pg_roles where rolname = '$role'")" = 0 ] || continue
  on_scratch psql -q -c "create role \"$role\" nologin"
  made_roles="$made_roles $role"
done
on_scratch psql -q -c "create database $scratch" || fail 'the scratch server lets us make no database'
made_database=yes
in_scratch pg_restore --exit-on-error --dbname="$scratch" "$dump" || fail 'pg_restore'
step "restored: $(wc -l <"$work/dumped") tables"

# 4. Not a row less.
cut -f 1 "$work/dumped" |
  sed "s/.*/select '&' || E'\\\\t' || count(*) from &;/" |
  in_scratch psql -At -f - | LC_ALL=C sort >"$work/restored"
if ! diff "$work/dumped" "$work/restored" >"$work/difference"; then
  cat "$work/difference" >&2
  fail 'the restored database has other rows than the dump'
fi
step "rows: $(awk -F '\t' '{ rows += $2 } END { print rows }' "$work/restored"), as in the dump"

# 5. All that they hold, with the keys that were kept: as the service sees it, through a role of its own.
password=$(od -An -N 24 -tx1 /dev/urandom | tr -d ' \n')
made_role=$scratch
printf "create role %s login password '%s' in role causeway_service;\n" "$scratch" "$password" | on_scratch psql -q -f - >/dev/null
CAUSEWAY_URL=$scratch_url CAUSEWAY_NAME=$scratch CAUSEWAY_PASSWORD=$password "$node" -e '
  const url = new URL(process.env.CAUSEWAY_URL)
  url.username = url.pathname = process.env.CAUSEWAY_NAME
  url.password = process.env.CAUSEWAY_PASSWORD
  console.log(url.href)' >"$work/service-url"
unset DATABASE_URL
CAUSEWAY_MODE=production DATABASE_URL_FILE=$work/service-url "$root/bin/causeway" db verify || fail 'the restored database does not hold with these keys'
step 'the backup comes back, with its keys'
