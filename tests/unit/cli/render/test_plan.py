"""Plans and outcomes as people read them, written out in full."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.apply.outcome import Done, Failed, Outcome, Skipped, Took
from reconciler.cli.render.blocks import COMMENT_LIMIT
from reconciler.cli.render.markdown import plan_markdown
from reconciler.cli.render.outcome import closing_text, outcome_document, outcome_line
from reconciler.cli.render.plan import plan_text, troubles
from reconciler.oci.spec import OCI_INDEX, Descriptor, Digest
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Plan, RepositoryPlan
from reconciler.plan.plan_json import plan_document
from reconciler.plan.sizes import Sizes, Unread, WorkerUse
from reconciler.signatures.signers import Refused, Unchecked, Verified
from reconciler.sources.quota import Quota, Spending
from reconciler.stores.buckets import R2_PRICES, S3_REQUESTS
from reconciler.stores.requests import counted
from reconciler.target.index import TagState
from reconciler.target.removable import NotCollected
from reconciler.words import size_words

OLD = TagState(Digest("sha256", "a" * 64), OCI_INDEX, 9218, None, datetime(2026, 11, 20, tzinfo=UTC))
NEW = Descriptor(OCI_INDEX, Digest("sha256", "b" * 64), 9218)

ADD = Change(Action.ADD, "3.21", None, NEW)
UPDATE = Change(Action.UPDATE, "latest", OLD, NEW)
PRUNE = Change(Action.PRUNE, "3.17", OLD, None, "no longer at the source")


def plan(*repositories: RepositoryPlan) -> Plan:
    return Plan("0" * 64, 12, '"etag"', repositories)


def alpine(*changes: Change, unchanged: int = 11, error: str | None = None) -> RepositoryPlan:
    return RepositoryPlan("library/alpine", "docker.io/library/alpine", None, unchanged, changes, error)


def test_a_plan_as_text() -> None:
    text = plan_text(plan(alpine(ADD, PRUNE, UPDATE, error="docker.io/library/alpine:3.19: 503"), alpine()))
    assert text == (
        "library/alpine  from docker.io/library/alpine\n"
        "  + 3.21    sha256:bbbbbbbbbbbb\n"
        "  - 3.17    sha256:aaaaaaaaaaaa                         no longer at the source\n"
        "  ~ latest  sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb\n"
        "    11 unchanged\n"
        "  ! docker.io/library/alpine:3.19: 503\n"
        "\n"
        "Plan: 1 to add, 1 to update, 1 to prune; 22 unchanged; 1 repository with errors.\n"
    )


def test_a_plan_as_markdown() -> None:
    assert plan_markdown(plan(alpine(ADD, PRUNE, error="busy <script>@team | `x`"))) == (
        "**Plan: 1 to add, 0 to update, 1 to prune; 11 unchanged; 1 repository with errors.**\n"
        "\n"
        "- :x: library/alpine: busy &lt;script&gt;@<!-- -->team &#124; &#96;x&#96;\n"
        "\n"
        "| | image | change |\n"
        "| --- | --- | --- |\n"
        "| `-` | `library/alpine:3.17` | prune sha256:aaaaaaaaaaaa (no longer at the source) |\n"
        "\n"
        "| | image | change |\n"
        "| --- | --- | --- |\n"
        "| `+` | `library/alpine:3.21` | add sha256:bbbbbbbbbbbb |\n"
    )


def test_an_error_that_many_repositories_have_is_said_once() -> None:
    """A login that a registry refused, in every format but JSON."""
    refused = "ghcr.io: the login from CI was refused: it answered 401"
    names = [f"team/app{number}" for number in range(30)]
    made = plan(*(RepositoryPlan(name, f"ghcr.io/{name}", None, 0, (), refused) for name in names))
    words = f"{refused} (30 repositories: team/app0, team/app1, team/app2, ...)"
    assert plan_text(made) == f"! {words}\nNo changes; 0 unchanged; 30 repositories with errors.\n"
    assert plan_markdown(made).count("was refused") == 1
    assert troubles(made) == (words,)
    own = replace(made, repositories=(*made.repositories, alpine(ADD, error="docker.io/library/alpine:3.19: 503")))
    assert troubles(own) == (words, "docker.io/library/alpine:3.19: 503")
    assert plan_text(own).count("503") == plan_text(own).count("was refused") == 1


def test_a_plan_with_warnings() -> None:
    looked_at = replace(alpine(), warnings=("tags[0] glob: x* chooses none of 3 tags",))
    made = replace(plan(looked_at, alpine()), warnings=("the bucket is public",))
    assert plan_text(made) == (
        "library/alpine  from docker.io/library/alpine\n"
        "    11 unchanged\n"
        "  ! warning: tags[0] glob: x* chooses none of 3 tags\n"
        "\n"
        "! warning: the bucket is public\n"
        "No changes; 22 unchanged; 2 warnings.\n"
    )
    assert plan_markdown(made) == (
        "**No changes; 22 unchanged; 2 warnings.**\n"
        "\n"
        "- :warning: the bucket is public\n"
        "- :warning: library/alpine: tags&#91;0&#93; glob: x&#42; chooses none of 3 tags\n"
    )
    assert outcome_document(made, [], TOOK, interrupted=False)["warnings"] == [
        "the bucket is public",
        "library/alpine: tags[0] glob: x* chooses none of 3 tags",
    ]


def test_a_plan_says_who_signed_what_is_not_known_yet_and_what_is_refused() -> None:
    changes = (
        Change(Action.ADD, "3.21", None, NEW, signature=Verified("key cosign.pub")),
        Change(Action.UPDATE, "latest", OLD, NEW, "platforms: + linux/386", Unchecked("it would count")),
    )
    refused = (Refused("3.22", OLD.digest, "not signed by key cosign.pub: no signature is attached to it"),)
    made = plan(
        RepositoryPlan("library/alpine", "docker.io/library/alpine", None, 0, changes, "refused: 3.22", refused)
    )
    assert plan_text(made) == (
        "library/alpine  from docker.io/library/alpine\n"
        "  + 3.21    sha256:bbbbbbbbbbbb                         signed by key cosign.pub\n"
        "  ~ latest  sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb  platforms: + linux/386; "
        "signature not verified yet: it would count\n"
        "  ! 3.22    sha256:aaaaaaaaaaaa                         "
        "refused: not signed by key cosign.pub: no signature is attached to it\n"
        "  ! refused: 3.22\n"
        "\n"
        "Plan: 1 to add, 1 to update, 0 to prune; 0 unchanged; 1 repository with errors.\n"
    )
    markdown = plan_markdown(made)
    assert "| `+` | `library/alpine:3.21` | add sha256:bbbbbbbbbbbb (signed by key cosign.pub) |" in markdown
    assert f"- :x: library/alpine: docker.io/library/alpine:3.22@<!-- -->{OLD.digest}: not signed" in markdown
    assert [one["error"] for one in outcome_document(made, [], TOOK, interrupted=False)["errors"]] == [
        "refused: 3.22",
        f"docker.io/library/alpine:3.22@{OLD.digest}: not signed by key cosign.pub: no signature is attached to it",
    ]


@pytest.mark.parametrize("action", [Action.PRUNE, Action.ADD])
@pytest.mark.parametrize("count", [1, 26, 400, 20_000])
def test_a_comment_fits_whatever_the_plan_holds(count: int, action: Action) -> None:
    change = PRUNE if action is Action.PRUNE else ADD
    changes = tuple(replace(change, tag=f"{number:0128}", reason="r" * 200) for number in range(count))
    troubled = [alpine(*changes, error="e" * 5_000)] + [alpine(error=f"{number}{'x' * 3_000}") for number in range(100)]
    sizes = replace(SIZES, unread=(Unread("a", "t", "r" * 900),) * count)
    text = plan_markdown(replace(plan(*troubled), sizes=sizes))
    assert len(text) < COMMENT_LIMIT
    held = count > 25 and action is Action.PRUNE
    assert text.startswith("**:no_entry: library/alpine: " if held else "**Plan: ")
    assert ("<details>" in text) == (count > 25 and action is Action.ADD), "prunes are never folded"
    assert text.count("<details>") == text.count("</details>")
    rows = text.count(f"\n| `{'-' if action is Action.PRUNE else '+'}`")
    assert rows >= min(count, 25), "one long block does not take the room of the others"
    assert ("more; `r2mirror plan` shows all" in text) == (rows < count or text.count(":x:") < 102)


TOOK = Took(3 * 2**20, 12.3)

SIZES = Sizes(
    downloaded=3 * 2**30,
    blobs=40,
    manifests=17,
    uploaded=3 * 2**30 + 4096,
    copied=2**20,
    before=0,
    after=25 * 10**9,
    retired=1,
    requests=counted(S3_REQUESTS, {"PutObject": 120, "UploadPart": 384, "GetObject": 90, "DeleteObjects": 1}),
    unread=(Unread("library/[b]", "1", "503 | `x`"),),
    prices=R2_PRICES,
)
SPENDINGS = (
    Spending(Quota("docker.io", 100, 76, 21_600), 17, exact=True),
    Spending(Quota("hub.example", 100, 2, 21_600), 3, exact=False),
    Spending(Quota("kept.example", 100, 22, 21_600, 20), 3, exact=True),
)


def test_what_a_plan_takes_and_costs() -> None:
    text = plan_text(replace(plan(), spendings=SPENDINGS, sizes=SIZES))
    assert text == (
        "No changes; 0 unchanged.\n"
        "Pulls: apply needs 17 pulls; docker.io has 76 of 100 left, counted over 6 h.\n"
        "Pulls: apply needs about 3 pulls, or more once indexes are read; hub.example has 2 of 100 left, counted over "
        "6 h; what does not fit is left for another run, or --wait-for-quota waits.\n"
        "Pulls: apply needs 3 pulls; kept.example has 22 of 100 left, 20 of them reserved for others, counted over 6 h; "
        "what does not fit is left for another run, or --wait-for-quota waits.\n"
        "Sizes: downloads 3.0 GiB (40 blobs, 17 manifests), uploads 3.0 GiB, copies 1.0 MiB within the store.\n"
        "Stored: 0 B now, 23.3 GiB after, with 1 retired digest not collected yet.\n"
        "Requests: 504 of class A, 90 of class B (120 PutObject, 384 UploadPart, 90 GetObject, 1 DeleteObjects).\n"
        "A month at R2's list prices of November 2026, with one such run: $0.23 (storage $0.23, class A $0.00, "
        "class B $0.00); $0.38 of a bill that is beyond the free tier anyway.\n"
        "! library/[b]:1 is not in these sizes: 503 | `x`\n"
    )
    worker = plan_text(replace(plan(), sizes=replace(SIZES, worker=WorkerUse(3, 33))))
    assert (
        "Worker: one pull of each of 3 new images takes 33 requests; 100,000 a day are free, which is some 9,090 such "
        "pulls.\n"
    ) in worker
    assert "of the new image takes 1 request;" in plan_text(
        replace(plan(), sizes=replace(SIZES, worker=WorkerUse(1, 1)))
    )
    markdown = plan_markdown(replace(plan(), spendings=SPENDINGS, sizes=replace(SIZES, requests=None)))
    assert "\n- Pulls: apply needs 17 pulls; docker.io has 76 of 100 left" in markdown
    assert "\n- ! library/&#91;b&#93;:1 is not in these sizes: 503 &#124; &#96;x&#96;\n" in markdown
    assert "Requests" not in markdown


def test_r2_s_prices_are_not_quoted_for_other_stores() -> None:
    elsewhere = replace(plan(), sizes=replace(SIZES, prices=None))
    text = plan_text(elsewhere)
    assert "Requests: 504 of class A" in text
    assert "$" not in text
    assert "R2" not in text
    assert plan_document(elsewhere)["sizes"]["month"] is None
    assert plan_document(replace(plan(), sizes=SIZES))["sizes"]["month"]["prices_of"]


def test_figures_say_what_they_leave_out() -> None:
    beginning = "! Not in these figures: what "
    attached, signed = replace(alpine(ADD), referrers=True), alpine(replace(ADD, signature=Verified("key a.pub")))
    for one, setting in ((attached, "referrers: true"), (signed, "signed_by")):
        text = plan_text(replace(plan(one), spendings=SPENDINGS))
        assert text.endswith(f"\n{beginning}{setting} reads and brings along, for library/alpine.\n")
        assert text.count(beginning) == 1
    many = replace(plan(attached, signed, attached), sizes=SIZES)
    assert f"{beginning}referrers: true reads and brings along, for 2 repositories.\n" in plan_text(many)
    assert f"\n- {beginning}signed&#95;by reads and brings along, for library/alpine.\n" in plan_markdown(many)
    assert beginning not in plan_text(replace(plan(alpine(ADD)), sizes=SIZES))
    assert beginning not in plan_text(plan(attached)), "there are no figures"


def test_what_became_of_a_plan() -> None:
    outcomes: tuple[Outcome, ...] = (
        Done("library/alpine", UPDATE),
        Failed("library/alpine", ADD, "docker.io/library/alpine@sha256:b: 503"),
        *[Skipped("library/alpine", replace(PRUNE, tag=tag), "something else in it failed") for tag in ("3.1", "3.2")],
    )
    assert [outcome_line(outcome) for outcome in outcomes[:2]] == [
        "~ library/alpine:latest  updated  sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb\n",
        "! library/alpine:3.21  failed: docker.io/library/alpine@sha256:b: 503\n",
    ]
    assert closing_text(plan(), outcomes, TOOK, interrupted=False) == (
        "! 2 prunes skipped  something else in it failed\n"
        "\n"
        "Applied: 0 added, 1 updated, 0 pruned; 1 failed; 2 skipped; 3.0 MiB in 12 s.\n"
    )
    assert closing_text(plan(), (), TOOK, interrupted=True) == (
        "Interrupted: 0 added, 0 updated, 0 pruned; 3.0 MiB in 12 s. All of it is recorded; run apply again to go on.\n"
    )
    document = outcome_document(plan(), outcomes, TOOK, interrupted=False)
    assert document["summary"] == {"done": 1, "failed": 1, "skipped": 2}
    assert (document["bytes"], document["seconds"]) == (3 * 2**20, 12.3)
    assert [(one["before"], one["after"]) for one in document["outcomes"]][:2] == [
        (str(OLD.digest), str(NEW.digest)),
        (None, str(NEW.digest)),
    ]
    assert [entry["status"] for entry in document["outcomes"]] == ["done", "failed", "skipped", "skipped"]


def test_the_last_line_never_leaves_an_error_out() -> None:
    """Whatever else there is, and most of all where nothing was done."""
    failing, warned = replace(alpine(), error="503"), replace(alpine(), warnings=("look",))
    lines = [
        (plan(alpine()), (), "Nothing to do."),
        (plan(warned), (), "Nothing to do; 1 warning."),
        (plan(failing), (), "Applied: 0 added, 0 updated, 0 pruned; 1 repository with errors; 3.0 MiB in 12 s."),
        (
            plan(failing, failing, warned),
            (Done("a", ADD), NotCollected("b", "503"), NotCollected("c", "503")),
            (
                "Applied: 1 added, 0 updated, 0 pruned; 2 repositories with errors; "
                "2 repositories with garbage that could not be removed; 1 warning; 3.0 MiB in 12 s."
            ),
        ),
    ]
    for made, events, last in lines:
        assert closing_text(made, events, TOOK, interrupted=False).splitlines()[-1] == last


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**30, "3.0 GiB"), (2**42, "4.0 TiB")]
)
def test_sizes(size: int, words: str) -> None:
    assert size_words(size) == words


def test_nothing_from_outside_reaches_the_terminal_as_a_command() -> None:
    text = plan_text(plan(alpine(error="\x1b[2Jgone\r\ud800")))
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.encode()
