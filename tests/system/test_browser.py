"""The catalog page as people meet it: in a real browser, on 10,000 tags, on a desk and on a phone.

No server: the browser asks for https://cr.example.com, and the test answers. Whatever else it asked for would be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.target import page as catalog_page
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.page.pulls import Pulls, with_pulls
from tests.parts.chromium import start_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

HOST = "https://cr.example.com"
DESK, PHONE = (1180, 800), (360, 740)
BOTH = {"linux/amd64": 3_401_234, "linux/arm64": 3_802_222}
MANY = {f"linux/cpu{number}": number << 20 for number in range(1, 12)}


def state(name: str, images: Mapping[str, int] | None = None, age: timedelta = timedelta()) -> TagState:
    now = datetime.now(UTC).replace(microsecond=0)
    return TagState(Digest.of(name.encode()), OCI_INDEX, 1000, None, now - age, images)


def rendered(**repositories: Mapping[str, TagState]) -> bytes:
    named = {name: RepositoryState("docker.io/x", tags) for name, tags in repositories.items()}
    return catalog_page.render(MirrorIndex(1, named))


def ten_thousand() -> bytes:
    days = timedelta(days=1)
    teams = {
        f"team{team:02}/app{number:02}": {
            f"1.{tag}.0": state(f"{team}/{number}/{tag}", BOTH, (team + tag) * days) for tag in range(100)
        }
        for team in range(10)
        for number in range(10)
    }
    return rendered(**teams, **{"library/alpine": alpine()})


def alpine() -> dict[str, TagState]:
    days = timedelta(days=1)
    return {
        "3.20": state("a20", MANY, 40 * days),
        "3.21": state("a21", {"unknown": 5000}, 2 * days),
        "latest": state("a21", {"unknown": 5000}, 2 * days),
        "old": state("old", None, 800 * days),
    }


CATALOG = ten_thousand()
ALPINE = rendered(**{"library/alpine": alpine()})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_chromium() as browser:
        yield browser


@dataclass
class Visit:
    """An open page, and what it asked for and complained of."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def search(self, words: str) -> None:
        """Types `words` and waits until the address has them, which is when the results are there."""
        self.page.locator("#search").fill(words)
        self.page.wait_for_function("words => decodeURIComponent(location.hash.slice(1)) === words", arg=words)


@contextmanager
def visit(
    browser: Browser, body: bytes = CATALOG, size: tuple[int, int] = DESK, url: str = f"{HOST}/", **options: Any
) -> Iterator[Visit]:
    """Opens the page; at the end nothing but the page itself may have been asked for, and nothing complained of."""
    viewport = {"width": size[0], "height": size[1]}
    with browser.new_context(viewport=viewport, **options) as context:  # type: ignore[arg-type]
        made = Visit(context.new_page())

        def answer(route: Route) -> None:
            made.asked.append(route.request.url)
            route.fulfill(body=body, content_type="text/html; charset=utf-8")

        context.route("**/*", answer)
        made.page.on("console", lambda message: made.complaints.append(message.text))
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.goto(url)
        yield made
        assert made.asked == [url.partition("#")[0]], "a request left the page"
        assert made.complaints == []


def test_it_opens_with_the_repositories_and_draws_no_more_than_is_looked_at(browser: Browser) -> None:
    with visit(browser) as seen:
        assert seen.texts("#summary") == ["101 repositories, 10,004 tags"]
        assert seen.page.title() == "cr.example.com \N{EN DASH} container images"
        names = seen.texts("#repositories h2")
        assert names[:2] == ["library/alpine", "team00/app00"]
        assert len(names) <= 100
        assert seen.page.locator(".tags").count() == 0
        assert seen.page.locator("*").count() < 2000
        seen.page.locator("#repositories > li").last.scroll_into_view_if_needed()
        seen.page.locator("#repositories h2", has_text="team09/app08").wait_for(state="attached")
        seen.page.locator("#repositories > li").last.scroll_into_view_if_needed()
        seen.page.locator("#repositories h2", has_text="team09/app09").wait_for(state="attached")
        assert len(seen.texts("#repositories h2")) == 101


