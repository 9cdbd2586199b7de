"""A Kyverno policy that names the images of new pods at the mirror. Pure.

Source: kyverno.io/docs/policy-types/cluster-policy/mutate, foreach; `AnyIn` compares with wildcards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.clients.public import quoted

if TYPE_CHECKING:
    from reconciler.rewrite.repositories import Replaced

_POLICY = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: r2mirror
  annotations:
    policies.kyverno.io/title: Pull from the mirror
    # Pods alone: their controllers keep the names that people gave them.
    pod-policies.kyverno.io/autogen-controllers: none
spec:
  background: false
  rules:
"""
_RULE = """\
    - name: {name}
      match:
        any:
          - resources:
              kinds: [Pod]
              operations: [CREATE]
      preconditions:
        all:
          - key: "{{{{ request.object.spec.{name}[] || `[]` | length(@) }}}}"
            operator: GreaterThan
            value: 0
      mutate:
        foreach:
"""
_REPOSITORY = """\
          - list: request.object.spec.{name}
            preconditions:
              all:
                - key: "{{{{ element.image }}}}"
                  operator: AnyIn
                  value: [{images}]
            patchesJson6902: |-
              - op: replace
                path: /spec/{name}/{{{{ elementIndex }}}}/image
                value: "{{{{ regex_replace_all('^({pattern})(.*)$', element.image, '{target}$2') }}}}"
"""


def kyverno(replaced: Iterable[Replaced], *, plain_http: bool) -> str:  # noqa: ARG001 Kyverno pulls nothing
    """Writes a ClusterPolicy, with a step for each repository. Tags and digests stay."""
    every = list(replaced)
    return _POLICY + "".join(_rule(name, every) for name in ("containers", "initContainers")) if every else ""


def _rule(name: str, replaced: Iterable[Replaced]) -> str:
    steps = (
        _REPOSITORY.format(
            name=name,
            images=", ".join(map(quoted, _images(one))),
            # Not a backslash: each of the texts that this stands in has its own meaning of it.
            pattern="|".join(spelled.replace(".", "[.]") for spelled in one.spellings),
            target=one.target,
        )
        for one in replaced
    )
    return _RULE.format(name=name) + "".join(steps)


def _images(one: Replaced) -> Iterator[str]:
    for spelled in one.spellings:
        yield from (spelled, f"{spelled}:*", f"{spelled}@*")
