"""What narrows a setting: it publishes and removes nothing that the other would not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.min_age import INDEX, LOG, PUSH, MinAge
from reconciler.mirrors.model import Defaults
from reconciler.mirrors.narrowing import excess_signers, is_narrower_age, is_narrower_prune, widened
from reconciler.mirrors.patterns import Exact
from reconciler.signatures.signers import Identity, Signer, TrustedKey

TAGS = ("a", "b", "c")
WITNESSES = (INDEX, LOG, PUSH)
days = st.integers(1, 4).map(lambda count: timedelta(days=count))
ages = st.none() | st.builds(
    MinAge,
    days,
    st.lists(st.sampled_from(WITNESSES), unique=True).map(tuple),
    st.lists(st.sampled_from(TAGS), unique=True).map(lambda tags: tuple(map(Exact, tags))),
)
keys = st.sampled_from([TrustedKey(f"{name}.pub", name.encode()) for name in "ab"])
identities = st.builds(
    Identity, st.sampled_from(["x", "y", "x|y", "[a-z]"]), st.sampled_from(["i", "j"]), is_regex=st.booleans()
)
signers = st.lists(keys | identities, max_size=3).map(tuple)


def admits(age: MinAge | None, tag: str, seen: dict[str, int]) -> bool:
    """Whether a tag is published that each witness has seen for so many days."""
    if age is None or age.exempts(tag):
        return True
    return any(timedelta(days=seen[one]) >= age.age for one in age.seen_by)


@given(ages, ages, st.sampled_from(TAGS), st.fixed_dictionaries({one: st.integers(0, 5) for one in WITNESSES}))
def test_a_narrower_age_publishes_nothing_sooner(
    bound: MinAge | None, own: MinAge | None, tag: str, seen: dict[str, int]
) -> None:
    if is_narrower_age(bound, own):
        assert admits(bound, tag, seen) or not admits(own, tag, seen)


def accepts(trusted: tuple[Signer, ...], signer: str, issuer: str) -> bool:
    """Whether a signature by a name or a key is accepted; no issuer: it is a key."""
    return not trusted or any(
        bool(not issuer and one.pem == signer.encode())
        if isinstance(one, TrustedKey)
        else one.issuer == issuer
        and (signer in one.identity.split("|") or one.identity == "[a-z]" if one.is_regex else signer == one.identity)
        for one in trusted
    )


@given(signers, signers, st.sampled_from("abxyz"), st.sampled_from(["", "i", "j"]))
def test_narrower_signers_accept_nothing_more(
    bound: tuple[Signer, ...], own: tuple[Signer, ...], signer: str, issuer: str
) -> None:
    if not excess_signers(bound, own):
        assert accepts(bound, signer, issuer) or not accepts(own, signer, issuer)


@given(st.builds(Defaults, prune=st.booleans(), signed_by=signers, min_age=ages))
def test_everything_is_as_narrow_as_itself(one: Defaults) -> None:
    assert list(widened(one, one)) == []


defaults = st.builds(Defaults, prune=st.booleans(), signed_by=signers, min_age=ages)


@given(defaults, defaults, defaults)
def test_what_is_narrower_than_something_narrower_is_narrower(one: Defaults, two: Defaults, three: Defaults) -> None:
    if not list(widened(one, two)) and not list(widened(two, three)):
        assert list(widened(one, three)) == []


@given(defaults)
def test_nothing_is_wider_than_what_is_not_set(one: Defaults) -> None:
    assert list(widened(Defaults(), one)) == []


def test_prune_is_narrower_if_it_removes_less() -> None:
    assert [is_narrower_prune(*pair) for pair in ((True, True), (True, False), (False, False), (False, True))] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("bound", "own", "excess"),
    [
        (TrustedKey("./k.pub", b""), TrustedKey("k.pub", b""), False),
        (TrustedKey("k.pub", b""), TrustedKey("l.pub", b""), True),
        (TrustedKey("k.pub", b"x"), TrustedKey("copy.pub", b"x"), False),
        (TrustedKey("k.pub", b"x"), TrustedKey("k.pub", b"y"), True),
        (Identity("https://x/.*", "i", is_regex=True), Identity("https://x/y", "i"), False),
        (Identity("x", "i", is_regex=True), Identity("axb", "i"), True),
        (Identity("https://x/.*", "i", is_regex=True), Identity("https://x/y", "j"), True),
        (Identity("x", "i"), Identity("x", "i", is_regex=True), True),
        (Identity("x", "i"), TrustedKey("x", b"x"), True),
    ],
)
def test_a_signer_is_covered(bound: Signer, own: Signer, excess: bool) -> None:
    assert excess_signers((bound,), (own,)) == ((own,) if excess else ())
    assert excess_signers((bound, own), (own,)) == ()
