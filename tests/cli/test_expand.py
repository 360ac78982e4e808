"""`dora expand`: what it prints, what it says of a module, and its statuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from dora.cli.main import main

FLOW = """
nodes:
  - {id: camera, path: dynamic, outputs: [image]}
  - {id: m, module: parts/x.yml, inputs: {in: camera/image}}
"""
MODULE = """
module: {name: x, inputs: [in], inputs_optional: [side], outputs: [out]}
nodes:
  - {id: n, path: n.py, inputs: {x: _mod/in, y: _mod/side}, outputs: [out]}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "flow.yml").write_text(FLOW)
    (tmp_path / "parts" / "x.yml").write_text(MODULE)
    (tmp_path / "parts" / "n.py").touch()
    return tmp_path


def test_expand_prints_a_flat_dataflow_that_is_valid(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["expand", "flow.yml"]) == 0
    printed = capsys.readouterr().out
    assert "- id: m.n\n  path: parts/n.py\n  inputs:\n    x: camera/image\n" in printed
    Path("flat.yml").write_text(printed)
    assert main(["validate", "flat.yml"]) == 0


def test_expand_module_checks_a_module_without_a_dataflow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["expand", "--module", "parts/x.yml"]) == 0
    assert capsys.readouterr().out == (
        "parts/x.yml: all right (module `x`; inputs: in, side (optional); outputs: out)\n"
    )
    assert main(["expand", "--module", "flow.yml"]) == 1
    assert "the module has no `module`" in capsys.readouterr().err


def test_expand_tells_the_mistakes_of_a_module_at_their_own_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("parts/x.yml").write_text(MODULE.replace("_mod/in", "_mod/on"))
    assert main(["expand", "flow.yml"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "parts/x.yml:4:42: input `n/x` reads from `_mod/on`" in told.err


def test_a_module_file_that_is_run_is_told_from_a_dataflow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["validate", "parts/x.yml"]) == 1
    assert "this is a module file" in capsys.readouterr().err


def test_warnings_go_beside_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("parts/x.yml").write_text(MODULE.replace("path: n.py", "path: n.py, args: $PARAM_A"))
    assert main(["expand", "flow.yml"]) == 0
    told = capsys.readouterr()
    assert "WARNING parts/x.yml" in told.err
    assert "WARNING" not in told.out