def test_search_narrows_to_repositories_tags_platforms_and_digests(browser: Browser) -> None:
    with visit(browser) as seen:
        seen.search("alpine")
        assert seen.texts("#repositories h2") == ["library/alpine"]
        assert seen.texts("h3") == ["latest", "3.21", "3.20", "old"], "newest first, then the highest"
        assert seen.texts("#summary") == ["1 repository, 4 tags match"]
        seen.search("TEAM03 1.7.0 arm64")
        assert seen.texts("#summary") == ["10 repositories, 10 tags match"]
        assert seen.texts(".facts:nth-of-type(1)")[0] == "1 of 100 tags"
        seen.search("team03/app05:1.7.0")
        assert seen.texts("h3") == ["1.7.0"]
        seen.search(str(Digest.of(b"9/9/99"))[:20])
        assert seen.texts("h3") == ["1.99.0"]
        seen.search("<nothing>")
        assert seen.texts("#summary") == ["Nothing matches \N{LEFT DOUBLE QUOTATION MARK}<nothing>\N{RIGHT DOUBLE QUOTATION MARK}."]  # fmt: skip
        assert seen.page.locator("#repositories > li").count() == 0


def test_a_search_is_in_the_address_and_can_be_passed_on(browser: Browser) -> None:
    with visit(browser, url=f"{HOST}/index.html#alpine%203.20") as seen:
        assert seen.page.locator("#search").input_value() == "alpine 3.20"
        assert seen.texts("h3") == ["3.20"]
        seen.search("team01 app01")
        assert seen.page.url == f"{HOST}/index.html#team01%20app01"
    with visit(browser, url=f"{HOST}/#%") as seen:
        assert seen.texts("#summary") == ["101 repositories, 10,004 tags"]


def test_a_tag_shows_platforms_sizes_and_age(browser: Browser) -> None:
    with visit(browser, ALPINE, url=f"{HOST}/#alpine") as seen:
        rows = seen.page.locator(".tags > li")
        assert seen.texts(".tags time") == ["2 days ago", "2 days ago", "last month", "2 years ago"]
        assert rows.nth(0).locator(".platforms li").all_inner_texts() == ["image4.9 KiB"]
        wide = rows.nth(2).locator(".platforms")
        assert wide.locator("li").count() == 9
        wide.get_by_role("button", name="3 more").click()
        assert wide.locator("li").count() == 11
        assert wide.locator("li").last.locator("b").inner_text() == "9.0 MiB"
        assert rows.nth(3).locator(".platforms").count() == 0, "nobody noted it"
        assert rows.nth(1).locator(".digest").inner_text() == str(Digest.of(b"a21"))[:19]


def test_the_buttons_copy_the_pull_command_by_tag_and_by_digest(browser: Browser) -> None:
    with visit(browser, ALPINE, url=f"{HOST}/#alpine 3.20", permissions=["clipboard-read", "clipboard-write"]) as seen:
        command = "docker pull cr.example.com/library/alpine:3.20"
        assert seen.texts(".pull code") == [command]
        seen.page.get_by_role("button", name=f"Copy: {command}").click()
        seen.page.get_by_text("Copied", exact=True).wait_for()
        assert seen.page.evaluate("navigator.clipboard.readText()") == command
        seen.page.locator("#spoken", has_text=f"Copied {command}").wait_for(state="attached")
        seen.page.locator(".name .digest").click()
        seen.page.locator("#spoken", has_text="by digest").wait_for(state="attached")
        pinned = f"docker pull cr.example.com/library/alpine@{Digest.of(b'a20')}"
        assert seen.page.evaluate("navigator.clipboard.readText()") == pinned


def test_without_tls_it_copies_too(browser: Browser) -> None:
    """There is no navigator.clipboard then; what the selection holds at the time of the copy is what counts."""
    with visit(browser, ALPINE, url="http://mirror.internal/#alpine 3.20") as seen:
        assert seen.page.evaluate("navigator.clipboard === undefined")
        seen.page.evaluate("addEventListener('copy', () => { window.copied = document.activeElement.value; })")
        seen.page.locator(".copy").click()
        seen.page.get_by_text("Copied", exact=True).wait_for()
        assert seen.page.evaluate("window.copied") == "docker pull mirror.internal/library/alpine:3.20"


