"""What a login gets, and what a request may have. The cases are in tests/data/access.json, for the Worker too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.access.judge import (
    CATALOG,
    Guard,
    Login,
    Verdict,
    asked_for,
    exchange,
    is_right,
    judge,
    parse_login,
    repository_of,
    scope_of,
)
from tests.parts.private import CASES, GUARD, TOKENS, basic, guard_of

NOW = 1_790_000_000


@pytest.mark.parametrize("case", CASES["logins"], ids=lambda case: case["why"])
def test_a_login_gets_what_the_case_says(case: dict[str, Any], guard: Guard) -> None:
    login = parse_login(case["authorization"])
    is_in = login is not None and is_right(guard, login, case["now"])
    token = exchange(guard, login.name, case["scopes"], case["now"]) if login and is_in else None
    assert token == case["token"]


@pytest.mark.parametrize("case", CASES["requests"], ids=lambda case: f"{case['why']}: {case['path']}")
def test_a_request_may_have_what_the_case_says(case: dict[str, Any], guard: Guard) -> None:
    assert judge(guard, case["authorization"], repository_of(case["path"]), case["now"]) == case["verdict"]


def test_each_verdict_has_cases() -> None:
    assert {case["verdict"] for case in CASES["requests"]} == set(Verdict)
    assert {case["token"] is None for case in CASES["logins"]} == {True, False}


def test_a_token_that_is_revoked_takes_along_what_was_issued_for_it() -> None:
    issued = f"Bearer {exchange(GUARD, 'ci', ['repository:a:pull'], NOW)}"
    assert judge(GUARD, issued, "a", NOW) is Verdict.ALLOWED
    without = Guard(GUARD.access, {}, GUARD.key)
    another = Guard(GUARD.access, {"ci": "1" * 64}, GUARD.key)
    assert judge(without, issued, "a", NOW) is judge(another, issued, "a", NOW) is Verdict.LOGIN


def test_nothing_secret_is_shown() -> None:
    assert "secret" not in repr(parse_login(basic("ci")))
    assert not any(secret in repr(GUARD) for secret in (*GUARD.hashes.values(), GUARD.key.decode()))


@given(st.text())
def test_no_header_gets_in_that_was_not_made_for_it(text: str) -> None:
    guard = guard_of(CASES)
    assert judge(guard, text, "team-a/app", NOW) is Verdict.LOGIN
    login = parse_login(text)
    assert login is None or not is_right(guard, login, NOW)


@given(st.text(alphabet="abcikmortuz-_: 2", max_size=20), st.binary(max_size=40))
def test_only_the_right_token_of_a_name_logs_in(name: str, token: bytes) -> None:
    assert is_right(GUARD, Login(name, token), NOW) == (TOKENS.get(name, "").encode() == token != b"")


@given(st.data())
def test_changing_any_character_of_an_issued_token_makes_it_useless(data: st.DataObject) -> None:
    issued = exchange(GUARD, "team-a", ["repository:team-a/app:pull"], NOW)
    place = data.draw(st.integers(0, len(issued) - 1))
    changed = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda one: one != issued[place]))
    for text in (f"{issued[:place]}{changed}{issued[place + 1 :]}", f"{issued[:place]}{issued[place + 1 :]}"):
        assert judge(GUARD, f"Bearer {text}", None, NOW) is Verdict.LOGIN


def test_a_challenge_names_a_scope_that_is_granted() -> None:
    for repository in ("team-a/app", CATALOG):
        assert asked_for([str(scope_of(repository))]) == (repository,)
    assert scope_of(None) is None
