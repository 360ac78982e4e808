"""Which keys of a dataflow file this release obeys; the others are known, and named plainly.

A key that would change *what runs* is a mistake as long as it is not supported. The table shrinks
as releases add to what they obey.

Works on the filled model and the report. Elsewhere: keys that nobody knows (`descriptor.shape`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dora.descriptor.operators import check_operators
from dora.descriptor.words import node_name

if TYPE_CHECKING:
    from dora.descriptor.model import Dataflow, NodeEntry
    from dora.descriptor.report import Report

_OF_MODULES = {"id", "name", "description", "module", "params", "inputs", "env", "build", "deploy"}
"""What may stand beside `module`."""

_PARAM_NAME = re.compile(r"[A-Za-z0-9_]+")
_HUB_NAME = re.compile(r"(?:[^/@]+/)?([A-Za-z0-9][\w.-]*)(?:@|$)")
_NODE_KINDS = ("path", "operator", "operators", "ros2", "module", "hub")

UNSUPPORTED = {
    "ros2": "bridge in a node of your own that uses `rclpy`",
    "hub": "install the package: `build: pip install NAME`, `path: NAME`",
    "deploy": "all nodes run on this machine; delete it",
}
"""Would change what runs, and cannot be obeyed yet: an error."""

_COMPANIONS = {
    "branch": "git",
    "tag": "git",
    "rev": "git",
    "params": "module",
}


def check_support(flow: Dataflow, report: Report) -> None:
    """Report the keys that are known and not obeyed, and nodes of no kind or of several."""
    if flow.deploy is not None:
        _unsupported(report, "deploy", "deploy")
    check_nodes(flow.nodes, report)


def check_nodes(nodes: list[NodeEntry], report: Report) -> None:
    """What `check_support` does, for the nodes of a file alone."""
    for index, node in enumerate(nodes):
        if not report.is_damaged("nodes", index) or node.id:
            _check_node(index, node, report)


def _check_node(index: int, node: NodeEntry, report: Report) -> None:
    name = node_name(report.source.value, index)
    for key in UNSUPPORTED:
        if getattr(node, key) is not None:
            _unsupported(report, key, "nodes", index, key)
            report.damage("nodes", index, "outputs")
            report.damage("nodes", index, "path")
    for key, owner in _COMPANIONS.items():
        absent = not getattr(node, owner) and not report.is_damaged("nodes", index, owner)
        if getattr(node, key) is not None and absent:
            what = f"{name}: `{key}` means nothing without `{owner}`"
            report.problem_with_key(what, "nodes", index, key, mend="delete it")
    _check_kind(index, node, report)
    check_operators(index, node, report)
    if node.module is not None:
        _check_module(index, node, report)


def _check_kind(index: int, node: NodeEntry, report: Report) -> None:
    """A node is of exactly one kind."""
    kinds = [key for key in _NODE_KINDS if getattr(node, key) is not None]
    name = node_name(report.source.value, index)
    if len(kinds) > 1:
        named = " and ".join(f"`{kind}`" for kind in kinds)
        what = f"{name} has {named}: only one of them can say what runs"
        report.problem_with_key(what, "nodes", index, kinds[1], mend="keep one of them")
    unread = any(report.is_damaged("nodes", index, kind) for kind in _NODE_KINDS)
    if not kinds and not unread:
        at = ("nodes", index, "id") if node.id else ("nodes", index)
        report.problem(f"{name} has no `path`", *at, mend="say what runs: `path: my_node.py`")


def _check_module(index: int, node: NodeEntry, report: Report) -> None:
    """A module node only says what its nodes have in common."""
    name = node_name(report.source.value, index)
    for key in node.__struct_fields__:
        if key in _OF_MODULES or key in _NODE_KINDS or getattr(node, key) in (None, {}, []):
            continue
        what = f"{name}: `{key}` means nothing beside `module`"
        mend = "the outputs are those of the module file; delete it"
        if key != "outputs":
            mend = f"set `{key}` on nodes in `{node.module}`"
        report.problem_with_key(what, "nodes", index, key, mend=mend)
    for key in node.params or {}:
        if not _PARAM_NAME.fullmatch(key):
            what = f"{name}: `{key}` cannot be the name of a parameter"
            mend = "use letters, digits and `_`: it becomes the variable `PARAM_NAME`"
            report.problem_with_key(what, "nodes", index, "params", key, mend=mend)


def _unsupported(report: Report, key: str, *path: str | int) -> None:
    what = f"`{key}` is not supported in this release"
    mend = UNSUPPORTED[key]
    if key == "hub" and (written := _HUB_NAME.match(str(report.source.text(*path)))):
        mend = mend.replace("NAME", written[1])
    report.problem_with_key(what, *path, mend=mend)
