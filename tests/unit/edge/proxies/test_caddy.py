"""Caddy's configuration as text; that it does what the rules say is tested with Caddy in tests/system/edge."""

from __future__ import annotations

import re

import pytest

from reconciler.edge.config import EdgeConfig
from reconciler.edge.proxies.caddy import caddy
from reconciler.edge.proxies.site import make_site
from reconciler.edge.rules import Phase, edge_rules
from reconciler.errors import UsageError

RULES = edge_rules(EdgeConfig("", "cr.example.com", digest_by_tag=True))


def test_each_rule_has_a_matcher_but_those_for_a_cache() -> None:
    text = caddy(RULES, make_site("https://cr.example.com", "https://s3.example.com/images"))
    names = [rule.ref.split("_", 2)[2] for rule in RULES if rule.phase is not Phase.CACHE]
    assert re.findall(r"^\s*@(\w+) expression", text, re.MULTILINE) == ["above", *names]
    assert text.splitlines()[3] == "https://cr.example.com {"
    assert "reverse_proxy https://s3.example.com:443 {" in text


def test_a_bucket_at_the_root_has_no_prefix_and_an_ip_is_bound() -> None:
    text = caddy(RULES, make_site("http://192.0.2.1", "http://images.web.garage.example:3902"))
    assert "uri replace" not in text
    assert "bind 192.0.2.1" in text
    assert "header_up Host images.web.garage.example:3902" in text


def test_it_has_no_cache() -> None:
    with pytest.raises(UsageError, match="print nginx"):
        caddy(RULES, make_site("https://cr.example.com", "http://127.0.0.1:8333/images", "/var/cache/r2"))
