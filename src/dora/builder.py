"""Dataflow files made by a program.

    from dora.builder import DataflowBuilder

    with DataflowBuilder("echo") as flow:
        image = flow.add_node("camera").path("camera.py").add_output("image")
        flow.add_node("plot").path("plot.py").add_input("frames", image, queue_size=1)
        flow.to_yaml("dataflow.yml")

Every method but those that give an `Output` or text returns what it was called on, so that calls
chain. At the end of the `with` block keys, values and wiring are checked; `check()` does that at
any time. What only `dora validate` looks at: files, variables, commands, types.

Elsewhere: what the keys mean and must be (`descriptor`), running the file (`dora.run`).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dora.ids import suggest

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_QUEUE_POLICIES = ("drop_oldest", "backpressure")


class Output:
    """An output of a node or of an operator; `str()` gives its address, as inputs name it."""

    def __init__(self, node: Node | Operator, output_id: str) -> None:
        self.node = node
        self.output_id = output_id

    def __str__(self) -> str:
        return f"{self.node._address()}/{self.output_id}"


class DataflowBuilder:
    """A dataflow to which nodes are added.

    Args:
        name: What error messages call it; it does not go into the file.
    """

    def __init__(self, name: str = "dora-dataflow") -> None:
        self.name = name
        self.nodes: list[Node] = []

    def add_node(self, id: str, **kwargs: Any) -> Node:
        """Add a node.

        Args:
            id: Its id.
            kwargs: Keys of the node in the file, e.g. `path="camera.py"`.

        Raises:
            ValueError: a node with this id is there already.
        """
        if any(node.id == id for node in self.nodes):
            raise ValueError(f"the dataflow has a node `{id}` already: each id stands once")
        node = Node(id, **kwargs)
        self.nodes.append(node)
        return node

    def to_dict(self) -> dict[str, Any]:
        """The dataflow as plain values."""
        return {"nodes": [node.to_dict() for node in self.nodes]}

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """The dataflow as YAML.

        Args:
            path: A file to write it to.

        Returns:
            The text, or None when it was written to a file.

        Raises:
            TypeError: a key holds a value that no file can; the message names it.
            OSError: the file cannot be written.
        """
        text = self._text()
        if path is None:
            return text
        Path(path).write_text(text, encoding="utf-8")
        return None

    def check(self) -> None:
        """Find mistakes in keys, values and wiring; files and commands are not looked at.

        Raises:
            DescriptorError: there are mistakes; it carries all of them.
        """
        from dora.descriptor.operators import lower_operators
        from dora.descriptor.report import Report
        from dora.descriptor.shape import read_model
        from dora.descriptor.source import parse
        from dora.descriptor.support import check_support
        from dora.descriptor.wiring import wire

        report = Report(parse(self.name, self._text()))
        flow = read_model(report)
        check_support(flow, report)
        if all(node.module is None for node in flow.nodes):
            wire(lower_operators(flow.nodes, report), report)
        report.raise_problems()

    def _text(self) -> str:
        from dora.descriptor.source import dump

        return dump(self.to_dict())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.check()


class _Ports:
    """What nodes and operators have in common: inputs and outputs."""

    def __init__(self, id: str, config: dict[str, Any]) -> None:
        self.id = id
        self.config = config

    def add_output(self, output_id: str) -> Output:
        """Add an output, if it is not there yet.

        Returns:
            The output, which `add_input` of another node takes as its source.
        """
        outputs = self.config.setdefault("outputs", [])
        if output_id not in outputs:
            outputs.append(output_id)
        assert isinstance(self, Node | Operator)
        return Output(self, output_id)

    def add_input(
        self,
        input_id: str,
        source: str | Output,
        queue_size: int | None = None,
        queue_policy: str | None = None,
    ) -> Self:
        """Add an input.

        Args:
            input_id: Its id.
            source: What `add_output` gave, or an address: `node/output`, `dora/timer/millis/20`.
            queue_size: How many messages may wait; 10 if not given.
            queue_policy: `drop_oldest` (a full queue drops its oldest message) or `backpressure`
                (the sender waits).

        Raises:
            ValueError: `queue_size` is below 1, or there is no such policy.
            TypeError: `source` is neither text nor an `Output`.
        """
        if queue_policy is not None and queue_policy not in _QUEUE_POLICIES:
            near = suggest(queue_policy, _QUEUE_POLICIES)
            hint = f"did you mean `{near}`? " if near else ""
            raise ValueError(
                f"`{queue_policy}` is no queue_policy of input `{input_id}`; {hint}"
                f"(there are: {', '.join(_QUEUE_POLICIES)})"
            )
        if queue_size is not None and queue_size < 1:
            raise ValueError(f"queue_size of input `{input_id}` is {queue_size}; it is 1 or more")
        if not isinstance(source, str | Output):
            raise TypeError(
                f"the source of input `{input_id}` is of type `{type(source).__name__}`; give an "
                "address such as `node/output`, or what `add_output` returned"
            )
        address = str(source)
        options = {"queue_size": queue_size, "queue_policy": queue_policy}
        given = {key: value for key, value in options.items() if value is not None}
        inputs = self.config.setdefault("inputs", {})
        inputs[input_id] = {"source": address, **given} if given else address
        return self

    def _address(self) -> str:
        """What stands before an output's id in its address."""
        return self.id


