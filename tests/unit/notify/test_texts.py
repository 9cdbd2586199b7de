"""Messages for people: short, one line each, the worst first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.apply.finished import Finished
from reconciler.apply.outcome import Done, Event, Failed
from reconciler.errors import StoreDenied
from reconciler.mirrors.notifiers import OCCASIONS
from reconciler.notify.texts import text, title
from reconciler.notify.told import Message, Told, edit_message_for, message_for
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Plan, RepositoryPlan

AT = datetime(2026, 11, 26, 3, tzinfo=UTC)
ADD = Change(Action.ADD, "3.20", None, Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1))
PLAN = Plan("0" * 64, 7, None, (RepositoryPlan("alpine", "docker.io/library/alpine", None, 4, (ADD,), None),))


def run(*events: Event) -> Finished:
    return Finished("prod", "", AT, 12.0, plan=PLAN, events=events)


def message(one: Finished, told: Told | None = None) -> Message:
    found, _ = message_for(one, told or {}, frozenset(OCCASIONS))
    assert found is not None
    return found


def test_a_failure() -> None:
    one = run(Failed("alpine", ADD, "docker.io/library/alpine:3.20: no answer; try again later", "unreachable"))
    assert title(message(one), one) == "r2mirror prod: 1 repository fails"
    assert text(message(one), one) == (
        "Failed:\n"
        "- alpine:3.20: docker.io/library/alpine:3.20: no answer; try again later\n"
        "\n"
        "What is mirrored can still be pulled, and nothing is pruned in a repository that failed.\n"
        "The next run tries again by itself. To see it now: r2mirror plan\n"
        "Run ended 2026-11-26 03:00 UTC after 12 s."
    )


def test_a_run_that_could_not_go_on() -> None:
    one = replace(run(), plan=None, error=StoreDenied("bucket", "the key is not valid"))
    assert title(message(one), one) == "r2mirror prod: the run could not finish"
    assert "- bucket: the key is not valid\n" in text(message(one), one)


def test_what_is_over() -> None:
    told = {"failure alpine": AT - timedelta(hours=3), "moved alpine 3.19": AT - timedelta(hours=1)}
    one = run()
    assert title(message(one, told), one) == "r2mirror prod: works again"
    assert "- failure of alpine, after 3 h" in text(message(one, told), one)
    assert "- move of alpine:3.19, after 1 h" in text(message(one, told), one)


def test_many_changes_fit_a_chat() -> None:
    one = run(*(Done("alpine", replace(ADD, tag=str(tag))) for tag in range(5000)))
    assert title(message(one), one) == "r2mirror prod: 5000 tags changed"
    assert text(message(one), one).count("\n") < 20
    assert "- and 4990 more" in text(message(one), one)


def test_text_of_others_adds_no_line_and_no_control_character() -> None:
    one = run(Failed("alpine", ADD, "x\x1b[2J" + "y" * 10_000 + "\nevil", "unreachable"))
    lines = text(message(one), one).splitlines()
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= 300
    assert "evil" not in "".join(lines)


def test_an_edit() -> None:
    about = Finished("prod", "", AT + timedelta(minutes=5), 0.0)
    bad, told = edit_message_for("mirrors.yaml:5:3: a\nmirrors.yaml:6:3: b", AT, {}, frozenset(OCCASIONS))
    assert bad
    assert title(bad, about) == "r2mirror prod: an edit of the mirrors file is not valid"
    assert text(bad, about) == (
        "Failed:\n"
        "- mirrors.yaml:5:3: a\n"
        "\n"
        "The content before the edit stays at work. To see all problems: r2mirror validate"
    )
    mended, _ = edit_message_for(None, about.at, told, frozenset(OCCASIONS))
    assert mended
    assert title(mended, about) == "r2mirror prod: the mirrors file can be used again"
    assert (
        text(mended, about)
        == "Over:\n- edit that was not valid, after 5 min 0 s\n\nThe content of the file is at work."
    )
