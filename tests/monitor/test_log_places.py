"""Which dataflow `dora logs` means, and where its files are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from dora import client
from dora.errors import DoraError
from dora.monitor.log_places import Place, find_place
from dora.transport import endpoint
from dora.wire.background import Run
from dora.wire.visits import Dataflow

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = "01993e00-0000-7000-8000-000000000001"
NEW = "01993e01-0000-7000-8000-000000000002"
OTHER = "01a93e01-0000-7000-8000-000000000003"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "running", lambda: [])
    return tmp_path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the background daemon knows."""

    def put(*known: Run) -> None:
        class Daemon:
            def __init__(self, address: str) -> None:
                assert address == endpoint.daemon_address(endpoint.checkout())

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def runs(self) -> list[Run]:
                return list(known)

        monkeypatch.setattr(client, "DaemonClient", Daemon, raising=False)
        monkeypatch.setattr(
            endpoint, "daemons", lambda: [endpoint.daemon_address(endpoint.checkout())]
        )

    return put


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what runs."""

    def put(*flows: Dataflow) -> None:
        monkeypatch.setattr(client, "running", lambda: list(flows))

    return put


def flow(flow_id: str, name: str, *nodes: str, file: str = "") -> Dataflow:
    return Dataflow(flow_id, name, list(nodes), file=file, log_dir=f"/logs/{name}")


def run(run_id: str, name: str, log_dir: str) -> Run:
    return Run(run_id, name, f"/flows/{name}.yml", log_dir, 1, "finished", 0)


def out(*ids: str, under: Path | None = None) -> None:
    for one in ids:
        ((under or Path()) / "out" / one).mkdir(parents=True)


def test_the_only_running_dataflow_comes_before_all_others(running: Callable[..., None]) -> None:
    out(OLD)
    running(flow(NEW, "robot", "arm"))
    wanted = Place(Path("/logs/robot"), NEW, ("arm",))
    assert find_place(None) == find_place("robot") == find_place(NEW[:9]) == wanted
    assert find_place(None, local=True) == Place(Path("out", OLD), OLD)


def test_of_several_that_run_one_must_be_named_or_have_the_node(
    running: Callable[..., None],
) -> None:
    running(flow(OLD, "robot", "arm", "eye"), flow(NEW, "cart", "wheel", "eye"))
    assert find_place(None, "wheel").dataflow_id == NEW
    assert find_place("cart").dataflow_id == NEW
    assert find_place(OLD).dataflow_id == OLD
    for which, node in (None, None), (None, "eye"), ("01993e0", None):
        with pytest.raises(DoraError) as told:
            find_place(which, node)
        assert str(told.value) == (
            "several dataflows fit; name one, by its name or its id:\n"
            f"  {OLD}  robot: arm, eye\n"
            f"  {NEW}  cart: wheel, eye"
        )


def test_a_name_is_taken_before_the_beginning_of_an_id(running: Callable[..., None]) -> None:
    running(flow(OLD, "robot"), flow(NEW, "0199"))
    assert find_place("0199").dataflow_id == NEW


def test_a_daemon_that_does_not_tell_its_folder_has_it_under_out(
    running: Callable[..., None],
) -> None:
    running(Dataflow(NEW, "robot", []))
    assert find_place(None).folder == Path("out", NEW)


def test_an_ended_dataflow_is_known_to_the_background_daemon(
    runs: Callable[..., None], running: Callable[..., None]
) -> None:
    runs(run(OLD, "robot", "/logs/old"), run(NEW, "robot", "/logs/new"))
    running(flow(OTHER, "cart"))
    assert find_place("robot") == Place(Path("/logs/new"), NEW)
    assert find_place(OLD) == Place(Path("/logs/old"), OLD)
    with pytest.raises(DoraError):
        find_place("robot", local=True)


def test_without_a_name_the_latest_under_out_comes_before_the_latest_of_the_daemon(
    runs: Callable[..., None],
) -> None:
    runs(run(OLD, "robot", "/logs/old"), run(NEW, "robot", "/logs/new"))
    assert find_place(None) == Place(Path("/logs/new"), NEW)
    out(OTHER)
    assert find_place(None) == Place(Path("out", OTHER), OTHER)


def test_under_out_the_latest_or_the_one_whose_id_begins_so() -> None:
    out(NEW, OLD, "not-a-dataflow")
    Path("out", "01a93e01-0000-7000-8000-00000000000f").touch()
    assert find_place(None) == Place(Path("out", NEW), NEW)
    assert find_place(OLD[:8]) == Place(Path("out", OLD), OLD)
    with pytest.raises(DoraError, match=r"several dataflows under `\./out` begin with `01993`"):
        find_place("01993")


def test_a_dataflow_file_stands_for_its_latest_run(
    here: Path, running: Callable[..., None]
) -> None:
    Path("robot").mkdir()
    Path("robot/flow.yml").touch()
    out(OLD, NEW, under=Path("robot"))
    assert find_place("robot/flow.yml") == Place(Path("robot", "out", NEW), NEW)
    running(flow(OTHER, "x", file=str(here / "robot/flow.yml")), flow(OLD, "y", file="/flow.yml"))
    assert find_place("robot/flow.yml").dataflow_id == OTHER


def test_a_log_folder_stands_for_itself() -> None:
    out(OLD, under=Path("copied"))
    Path("copied/out", OLD, "log_a.jsonl").touch()
    assert find_place(f"copied/out/{OLD}/") == Place(Path("copied/out", OLD), OLD)


def test_what_is_not_there_is_told_with_what_is(running: Callable[..., None]) -> None:
    out(OLD)
    running(flow(NEW, "robot", "arm"))
    with pytest.raises(DoraError) as told:
        find_place("arm")
    assert str(told.value) == (
        "there is no dataflow `arm`, neither a running nor an ended one; for the node of that "
        f"name, `dora logs --node arm`\nrunning:\n  {NEW}  robot: arm\n"
        f"under `./out`, the latest last:\n  {OLD}"
    )


@pytest.mark.parametrize("local", [True, False])
def test_where_there_is_nothing_at_all_it_is_said_how_to_get_something(local: bool) -> None:
    with pytest.raises(DoraError, match=r"there is no `\./out`.*dora run dataflow\.yml"):
        find_place(None, local=local)


@pytest.mark.parametrize("which", ["", "x" * 5000, "a/b", "-", "\N{SNOWMAN}"])
def test_what_no_dataflow_can_be_called_is_not_there(
    which: str, running: Callable[..., None]
) -> None:
    running(flow(OLD, "robot", file="/flow.yml"))
    out(NEW)
    with pytest.raises(DoraError, match="there is no dataflow"):
        find_place(which)
