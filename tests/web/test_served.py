"""The whole server with a real dataflow: looked at, changed as a page does it, and attacked."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from daemon.live import SOURCE, Live
from dora.web import server

from .serving import DEADLINE_S, Served

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a-long-enough-token"
FEW_HZ = {"inputs": {"tick": "dora/timer/millis/20"}, "outputs": ["image", "pose"]}
CAMERA = """
import numpy as np
from dora import Node
node = Node()
n = 0
for event in node:
    if event["type"] == "INPUT":
        node.send_output("image", np.full((48, 64, 3), n % 250, np.uint8), {"n": n})
        node.send_output("pose", np.array([1.5, n], np.float32))
        if n % 10 == 0:
            print("frame", n, flush=True)
        n += 1
    elif event["type"] == "PARAM_UPDATE":
        say("param", event["id"], event["value"])
    elif event["type"] == "STOP":
        break
say("ended")
"""
PLOT = """
from dora import Node
for event in Node():
    say(event["type"], event.get("id"))
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    nodes = {
        "camera": (CAMERA, FEW_HZ),
        "plot": (PLOT, {"inputs": {"frame": "camera/image", "other": "clock/out"}}),
        "clock": (SOURCE, {"inputs": {"tick": "dora/timer/secs/60"}, "outputs": ["out"]}),
    }
    with Live(tmp_path, nodes) as made:
        made.heard("INPUT", "plot")
        yield made


# ---- what a page is told ----


def test_a_page_is_told_which_dataflows_run_and_how_one_stands_again_and_again(
    live: Live,
) -> None:
    with Served() as served, served.page() as page:
        assert page.hear("hello")["read_only"] is False
        first = page.watch("flow")
        assert [node["id"] for node in first["nodes"]] == ["camera", "plot", "clock"]
        second = page.hear("state")
        edge = second["edges"][0]
        assert (edge["from"], edge["to"]) == ("camera", "plot")
        assert edge["hz"] > 0
        assert edge["p50_ms"] > 0


def test_images_and_numbers_are_shown_one_at_a_time_to_each_page_that_looks(live: Live) -> None:
    with Served() as served, served.page() as one, served.page() as other:
        for page in (one, other):
            page.watch()
            page.say("peek", output="camera/image")
        numbers = []
        for _ in range(3):
            told = one.hear("preview", output="camera/image")
            assert (told["kind"], told["width"], told["height"]) == ("image", 64, 48)
            assert told["content"].startswith(b"\x89PNG")
            numbers.append(int(told["metadata"]["n"]))
            one.say("shown", output="camera/image")
        assert numbers == sorted(set(numbers))
        other.hear("preview", output="camera/image")  # and no second one before it was shown
        other.say("peek", output="camera/pose")
        told = other.hear("preview")
        assert (told["output"], told["kind"], told["values"][0]) == ("camera/pose", "series", 1.5)
        one.say("unpeek", output="camera/image")
        other.say("shown", output="camera/image")
        other.hear("preview", output="camera/image")


def test_an_output_that_is_not_there_is_told(live: Live) -> None:
    with Served() as served, served.page() as page:
        page.watch()
        page.say("peek", output="camera/imagge")
        assert "imagge" in page.hear("preview", kind="over")["text"]


def test_logs_are_the_last_lines_then_those_that_come_filtered(live: Live) -> None:
    with Served() as served, served.page() as page:
        page.watch()
        page.say("logs", on=True, node="camera", level="stdout", text="frame", n=1)
        lines: list[dict[str, Any]] = []
        while len(lines) < 4:
            told = page.hear("logs", n=1)
            lines += told["lines"]
        assert [line["text"] for line in lines[:4]] == [f"frame {n}" for n in (0, 10, 20, 30)]
        assert {line["node"] for line in lines} == {"camera"}
        page.say("logs", on=True, node=None, level="error", text="", n=2)
        assert page.hear("logs", n=2)["lines"] == []


