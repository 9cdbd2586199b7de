"""Redirects are followed by hand, and each target is checked before anything is sent there."""

from __future__ import annotations

import httpx
import pytest

from reconciler.http.redirects import TooManyRedirects, follow, origin


def redirect(url: str) -> httpx.Response:
    """An answer that redirects `/1` to `/2` and so on."""
    number = int(url.rpartition("/")[2])
    headers = {"Location": f"/{number + 1}"} if number < 3 else {}
    return httpx.Response(302 if headers else 200, headers=headers, request=httpx.Request("GET", url))


def test_the_answer_is_the_one_that_redirects_no_further() -> None:
    checked: list[str] = []
    answer = follow("http://example.com/1", redirect, lambda url, _: checked.append(url), 2)
    assert str(answer.request.url) == "http://example.com/3"
    assert checked == ["http://example.com/2", "http://example.com/3"]


def test_a_long_chain_is_an_error() -> None:
    with pytest.raises(TooManyRedirects, match="redirects more than 1 times"):
        follow("http://example.com/1", redirect, lambda *_: None, 1)


def test_nothing_is_sent_to_a_target_that_is_refused() -> None:
    sent: list[str] = []

    def send(url: str) -> httpx.Response:
        sent.append(url)
        return redirect(url)

    def check(url: str, _: httpx.Response) -> None:
        raise PermissionError(url)

    with pytest.raises(PermissionError):
        follow("http://example.com/1", send, check, 5)
    assert sent == ["http://example.com/1"]


def test_an_origin_has_its_port() -> None:
    assert origin("https://example.com/x") == origin("https://example.com:443/y") != origin("http://example.com:443/")
