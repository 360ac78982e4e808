"""`dora logs` as a user types it: looks, filters, exit statuses, following."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dora.cli.main import main
from dora.cli.options import parse_moment
from dora.daemon.logs import LogFile, LogLine
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

DORA = Path(sys.executable).with_name("dora")
ID = "01993e00-0000-7000-8000-000000000001"
DEADLINE_S = 30.0
NODE = """
from pathlib import Path
from dora import Node
node = Node()
print("up", flush=True)
for event in node:
    if Path("end").exists():
        break
print("down")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log folder of an ended dataflow, at noon, three nodes; the daemon is one of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DORA_RUNTIME_DIR", str(tmp_path / "runtime"))
    for name in ("DORA_LOG_LEVEL", "DORA_LOG_FORMAT", "DORA_LOG_FILTER"):
        monkeypatch.delenv(name, raising=False)
    put(tmp_path, LogLine("arm", "stdout", "info", "moved", "2026-01-31T10:00:00.000Z", "motor"))
    put(tmp_path, LogLine("eye", "stdout", "stdout", "saw", "2026-01-31T10:00:01.000Z"))
    put(tmp_path, LogLine("dora", "stderr", "warn", "hm", "2026-01-31T10:00:02.000Z"))
    put(tmp_path, LogLine("arm", "stderr", "error", "stuck", "2026-01-31T10:00:03.000Z"))
    return tmp_path / "out" / ID