def test_a_dataflow_that_ends_is_told_and_the_list_is_shorter(live: Live) -> None:
    with Served() as served, served.page() as page:
        flow = page.watch()["flow"]
        assert page.do("stop_flow")["ok"]
        page.hear("ended", flow=flow)
        assert page.hear("flows")["flows"] == []
        page.say("watch", flow=flow)
        assert "ended" in page.hear("ended", flow=flow)["why"]
    live.wait_ended()


# ---- what a page does ----


def test_nodes_are_restarted_stopped_and_started_again_wired_as_before(live: Live) -> None:
    with Served() as served, served.page() as page:
        page.watch()
        assert page.do("restart", node="camera")["ok"]
        page.hear("state")
        assert live.state("camera").restarts == 1
        assert page.do("stop", node="camera")["ok"]
        assert live.state("camera").state == "finished"
        assert not page.do("restart", node="camera")["ok"]
        live.all_heard("INPUT", "plot")
        told = page.do("start", node="camera")
        assert told["ok"], told
        live.heard("INPUT", "plot")
        assert page.do("start", node="camera")["text"] == "node `camera` has not ended"
        assert "did you mean" in page.do("stop", node="camra")["text"]


def test_parameters_are_set_listed_and_deleted_and_a_bare_word_is_text(live: Live) -> None:
    with Served() as served, served.page() as page:
        page.watch()
        assert page.do("params", node="camera")["params"] == {}
        assert page.do("param_set", node="camera", key="fps", value="60")["ok"]
        assert live.heard("param") == ["fps", 60]
        told = page.do("param_set", node="camera", key="mode", value="night")
        assert told["params"] == {"fps": "60", "mode": '"night"'}
        assert page.do("param_delete", node="camera", key="fps")["params"] == {"mode": '"night"'}
        wrong = page.do("param_set", node="camera", key="mode", value='{"a": ')
        assert not wrong["ok"]
        assert "JSON" in wrong["text"]


def test_a_server_that_only_looks_changes_nothing(live: Live) -> None:
    with Served(read_only=True) as served, served.page() as page:
        assert page.hear("hello")["read_only"] is True
        page.watch()
        for action in ("stop", "restart", "start", "stop_flow", "param_set", "record_start", "x"):
            told = page.do(action, node="camera", key="fps", value="1")
            assert not told["ok"]
            assert "read-only" in told["text"]
        assert page.do("params", node="camera")["ok"]
        assert live.state("camera").restarts == 0


# ---- who may ----


def test_a_stranger_gets_neither_the_page_nor_the_socket() -> None:
    with Served() as served:
        assert httpx.get(served.url).status_code == 200
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        }
        for headers in ({"Host": "evil.example"}, {"Origin": "http://localhost:1"}):
            assert httpx.get(served.url, headers=headers).status_code == 403
            refused = httpx.get(f"{served.url}ws", headers=upgrade | headers)
            assert refused.status_code == 403
        with served.page() as page:
            page.hear("hello")


