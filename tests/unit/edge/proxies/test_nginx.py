"""nginx's configuration as text; that it does what the rules say is tested with nginx in tests/system/edge."""

from __future__ import annotations

import re

from reconciler.edge.config import EdgeConfig
from reconciler.edge.proxies.nginx import nginx
from reconciler.edge.proxies.site import make_site
from reconciler.edge.rules import edge_rules

RULES = edge_rules(EdgeConfig("", "cr.example.com"))


def variables(text: str) -> set[str]:
    return set(re.findall(r"^map .+ \$(r2mirror_\w+) \{", text, re.MULTILINE))


def test_each_variable_is_defined_once_and_before_nothing_else_uses_it() -> None:
    text = nginx(RULES, make_site("https://cr.example.com", "http://127.0.0.1:8333/images", "/var/cache/r2"))
    names = re.findall(r"^map .+ \$(r2mirror_\w+) \{", text, re.MULTILINE)
    assert len(names) == len(set(names)) > 20
    captured = set(re.findall(r"\?<(\w+)>", text))
    assert set(re.findall(r"\$(r2mirror_\w+)", text)) == {*names, *captured}
    assert max(map(len, captured)) <= 32, "more is not a name in PCRE"


def test_two_sites_share_no_name() -> None:
    first, second = (
        nginx(RULES, make_site(url, "http://127.0.0.1:8333/images")) for url in ("http://a.example", "http://b.example")
    )
    assert not variables(first) & variables(second)


def test_https_at_both_ends() -> None:
    text = nginx(RULES, make_site("https://cr.example.com:8443", "https://s3.example.com/images"))
    assert "listen 8443 ssl;" in text
    assert "ssl_certificate /etc/letsencrypt/live/cr.example.com/fullchain.pem;" in text
    assert "proxy_ssl_name s3.example.com;" in text
    assert "proxy_ssl_verify on;" in text
    plain = nginx(RULES, make_site("http://192.0.2.1", "http://s3.example.com/images"))
    assert "listen 192.0.2.1:80;" in plain
    assert "ssl" not in plain
