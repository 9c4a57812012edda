# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run in headless Chromium. Screenshots and the print go to tests/output/evidence."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.banking.platform.plugins.plugin_utils import evidence, record
from ansible_collections.banking.platform.tests.integration.evidence import data
from ansible_collections.banking.platform.tools.suites import CLONE, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOTS = CLONE / "tests" / "output" / "evidence"
DESK, PHONE = (1280, 900), (360, 740)
SCRIPT = "<script>document.title = 'caught'</script><img src=x onerror=\"document.title = 'caught'\">"

# The contrast of every text with what is painted behind it (WCAG 2.2, 1.4.3); those below 4.5 to 1.
CONTRAST = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = colour => colour.slice(0, 3).map(c => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    const bar = element.closest('svg svg') && element.closest('svg svg').querySelector('rect');
    if (bar) return parts(getComputedStyle(bar).fill);
    for (let e = element; e; e = e.parentElement) {
      const found = parts(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const bad = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || element.tagName === 'title') continue;
    const style = getComputedStyle(element);
    const text = light(parts(element instanceof SVGElement ? style.fill : style.color)), back = light(behind(element));
    const ratio = (Math.max(text, back) + .05) / (Math.min(text, back) + .05);
    seen += 1;
    const what = `${element.tagName}.${element.getAttribute('class')} ${walk.currentNode.data.trim()}`;
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${what.slice(0, 60)}`);
  }
  return {bad: [...new Set(bad)], seen};
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium())
        yield found
        found.close()


class Opened:
    """A page in the browser, with what it asked for and what the console said."""

    def __init__(self, browser: Browser, path: Path, size: tuple[int, int] = DESK, **options: Any) -> None:
        viewport = {"width": size[0], "height": size[1]}
        self.page: Page = browser.new_page(viewport=viewport, **options)  # type: ignore[arg-type]
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.goto(path.as_uri())


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run on nine nodes that failed on two of them."""
    path = tmp_path_factory.mktemp("failed") / record.FILES[2]
    record.write_whole(path, evidence.render(data.made(failed=True)))
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host, a task and the like that are named by somebody who wants to run a script in the reader's browser."""
    run = data.made(failed=True)
    run["hosts"][SCRIPT] = {"ok": 1}
    run["user"] = SCRIPT
    run["failures"].append({"host": SCRIPT, "task": SCRIPT, "cause": SCRIPT, "next_step": SCRIPT})
    for task in run["tasks"]:
        task["name"] = task["role"] = SCRIPT
        for result in task["results"]:
            result["host"] = SCRIPT
    run["topology"]["nodes"][0] |= {"name": SCRIPT, "workloads": [SCRIPT]}
    run["topology"]["environment"] = SCRIPT
    run["quorum"][0]["losses"][0]["arithmetic"] = f'" onmouseover="{SCRIPT}'
    path = tmp_path_factory.mktemp("hostile") / record.FILES[2]
    record.write_whole(path, evidence.render(run))
    return path


def test_it_asks_for_nothing_and_breaks_no_rule_of_its_policy(browser: Browser, failed: Path) -> None:
    opened = Opened(browser, failed)
    assert (opened.asked, opened.said) == ([failed.as_uri()], [])
    assert opened.page.evaluate("getComputedStyle(document.querySelector('.zones')).display") == "grid"


def test_names_that_are_scripts_are_shown_and_do_nothing(browser: Browser, hostile: Path) -> None:
    opened = Opened(browser, hostile)
    assert opened.page.title() != "caught"
    assert opened.page.locator("script, img, [onmouseover]").count() == 0
    assert opened.page.locator("h1").inner_text() == SCRIPT
    assert opened.asked == [hostile.as_uri()]


def test_the_policy_stops_what_escaping_would_let_through(browser: Browser, failed: Path, tmp_path: Path) -> None:
    path = tmp_path / "injected.html"
    path.write_text(failed.read_text(encoding="utf-8").replace("<h1>", f"{SCRIPT}<h1>"), encoding="utf-8")
    opened = Opened(browser, path)
    assert opened.page.title() != "caught"
    assert any("Content Security Policy" in text for text in opened.said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_both_schemes(browser: Browser, failed: Path, scheme: Any) -> None:
    page = Opened(browser, failed, color_scheme=scheme).page
    page.screenshot(path=SHOTS / f"{scheme}.png", full_page=True)
    page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
    found = page.evaluate(CONTRAST)
    assert found["bad"] == []
    assert found["seen"] > 500
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) > 380) == (scheme == "light")


def test_a_phone_scrolls_down_and_only_tables_sideways(browser: Browser, failed: Path) -> None:
    page = Opened(browser, failed, PHONE).page
    page.screenshot(path=SHOTS / "phone.png", full_page=True)
    page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


def test_the_keyboard_reaches_everything_in_order(browser: Browser, failed: Path) -> None:
    page = Opened(browser, failed).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    # Every place where something can be opened or scrolled is one that Tab stops at.
    stuck = "it => it.matches(':not(summary)') && it.scrollWidth > it.clientWidth && it.tabIndex < 0"
    assert page.evaluate(f"[...document.querySelectorAll('.scroll, pre')].filter({stuck}).length") == 0
    page.locator("details.role > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.role").first.evaluate("it => it.open")


def test_its_parts_have_names_for_those_who_hear_it(browser: Browser, failed: Path) -> None:
    page = Opened(browser, failed).page
    for part in ("banner", "main", "navigation", "contentinfo"):
        assert page.get_by_role(part).count() == 1
    assert page.get_by_role("region", name="Failures").count() == 1
    assert page.get_by_role("rowheader", name="etcd: members").count() == 1
    assert page.get_by_role("img", name="cp-a1: 5m 00s").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(it => +it.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_bars_are_drawn_as_long_as_they_should_be(browser: Browser, failed: Path) -> None:
    page = Opened(browser, failed).page
    for piece, text in zip(
        page.locator(".bars svg").all()[:8], page.locator(".bars svg ~ small:last-child").all(), strict=False
    ):
        drawn = piece.evaluate("it => it.children[1].getBoundingClientRect().width / it.getBoundingClientRect().width")
        assert round(100 * drawn) == pytest.approx(int(text.inner_text().split()[0]), abs=1)
    left = "it => it.querySelector('svg svg rect').getBoundingClientRect().left"
    roles = [row.evaluate(left) for row in page.locator(".timeline tbody").nth(1).locator("tr:has(svg)").all()]
    assert len(roles) == len(data.ROLES)
    assert roles == sorted(set(roles))


def test_it_prints_on_a4_with_what_is_folded(browser: Browser, failed: Path) -> None:
    page = Opened(browser, failed, (718, 1000)).page
    arithmetic = page.get_by_text("3 members, 1 in zone-a: losing zone-a leaves 2 of 3, majority is 2").first
    assert not arithmetic.is_visible()
    printed = page.pdf(path=SHOTS / "print.pdf", prefer_css_page_size=True)
    assert {tuple(map(round, map(float, box.split()))) for box in re.findall(rb"/MediaBox \[([^\]]*)\]", printed)} == (
        {(0, 0, 595, 842)}
    )
    page.emulate_media(media="print")
    page.screenshot(path=SHOTS / "print.png", full_page=True)
    assert arithmetic.is_visible()
    assert not page.get_by_role("navigation").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert page.evaluate(CONTRAST)["bad"] == []


def test_a_hundred_hosts_with_three_hundred_tasks_can_still_be_used(browser: Browser, tmp_path: Path) -> None:
    run = data.made(workers=33, tasks=50)
    assert sum(len(task["results"]) for task in run["tasks"]) == 102 * 300
    path = tmp_path / record.FILES[2]
    began = time.monotonic()
    record.write_whole(path, evidence.render(run))
    rendered = time.monotonic() - began
    page = Opened(browser, path).page
    shown = time.monotonic() - began
    print(f"102 hosts, 300 tasks: rendered in {rendered:.2f} s, {path.stat().st_size} bytes, shown in {shown:.2f} s")
    assert path.stat().st_size < 2 * 1024**2
    assert page.locator("*").count() < 30_000
    assert page.get_by_role("img", name="worker-c33: ").count() == 1
