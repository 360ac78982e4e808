"""Which keys of a dataflow file this release obeys; the others are known, and named plainly.

A key that would change *what runs* is a mistake as long as it is not supported; one whose absence
only makes the run weaker is a warning. The tables shrink as releases add to them.

Works on the filled model and the report. Elsewhere: keys that nobody knows (`descriptor.shape`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.descriptor.words import node_name

if TYPE_CHECKING:
    from dora.descriptor.model import Dataflow, NodeEntry
    from dora.descriptor.report import Report

_NODE_KINDS = ("path", "operator", "operators", "ros2", "module", "hub")

UNSUPPORTED = {
    "operator": "make it a node of its own: `path: my_node.py`",
    "operators": "make each a node of its own: `path: my_node.py`",
    "ros2": "bridge in a node of your own that uses `rclpy`",
    "module": "write the nodes of the module into this file",
    "hub": "install the package with `build: pip install …` and name its command in `path`",
    "git": "clone it yourself and give `path` relative to this file",
    "deploy": "all nodes run on this machine; delete it",
}
"""Would change what runs, and cannot be obeyed yet: an error."""

_COMPANIONS = {
    "branch": "git",
    "tag": "git",
    "rev": "git",
    "params": "module",
    "path_sha256": "a `path` that is an address",
}
_DEGRADED = {
    "health_check_timeout": "a node that hangs is not killed",
    "startup_timeout": "a node may take as long as it likes to connect",
    "finish_grace_secs": "a node whose inputs are all closed is not hurried",
    "input_types": "types are not checked",
    "output_types": "types are not checked",
    "output_metadata": "metadata is not checked",
    "pattern": "metadata is not checked",
}
_DEGRADED_TOP = {
    "health_check_interval": "nodes that hang are not killed",
    "strict_types": "types are not checked",
    "type_rules": "types are not checked",
}
_NOT_YET = "is not obeyed in this release"


def check_support(flow: Dataflow, report: Report) -> None:
    """Report the keys that are known and not obeyed, and nodes of no kind or of several."""
    if flow.deploy is not None:
        _unsupported(report, "deploy", "deploy")
    for key, effect in _DEGRADED_TOP.items():
        if getattr(flow, key):
            report.warn(f"`{key}` {_NOT_YET}: {effect}", key)
    for index, node in enumerate(flow.nodes):
        if not report.is_damaged("nodes", index) or node.id:
            _check_node(index, node, report)


def _check_node(index: int, node: NodeEntry, report: Report) -> None:
    name = node_name(report.source.value, index)
    for key in UNSUPPORTED:
        if getattr(node, key) is not None:
            _unsupported(report, key, "nodes", index, key)
            report.damage("nodes", index, "outputs")
            report.damage("nodes", index, "path")
    if node.path and node.path.startswith(("http://", "https://")):
        what = f"{name}: a `path` that is an address is not supported in this release"
        report.problem(what, "nodes", index, "path", mend="download the file and name it here")
    for key, owner in _COMPANIONS.items():
        if getattr(node, key) is not None and (
            owner not in UNSUPPORTED or not getattr(node, owner)
        ):
            owner_name = f"`{owner}`" if owner in UNSUPPORTED else owner
            if owner in UNSUPPORTED or not (node.path or "").startswith("http"):
                what = f"{name}: `{key}` means nothing without {owner_name}"
                report.problem_with_key(what, "nodes", index, key, mend="delete it")
    _check_kind(index, node, report)
    if node.restart_policy not in {None, "never"}:
        what = f"{name}: `restart_policy` {_NOT_YET}: a node that exits is not started again"
        report.warn(what, "nodes", index, "restart_policy")
    for key, effect in _DEGRADED.items():
        if getattr(node, key) not in (None, {}, []):
            report.warn(f"{name}: `{key}` {_NOT_YET}: {effect}", "nodes", index, key)


def _check_kind(index: int, node: NodeEntry, report: Report) -> None:
    """A node is of exactly one kind."""
    kinds = [key for key in _NODE_KINDS if getattr(node, key) is not None]
    name = node_name(report.source.value, index)
    if len(kinds) > 1:
        named = " and ".join(f"`{kind}`" for kind in kinds)
        what = f"{name} has {named}: only one of them can say what runs"
        report.problem_with_key(what, "nodes", index, kinds[1], mend="keep one of them")
    unread = any(report.is_damaged("nodes", index, kind) for kind in _NODE_KINDS)
    if not kinds and node.git is None and not unread:
        at = ("nodes", index, "id") if node.id else ("nodes", index)
        report.problem(f"{name} has no `path`", *at, mend="say what runs: `path: my_node.py`")


def _unsupported(report: Report, key: str, *path: str | int) -> None:
    what = f"`{key}` is not supported in this release"
    report.problem_with_key(what, *path, mend=UNSUPPORTED[key])
