"""sinker's image manifest -> mirrors.yaml."""

from __future__ import annotations

from tests.parts.foreign import FILES, PIN
from tests.parts.imports import choice, imported, result_of, tags_of


def test_sources_and_the_variables_of_logins() -> None:
    result = result_of(FILES["sinker"])
    assert result["store"]["registry"] == "mirror.example.com"
    assert result["registries"] == {"docker.io": {"username_env": "USER_ENV", "password_env": "PASSWORD_ENV"}}
    assert result["defaults"]["target_prefix"] == "team"
    assert [(one["source"], one["tags"]) for one in result["mirrors"]] == [
        ("quay.io/coreos/etcd", ["v0.40.0"]),
        ("docker.io/super/app", ["v0.3.0"]),
        # sinker calls it after its digest.
        ("docker.io/a/b", [f"{'a' * 64}@{PIN}"]),
    ]
    assert choice(result["mirrors"][1], tags_of("cosign")) == {"v0.3.0"}
    assert imported(FILES["sinker"]).notes == ()
