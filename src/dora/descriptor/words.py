"""What the parts of a dataflow file are called in messages; pure text.

Used by `descriptor.shape` and the checks after it, so that one thing has one name everywhere.
Elsewhere: where a part stands (`descriptor.source`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dora.descriptor.source import PathStep

_LONGEST = 40


def subject(path: tuple[PathStep, ...], root: Any) -> str:
    """The name of what stands at `path` in the file whose top is `root`."""
    match path:
        case ():
            return "a dataflow file"
        case ("nodes", int(index)):
            return node_name(root, index)
        case ("nodes", int(index), "inputs", str(port)):
            return f"input `{_node_id(root, index)}/{port}`"
        case ("nodes", int(index), "inputs", str(port), str(key)):
            return f"`{key}` of input `{_node_id(root, index)}/{port}`"
        case ("nodes", int(index), "outputs", int(position)):
            return f"output {position + 1} of {node_name(root, index)}"
        case ("nodes", int(index), "operator"):
            return f"the operator of {node_name(root, index)}"
        case ("nodes", int(index), "operator", str() as key, *rest):
            return _part_of_operator(root, ("nodes", index, "operator"), [key, *rest])
        case ("nodes", int(index), "operators", int(position), *rest):
            return _part_of_operator(root, ("nodes", index, "operators", position), rest)
        case ("nodes", int(index), str(key)):
            return f"`{key}` of {node_name(root, index)}"
        case ("nodes", int(index), str(key), *rest):
            return f"`{_dotted(rest)}` in `{key}` of {node_name(root, index)}"
        case (str(key),):
            return f"`{key}`"
        case (str(key), *rest):
            return f"`{_dotted(rest)}` in `{key}`"
    return f"`{_dotted(path)}`"


def node_name(root: Any, index: int) -> str:
    """A node as messages call it: by its id, or by its position if it has none."""
    node_id = _node_id(root, index)
    return f"node {node_id}" if node_id == str(index + 1) else f"node `{node_id}`"


def operator_name(root: Any, at: tuple[PathStep, ...]) -> str:
    """The operator at this path as messages call it."""
    node = node_name(root, at[1]) if isinstance(at[1], int) else "a node"
    if at[2] == "operator":
        return f"the operator of {node}"
    assert isinstance(at[3], int)
    operator_id = _operator_id(root, at)
    return (
        f"operator `{operator_id}` of {node}" if operator_id else f"operator {at[3] + 1} of {node}"
    )


def found(value: Any) -> str:
    """A value as YAML writers call it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number `{value}`"
        case str():
            return f"the text `{shortened(value)}`" if value else "an empty text"
        case list():
            return "a list"
    return "a mapping"


def shortened(text: str) -> str:
    """The text on one line, cut off when long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def listed(names: list[str]) -> str:
    """Names in a row, as a message ends with them."""
    return ", ".join(names) if names else "none"


def _part_of_operator(root: Any, at: tuple[PathStep, ...], rest: list[PathStep]) -> str:
    name = operator_name(root, at)
    match rest:
        case []:
            return name
        case ["inputs", str(port)]:
            return f"input `{port}` of {name}"
        case ["inputs", str(port), str(key)]:
            return f"`{key}` of input `{port}` of {name}"
        case ["outputs", int(position)]:
            return f"output {position + 1} of {name}"
        case [key]:
            return f"`{key}` of {name}"
    return f"`{_dotted(rest[1:])}` in `{rest[0]}` of {name}"


def _operator_id(root: Any, at: tuple[PathStep, ...]) -> str | None:
    value = root
    try:
        for step in at:
            value = value[step]
        operator_id = value["id"]
    except (KeyError, IndexError, TypeError):
        return None
    return operator_id if isinstance(operator_id, str) and operator_id else None


def _node_id(root: Any, index: int) -> str:
    try:
        node_id = root["nodes"][index]["id"]
    except (KeyError, IndexError, TypeError):
        return str(index + 1)
    return str(node_id) if isinstance(node_id, str) and node_id else str(index + 1)


def _dotted(path: tuple[PathStep, ...] | list[PathStep]) -> str:
    return ".".join(str(step) for step in path)
