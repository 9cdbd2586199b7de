"""Kubernetes: a DaemonSet that installs containerd's hosts.toml files on every node. Pods need no change."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.containerd import CERTIFICATE, CRI_NOTES, FOLDER, hosts_files
from reconciler.clients.public import certificate_notes, prefix_notes, pull_here, pulls_through, quoted

if TYPE_CHECKING:
    from reconciler.clients.public import Public

_MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: r2mirror-hosts
  namespace: kube-system
data:
{data}
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: r2mirror-hosts
  namespace: kube-system
spec:
  selector:
    matchLabels: {{app: r2mirror-hosts}}
  template:
    metadata:
      labels: {{app: r2mirror-hosts}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
        - operator: Exists
      containers:
        - name: copy
          image: docker.io/library/busybox:stable  # any image that has sh and cp
          command:
            - sh
            - -ec
            - |
              cd /config
              for registry in *; do
                mkdir -p "/certs.d/$registry"
                cp "$registry" "/certs.d/$registry/hosts.toml"
              done
              exec sleep infinity
          volumeMounts:
            - {{name: config, mountPath: /config, readOnly: true}}
            - {{name: certs, mountPath: /certs.d}}
      volumes:
        - name: config
          configMap: {{name: r2mirror-hosts}}
        - name: certs
          hostPath: {{path: {folder}, type: DirectoryOrCreate}}
"""

_NODE_NOTES = (
    f"For nodes with containerd. {CRI_NOTES[0]}",
    *CRI_NOTES[1:],
    "Nodes with CRI-O need the file of r2mirror client-config podman; k3s nodes that of r2mirror client-config k3s",
)


def kubernetes(public: Public) -> ClientConfig:
    hosts = hosts_files(public)
    how = "Installs hosts.toml files on every node: kubectl apply -f r2mirror-hosts.yaml, and after a change: "
    how += "kubectl -n kube-system rollout restart daemonset r2mirror-hosts"
    return ClientConfig(
        Client.KUBERNETES,
        public.host,
        (File("r2mirror-hosts.yaml", _manifest(hosts), how),) if hosts else (),
        (pull_here(public, "image: {}"), *pulls_through(public, "image: {}")),
        (
            *prefix_notes(public, "containerd"),
            *((*_NODE_NOTES, *certificate_notes(public, "containerd", CERTIFICATE)) if hosts else ()),
        ),
    )


def _manifest(hosts: Mapping[str, str]) -> str:
    data = "\n".join(f"  {quoted(folder)}: |\n{textwrap.indent(content, '    ')}" for folder, content in hosts.items())
    return _MANIFEST.format(data=data.rstrip("\n"), folder=FOLDER)
