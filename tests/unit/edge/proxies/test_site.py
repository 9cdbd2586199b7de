"""What may stand in a proxy's configuration: URLs come from mirrors.yaml and the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.edge.proxies import PROXIES, configuration
from reconciler.edge.proxies.site import make_site
from reconciler.errors import UsageError

BUCKET = "http://127.0.0.1:8333/images"


def test_the_port_is_the_one_that_the_scheme_implies() -> None:
    site = make_site("https://cr.example.com/", "http://s3.example.com:8333/images/")
    assert (str(site.public), site.public.port, site.bucket_url) == (
        "https://cr.example.com",
        443,
        "http://s3.example.com:8333/images",
    )
    assert make_site("http://127.0.0.1:5000", BUCKET).public.is_ip


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cr.example.com",
        "ftp://cr.example.com",
        "https://cr.example.com:0",
        "https://cr.example.com:99999",
        "https://user@cr.example.com",
        "https://cr.example.com/?x",
        "https://cr.example.com/#x",
        "https://cr.example.com/a;b",
        "https://cr.example.com/{env.X}",
        "https://[::1",
        "https://a b",
    ],
)
def test_what_is_not_the_url_of_a_server_is_refused(url: str) -> None:
    for public, bucket in ((url, BUCKET), ("https://cr.example.com", url)):
        with pytest.raises(UsageError, match="is not a valid URL for a proxy"):
            make_site(public, bucket)


def test_clients_pull_at_the_root() -> None:
    with pytest.raises(UsageError, match="has a path"):
        make_site("https://cr.example.com/mirror", BUCKET)


@given(st.sampled_from(["https://cr.example.com", "http://127.0.0.1"]), st.text(max_size=20))
def test_nothing_that_a_configuration_would_read_as_its_own_gets_into_one(start: str, rest: str) -> None:
    for public, bucket, cache in ((start + rest, BUCKET, ""), (start, start + rest, ""), (start, BUCKET, rest)):
        try:
            site = make_site(public, bucket, cache)
        except UsageError:
            continue
        for name in PROXIES:
            if not (cache and name == "caddy"):
                text = configuration(name, site)
                assert text.count("{") == text.count("}")
        assert not set(f"{site.public}{site.bucket_url}{site.cache}") & set(" ;{}$`\"'#\\\n\t")
