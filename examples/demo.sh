#!/usr/bin/env bash
# The main workflow on a folder, from start to end: no account, no Docker, and no network except for SOURCE.
#
#   examples/demo.sh                                     images made on the spot from this repository's own files
#   SOURCE=docker.io/library/alpine examples/demo.sh     any repository whose tags are versions, or oci:/an/image/layout
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$PWD/.venv-demo/bin/python}
demo=${DEMO:-$PWD/.demo}
bold=$'\e[1m' plain=$'\e[0m'
[ -t 1 ] || bold='' plain=''

say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
r2mirror() {
  printf '%s$ r2mirror %s%s\n' "$bold" "$*" "$plain"
  (cd "$demo" && "$python" -m reconciler "$@")
}

mirrors() { # NEWEST: writes a mirrors.yaml that selects this many of the newest versions
  cat <<YAML
version: 1
store:
  type: file
  path: ./mirror
mirrors:
  - source: ${SOURCE:-oci:./images}
    target: demo/app
    tags:
      - semver: "*"
        newest: $1
        floating: true
YAML
}

pull() { # with the first client that is installed, from a `r2mirror serve` that is stopped afterwards
  local host image tag
  printf '%s$ r2mirror serve --port 0 &%s\n' "$bold" "$plain"
  (cd "$demo" && exec "$python" -m reconciler serve --port 0 2>serve.log) &
  server=$!
  trap 'kill $server 2>/dev/null || true' EXIT
  until host=$(grep -o 'http://[^/]*' "$demo/serve.log" 2>/dev/null); do
    kill -0 $server 2>/dev/null || { cat "$demo/serve.log" >&2; return 1; }
    sleep 0.1
  done
  tag=$(ls "$demo/mirror/v2/demo/app/manifests" | grep -v : | sort -V | tail -n 1)
  image=${host#http://}/demo/app:$tag
  if command -v skopeo >/dev/null; then
    client skopeo --insecure-policy copy --src-tls-verify=false "docker://$image" "oci:./pulled:$tag"
  elif command -v podman >/dev/null; then
    client podman pull --tls-verify=false "$image"
  elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    client docker pull "$image"
  else
    echo "(install skopeo, podman or docker to pull $image)"
  fi
  kill $server && wait $server
  trap - EXIT
}
client() {
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  (cd "$demo" && "$@")
}

rm -rf "$demo" && mkdir -p "$demo"
if [ -z "${SOURCE:-}" ]; then
  say "Four versions of an image for two platforms, made from this repository's files, as an OCI image layout"
  "$python" -m examples.demo_images "$demo/images"
fi

say "mirrors.yaml: what should be there"
mirrors 3 | tee "$demo/mirrors.yaml"
r2mirror validate
say "plan: what is missing"
r2mirror plan
say "apply: copy it, every byte verified"
r2mirror apply --yes
say "plan again: nothing left to do"
r2mirror plan --detailed-exitcode

say "An edit: only the newest two from now on"
cp "$demo/mirrors.yaml" "$demo/before.yaml"
mirrors 2 >"$demo/mirrors.yaml"
r2mirror diff before.yaml mirrors.yaml
say "plan: what that means for the bucket"
r2mirror plan --out plan.json
say "apply exactly this plan: the tag is pruned, what it pointed at stays pullable for now"
r2mirror apply plan.json --yes

say "What a client would request"
for key in v2/_catalog v2/demo/app/tags/list; do printf 'GET /%s\n' "$key" && cat "$demo/mirror/$key" && echo; done
ls "$demo/mirror/v2/demo/app/manifests" | sed 's/^/v2\/demo\/app\/manifests\//'
say "serve: the same folder as a registry on this machine, and a client that pulls from it"
pull
say "All of it is in $(basename "$demo")/; make another edit there and plan again"
