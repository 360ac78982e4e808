"""Nodes in environments of their own: checked, given the stand-in for dora-rs, built and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dora.building.fitness import Found, ask, unfit
from dora.cli.main import main
from dora.descriptor.interpreter import find_uv

from .places import SAYS_WHO, environment, node_package

GOOD = Found(
    python=(3, 12),
    dora="/x/dora/__init__.py",
    ours=True,
    dora_py="0.1.0",
    dora_rs=None,
    has_pip=True,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; installers reach nothing but its `packages`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "packages"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return tmp_path


def flow(text: str) -> None:
    Path("flow.yml").write_text("nodes:\n" + text)


def installed(python: Path, *words: str) -> str:
    """What an interpreter says of packages."""
    return subprocess.run(
        [python, "-m", "pip", *words], check=True, capture_output=True, text=True
    ).stdout


def test_a_node_runs_under_the_environment_it_names(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment(here / "robot", with_dora=True)
    (here / "node.py").write_text(SAYS_WHO + "import os\nprint(os.environ['VIRTUAL_ENV'])\n")
    flow("  - {id: a, path: node.py, python: robot}\n")
    assert main(["run", "flow.yml"]) == 0
    printed = capfd.readouterr().out
    assert f"under {here}/robot with" in printed
    assert f"a: {here}/robot\n" in printed


def test_python_may_name_the_interpreter_itself(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment(here / "robot", with_dora=True)
    (here / "node.py").write_text(SAYS_WHO)
    flow("  - {id: a, path: node.py, python: robot/bin/python3}\n")
    assert main(["run", "flow.yml"]) == 0
    assert f"under {here}/robot with" in capfd.readouterr().out


def test_build_lines_find_the_programs_of_the_environment(here: Path) -> None:
    environment(here / "robot", with_dora=True)
    (here / "node.py").write_text("")
    flow(
        "  - id: a\n    path: node.py\n    python: robot\n    build: |\n"
        "      python -c \"import sys; open('one', 'w').write(sys.prefix)\"\n"
        "      sh -c 'python -c \"import sys; print(sys.prefix)\" > two'\n"
    )
    assert main(["build", "flow.yml"]) == 0
    assert Path("one").read_text() == Path("two").read_text().strip() == f"{here}/robot"


def test_an_environment_without_dora_is_told_with_the_command_that_mends_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(here / "bare", with_dora=False)
    (here / "node.py").write_text("")
    flow("  - {id: a, path: node.py, python: bare}\n")
    assert main(["run", "flow.yml"]) == 1
    assert (
        f"node `a`: `{here}/bare/bin/python` has no `dora`, without which no node runs there; "
        f"put it there: `dora prepare {here}/bare/bin/python`"
    ) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"python": (3, 9)}, "is Python 3.9, and nodes need 3.11 or newer"),
        ({"dora": None, "ours": False}, "has no `dora`"),
        ({"dora_rs": "1.1.0"}, "has dora-rs 1.1.0 itself, whose `dora` takes the place of ours"),
    ],
)
def test_what_makes_an_interpreter_unfit_is_told(changed: dict[str, object], told: str) -> None:
    fields = {name: getattr(GOOD, name) for name in Found.__struct_fields__}
    trouble = unfit("/x/python", Found(**(fields | changed)))
    assert trouble is not None
    assert told in trouble[0]


def test_an_interpreter_with_our_dora_or_also_the_stand_in_is_fit() -> None:
    fields = {name: getattr(GOOD, name) for name in Found.__struct_fields__}
    assert unfit("/x/python", GOOD) is None
    assert unfit("/x/python", Found(**(fields | {"dora_rs": "1.1.0+dora.py"}))) is None


def test_the_interpreter_that_runs_this_is_fit_and_a_program_that_is_none_is_not() -> None:
    found = ask(sys.executable)
    assert unfit(sys.executable, found) is None
    told = unfit("/bin/echo", ask("/bin/echo"))
    assert told is not None
    assert "`/bin/echo` is no Python that can run nodes; it says: }))" in told[0]
    assert ask("/no/such/python") == "`/no/such/python` cannot be run: No such file or directory"


def test_a_published_node_package_brings_no_other_dora(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its `dora-rs` is the stand-in, though a newer one could be had."""
    environment(here / "robot", with_dora=True)
    node_package(here / "packages", "some-node")
    real = node_package(here / "packages", "dora-rs", requires="numpy")
    next(real.glob("dora_rs-*")).rename(real / "dora_rs-2.0-py3-none-any.whl")
    flow("  - {id: a, path: some-node, python: robot, build: pip install some-node}\n")
    assert main(["run", "flow.yml"]) == 0
    assert f"under {here}/robot with" in capfd.readouterr().out
    python = here / "robot" / "bin" / "python"
    listed = installed(python, "list", "--format", "freeze").split()
    assert {"dora-rs==1.1.0+dora.py", "some-node==0.5.0"} <= set(listed)
    assert "dora-rs" not in installed(python, "check")
    found = ask(python)
    assert isinstance(found, Found)
    assert found.ours


