"""The registries that are known by product: one row each, with what it can do and its limits. Pure.

A row holds for a host by its name, or by what the registry says of itself in the answer to `GET /v2/`. What a product
does differently in one installation, e.g. a deletion that is switched off, is found by probes and by use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from reconciler.frozen import Frozen
from reconciler.registry.powers import Can, Powers

YES, NO, UNKNOWN = Can.YES, Can.NO, Can.UNKNOWN
GB, GIB, MIB = 1000**3, 1024**3, 1024**2


class Login(Enum):
    """Where a login comes from if docker and podman keep none."""

    KEPT = "docker's and podman's logins, or the variables that mirrors.yaml names"
    AWS = "the credentials of the AWS command line"
    GOOGLE = "Google's application default credentials"
    AZURE = "Microsoft Entra"


class RegistryKind(Frozen):
    """A product.

    host    matches the names of its hosts; empty for one that anyone can run
    says    matches `header: value` of its answer to `GET /v2/`; empty if nothing tells
    powers  what it can do
    notes   what to know before pushing to it
    least_parts   the parts that the path of a repository has at least, e.g. 2 for `owner/name`
    shape         what these parts are called
    login         where a login comes from if docker and podman keep none
    has_settings  whether repositories are created with settings, by its own API
    forgets_untagged  whether a digest goes with its last tag, or some time after it
    """

    name: str
    host: str
    says: str
    powers: Powers
    notes: tuple[str, ...] = ()
    least_parts: int = 1
    shape: str = ""
    login: Login = Login.KEPT
    has_settings: bool = False
    forgets_untagged: bool = False

    def path_problem(self, path: str) -> str | None:
        """Explains why a path cannot be the one of a repository there, None if it can."""
        parts, most = path.count("/") + 1, self.powers.path_parts
        if parts < self.least_parts:
            return f"is too short for {self.name}: expected {self.shape}"
        if most and parts > most:
            return f"has {parts} parts, and {self.name} takes {most}: {self.shape}"
        return None


KINDS = (
    RegistryKind(
        "Amazon ECR",
        r"[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)",
        "",
        Powers(
            tag_deletion=YES,  # by its own API
            digest_deletion=YES,
            monolithic=YES,
            chunked=NO,
            creates=NO,
            largest_blob=52_000 * MIB,
        ),
        ("repositories are created by its API before the first push", "tags may be set immutable per repository"),
        login=Login.AWS,
        has_settings=True,
        forgets_untagged=True,
    ),
    RegistryKind(
        "Amazon ECR Public",
        r"public\.ecr\.aws",
        "",
        Powers(tag_deletion=YES, digest_deletion=YES, monolithic=YES, chunked=NO, creates=NO),
        ("repositories are created by its API before the first push",),
        least_parts=2,
        shape="alias/name",
        login=Login.AWS,
        has_settings=True,
        forgets_untagged=True,
    ),
    RegistryKind(
        "Google Artifact Registry",
        r"[a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io",
        "",
        Powers(tag_deletion=YES, digest_deletion=YES, creates=YES, rate=300.0),
        ("the repository must exist, paths below it need not", "18,000 writes a minute and project"),
        least_parts=2,
        shape="project/repository/name, or project/name at gcr.io",
        login=Login.GOOGLE,
    ),
    RegistryKind(
        "GitHub Container Registry",
        r"ghcr\.io",
        "",
        Powers(tag_deletion=NO, digest_deletion=NO, referrers=NO, creates=YES, largest_blob=10 * GB),
        ("a new package is private", "an upload may take 10 minutes"),
        least_parts=2,
        shape="owner/name",
    ),
    RegistryKind(
        "Azure Container Registry",
        r"[a-z0-9]+(-[a-z0-9]+)*\.azurecr\.(io|cn|us)",
        "",
        Powers(digest_deletion=YES, referrers=YES, creates=YES, largest_blob=200 * GIB, rate=16.0),
        ("Basic takes 1,000 reads and 100 writes a minute, Standard 3,000 and 500, Premium 10,000 and 2,000",),
        login=Login.AZURE,
    ),
    RegistryKind(
        "Docker Hub",
        r"docker\.io|registry-1\.docker\.io|index\.docker\.io",
        "",
        Powers(tag_deletion=NO, referrers=NO, creates=YES, path_parts=2),
        ("only untagged digests can be deleted",),
        least_parts=2,
        shape="namespace/name",
    ),
    RegistryKind(
        "Quay",
        r"quay\.io",
        r'www-authenticate: .*realm="[^"]*/v2/auth"',
        Powers(tag_deletion=YES, creates=YES),
        ("the former digest of a moved tag disappears after a while",),
        forgets_untagged=True,
    ),
    RegistryKind(
        "GitLab",
        r"registry\.gitlab\.com",
        r'www-authenticate: .*realm="[^"]*/jwt/auth"',
        Powers(tag_deletion=YES, digest_deletion=YES, referrers=NO, creates=YES),
        ("the project must exist, paths below it need not", "its tokens live 5 minutes"),
    ),
    RegistryKind(
        "Harbor",
        "",
        r'www-authenticate: .*service="harbor-registry"',
        Powers(tag_deletion=NO, digest_deletion=YES, creates=YES),
        ("the project must exist", "rules may make tags immutable"),
    ),
    RegistryKind(
        "Gitea or Forgejo",
        "",
        r'www-authenticate: .*realm="[^"]*/v2/token"',
        Powers(tag_deletion=YES, digest_deletion=YES, creates=YES),
        ("a manifest may have 10 MB",),
    ),
    RegistryKind(
        "Artifactory",
        r"[a-z0-9-]+\.jfrog\.io",
        r"(x-jfrog-version|x-artifactory-id|server: (.*[ ,])?artifactory)",
        Powers(tag_deletion=YES, monolithic=NO, chunked=YES, creates=YES),
        ("the local repository must exist",),
        forgets_untagged=True,
    ),
    RegistryKind(
        "Nexus",
        "",
        r"server: (.*[ ,])?nexus",
        Powers(tag_deletion=NO, digest_deletion=YES, creates=YES),
        ("the repository must exist", "with redeployment disabled, tags are immutable"),
    ),
)

OTHER = RegistryKind(
    "a registry",
    "",
    "",
    Powers(),
    ("CNCF distribution deletes tags from version 3 on, and only with storage.delete.enabled",),
)


def kind_of(host: str, headers: Mapping[str, str]) -> RegistryKind:
    """Returns the row of a registry.

    host     host[:port]
    headers  of its answer to `GET /v2/`; empty if it was not asked
    """
    name = host.partition(":")[0].lower()
    by_host = next((kind for kind in KINDS if kind.host and re.fullmatch(kind.host, name)), None)
    if by_host:
        return by_host
    lines = [f"{header}: {value}".lower() for header, value in headers.items()]
    by_words = (kind for kind in KINDS if kind.says and any(re.match(kind.says, line) for line in lines))
    return next(by_words, OTHER)
