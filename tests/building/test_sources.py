"""Nodes from repositories and addresses: what is fetched, when, and what is said if it fails."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dora.building.clones import Repository
from dora.cli.main import main
from dora.descriptor.remote import clone_folder

from .places import commit, git

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = "import os, dora\ndora.Node()\nprint('VERSION in', os.getcwd())\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return tmp_path


def flow(more: str = "", name: str = "flow.yml") -> None:
    Path(name).write_text(f"nodes:\n  - id: a\n    git: repo\n    path: node.py\n{more}")


def clones(here: Path) -> set[str]:
    return {path.name for path in clone_folder(here, str(here / "repo"), "x").parent.glob("*")}


def test_a_node_of_a_repository_runs_in_its_clone(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = commit(here / "repo", NODE.replace("VERSION", "first"))
    flow()
    assert main(["run", "flow.yml"]) == 0
    assert f"first in {here}/git/localhost{here}/repo/{first}" in capfd.readouterr().out


def test_branch_tag_and_commit_are_what_is_checked_out(here: Path) -> None:
    first = commit(here / "repo", "1")
    git(here / "repo", "tag", "--annotate", "v1", "--message", "x")
    second = commit(here / "repo", "2")
    git(here / "repo", "branch", "other")
    third = commit(here / "repo", "3")
    for asked, expected in {
        "": third,
        "    branch: other\n": second,
        "    tag: v1\n": first,
        f"    rev: {second}\n": second,
        f"    rev: {first[:9]}\n": first,
    }.items():
        flow(asked)
        assert main(["build", "flow.yml"]) == 0
        assert expected in clones(here)
        clone = clone_folder(here, str(here / "repo"), expected)
        assert git(clone, "rev-parse", "HEAD") == expected


def test_build_follows_a_branch_and_run_stays_with_what_was_built(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commit(here / "repo", NODE.replace("VERSION", "first"))
    flow("    branch: main\n")
    assert main(["build", "flow.yml"]) == 0
    commit(here / "repo", NODE.replace("VERSION", "second"))
    assert main(["run", "flow.yml"]) == 0
    assert "first in" in capfd.readouterr().out
    assert main(["build", "flow.yml"]) == 0
    assert main(["run", "flow.yml"]) == 0
    assert "second in" in capfd.readouterr().out


def test_a_repository_that_is_gone_is_told_and_its_clone_is_used(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(here / "repo", "1")
    flow("    branch: main\n")
    assert main(["build", "flow.yml"]) == 0
    (here / "repo").rename(here / "away")
    assert main(["build", "flow.yml"]) == 0
    assert "does not answer" in capsys.readouterr().out
    assert main(["build", "flow.yml", "--offline"]) == 0
    Path("flow.yml").rename("other.yml")
    assert main(["build", "other.yml"]) == 1
    told = capsys.readouterr().err
    assert "node `a`: the repository cannot be read: `git ls-remote" in told
    assert main(["build", "other.yml", "--offline"]) == 1
    assert "was never cloned, and `--offline` forbids it" in capsys.readouterr().err


def test_offline_a_shortened_commit_is_looked_for_among_the_clones_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = commit(here / "repo", "1")
    flow(f"    rev: '{first[:9]}'\n")
    assert main(["build", "flow.yml", "--offline"]) == 1
    assert "`--offline` forbids it" in capsys.readouterr().err
    assert not (here / "git").exists()
    assert main(["build", "flow.yml"]) == 0
    Path("flow.yml").rename("other.yml")
    assert main(["build", "other.yml", "--offline"]) == 0


def test_a_clone_that_another_build_made_meanwhile_stays_as_it_is(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_out = Repository._check_out

    def and_be_overtaken(self: Repository, half: Path, name: str) -> None:
        check_out(self, half, name)
        shutil.copytree(half, self.folder(name))
        (self.folder(name) / "in use").touch()

    first = commit(here / "repo", "1")
    monkeypatch.setattr(Repository, "_check_out", and_be_overtaken)
    flow()
    assert main(["build", "flow.yml"]) == 0
    assert clones(here) == {first}
    assert (clone_folder(here, str(here / "repo"), first) / "in use").exists()


def test_a_build_in_a_hook_of_git_clones_all_the_same(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(here / "repo", "1")
    flow()
    monkeypatch.setenv("GIT_DIR", str(here / "elsewhere"))
    assert main(["build", "flow.yml"]) == 0
    assert (clone_folder(here, str(here / "repo"), first) / "node.py").read_text() == "1"


def test_a_folder_that_cannot_be_made_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(here / "repo", "1")
    flow()
    Path("git").touch()
    assert main(["build", "flow.yml"]) == 1
    assert f"node `a`: `{here}/git/localhost" in capsys.readouterr().err
    Path("git").unlink()
    Path(".dora").touch()
    assert main(["build", "flow.yml"]) == 1
    assert f"what was built cannot be noted in `{here}/.dora`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("    branch: nix\n", "has no branch `nix`; see what it has: `git ls-remote "),
        ("    tag: main\n", "has no tag `main`"),
        ("    rev: abcdef1\n", "has no commit `abcdef1`"),
        (f"    rev: {'1' * 40}\n", f"has no commit `{'1' * 40}`"),
    ],
)
def test_what_a_repository_does_not_have_is_named(
    here: Path, asked: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(here / "repo", "1")
    flow(asked)
    assert main(["build", "flow.yml"]) == 1
    assert told in capsys.readouterr().err
    assert not clones(here)


def test_a_machine_without_git_is_told_to_install_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(here / "repo", "1")
    flow()
    monkeypatch.setenv("PATH", str(here))
    assert main(["build", "flow.yml"]) == 1
    assert "there is no command `git`; install it" in capsys.readouterr().err


def test_the_lock_file_holds_a_commit_until_it_is_written_anew(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = commit(here / "repo", "1")
    flow("    branch: main\n")
    assert main(["build", "flow.yml", "--locked"]) == 1
    assert "there is no lock file" in capsys.readouterr().err
    assert main(["build", "flow.yml", "--write-lockfile"]) == 0
    assert first in Path("flow.dora-lock.yaml").read_text()
    second = commit(here / "repo", "2")
    assert main(["build", "flow.yml", "--locked"]) == 0
    assert clones(here) == {first}
    assert main(["build", "flow.yml", "--write-lockfile", "--lockfile", "l.yml"]) == 0
    assert second in Path("l.yml").read_text()
    assert main(["build", "flow.yml", "--locked", "--write-lockfile"]) == 1


def test_a_lock_file_as_dora_rs_writes_it_is_obeyed(here: Path) -> None:
    first = commit(here / "repo", "1")
    commit(here / "repo", "2")
    flow("    branch: main\n")
    Path("flow.dora-lock.yaml").write_text(
        "version: 2\ndescriptor_fingerprint: 89ad025191507bb5\ngit_sources:\n  a:\n"
        f"    repo: {here}/repo\n    commit_hash: {first}\n"
    )
    assert main(["build", "flow.yml", "--locked"]) == 0
    assert clones(here) == {first}


@pytest.mark.parametrize(
    ("lock", "told"),
    [
        ("version: 2\ngit_sources: {}\n", "it says nothing of node `a`"),
        ("git_sources: {a: {repo: other, commit_hash: x}}\n", "not as it says"),
        ("- 1\n", "is no lock file"),
    ],
)
def test_a_lock_file_that_does_not_fit_is_refused(
    here: Path, lock: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(here / "repo", "1")
    flow()
    Path("flow.dora-lock.yaml").write_text(lock)
    assert main(["build", "flow.yml", "--locked"]) == 1
    assert told in capsys.readouterr().err


class Files(BaseHTTPRequestHandler):
    """Serves one program."""

    content = b""
    asked = 0
    missing = 0
    """How many bytes of the program are announced and do not come."""

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200 if self.content else 404)
        self.send_header("Content-Length", str(len(self.content) + self.missing))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def address(here: Path) -> Iterator[str]:
    Files.content, Files.asked, Files.missing = b"#!/bin/sh\necho fetched\n", 0, 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/some/tool"
        server.shutdown()
        thread.join()


def fetched(address: str, more: str = "") -> Path:
    Path("flow.yml").write_text(f"nodes:\n  - id: a\n    path: {address}\n{more}")
    return Path("build/a/tool")


def test_a_program_from_an_address_is_fetched_and_made_executable(address: str) -> None:
    file = fetched(address)
    assert main(["build", "flow.yml"]) == 0
    assert file.read_bytes() == Files.content
    assert os.access(file, os.X_OK)


def test_a_program_with_the_right_hash_is_fetched_once(address: str) -> None:
    sha256 = hashlib.sha256(Files.content).hexdigest()
    fetched(address, f"    path_sha256: '{sha256}'\n")
    assert main(["build", "flow.yml"]) == 0
    assert main(["build", "flow.yml"]) == 0
    assert Files.asked == 1


def test_a_program_with_another_hash_is_not_kept(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = fetched(address, f"    path_sha256: '{'0' * 64}'\n")
    assert main(["build", "flow.yml"]) == 1
    assert "is not the file it should be: its SHA-256 is" in capsys.readouterr().err
    assert list(file.parent.iterdir()) == []


def test_a_program_that_was_fetched_before_will_do_when_the_address_does_not_answer(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched(address)
    assert main(["build", "flow.yml"]) == 0
    Files.content = b""
    assert main(["build", "flow.yml"]) == 0
    assert "what was fetched before is used" in capsys.readouterr().out
    Path("build/a/tool").unlink()
    assert main(["build", "flow.yml"]) == 1
    assert "cannot be fetched: HTTP Error 404" in capsys.readouterr().err


def test_a_program_that_came_in_part_is_not_kept(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = fetched(address)
    Files.missing = 7
    assert main(["build", "flow.yml"]) == 1
    assert f"`{address}` broke off: 7 bytes are missing" in capsys.readouterr().err
    assert list(file.parent.iterdir()) == []


def test_a_program_from_another_address_of_the_same_name_is_fetched_anew(
    address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fetched(address)
    assert main(["run", "flow.yml"]) == 0
    assert main(["run", "flow.yml"]) == 0
    assert Files.asked == 1
    Files.content = b"#!/bin/sh\necho another\n"
    fetched(address.replace("some", "other"))
    assert main(["run", "flow.yml"]) == 0
    assert "stdout a: another" in capfd.readouterr().out
    Files.content = b""
    fetched(address)
    assert main(["build", "flow.yml"]) == 1
