"""Small configurations of other tools, in the shape of theirs, by the name of the tool."""

from __future__ import annotations

PIN = "sha256:" + "a" * 64

FILES = {
    "regsync": """
version: 1
creds:
  - {registry: docker.io, user: '{{env "HUB_USER"}}', pass: '{{env "HUB_TOKEN"}}', reqPerSec: 5}
  - {registry: "reg.example.com:5000", tls: disabled, user: admin, pass: hunter2, mirrors: [cache.example.com]}
defaults: {interval: 1h30m, parallel: 3, ratelimit: {min: 50, retry: 15m}}
sync:
  - {source: "alpine:3.20", target: "reg.example.com:5000/base/alpine:3.20", type: image}
  - {source: "alpine:3.19", target: "reg.example.com:5000/old/alpine:3.19-old", type: image}
  - {source: "reg.example.com:5000", target: "reg.example.com:5000/all", type: registry, repos: {deny: ['.*-test']}}
  - source: docker.io/library/nginx
    target: '{{ env "OTHER" }}/nginx'
    type: repository
    tags: {allow: [latest, '1\\.2[5-9].*'], deny: ['.*-perl']}
    tagSets: [{semverRange: ['>=1.20 <2'], deny: [x]}]
    hooks: {pre: {type: script, params: [echo]}}
    referrers: true
    referrerFilters: [{artifactType: application/spdx+json}]
""",
    "docker-sync": """
ecr: {region: us-east-1}
sync:
  interval: 30m
  maxErrors: 5
  registries:
    - {name: Hub, url: docker.io, auth: {helper: "", password: $HUB_TOKEN, token: "", username: "${HUB_USER}"}}
    - {name: R2, url: "r2:acc:bucket", auth: {helper: "", password: hunter2, token: "", username: admin}}
  images:
    - source: docker.io/library/ubuntu
      targets: ["r2:f6934f56ce237241104dbe9302cee786:mirror:ubuntu", reg.example.com/ubuntu]
      mutableTags: [latest, "2*.04"]
      ignoredTags: [devel]
      tags: ["2*", "@semver", latest]
      purge: true
    - {source: docker.io/library/alpine, targets: ["r2:f6934f56ce237241104dbe9302cee786:mirror:alpine"]}
""",
    "dregsy": """
relay: skopeo
skopeo: {binary: skopeo, certs-dir: /etc/x}
tasks:
  - name: one
    interval: 60
    source: {registry: registry.example.org, auth: hunter2}
    target: {registry: "reg.example.com:5000", skip-tls-verify: true}
    mappings:
      - from: library/busybox
        to: mirror/busybox
        platform: all
        tags: ['semver: >=1.31.0 <1.31.9', 'regex: 1\\.26\\.[0-9]-(glibc|musl)', '1.29.4', 'keep: .+-(glibc|musl)']
      - {from: 'regex:team/.*', platform: all, tags: [latest]}
      - {from: /library/x, tags: ['regex: 3\\.\\d+', 'keep: latest 3']}
""",
    "flux-mirror": """
apiVersion: mirror.plugin.fluxcd.io/v1beta2
kind: Config
hosts: [{host: quay.io, credential: {type: jwt, value: hunter2}}]
artifacts:
  - source: ghcr.io/acme/app
    destination: quay.io/example/app
    selector: {semver: ">=2.7.0 <3.0.0", limit: 10}
    includeReferrers: true
    overwrite: true
    verify:
      provider: cosign
      matchOIDCIdentity: [{issuer: https://token.actions.githubusercontent.com, subject: '^https://github.com/acme/.*$'}]
      minAge: 72h
  - source: ghcr.io/example/n
    destination: quay.io/example/n
    selector: {regex: {pattern: '^.+-[0-9a-f]+-(?P<ts>\\d+)$', extract: $ts}, sortBy: numerical, limit: 5}
charts:
  - {name: nginx, source: "https://charts.example.com", destination: "oci://quay.io/charts", version: ">=15", limit: 5}
  - {name: app, source: "oci://ghcr.io/x/charts", destination: "oci://quay.io/charts", version: ">=15"}
""",
    "oc-mirror": f"""
kind: ImageSetConfiguration
apiVersion: mirror.openshift.io/v1alpha2
storageConfig: {{local: {{path: /x}}}}
mirror:
  platform: {{channels: [{{name: stable-4.14}}]}}
  additionalImages: [{{name: registry.example.org/ubi8:latest}}, {{name: "registry.example.org/ubi9@{PIN}"}}]
""",
    "zot": """
{"distSpecVersion": "1.1.0", "storage": {"rootDirectory": "/x"},
 "extensions": {"sync": {"enable": true, "credentialsFile": "./c.json", "registries": [
  {"urls": ["https://registry-1.docker.io", "https://mirror.example.com"], "onDemand": false, "pollInterval": "6h",
   "content": [{"prefix": "library/alpine", "tags": {"regex": "^3\\\\.1.*$", "semver": true}},
     {"prefix": "/repo1/repo", "destination": "/repo", "stripPrefix": true, "tags": {"excludeRegex": ".*rc.*"}},
     {"prefix": "team/**"}]}]}}}
""",
    "promo-tools": f"""
registries:
- {{name: gcr.io/staging, src: true}}
- {{name: us.gcr.io/prod/x, service-account: a@b}}
images:
- {{name: foo, dmap: {{"{PIN}": [v1.0, latest], "sha256:{"b" * 64}": []}}}}
""",
    "sinker": f"""
target: {{host: mirror.example.com, repository: team}}
sources:
- {{repository: coreos/etcd, host: quay.io, tag: v0.40.0}}
- {{repository: super/app, tag: v0.3.0, auth: {{username: USER_ENV, password: PASSWORD_ENV}}}}
- {{repository: a/b, digest: "{PIN}"}}
""",
    "skopeo": """
registry.example.com:
  images: {busybox: [], team/redis: ["1.0", 2.10]}
  images-by-tag-regex: {nginx: '^1\\.13\\.[12]-alpine-perl$'}
  images-by-semver: {alpine: ">= 3.12.0"}
  credentials: {username: admin, password: hunter2}
  tls-verify: true
quay.io: {tls-verify: false, images: {coreos/etcd: [latest]}}
""",
    "image-syncer": f"""
auth:
  docker.io: {{username: "${{U}}", password: $P}}
  quay.io: {{username: admin, password: hunter2, insecure: true}}
images:
  quay.io/coreos/a: quay.example.com/r/a
  quay.io/coreos/b:v1.0,v2.0: quay.example.com/r/b
  quay.io/coreos/c@{PIN}: quay.example.com/r/c
  quay.io/coreos/d:v1.1: [quay.example.com/r/d1, "${{REG}}/r/d2"]
  quay.io/coreos/e:/^v1/: quay.example.com/r/e
  quay.io/coreos/f:v1: quay.example.com/r/f:v2
""",
    "list": f"""# base
docker.io/library/alpine:3.20
quay.io/a/b
ghcr.io/a/b:1@{PIN} # pinned
""",
}