def test_a_long_list_of_tags_comes_in_pieces(browser: Browser) -> None:
    with visit(browser, url=f"{HOST}/#team05/app05") as seen:
        assert len(seen.texts("h3")) == 25
        seen.page.get_by_role("button", name="Show 25 more of 75").click()
        assert len(seen.texts("h3")) == 50
        seen.page.get_by_role("button", name="Show 25 more of 50").click()
        seen.page.get_by_role("button", name="Show 25 more of 25").click()
        assert len(seen.texts("h3")) == 100
        assert seen.page.locator(".more").is_hidden()
        assert seen.page.evaluate("document.activeElement.ariaLabel").startswith("Copy: docker pull"), "focus is kept"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, scheme: str) -> None:
    long = {"t" * 128: state("x", MANY), "1": state("y", BOTH)}
    body = rendered(**{f"{'r' * 80}/{'s' * 100}": long, "a": {"1": state("z")}})
    phone: dict[str, Any] = {"size": PHONE, "is_mobile": True, "has_touch": True, "color_scheme": scheme}
    for visited in (CATALOG, body):
        with visit(browser, visited, **phone) as seen:
            seen.page.locator("summary").first.click()
            seen.page.locator(".tags").first.wait_for()
            widths = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert widths == [PHONE[0], PHONE[0]]
            for button in seen.page.locator(".copy").all()[:3]:
                box = button.bounding_box()
                assert box
                assert box["height"] >= 44
                assert box["x"] + box["width"] <= PHONE[0]


def test_dark_mode_has_dark_ground_and_light_text(browser: Browser) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        with visit(browser, color_scheme=scheme) as seen:
            style = "getComputedStyle(document.body)"
            colors = seen.page.evaluate(f"[{style}.backgroundColor, {style}.color]")
            brightness[scheme] = [sum(int(part) for part in color[4:-1].split(",")) for color in colors]
    assert brightness["light"][0] > 600 > 200 > brightness["light"][1]
    assert brightness["dark"][0] < 200 < 600 < brightness["dark"][1]


def test_it_can_be_used_by_keyboard_alone(browser: Browser) -> None:
    with visit(browser, permissions=["clipboard-read", "clipboard-write"]) as seen:
        keys = seen.page.keyboard
        keys.press("/")
        keys.type("alpine latest")
        seen.page.get_by_text("1 repository, 1 tag match").wait_for()
        assert seen.page.locator("#search").input_value() == "alpine latest", "the slash itself is not typed"
        for stop in ("order", "summary", "digest", "copy"):
            keys.press("Tab")
            focused = seen.page.evaluate("(one => one.id || one.className || one.localName)(document.activeElement)")
            assert focused == stop
            assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        keys.press("Enter")
        seen.page.get_by_text("Copied", exact=True).wait_for()
        assert "library/alpine:latest" in seen.page.evaluate("navigator.clipboard.readText()")
        seen.page.locator("#search").focus()
        keys.press("Escape")
        assert seen.texts("#summary") == ["101 repositories, 10,004 tags"]
        seen.page.locator("summary").first.focus()
        keys.press("Enter")
        seen.page.locator(".tags").wait_for()


def test_everything_has_a_name_for_those_who_do_not_see(browser: Browser) -> None:
    with visit(browser, ALPINE, url=f"{HOST}/#alpine") as seen:
        assert seen.page.get_by_role("searchbox", name="Search repositories, tags, platforms and digests").count() == 1
        assert seen.page.get_by_role("combobox", name="Order").count() == 1
        assert seen.page.get_by_role("list", name="Tags of library/alpine").count() == 1
        assert seen.page.locator("button, input, select").evaluate_all(
            "all => all.filter(one => !one.ariaLabel && !one.textContent.trim() && !one.labels?.length).length"
        ) == 0  # fmt: skip
        assert seen.page.locator("#summary").get_attribute("role") == "status"
        assert seen.page.locator("html").get_attribute("lang") == "en"


def test_the_order_can_be_by_last_change(browser: Browser) -> None:
    body = rendered(a={"1": state("1", age=timedelta(days=9))}, b={"1": state("2", age=timedelta(days=1))})
    with visit(browser, body) as seen:
        assert seen.texts("h2") == ["a", "b"]
        seen.page.locator("#order").select_option("time")
        assert seen.texts("h2") == ["b", "a"]