@pytest.fixture(autouse=True)
def _zone() -> Iterator[None]:
    """Two hours ahead of UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Etc/GMT-2")
        time.tzset()
        yield
    time.tzset()


def put(where: Path, line: LogLine) -> None:
    folder = where / "out" / ID
    folder.mkdir(parents=True, exist_ok=True)
    file = LogFile(folder, line.node, None, 5)
    file.write([line])
    file.close()


def started(*args: str, **more: object) -> subprocess.Popen[str]:
    """A `dora` whose words come line by line."""
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [str(DORA), *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
    )


def test_lines_have_their_own_local_time_and_are_merged_over_the_nodes(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs"]) == 0
    assert capfd.readouterr().out == (
        "12:00:00 INFO   arm: motor moved\n"
        "12:00:01 stdout eye: saw\n"
        "12:00:02 WARN   [dora]: hm\n"
        "12:00:03 ERROR  arm: stuck\n"
    )


@pytest.mark.parametrize(
    ("flags", "messages"),
    [
        ("--all-nodes", "moved saw hm stuck"),
        ("-n arm", "moved stuck"),
        ("--node dora", "hm"),
        ("--tail 2", "hm stuck"),
        ("--tail 0", ""),
        ("--level warn", "hm stuck"),
        ("--level warn --log-filter arm=info,dora=error", "moved stuck"),
        ("--grep MOTOR", "moved"),
        ("--grep s --tail 1 --level info", "stuck"),
        ("--since 2026-01-31T10:00:01Z", "saw hm stuck"),
        ("--until 2026-01-31T12:00:01", "moved saw"),
        ("--since 10s", ""),
        ("--until 10s --tail 1", "stuck"),
        ("--local -f", "moved saw hm stuck"),
        (f"{ID[:8]} --coordinator-addr 1.2.3.4 --tail 1", "stuck"),
    ],
)
def test_flags_choose_lines(
    folder: Path, flags: str, messages: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", "--log-format", "json", *flags.split()]) == 0
    shown = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [record["message"] for record in shown] == messages.split()
    assert all(record["dataflow_id"] == ID for record in shown)


def test_the_environment_gives_level_format_and_filter(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_LOG_LEVEL", "error")
    monkeypatch.setenv("DORA_LOG_FORMAT", "compact")
    monkeypatch.setenv("DORA_LOG_FILTER", "eye=stdout")
    assert main(["logs"]) == 0
    assert capfd.readouterr().out == "12:00:01 STDOUT eye: saw\n12:00:03 ERROR arm: stuck\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--all-nodes -n arm", "exclude each other"),
        ("--since 1h --until 2h", "`--since` is later than `--until`"),
        ("--since soon", "`soon` is no time; write how long ago, e.g. 30s"),
        ("--level lous", "`lous` is no log level"),
        ("--log-filter arm", "`arm` is no filter"),
        ("--tail -1", "--tail"),
    ],
)
def test_wrong_usage_is_status_2(
    folder: Path, flags: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", *flags.split()]) == 2
    assert told in capfd.readouterr().err


def test_a_node_that_is_not_there_is_told_with_the_one_meant(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", "-n", "amr"]) == 1
    assert capfd.readouterr().err == (
        "[ERROR] there are no logs of a node `amr`; did you mean `arm`? (nodes: arm, dora, eye)\n"
    )


def test_damage_is_shown_as_it_stands_and_what_cannot_be_read_is_status_1(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with open(folder / "log_eye.jsonl", "ab") as file:
        file.write(b"\xffhalf a li")
    with open(folder / "log_aaa.jsonl", "w") as text:
        text.write("no time at all\n")
    assert main(["logs", "--tail", "9"]) == 0
    shown = capfd.readouterr().out.splitlines()
    assert shown[0] == "--:--:-- stdout aaa: no time at all"
    assert shown[3] == "12:00:01 stdout eye: \N{REPLACEMENT CHARACTER}half a li"
    (folder / "log_zzz.jsonl").mkdir()
    assert main(["logs", "--tail", "1"]) == 1
    out, err = capfd.readouterr()
    assert out == "12:00:03 ERROR  arm: stuck\n"
    assert err == (f"WARNING `out/{ID}/log_zzz.jsonl` cannot be read: it is no regular file\n")


def test_colours_are_for_terminals(folder: Path) -> None:
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    env.pop("NO_COLOR", None)
    done = subprocess.run([str(DORA), "logs", "--tail", "1"], stdout=slave, env=env, check=True)
    assert done.returncode == 0
    os.close(slave)
    assert b"\x1b[31mERROR" in os.read(master, 1000)
    os.close(master)


def test_following_ends_with_the_dataflow_when_all_was_shown(folder: Path) -> None:
    listener = endpoint.Listener(endpoint.address_of(ID))
    logs = started("logs", "--local", "-f", "--tail", "1", "--log-filter", "eye=info")
    assert logs.stdout is not None
    assert logs.stdout.readline().endswith("stuck\n")
    put(folder.parent.parent, LogLine("new", "stdout", "info", "joined", "2026-01-31T10:00:04Z"))
    assert logs.stdout.readline() == "12:00:04 INFO   new: joined\n"
    put(folder.parent.parent, LogLine("eye", "stdout", "debug", "hidden", "2026-01-31T10:00:04Z"))
    put(folder.parent.parent, LogLine("eye", "stdout", "info", "last", "2026-01-31T10:00:05Z"))
    with open(folder / "log_arm.jsonl", "a") as file:
        file.write("cut off")
    listener.close()
    rest, _ = logs.communicate(timeout=DEADLINE_S)
    assert rest == "12:00:05 INFO   eye: last\n12:00:03 stdout arm: cut off\n"
    assert logs.returncode == 0


def test_ctrl_c_while_following_is_status_130_and_no_traceback(folder: Path) -> None:
    listener = endpoint.Listener(endpoint.address_of(ID))
    logs = started("logs", "--local", "-f")
    assert logs.stdout is not None
    while "stuck" not in logs.stdout.readline():
        pass
    logs.send_signal(signal.SIGINT)
    rest, _ = logs.communicate(timeout=DEADLINE_S)
    listener.close()
    assert (rest.strip(), logs.returncode) == ("", 130)


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_a_reader_that_went_away_ends_it_even_where_nothing_more_comes(
    folder: Path, follow: list[str]
) -> None:
    listener = endpoint.Listener(endpoint.address_of(ID))
    with open(folder / "log_eye.jsonl", "ab") as file:
        file.write((folder / "log_eye.jsonl").read_bytes() * (20_000 if not follow else 1))
    command = f"'{DORA}' logs --local {' '.join(follow)} | head -1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    listener.close()
    assert (done.stdout, done.stderr, done.returncode) == (
        "12:00:00 INFO   arm: motor moved\n",
        "",
        1,
    )


def test_a_dora_run_is_followed_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "node.py").write_text(NODE)
    (tmp_path / "flow.yml").write_text(
        "nodes: [{id: a, path: node.py, inputs: {tick: dora/timer/millis/20}}]"
    )
    env = {**os.environ, "DORA_RUNTIME_DIR": str(tmp_path / "runtime")}
    run = started("run", "flow.yml", cwd=tmp_path, env=env)
    assert run.stdout is not None
    while "a: up" not in run.stdout.readline():
        pass
    logs = started("logs", "-f", "-n", "a", cwd=tmp_path, env=env)
    assert logs.stdout is not None
    assert logs.stdout.readline().endswith("stdout a: up\n")
    (tmp_path / "end").touch()
    rest, _ = logs.communicate(timeout=DEADLINE_S)
    assert rest.endswith("stdout a: down\n")
    assert logs.returncode == 0
    run.communicate(timeout=DEADLINE_S)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 99_700.0),
        ("1h30m", 94_600.0),
        ("7", 99_993.0),
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T01:00:10.5+01:00", 10.5),
    ],
)
def test_moments_are_durations_ago_or_timestamps(text: str, seconds: float) -> None:
    assert parse_moment(text, 100_000.0) == seconds
