"""The full screen of `dora top`, driven by keys, against a daemon that tells canned states."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from tests.monitor.fake_daemon import daemon
from tests.monitor.states import CAMERA, EDGE, FLOW, LATER, PLOT, START, later
from textual.widgets import DataTable, Input, RichLog, Static

from dora.cli import node_changes, top_feed
from dora.cli.top_screen import Top
from dora.errors import DoraError
from dora.monitor.looks import Looks
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from textual.pilot import Pilot

DEADLINE_S = 20.0
SECOND = replace(LATER, dataflow=replace(FLOW, id="0191-bb", name="second"))


@pytest.fixture(autouse=True)
def _own_runtime_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(top_feed, "FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(top_feed, "LOG_EVERY_S", 0.02)


class Screen:
    """What is shown."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def base(self) -> Any:
        """The screen below any question."""
        return self.app.screen_stack[0]

    @property
    def told(self) -> str:
        return str(self.base.query_one("#told", Static).content)

    @property
    def log(self) -> list[str]:
        return [line.text for line in self.base.query_one("#log", RichLog).lines]

    @property
    def notices(self) -> list[str]:
        return [one.message for one in self.app._notifications]

    def table(self, name: str) -> DataTable[Any]:
        table = self.base.query_one(f"#{name}", DataTable)
        assert isinstance(table, DataTable)
        return table

    def rows(self, name: str) -> list[list[str]]:
        table = self.table(name)
        return [[str(cell) for cell in table.get_row_at(at)] for at in range(table.row_count)]

    def column(self, name: str, title: str) -> list[str]:
        titles = [str(one.label).rstrip("▲▼") for one in self.table(name).columns.values()]
        return [row[titles.index(title)] for row in self.rows(name)]

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, (self.told, self.rows("nodes"), self.log)
            await self.pilot.pause(0.01)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)


def drive(
    act: Callable[[Screen], Awaitable[None]],
    *,
    size: tuple[int, int] = (160, 50),
    interval_s: float = 0.1,
) -> None:
    """Run the application and act on it."""

    async def run() -> None:
        app = Top(Looks(), interval_s)
        async with app.run_test(size=size) as pilot:
            await act(Screen(app, pilot))

    asyncio.run(run())


@contextmanager
def robot(*states: Any) -> Iterator[None]:
    with daemon(states or [START, LATER]):
        yield


def test_it_shows_what_nodes_use_and_what_flows() -> None:
    async def act(screen: Screen) -> None:
        await screen.until(lambda: screen.column("edges", "RECV/S")[:1] == ["45.0"])
        assert screen.told == "robot  running  0190-aa"
        assert screen.column("nodes", "NODE") == ["camera", "plot", "viewer"]
        assert screen.column("nodes", "CPU") == ["150.0%", "0.0%", "-"]
        assert screen.column("nodes", "SENT/S") == ["50.0", "-", "-"]
        assert screen.column("nodes", "RECV/S") == ["-", "45.0", "-"]
        assert screen.column("edges", "OUTPUT") == ["camera/image", "camera/depth"]
        assert screen.column("edges", "QUEUE") == ["6/10", ""]
        assert screen.column("edges", "DROPPED") == ["4", ""]
        assert screen.column("edges", "P50") == ["193 us", ""]

    with robot():
        drive(act, interval_s=60)  # after the second look, nothing is measured


def test_tables_are_sorted_by_key_and_by_click_and_the_cursor_stays_on_its_node() -> None:
    async def act(screen: Screen) -> None:
        nodes = screen.table("nodes")
        await screen.until(lambda: nodes.row_count == 3)
        await screen.press("down")  # plot
        await screen.press("o", "i")  # by name, the last first
        assert screen.column("nodes", "NODE") == ["viewer", "plot", "camera"]
        assert nodes.cursor_row == 1
        await screen.press("o", "o", "o", "o")  # status, CPU, memory, restarts: largest first
        assert screen.column("nodes", "NODE") == ["camera", "plot", "viewer"]
        await screen.pilot.click(DataTable, offset=(2, 0))
        assert screen.column("nodes", "NODE") == ["camera", "plot", "viewer"]
        await screen.pilot.click(DataTable, offset=(2, 0))
        assert screen.column("nodes", "NODE") == ["viewer", "plot", "camera"]
        await screen.press("tab", "o", "i")
        assert screen.column("edges", "OUTPUT") == ["camera/image", "camera/depth"]

    with robot():
        drive(act)


def test_a_filter_leaves_what_has_the_text_until_escape() -> None:
    async def act(screen: Screen) -> None:
        await screen.until(lambda: screen.table("nodes").row_count == 3)
        await screen.press("slash", *"PLOTq", "backspace", "enter")
        assert screen.column("nodes", "NODE") == ["plot"]
        assert screen.column("edges", "INPUT") == ["plot/image"]
        assert screen.told.endswith("only `PLOT`")
        await screen.press("escape")
        assert screen.table("nodes").row_count == 3
        assert not screen.base.query_one(Input).display

    with robot():
        drive(act)


