"""The page in a real browser, used as people use it; `make test-web` installs what it takes."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from daemon.live import SOURCE, Live, write
from dora.web.previews import Preview
from dora.wire.visits import AskAdd

from .serving import Served
from .test_served import CAMERA

sync_api = pytest.importorskip("playwright.sync_api", reason="`make test-web` installs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
if CHROMIUM is None:
    pytest.skip("there is no chromium; `apt-get install chromium`", allow_module_level=True)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NASTY = "<img src=x onerror=alert(1)> & <b>bold</b>"
TALKER = f"""
from dora import Node
print({NASTY!r}, flush=True)
for event in Node():
    if event["type"] == "INPUT" and event["id"] == "die":
        raise RuntimeError("lost its power")
"""
BUTTON = """
import time
from dora import Node
from pathlib import Path
node = Node()
for event in node:
    if event["type"] == "INPUT" and Path("press").exists():
        Path("press").unlink()
        node.send_output("pressed", True)
"""
PAIRS = [
    ("ink", "surface"),
    ("ink", "canvas"),
    ("ink", "raised"),
    ("muted", "surface"),
    ("muted", "canvas"),
    ("muted", "raised"),
    *((name, "surface") for name in ("running", "starting", "restarting", "failed", "stopped")),
    *((name, "canvas") for name in ("restarting", "failed")),
    ("accent", "surface"),
    *((f"series-{at}", "surface") for at in range(1, 9)),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running browser."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """A camera, and a talker that dies when the file `press` is made."""
    nodes = {
        "camera": (
            CAMERA,
            {"inputs": {"tick": "dora/timer/millis/50"}, "outputs": ["image", "pose"]},
        ),
        "button": (
            BUTTON,
            {"inputs": {"tick": "dora/timer/millis/20"}, "outputs": ["pressed"]},
        ),
        "talker": (TALKER, {"inputs": {"image": "camera/image", "die": "button/pressed"}}),
    }
    with Live(tmp_path, nodes) as made:
        yield made


class Tab:
    """An open page; at the end, nothing of it may have been refused or gone wrong."""

    def __init__(self, browser: Any, url: str, **look: Any) -> None:
        self._context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | look))
        self.page = self._context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(url)
        self.page.wait_for_selector("main")

    def _heard(self, message: Any) -> None:
        expected = ("ERR_CONNECTION_REFUSED", "getImageData")
        if message.type in ("error", "warning") and not any(e in message.text for e in expected):
            self.complaints.append(message.text)

    def node(self, name: str) -> None:
        """Choose a node in the table."""
        self.page.get_by_role("tab", name="Nodes").click()
        self.page.locator(".listing").get_by_role("button", name=name).click()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._context.close()
        if kind is None:
            assert self.complaints == []


def test_a_node_that_was_chosen_shows_what_it_is_and_what_it_sends(
    live: Live, chromium: Any
) -> None:
    with Served() as served, Tab(chromium, served.url) as tab:
        page = tab.page
        sync_api.expect(page.locator(".listing tbody tr")).to_have_count(3)
        tab.node("camera")
        details = page.get_by_role("region", name="Details")
        sync_api.expect(details.get_by_role("heading", name="camera")).to_be_visible()
        picture = details.locator("canvas.picture")
        sync_api.expect(picture).to_be_visible()
        assert picture.evaluate("one => [one.width, one.height]") == [64, 48]
        before = page.evaluate(GREY)
        page.wait_for_function(f"before => {GREY} !== before", arg=before)  # it is alive
        details.get_by_role("button", name="pose").click()
        sync_api.expect(details.locator(".uplot canvas").last).to_be_visible()
        sync_api.expect(details.locator(".now")).to_contain_text("1.5")
        page.keyboard.press("Escape")
        sync_api.expect(details.get_by_role("heading", name="flow")).to_be_visible()


GREY = "document.querySelector('canvas.picture').getContext('2d').getImageData(9, 9, 1, 1).data[0]"


def test_what_nodes_say_is_text_and_nothing_else(live: Live, chromium: Any) -> None:
    with Served() as served, Tab(chromium, served.url) as tab:
        page = tab.page
        page.on("dialog", lambda dialog: tab.complaints.append(dialog.message))
        page.get_by_role("tab", name="Logs").click()
        line = page.get_by_role("log").get_by_text(NASTY)
        sync_api.expect(line).to_be_visible()
        assert page.locator("img[src=x], .line b").count() == 0
        page.get_by_label("Text").fill("no such line anywhere")
        sync_api.expect(page.get_by_text("No line fits the filter")).to_be_visible()
        page.get_by_label("Text").fill("BOLD")
        sync_api.expect(line).to_be_visible()


def test_a_node_that_dies_is_seen_at_once_and_may_be_started_again(
    live: Live, chromium: Any
) -> None:
    with Served() as served, Tab(chromium, served.url) as tab:
        tab.node("talker")
        details = tab.page.get_by_role("region", name="Details")
        sync_api.expect(details.locator(".chip")).to_contain_text("running")
        (live.folder / "press").touch()
        sync_api.expect(details.locator(".chip")).to_contain_text("failed")
        sync_api.expect(tab.page.locator(".legend")).to_contain_text("failed")
        row = tab.page.locator(".listing tr", has_text="talker")
        sync_api.expect(row).to_contain_text("failed")
        details.get_by_role("button", name="Start").click()
        sync_api.expect(details.locator(".chip")).to_contain_text("running")
        details.get_by_role("button", name="Stop").click()
        details.get_by_role("button", name="Really stop it?").click()
        sync_api.expect(details.locator(".chip")).to_contain_text("finished")


def test_parameters_are_set_and_deleted_by_hand(live: Live, chromium: Any) -> None:
    with Served() as served, Tab(chromium, served.url) as tab:
        tab.node("camera")
        page = tab.page
        page.get_by_label("New parameter").fill("fps")
        page.get_by_label("Its value").fill("60")
        page.keyboard.press("Enter")
        assert live.heard("param") == ["fps", 60]
        sync_api.expect(page.locator(".params")).to_contain_text("fps")
        page.get_by_role("button", name="Delete fps").click()
        sync_api.expect(page.get_by_text("None set")).to_be_visible()


def test_a_node_that_is_added_appears(live: Live, chromium: Any) -> None:
    with Served() as served, Tab(chromium, served.url) as tab:
        sync_api.expect(tab.page.locator(".listing tbody tr")).to_have_count(3)
        late = write(live.folder, "late", SOURCE)
        timer = {"inputs": {"tick": "dora/timer/secs/1"}, "outputs": ["out"]}
        live.ask(AskAdd(live.addition({"id": "late", "path": late, **timer})))
        sync_api.expect(tab.page.locator(".listing tbody tr")).to_have_count(4)


def test_the_page_outlives_its_server_and_the_dataflow(live: Live, chromium: Any) -> None:
    with Served() as first:
        port = int(first.host.rpartition(":")[2])
        tab = Tab(chromium, first.url)
    with tab:
        sync_api.expect(tab.page.get_by_role("alert")).to_contain_text("does not answer")
        with Served(port=port):
            sync_api.expect(tab.page.get_by_role("alert")).to_have_count(0)
            sync_api.expect(tab.page.locator(".bar .chip")).to_contain_text("running")
            tab.page.get_by_role("button", name="Stop", exact=True).first.click()
            tab.page.get_by_role("button", name="Stop all nodes?").click()
            sync_api.expect(tab.page.locator(".banner")).to_contain_text("flow has ended")
    live.wait_ended()


def test_a_preview_that_is_over_comes_back_while_its_node_runs_on(
    live: Live, chromium: Any
) -> None:
    """As when another daemon takes over, or a node is replaced between two looks."""
    with Served() as served, Tab(chromium, served.url) as tab:
        tab.node("camera")
        sync_api.expect(tab.page.locator("canvas.picture")).to_be_visible()
        for text in ("it was closed", "it was closed again"):
            (peek,) = served.hub._peeks.values()
            peek._post(Preview({"kind": "over", "text": text}))
            sync_api.expect(tab.page.locator(".preview .over")).to_contain_text(text)
            sync_api.expect(tab.page.locator("canvas.picture")).to_be_visible()
            sync_api.expect(tab.page.locator(".preview .over")).to_have_count(0)


def test_a_hidden_page_looks_at_nothing(live: Live, chromium: Any) -> None:
    with Served() as served, Tab(chromium, served.url) as tab:
        tab.node("camera")
        sync_api.expect(tab.page.locator("canvas.picture")).to_be_visible()
        hub = served.hub
        assert hub._watches
        assert any(not peek.over for peek in hub._peeks.values())
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        tell = "document.dispatchEvent(new Event('visibilitychange'))"
        tab.page.evaluate(hide % "true" + tell)
        live.until(lambda: not hub._watches and not hub._peeks, "nobody looks")
        tab.page.evaluate(hide % "false" + tell)
        live.until(lambda: bool(hub._watches and hub._peeks), "somebody looks again")


def test_the_keyboard_is_enough(live: Live, chromium: Any) -> None:
    with Served() as served, Tab(chromium, served.url) as tab:
        page = tab.page
        sync_api.expect(page.locator(".listing tbody tr")).to_have_count(3)
        page.get_by_label("Filter nodes").focus()
        page.keyboard.type("talk")
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent").strip().endswith("talker"):
                break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        sync_api.expect(page.get_by_role("heading", name="talker")).to_be_visible()


def test_a_phone_shows_one_thing_at_a_time_and_nothing_sticks_out(
    live: Live, chromium: Any
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with Served() as served, Tab(chromium, served.url, **phone) as tab:
        page = tab.page
        views = page.get_by_role("navigation", name="Views")
        for view, there in (
            ("Nodes", ".listing"),
            ("Logs", ".logs"),
            ("Edges", ".listing"),
            ("Details", ".details"),
            ("Graph", ".graph .canvas"),
        ):
            views.get_by_role("button", name=view).tap()
            sync_api.expect(page.locator(there)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        sync_api.expect(page.locator(".details")).not_to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(scheme: str, chromium: Any) -> None:
    with Served() as served:
        context = chromium.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(served.url)
        for text, ground in PAIRS:
            one, other = (
                luminance(
                    page.evaluate(f"getComputedStyle(document.body).getPropertyValue('--{n}')")
                )
                for n in (text, ground)
            )
            ratio = (max(one, other) + 0.05) / (min(one, other) + 0.05)
            assert ratio >= 4.5, f"{text} on {ground} ({scheme}): {ratio:.2f}"
        context.close()


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    found = re.fullmatch(r"\s*#(..)(..)(..)\s*", colour)
    assert found is not None, colour
    linear = [
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4
        for one in (int(two, 16) / 255 for two in found.groups())
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