def test_hostile_names_stay_text(browser: Browser) -> None:
    """No such name gets into an index; the page does not depend on that."""
    hostile = '</script><img src=x onerror="window.owned=1"><script>window.owned=1</script>'
    with visit(browser, rendered(**{hostile: {hostile: state("1", {hostile: 1})}})) as seen:
        assert seen.texts("h2") == [hostile]
        assert seen.texts("h3") == [hostile]
        assert hostile in seen.texts(".platforms li")[0]
        assert seen.page.evaluate("window.owned") is None
        assert seen.page.locator("img").count() == 0


def test_the_policy_keeps_injected_code_from_running_and_from_telling(browser: Browser) -> None:
    with visit(browser, rendered(a={"1": state("1")})) as seen:
        seen.page.evaluate(
            """() => {
                const script = document.createElement("script");
                try { script.textContent = "window.owned = 1"; document.body.append(script); } catch {}
                document.body.append(Object.assign(document.createElement("img"), {src: "https://evil.example/x"}));
                return fetch("https://evil.example/x").catch(() => null);
            }"""
        )
        assert seen.page.evaluate("window.owned") is None
        assert len(seen.complaints) >= 2
        assert all("Content Security Policy" in one or "TrustedScript" in one for one in seen.complaints)
        seen.complaints.clear()


def test_an_empty_bucket_says_so(browser: Browser) -> None:
    with visit(browser, rendered()) as seen:
        assert seen.texts("#summary") == ["There are no images here yet."]


def test_what_was_left_out_is_told(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_page, "LIMIT", catalog_page.MARGIN + 500)
    body = rendered(a={f"1.{number}": state(str(number), BOTH) for number in range(100)})
    with visit(browser, body) as seen:
        (note,) = seen.texts("#note")
        shown = len(seen.texts("h3"))
        assert note.startswith(f"Shown are the tags that changed last; {100 - shown} older ones are left out.")


def test_as_a_file_it_names_no_wrong_host(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(rendered(a={"1": state("1")}))
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"file://{tmp_path}/index.html")
        assert page.locator(".pull code").inner_text() == "docker pull REGISTRY/a:1"
        assert "put your registry" in page.locator("#note").inner_text()
    with visit(browser, rendered(a={"1": state("1")}), url="http://127.0.0.1:8333/bucket/index.html") as seen:
        assert seen.texts(".pull code") == ["docker pull REGISTRY/a:1"]


def test_without_javascript_the_repositories_are_listed(browser: Browser) -> None:
    with visit(browser, java_script_enabled=False) as seen:
        links = seen.page.locator("noscript a")
        assert links.count() == 101
        assert links.first.get_attribute("href") == "v2/library/alpine/tags/list"
        assert "needs JavaScript" in seen.page.locator("noscript .note").inner_text()


def test_pulls_are_shown_and_order_the_repositories_where_they_are_counted(browser: Browser) -> None:
    counts = {("library/alpine", "3.21"): 1200, ("library/alpine", "latest"): 1, ("constructor", "name"): 2000}
    named = {"library/alpine": alpine(), "constructor": {"name": state("c")}, "team/app": {"1": state("t")}}
    body = with_pulls(rendered(**named), Pulls(date(2026, 10, 27), date(2026, 11, 25), counts))
    with visit(browser, body) as seen:
        assert seen.texts("#summary") == ["3 repositories, 6 tags; pulls from 2026-10-27 to 2026-11-25"]
        assert seen.texts("#repositories h2 + .facts") == ["2,000 pulls", "1,201 pulls", "0 pulls"]
        seen.page.locator("#order").select_option("pulls")
        assert seen.texts("#repositories h2") == ["constructor", "library/alpine", "team/app"]
        seen.search("alpine 3.2")
        assert sorted(seen.texts(".name .facts")) == ["0 pulls", "1,200 pulls"]
    with visit(browser, ALPINE) as seen:
        assert "pulls" not in seen.page.locator("body").inner_text()
        assert seen.page.locator("#order option").count() == 2