class Node(_Ports):
    """A node; made by `DataflowBuilder.add_node`.

    Args:
        id: Its id.
        kwargs: Keys of the node in the file.
    """

    def __init__(self, id: str, **kwargs: Any) -> None:
        super().__init__(id, {"id": id, **kwargs})
        self.operators: list[Operator] = []

    def path(self, path: str | os.PathLike[str]) -> Self:
        """Set the program: a Python file, an executable, `dynamic`."""
        self.config["path"] = os.fspath(path)
        return self

    def args(self, args: str | Sequence[str]) -> Self:
        """Set the program's arguments: one line as for a shell, or a list of words."""
        self.config["args"] = args if isinstance(args, str) else shlex.join(args)
        return self

    def env(self, env: Mapping[str, Any]) -> Self:
        """Set the environment variables that the node gets: text, numbers, booleans."""
        self.config["env"] = dict(env)
        return self

    def build(self, build_command: str) -> Self:
        """Set the commands that `dora build` runs, one a line."""
        self.config["build"] = build_command
        return self

    def git(
        self,
        url: str,
        branch: str | None = None,
        tag: str | None = None,
        rev: str | None = None,
    ) -> Self:
        """Set the repository that the node comes from, and which branch, tag or commit of it.

        Raises:
            ValueError: more than one of them is given.
        """
        wanted = {"branch": branch, "tag": tag, "rev": rev}
        given = {key: value for key, value in wanted.items() if value}
        if len(given) > 1:
            raise ValueError(
                f"node `{self.id}`: {' and '.join(given)} exclude each other; keep one"
            )
        self.config["git"] = url
        self.config |= given
        return self

    def add_operator(self, operator: Operator) -> Self:
        """Run an operator in this node's process."""
        operator.node = self
        self.operators.append(operator)
        return self

    def to_dict(self) -> dict[str, Any]:
        """The node as plain values.

        Raises:
            TypeError: a key holds a value that no file can; the message names it.
        """
        config = dict(self.config)
        if self.operators:
            config["operators"] = [operator.to_dict() for operator in self.operators]
        plain: dict[str, Any] = _plain(config, f"node `{self.id}`")
        return plain


class Operator(_Ports):
    """An operator: a `class Operator` in a Python file, run in a node's process with others.

    Args:
        id: Its id.
        name: For people.
        description: For people.
        build: The commands that `dora build` runs, one a line.
        python: Its file.
        shared_library: Accepted for dora-rs's sake; operators are Python files here.
        send_stdout_as: An output that carries what the process prints.
    """

    def __init__(
        self,
        id: str,
        name: str | None = None,
        description: str | None = None,
        build: str | None = None,
        python: str | os.PathLike[str] | None = None,
        shared_library: str | None = None,
        send_stdout_as: str | None = None,
    ) -> None:
        keys = {
            "id": id,
            "name": name,
            "description": description,
            "build": build,
            "python": python,
            "shared-library": shared_library,
            "send_stdout_as": send_stdout_as,
        }
        super().__init__(id, {key: value for key, value in keys.items() if value})
        self.node: Node | None = None
        """The node it was added to."""

    def to_dict(self) -> dict[str, Any]:
        """The operator as plain values.

        Raises:
            TypeError: a key holds a value that no file can; the message names it.
        """
        plain: dict[str, Any] = _plain(dict(self.config), f"operator `{self.id}`")
        return plain

    def _address(self) -> str:
        if self.node is None:
            raise ValueError(
                f"operator `{self.id}` belongs to no node yet, so its outputs have no address; "
                "call `add_operator` first"
            )
        return f"{self.node.id}/{self.id}"


def _plain(value: Any, at: str) -> Any:
    """A value as a file can hold it: text, numbers, lists, mappings."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Output):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{at}: {key}") for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(inner, at) for inner in value]
    raise TypeError(
        f"{at}: a value of type `{type(value).__name__}` cannot stand in a dataflow file; give "
        "text, a number, a list or a mapping"
    )