def test_the_log_of_the_selected_node_is_followed_until_it_is_held(tmp_path: Path) -> None:
    def put(node: str, *texts: str) -> None:
        with (tmp_path / f"log_{node}.jsonl").open("a") as file:
            for text in texts:
                row = {"ts": "2026-01-31T12:00:00Z", "level": "info", "node": node, "msg": text}
                file.write(json.dumps(row) + "\n")

    async def act(screen: Screen) -> None:
        await screen.until(lambda: len(screen.log) == 2)
        assert screen.log[0].endswith("camera: [one]")  # no markup
        put("camera", "\x1b[31mthree\x1b[0m")
        await screen.until(lambda: len(screen.log) == 3)
        assert screen.log[2].endswith("camera: three")
        await screen.press("down")
        await screen.until(lambda: [line[-9:] for line in screen.log] == ["plot: red"])
        await screen.press("f")
        assert str(screen.base.query_one("#log-title", Static).content) == "log of plot, held"
        await screen.press("f", "l")
        assert not screen.base.query_one("#log-pane").display

    put("camera", "[one]", "two")
    put("plot", "red")
    logged = replace(START, dataflow=replace(FLOW, log_dir=str(tmp_path)))
    with robot(logged):
        drive(act)


def test_a_node_is_stopped_or_restarted_once_that_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str, str]] = []

    def ask(action: str, node: str, dataflow: str) -> str:
        asked.append((action, node, dataflow))
        if action == "restart":
            raise DoraError("[no] such node")
        return "it was [done]"

    async def act(screen: Screen) -> None:
        await screen.until(lambda: screen.table("nodes").row_count == 3)
        await screen.press("down", "s")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.pilot.pause(0.3)  # figures come while the question stands
        await screen.press("n")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        assert asked == []
        for key, told in (("s", "it was [done]"), ("r", "[no] such node")):
            await screen.press(key)
            await screen.until(lambda: len(screen.app.screen_stack) == 2)
            await screen.press("y")
            await screen.until(partial(lambda told: told in screen.notices, told))
        assert asked == [("stop", "plot", "0190-aa"), ("restart", "plot", "0190-aa")]

    monkeypatch.setattr(node_changes, "ask_node", ask)
    with robot():
        drive(act)


def test_dataflows_are_switched_and_one_that_ends_stays_until_one_looks_away() -> None:
    async def act(screen: Screen) -> None:
        await screen.until(lambda: screen.told.startswith("no dataflow is running"))
        with daemon([START]):
            with daemon([SECOND]):
                await screen.until(lambda: screen.told == "1/2  robot  running  0190-aa")
                await screen.press("right_square_bracket")
                assert screen.told == "2/2  second  running  0191-bb"
            await screen.until(lambda: screen.told == "2/2  second  ended  0191-bb")
            assert screen.column("nodes", "NODE") == ["camera", "plot", "viewer"]
            await screen.press("s")  # there is nothing to stop any more
            assert len(screen.app.screen_stack) == 1
            await screen.press("left_square_bracket")
            assert screen.told == "robot  running  0190-aa"

    drive(act)


def test_nodes_that_die_come_and_go_are_shown_as_they_are() -> None:
    dead = later(LATER, 1.0, {}, state="finished", failed=True, pid=None)
    grown = replace(
        LATER, nodes=[replace(CAMERA, restarts=3), replace(PLOT, id="a-new-one-with-a-long-name")]
    )

    async def act(screen: Screen) -> None:
        await screen.until(lambda: screen.column("nodes", "STATUS")[:1] == ["Failed"])
        await screen.until(lambda: screen.column("nodes", "NODE")[1:] == ["a-new-o…g-name"])
        assert screen.column("nodes", "RESTARTS") == ["3", "0"]

    states = [START, *[dead] * 5, grown]
    with robot(*states):
        drive(act, size=(80, 24))


def test_a_daemon_that_does_not_tell_is_told_and_asked_again() -> None:
    async def act(screen: Screen) -> None:
        await screen.until(lambda: screen.told == "dataflow `robot`: not now")

    with daemon([START], "not now"):
        drive(act)


def test_names_are_shortened_on_a_narrow_terminal_and_whole_after_it_grew() -> None:
    long = replace(START, edges=[replace(EDGE, output="a_rather_long_name")])

    async def act(screen: Screen) -> None:
        await screen.until(lambda: screen.table("edges").row_count == 3)
        assert screen.column("edges", "OUTPUT")[0] == "camera/…ng_name"
        await screen.pilot.resize_terminal(160, 50)
        await screen.until(
            lambda: screen.column("edges", "OUTPUT")[0] == "camera/a_rather_long_name"
        )

    with robot(long):
        drive(act, size=(80, 24))


def test_of_many_lines_the_last_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    def put(first: int, last: int) -> None:
        rows = [
            {"ts": "2026-01-31T12:00:00Z", "level": "info", "node": "camera", "msg": f"{number}"}
            for number in range(first, last + 1)
        ]
        with (tmp_path / "log_camera.jsonl").open("a") as file:
            file.write("".join(f"{json.dumps(row)}\n" for row in rows))

    async def act(screen: Screen) -> None:
        await screen.until(lambda: len(screen.log) == 200)
        assert screen.log[0].endswith("camera: 801")
        put(1001, 1500)
        await screen.until(lambda: screen.log[-1].endswith("camera: 1500"))
        came = screen.log[200:]
        left_out = [int(line.split()[1]) for line in came if line.startswith("…")]
        assert sum(left_out) + len(came) - len(left_out) == 500

    put(1, 1000)
    with robot(replace(START, dataflow=replace(FLOW, log_dir=str(tmp_path)))):
        drive(act)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_is_left_by_q_and_by_ctrl_c(key: str) -> None:
    async def act(screen: Screen) -> None:
        await screen.press(key)
        await screen.until(lambda: not screen.app.is_running)
        assert screen.app.return_code == 0

    drive(act)
