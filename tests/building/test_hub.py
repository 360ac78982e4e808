"""Published node packages from the registry, unmodified: installed, and run on real data."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dora.descriptor.interpreter import find_uv

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CLIP = EXAMPLES / "vision" / "assets" / "bikes.mp4"
DORA = Path(sys.executable).with_name("dora")
DEADLINE_S = 55


only_on_request = pytest.mark.skipif(
    "DORA_TEST_HUB" not in os.environ, reason="installs 100 MB; set DORA_TEST_HUB=1"
)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A copy of the examples with published packages."""
    if find_uv(os.environ) is None:
        pytest.skip("uv is not installed")
    return Path(shutil.copytree(EXAMPLES / "hub", tmp_path / "hub"))


def dora(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the `dora` command until it ends."""
    return subprocess.run(
        [DORA, *arguments],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def build(flow: Path) -> None:
    """Install what a dataflow asks for, or skip the test."""
    built = dora("build", flow, "--uv", "--parallel", CLIP=str(CLIP))
    if "error sending request" in built.stdout or "Failed to fetch" in built.stdout:
        pytest.skip("the registry cannot be reached")
    assert built.returncode == 0, built.stdout


def test_sender_echo_and_assert_agree_and_have_our_dora(hub: Path) -> None:
    build(hub / "echo.yml")
    ran = dora("run", hub / "echo.yml", "--uv")
    assert ran.returncode == 0, ran.stdout
    assert "3 nodes" in ran.stdout
    assert "2 messages, no drops" in ran.stdout
    own = hub / ".dora" / "python-envs" / "echo"
    code = "import dora, dora.version, importlib.metadata as m; print(m.version('dora-rs'))"
    asked = [own / "bin" / "python", "-c", code]
    assert subprocess.check_output(asked, text=True).strip() == "1.1.0+dora.py"
    checked = [str(find_uv(os.environ)), "pip", "check", "--python", str(own / "bin" / "python")]
    subprocess.run(checked, check=True, capture_output=True)


WITNESS = """
from dora import Node
for number, event in enumerate(Node()):
    if event["type"] == "INPUT" and number == 24:
        seen = event["metadata"]
        print("witness", seen["encoding"], seen["width"], seen["height"], len(event["value"]))
"""


@only_on_request
def test_video_capture_shows_a_clip_in_plot(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not CLIP.exists():
        pytest.skip("the clip is missing: run `make assets`")
    monkeypatch.setenv("CLIP", str(CLIP))
    monkeypatch.setenv("HEADLESS", "true")
    flow = (hub / "video.yml").read_text()
    witness = "\n  - {id: witness, path: witness.py, inputs: {image: camera/image}}\n"
    (hub / "video.yml").write_text(flow + witness)
    (hub / "witness.py").write_text(WITNESS)
    build(hub / "video.yml")
    command = [DORA, "run", hub / "video.yml", "--uv", "--stop-after", f"{DEADLINE_S}s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        lines: list[str] = []
        while not lines or "witness: " not in lines[-1]:
            lines.append(running.stdout.readline().decode())
            assert lines[-1], lines
        running.terminate()
        _, told = running.communicate(timeout=DEADLINE_S)
    assert f"witness bgr8 640 480 {640 * 480 * 3}" in lines[-1]
    assert running.returncode == 0, told


@only_on_request
def test_what_is_typed_into_terminal_input_comes_back_from_echo(hub: Path) -> None:
    flow = (hub / "terminal.yml").read_text()
    build_too = flow + "\n  - {id: t, path: terminal-input, build: pip install terminal-input}\n"
    (hub / "both.yml").write_text(build_too)
    build(hub / "both.yml")
    build(hub / "terminal.yml")
    running = subprocess.Popen(
        [DORA, "run", hub / "terminal.yml", "--uv"], stdout=subprocess.DEVNULL
    )
    try:
        program = hub / ".dora" / "python-envs" / "t" / "bin" / "terminal-input"
        printed = _typed(program, "Provide the data", "[1, 2]\n", "Received: [1, 2]")
        assert "Received: [1, 2]" in printed
    finally:
        running.terminate()
        running.wait(DEADLINE_S)


def _typed(program: Path, prompt: str, line: str, until: str) -> str:
    """Start a program on a terminal, type a line at each prompt; what it printed."""
    deadline_s = time.monotonic() + DEADLINE_S
    master, slave = pty.openpty()
    process = subprocess.Popen([program], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    printed, answered = "", 0
    try:
        while until not in printed and time.monotonic() < deadline_s:
            if select.select([master], [], [], 0.5)[0]:
                printed += os.read(master, 4096).decode()
            if printed.count(prompt) > answered:  # The program does not wait long for an answer.
                answered += 1
                os.write(master, line.encode())
        return printed
    finally:
        process.kill()
        process.wait()
        os.close(master)