def test_the_token_is_asked_for_and_moves_from_the_address_into_a_cookie() -> None:
    with Served(token=TOKEN) as served, httpx.Client() as browser:
        asked = browser.get(served.url)
        assert asked.status_code == 401
        assert "<form" in asked.text
        assert browser.get(f"{served.url}?token=wrong").status_code == 401
        answer = browser.get(f"{served.url}?token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite" in cookie
        assert browser.get(served.url).status_code == 200
        with pytest.raises(InvalidStatus, match="403"), served.page():
            pass
        with served.page(Authorization=f"Bearer {TOKEN}") as page:
            page.hear("hello")
        with served.page(Cookie=cookie.partition(";")[0].replace(TOKEN.lower(), TOKEN)) as page:
            page.hear("hello")


def test_every_answer_tells_browsers_to_load_nothing_from_elsewhere() -> None:
    with Served() as served:
        for path in ("", "static/app.js", "nothing-there"):
            headers = httpx.get(served.url + path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"


def test_nothing_beside_the_static_files_is_given_out() -> None:
    with Served() as served:
        for path in ("static/../server.py", "static/%2e%2e/server.py", "static//etc/passwd"):
            assert httpx.get(served.url + path).status_code == 404


# ---- hostile clients ----


def dropped(connection: socket.socket) -> bool:
    """Whether the server ends a connection; what it says before is read over."""
    connection.settimeout(DEADLINE_S)
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_who_never_ends_a_request_is_dropped_and_a_page_that_says_nothing_is_not(
    monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr(server, "_IDLE_S", 0.3)
    with Served() as served, served.page() as page:
        page.hear("hello")
        host, _, port = served.host.partition(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(first + b"GET / HTTP/1.1\r\nX: ")
            assert dropped(slow)
        assert page.socket.ping().wait(DEADLINE_S)


def test_there_is_an_end_to_how_many_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 3)
    with Served() as served, ExitStack() as opened:
        host, _, port = served.host.partition(":")
        made = [opened.enter_context(socket.create_connection((host, int(port)))) for _ in range(4)]
        assert dropped(made[3])
        made[0].shutdown(socket.SHUT_WR)
        assert dropped(made[0])  # and is counted no more
        with served.page() as page:
            page.hear("hello")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{",
        "null",
        '{"t": "nothing"}',
        '{"t": "watch"}',
        '{"t": "watch", "flow": 7}',
        '{"t": "do", "n": "x", "action": "stop"}',
        "[" * 30_000,
        b"\xff\xfe\x00",
        "x" * 200_000,
    ],
    ids=lambda said: str(said[:20]),
)
def test_what_no_page_says_costs_a_client_its_connection_and_nobody_else_theirs(
    said: str | bytes,
) -> None:
    with Served() as served, served.page() as good:
        with served.page() as bad:
            bad.hear("hello")
            bad.socket.send(said)
            with pytest.raises(ConnectionClosed):
                bad.hear("nothing like it")
        good.say("watch", flow="0000")
        good.hear("ended", flow="0000")


def test_ids_of_a_client_reach_no_other_socket_of_this_user(live: Live) -> None:
    with Served() as served, served.page() as page:
        page.watch()
        for flow in ("../../tmp/x", "", "daemon-user"):
            page.say("watch", flow=flow)
            page.hear("ended", flow=flow)
            assert not page.do("stop_flow")["ok"]
        live.heard("INPUT", "plot")


def test_clients_that_say_nothing_or_leave_in_the_midst_hold_nobody_up(live: Live) -> None:
    with Served() as served:
        host, port = served.host.split(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(20)]
        silent[0].sendall(b"GET / HTTP/1.1\r\nHost: ")
        for _ in range(5):
            with served.page() as page:
                page.watch()
                page.say("peek", output="camera/image")
                page.say("logs", on=True)
                page.socket.socket.shutdown(socket.SHUT_RDWR)
        with served.page() as page:
            page.watch()
            page.say("peek", output="camera/image")
            page.hear("preview")
        for one in silent:
            one.close()


def test_pages_beyond_the_most_are_sent_away() -> None:
    from dora.web.app import MOST_BROWSERS

    with Served() as served, ExitStack() as pages:
        for _ in range(MOST_BROWSERS):
            pages.enter_context(served.page()).hear("hello")
        with served.page() as late, pytest.raises(ConnectionClosed, match="too many"):
            late.hear("hello")


def test_taps_are_closed_when_nobody_looks(live: Live) -> None:
    def pipes() -> int:
        links = [Path("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
        return sum(1 for link in links if link.is_symlink() and "pipe:" in os.readlink(link))

    with Served() as served, served.page() as page:
        page.watch()
        page.hear("state")
        before = pipes()
        page.say("peek", output="camera/image")
        page.hear("preview")
        assert pipes() > before
        page.say("watch", flow=None)
        live.until(lambda: pipes() == before, "the tap is closed")
