#!/usr/bin/env bash
# image_base.sh KIND FILE: makes a base image for `make image` from Debian's packages, as a tar file for `podman import`.
# KIND is `run`, like Google's distroless Python, without a shell, or `build`, with pip and a shell. No registry is
# needed; mmdebstrap and root are.
set -euo pipefail
kind=$1 file=$2

command -v mmdebstrap >/dev/null || { echo "mmdebstrap is missing. As root on Debian: apt-get install mmdebstrap" >&2; exit 1; }

packages=python3,base-files,netbase,tzdata,libstdc++6,ca-certificates
if [ "$kind" = build ]; then packages=$packages,python3-pip,dash,coreutils,findutils; fi

# This variant configures nothing, so what the packages' scripts would have made is made here. $1 is the new root.
# shellcheck disable=SC2016
finish='set -eu; cd "$1"
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
echo "root:x:0:0:root:/root:/sbin/nologin" >etc/passwd
echo "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin" >>etc/passwd
rm -rf usr/share/doc usr/share/locale usr/share/man usr/share/ca-certificates usr/lib/python3.*/pydoc_data
rm -rf usr/lib/*/gconv usr/lib/python3.*/lib-dynload/_test*'
# shellcheck disable=SC2016
strip='cd "$1" && rm -rf usr/bin/dpkg* usr/bin/tar usr/bin/openssl usr/bin/perl* usr/share/perl* usr/lib/*/libdb-* usr/lib/*/libmvec*'

hooks=("--extract-hook=$finish")
if [ "$kind" = run ]; then hooks+=("--extract-hook=$strip"); fi
mmdebstrap --quiet --variant=extract --include="$packages" "${hooks[@]}" trixie "$file"
