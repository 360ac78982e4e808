"""Building a dataflow: what each node needs, in the environment that it will run in.

First what comes from elsewhere (repositories, files), then the environments, then the `build`
lines: node after node, or side by side where nodes do not share an environment.

Takes a plan from `descriptor.planner`; what it made is needed to plan anew. Elsewhere: showing the
progress (`cli.build`), the environments (`building.environment`).
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dora.building import downloads
from dora.building.clones import Repository, UnreachableError
from dora.building.commands import BuildError, Runner
from dora.building.environment import Environment, Wheelhouse
from dora.building.lockfile import read_lock, write_lock
from dora.building.own_wheel import own_version
from dora.building.pip_lines import deciding_files, may_install, means_pip, translate
from dora.building.record import CloneRecord, NodeRecord, Record, read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dora.descriptor.plan import GitSource, Interpreter, NodePlan, Plan

_AT_ONCE = max(2, os.cpu_count() or 1)


class BuildOptions(msgspec.Struct, frozen=True):
    """How to build."""

    uv: bool = False
    parallel: bool = False
    offline: bool = False
    locked: bool = False
    write_lockfile: bool = False
    lockfile: Path | None = None
    """None: `<name>.dora-lock.yaml` beside the dataflow file."""
    trusting: bool = False
    """Leave out what the record of the last build says is done."""


class Built(msgspec.Struct):
    """What a build did."""

    clones: dict[str, Path] = msgspec.field(default_factory=dict)
    """Where the repositories of nodes lie, by node id."""
    commands: int = 0
    """How many build lines were run."""


def build_dataflow(plan: Plan, options: BuildOptions, say: Callable[[str, str], None]) -> Built:
    """Build all nodes of a plan.

    Args:
        plan: What to build; its nodes need not be runnable yet.
        options: How.
        say: Takes a node id and a line about it, from several threads at once.

    Raises:
        BuildError: a node could not be built; those that wait for their turn are left out.
    """
    runner = Runner()
    try:
        with Wheelhouse() as wheelhouse:
            return _Build(plan, options, say, runner, wheelhouse).run()
    except BaseException:
        runner.stop()
        raise


class _Build:
    """One build of one dataflow."""

    def __init__(
        self,
        plan: Plan,
        options: BuildOptions,
        say: Callable[[str, str], None],
        runner: Runner,
        wheelhouse: Wheelhouse,
    ) -> None:
        self._plan = plan
        self._options = options
        self._say = say
        self._runner = runner
        self._wheelhouse = wheelhouse
        self._before = read_record(plan.working_dir, plan.name)
        self._after = Record({node.id: NodeRecord() for node in plan.nodes})
        self._environments: dict[Path | None, Environment] = {}
        self._built = Built()

    def run(self) -> Built:
        """Build all nodes, and remember it."""
        self._clone_all()
        for node in self._plan.nodes:
            self._download(node)
            if node.interpreter and node.interpreter.kind != "managed":
                with _named(node):
                    self._environment(node.interpreter).check()
        todo = [node for node in self._plan.nodes if node.build]
        if self._options.parallel:
            self._side_by_side(todo)
        else:
            for node in todo:
                self._build_node(node)
        for node in todo:
            self._after.nodes[node.id].mark = self._mark(node)
        remembers = any(node.build or node.git for node in self._plan.nodes)
        if remembers and self._after != self._before:
            write_record(self._plan.working_dir, self._plan.name, self._after)
        return self._built

    def _side_by_side(self, nodes: list[NodePlan]) -> None:
        """Build nodes at once; all failures are told."""
        failures: list[str] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for future in [pool.submit(self._build_node, node) for node in nodes]:
                    try:
                        future.result()
                    except BuildError as exc:
                        failures.append(str(exc))
            except BaseException:
                self._runner.stop()
                raise
        if failures:
            raise BuildError("\n".join(failures))

    def _clone_all(self) -> None:
        plan, options = self._plan, self._options
        sources = {node.id: node.git for node in plan.nodes if node.git}
        path = options.lockfile or plan.working_dir / f"{plan.name}.dora-lock.yaml"
        locked = read_lock(path, sources) if options.locked else {}
        commits: dict[str, tuple[str, str]] = {}
        for node_id, source in sources.items():
            commit = self._clone(node_id, source, locked.get(node_id))
            commits[node_id] = (source.url, commit)
        if options.write_lockfile:
            write_lock(path, commits)

    def _clone(self, node_id: str, source: GitSource, locked: str | None) -> str:
        repository = Repository(f"node `{node_id}`", source, self._plan.working_dir, self._runner)
        commit = locked or self._commit(node_id, source, repository)
        if not repository.has(commit):
            if self._options.offline:
                raise BuildError(
                    f"node `{node_id}`: commit {commit[:12]} of `{source.url}` was never cloned, "
                    "and `--offline` forbids it"
                )
            self._say(node_id, f"cloning {source.url} at {commit[:12]}")
        self._built.clones[node_id] = repository.clone(commit)
        record = CloneRecord(source.url, source.ref_kind, source.ref, commit)
        self._after.nodes[node_id].clone = record
        return commit

    def _commit(self, node_id: str, source: GitSource, repository: Repository) -> str:
        """The commit that is meant; the one of the last build where nobody else can tell."""
        last = self._before.node(node_id).clone
        known = last.commit if last and last.is_of(source) and repository.has(last.commit) else None
        if known and (self._options.trusting or self._options.offline):
            return known
        if self._options.offline:
            if told := repository.commit_offline():
                return told
            raise BuildError(
                f"node `{node_id}`: `{source.url}` was never cloned, and `--offline` forbids it"
            )
        try:
            return repository.commit()
        except UnreachableError:
            if known is None:
                raise
            self._say(node_id, f"{source.url} does not answer; {known[:12]} is here and is used")
            return known

    def _download(self, node: NodePlan) -> None:
        download = node.download
        if download is None:
            return
        there = downloads.is_there(download)
        if there and (download.sha256 or self._options.trusting or self._options.offline):
            return
        if self._options.offline:
            raise BuildError(
                f"node `{node.id}`: `{download.url}` is not here, and `--offline` forbids to fetch"
            )
        self._say(node.id, f"fetching {download.url}")
        try:
            downloads.fetch(f"node `{node.id}`", download)
        except BuildError as exc:
            if not there:
                raise
            self._say(node.id, f"{exc}; what was fetched before is used")

    def _environment(self, interpreter: Interpreter | None) -> Environment:
        key = interpreter.executable if interpreter else None
        if key not in self._environments:
            options = self._options
            self._environments[key] = Environment(
                interpreter,
                self._wheelhouse,
                self._runner,
                uv=options.uv,
                offline=options.offline,
            )
        return self._environments[key]

    def _build_node(self, node: NodePlan) -> None:
        folder = node.build_dir or self._built.clones[node.id]
        lines = list(node.build)
        mark = self._mark(node) if self._options.trusting else None
        if mark is not None and mark == self._before.node(node.id).mark:
            lines = [words for words in lines if deciding_files(words, folder) is None]
        if not lines:
            return
        environment = self._environment(node.interpreter)
        installs = any(may_install(words) for words in lines)
        with environment.lock:
            if node.interpreter or installs:
                with _named(node):
                    environment.prepare()
            for words in lines:
                self._run_line(node, words, folder, environment)
            if installs:
                with _named(node):
                    settled = environment.settle()
                if settled:
                    self._say(node.id, settled)

    def _run_line(
        self, node: NodePlan, words: tuple[str, ...], folder: Path, environment: Environment
    ) -> None:
        line = shlex.join(words)
        self._say(node.id, f"build: {line}")
        started_s = time.monotonic()
        with _named(node):
            argv = translate(
                words, environment.python, environment.uv if means_pip(words) else None
            )
        self._runner.run(
            argv,
            folder,
            {**os.environ, **environment.variables, **node.env},
            who=f"node `{node.id}`: the build command",
            shown=line,
            on_line=partial(self._say, node.id),
        )
        self._built.commands += 1
        self._say(node.id, f"built in {time.monotonic() - started_s:.1f} s: {line}")

    @cached_property
    def _own_version(self) -> str:
        return own_version()

    def _mark(self, node: NodePlan) -> str | None:
        """What stays the same as long as installing again would change nothing."""
        folder = node.build_dir or self._built.clones[node.id]
        packages = _packages(node.interpreter)
        files = [deciding_files(words, folder) for words in node.build]
        decided = sorted({file for of_line in files if of_line is not None for file in of_line})
        if not packages:
            return None
        digest = hashlib.sha256()
        managed = node.interpreter is not None and node.interpreter.kind == "managed"
        for part in (
            node.build,
            str(folder),
            _own(node),
            [(str(path), path.stat().st_mtime_ns) for path in packages],
            [(str(file), file.read_bytes().hex() if file.is_file() else None) for file in decided],
            self._own_version if managed else None,
            self._options.uv,
        ):
            digest.update(msgspec.json.encode(part))
        return digest.hexdigest()


@contextmanager
def _named(node: NodePlan) -> Iterator[None]:
    """Say in an error which node it is about."""
    try:
        yield
    except BuildError as exc:
        raise BuildError(f"node `{node.id}`: {exc}") from exc


def _own(node: NodePlan) -> dict[str, str]:
    """The variables of a node but for the search path, which differs from terminal to terminal."""
    if node.interpreter is None:
        return node.env
    return {name: value for name, value in node.env.items() if name != "PATH"}


def _packages(interpreter: Interpreter | None) -> Sequence[Path]:
    """The folders of installed packages; they change when something is installed or removed."""
    prefix = interpreter.prefix if interpreter else Path(sys.prefix)
    return sorted(prefix.glob("lib/python3*/site-packages"))
