"""`dora web` and `dora run --web`: addresses, tokens, and that the page ends with its run."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from daemon.waiting import wait_gone
from dora.cli import web as web_module
from dora.cli.main import main
from dora.cli.web_command import web
from dora.errors import DoraError
from dora.web.server import listen, url_of

if TYPE_CHECKING:
    from pathlib import Path

NODE = """
from dora import Node
for event in Node():
    pass
"""
FLOW = "nodes: [{id: idle, path: idle.py, inputs: {tick: dora/timer/secs/1}}]"


def test_the_usual_port_gives_way_to_the_next_and_a_chosen_one_does_not() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        port = first.getsockname()[1]
        assert second.getsockname()[1] > port
        with pytest.raises(DoraError, match=rf"port {port}: in use; `--port 0`"):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_here_is_told() -> None:
    for host in ("203.0.113.7", "no-such-host.invalid"):
        with pytest.raises(DoraError, match=host):
            listen(host, 0)


def test_the_address_can_be_opened_as_it_is_printed() -> None:
    with listen("127.0.0.1", 0) as here:
        assert url_of(here) == f"http://127.0.0.1:{here.getsockname()[1]}/"
        assert url_of(here, "abc").endswith("/?token=abc")
        assert url_of(here, "a&b=#/%").endswith("/?token=a%26b%3D%23%2F%25")
    with listen("0.0.0.0", 0) as everywhere:
        assert f"http://{socket.gethostname()}:" in url_of(everywhere)


def test_wrong_usage_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for token in ("short", "a token with spaces", "пароль-длинный", "x" * 5000):
        with pytest.raises(DoraError, match="a token has 12 to 256"):
            CliRunner().invoke(web, ["--token", token], catch_exceptions=False)
    with pytest.raises(DoraError, match="no dataflow is running"):
        CliRunner().invoke(web, ["-d", "robot"], catch_exceptions=False)
    assert main(["web", "--port", "70000"]) == 2
    monkeypatch.setattr(web_module, "_NEEDS", {"no_such": "no_such_library"})
    with pytest.raises(DoraError, match=r"needs no_such_library.*pip install 'dora-py\[web\]'"):
        CliRunner().invoke(web, [], catch_exceptions=False)


def test_other_machines_need_the_token_that_is_printed() -> None:
    command = [sys.executable, "-m", "dora", "web", "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = re.search(rb"http://[^:]+:(\d+)/\?token=([\w-]{32})", process.stdout.readline())
        assert found is not None
        base = f"http://127.0.0.1:{found[1].decode()}/"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(base)
        answer = urllib.request.urlopen(f"{base}static/style.css?token={found[2].decode()}")
        assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"unencrypted" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_page_of_a_run_is_served_and_ends_with_it_however_that_ends(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "idle.py").write_text(NODE)
    (tmp_path / "flow.yml").write_text(FLOW)
    command = [sys.executable, "-m", "dora", "run", "flow.yml", "--web"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as run:
        assert run.stderr is not None
        url = run.stderr.readline().decode().removeprefix("web page: ").strip()
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert b"/static/app.js" in answer.read()
        (page,) = [pid for pid in children(run.pid) if b"dora.web" in command_of(pid)]
        run.send_signal(number)
        wait_gone([page])
        run.communicate(timeout=20)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def command_of(pid: int) -> bytes:
    """The command line of a process."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