def test_what_is_installed_needs_no_network_and_another_dora_rs_is_refused(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment(here / "robot", with_dora=True)
    node_package(here / "packages", "dora-rs", requires="numpy")
    (here / "node.py").write_text("")
    line = "  - {id: a, path: node.py, python: robot, build: pip install numpy pyarrow}\n"
    flow(line)
    assert main(["build", "flow.yml", "--offline"]) == 0
    flow(line.replace("numpy pyarrow", "dora-rs==0.5.0"))
    assert main(["build", "flow.yml"]) == 1
    assert "the build command `pip install dora-rs==0.5.0` exited" in capfd.readouterr().err
    found = ask(here / "robot" / "bin" / "python")
    assert isinstance(found, Found)
    assert found.has_stand_in


def test_run_does_not_install_again_what_is_there_and_does_when_it_was_removed(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment(here / "robot", with_dora=True)
    node_package(here / "packages", "some-node")
    lines = "pip install some-node\n      touch again\n"
    flow(f"  - id: a\n    path: some-node\n    python: robot\n    build: |\n      {lines}")
    for expected in (True, False):
        assert main(["run", "flow.yml"]) == 0
        printed = capfd.readouterr().out
        assert ("build: pip install" in printed) is expected
        assert "build: touch again" in printed  # Nobody knows what another command depends on.
    for removed in here.glob("robot/lib/*/site-packages/some_node*"):
        shutil.rmtree(removed)
    assert main(["run", "flow.yml"]) == 0
    assert "build: pip install" in capfd.readouterr().out


def test_nodes_side_by_side_all_tell_their_failures(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "node.py").write_text("")
    flow(
        "  - {id: a, path: node.py, build: sh -c 'exit 3'}\n"
        "  - {id: b, path: node.py, build: sh -c 'exit 4'}\n"
        "  - {id: c, path: node.py, build: touch c}\n"
    )
    assert main(["build", "flow.yml", "--parallel"]) == 1
    told = capsys.readouterr().err
    assert "node `a`: the build command `sh -c 'exit 3'` exited with status 3" in told
    assert "node `b`: the build command `sh -c 'exit 4'` exited with status 4" in told
    assert Path("c").exists()


@pytest.mark.skipif(find_uv(os.environ) is None, reason="uv is not installed")
def test_uv_gives_a_node_an_environment_of_its_own_with_this_dora(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node_package(here / "packages", "some-node", requires="dora-rs==0.3.5")
    monkeypatch.setenv("UV_FIND_LINKS", str(here / "packages"))
    flow("  - {id: a, path: some-node, build: pip install some-node}\n")
    if main(["build", "flow.yml", "--uv"]) != 0:
        told = capfd.readouterr().err
        if "error sending request" in told or "Failed to fetch" in told:
            pytest.skip("no network, and the requirements of dora are not in the cache of uv")
        pytest.fail(told)
    assert main(["run", "flow.yml", "--uv"]) == 0
    own = here / ".dora" / "python-envs" / "a"
    assert f"under {own} with {own}/lib" in capfd.readouterr().out


def test_an_environment_is_prepared_so_that_nodes_run_there(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A real dora-rs that is there gives way, and takes none of our files with it."""
    robot = environment(here / "robot", with_dora=True)
    packages = next(robot.glob("lib/*/site-packages"))
    (packages / "dora").mkdir()
    (packages / "dora" / "__init__.py").write_text("")
    info = packages / "dora_rs-1.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dora-rs\nVersion: 1.1.0\n")
    (info / "RECORD").write_text(
        f"dora/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n"
    )
    (here / "node.py").write_text(SAYS_WHO)
    flow("  - {id: a, path: node.py, python: robot}\n")
    assert main(["run", "flow.yml"]) == 1
    told = capfd.readouterr().err
    assert "has dora-rs 1.1.0 itself, whose `dora` takes the place of ours; mend it: " in told
    assert main(["prepare", "robot"]) == 0
    assert main(["run", "flow.yml"]) == 0
    assert f"under {robot} with {packages}/dora/__init__.py" in capfd.readouterr().out


def test_an_environment_that_is_not_there_cannot_be_prepared(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "robot"]) == 1
    assert "there is no `robot`; make it: `python -m venv robot`" in capsys.readouterr().err


def test_run_tells_when_another_dora_was_installed_over_this_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "node.py").write_text("")
    flow("  - {id: a, path: node.py}\n")
    monkeypatch.setattr("dora.__version__", "1.1.0")
    assert main(["run", "flow.yml"]) == 1
    assert "dora-rs 1.1.0 was installed over this dora; mend it: `pip" in capsys.readouterr().err
