"""`dora new`: what it makes works as it stands, and what it refuses leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.cli.main import main
from dora.cli.new import make_dataflow, make_node
from dora.errors import DoraError
from dora.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_new_dataflow_is_laid_out_as_by_dora_rs_and_its_tests_pass(here: Path) -> None:
    assert main(["new", "hello", "--lang", "python"]) == 0
    for node in ("talker", "listener"):
        package = files(here / "hello" / f"{node}-1")
        modules = {f"{node}_1/{name}.py" for name in ("__init__", "__main__", "main")}
        assert package == {"README.md", "pyproject.toml", f"tests/test_{node}_1.py", *modules}
    tested = run_in(here / "hello", sys.executable, "-m", "pytest", "-q", "-W", "error")
    assert "4 passed" in tested.stdout, tested.stdout


def test_a_new_dataflow_validates_and_runs(here: Path) -> None:
    """All but the installation, which is tried below without a network."""
    make_dataflow("hello")
    os.chdir(here / "hello")
    assert main(["validate", "dataflow.yml"]) == 0
    text = Path("dataflow.yml").read_text()
    kept = [line for line in text.splitlines() if "build: pip install -e" not in line]
    assert len(kept) == len(text.splitlines()) - 3
    Path("dataflow.yml").write_text("\n".join(kept))
    dora = Path(sys.executable).parent / "dora"
    command = [dora, "run", "dataflow.yml", "--stop-after", "60s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        heard = {line.partition("listener_1: ")[2].strip() for line in until_both(run.stdout)}
        run.send_signal(signal.SIGINT)
        run.stdout.read()
    assert heard >= {f"I heard Hello World from speech-{number}" for number in (1, 2)}
    assert run.returncode == 0


def until_both(lines: Iterable[str]) -> Iterator[str]:
    """Lines, until both talkers were heard."""
    missing = {"speech-1", "speech-2"}
    for line in lines:
        yield line
        missing -= {line.strip()[-8:]}
        if not missing:
            return


def test_a_new_node_can_be_installed_and_its_tests_pass(here: Path) -> None:
    assert main(["new", "My Cam", "--kind", "node"]) == 0
    tested = run_in(here / "My-Cam", sys.executable, "-m", "pytest", "-q", "-W", "error")
    assert "2 passed" in tested.stdout, tested.stdout
    install = ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index"]
    done = run_in(here, sys.executable, *install, "--target", "installed", "./My-Cam")
    assert done.returncode == 0, done.stderr
    (facts,) = (here / "installed").glob("*.dist-info")
    installed = Distribution.at(facts)
    assert installed.requires == [f"dora-py>={VERSION}"]
    assert [(script.name, script.value) for script in installed.entry_points] == [
        ("My-Cam", "my_cam.main:main")
    ]


def test_what_is_made_is_tidy(here: Path) -> None:
    make_dataflow("hello")
    make_node("cam")
    checked = run_in(here, sys.executable, "-m", "ruff", "check", ".")
    assert checked.returncode == 0, checked.stdout
    formatted = run_in(here, sys.executable, "-m", "ruff", "format", "--check", ".")
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a b/c", "letters (a-z), digits, `-` and `_` will do"),
        ("../cam", "to make it in another folder, go there first"),
        ("", "cannot be the name of a node"),
        ("kamera-é", "letters (a-z)"),
        ("cam-", "begins and ends with a letter or a digit"),
        ("2cams", "Python cannot import"),
        ("class", "Python cannot import"),
        ("dora", "would stand in the way of another `dora`"),
        ("Json", "say `Json-node`, for example"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_name_that_will_not_do_is_refused_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    assert main(["new", "--kind", "node", "--", name]) == 1
    assert told in capsys.readouterr().err
    assert list(here.iterdir()) == []


@given(name=st.text(max_size=8))
def test_any_name_is_refused_or_makes_a_folder_of_importable_parts(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    os.chdir(folder)
    try:
        make_node(name)
    except DoraError:
        assert list(folder.iterdir()) == []
        return
    (made,) = folder.iterdir()
    (module,) = (path.parent.name for path in made.glob("*/main.py"))
    assert module.isidentifier()
    assert module.isascii()


def test_what_is_there_already_stays_as_it_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "hello").mkdir()
    (here / "dangling").symlink_to("nowhere")
    for name in ("hello", "dangling"):
        assert main(["new", name]) == 1
        assert f"`{name}` is there already" in capsys.readouterr().err
    assert {path.name for path in here.iterdir()} == {"hello", "dangling"}
    assert list((here / "hello").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/proc/self")  # not even root may write there
    assert main(["new", "hello"]) == 1
    assert "[ERROR] `hello` cannot be made here: " in capsys.readouterr().err


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, written = Path.write_text, []

    def full_after_three(path: Path, text: str, encoding: str) -> int:
        written.append(path)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        return write(path, text, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", full_after_three)
    assert main(["new", "hello"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("lang", ["rust", "c", "cxx"])
def test_nodes_of_other_languages_are_a_usage_error(
    here: Path, capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    assert main(["new", "hello", "--lang", lang]) == 2
    assert f"`{lang}`: nodes are Python here" in capsys.readouterr().err
    assert list(here.iterdir()) == []
