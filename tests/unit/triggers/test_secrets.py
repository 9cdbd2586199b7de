"""Secrets, and how a request proves that it knows one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import UsageError
from reconciler.triggers.secrets import Secret, Told, in_authorization, in_query, read_secret
from tests.parts.webhooks import signature

VALUE = "0123456789abcdef"
SECRET = Secret(VALUE)


@pytest.mark.parametrize("header", [VALUE, f"Bearer {VALUE}", f"bearer  {VALUE}"])
def test_the_authorization_header_has_the_secret(header: str) -> None:
    assert in_authorization(SECRET, Told({"authorization": header}, {}))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Basic {VALUE}", VALUE[:-1], VALUE + "0", "Bearer \udcff"]
)
def test_any_other_header_is_refused(header: str) -> None:
    assert not in_authorization(SECRET, Told({"authorization": header}, {"secret": VALUE}))


def test_the_query_has_the_secret() -> None:
    assert in_query(SECRET, Told({}, {"secret": VALUE}))
    assert not in_query(SECRET, Told({"authorization": VALUE}, {}))
    assert not in_query(SECRET, Told({}, {"secret": "é" * 16}))


def test_the_signature_of_githubs_documentation_is_accepted() -> None:
    # The example of "Validating webhook deliveries".
    signed = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert Secret("It's a Secret to Everybody").signs(b"Hello, World!", signed)


@given(st.binary(), st.binary(), st.text())
def test_a_signature_is_valid_for_its_own_body_only(body: bytes, other: bytes, noise: str) -> None:
    signed = signature(VALUE, body)
    assert SECRET.signs(body, signed)
    assert SECRET.signs(other, signed) == (other == body)
    assert not SECRET.signs(body, noise)
    assert not SECRET.signs(body, signed.removeprefix("sha256="))


@pytest.mark.parametrize("value", ["short", "with a space in it", "with-a-line-break\n", "nicht-völlig-ascii"])
def test_a_secret_that_can_be_guessed_or_not_sent_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_secret({"NAME": value}, "NAME")
    assert str(caught.value).startswith("NAME is not a valid secret: it has ")
    assert value not in str(caught.value)


def test_an_empty_variable_is_an_unset_one_and_no_secret_is_shown() -> None:
    assert read_secret({"NAME": ""}, "NAME") is read_secret({}, "NAME") is None
    assert VALUE not in repr(read_secret({"NAME": VALUE}, "NAME"))
