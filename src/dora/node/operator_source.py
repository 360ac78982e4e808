"""An operator's file: imported under a name of its own, its class made into an instance, reloaded.

The name is the file's, as long as importing that name would find this very file; else (a second
operator from one file, a file named like a library) the operator's id is put behind it. The
file's folder is appended to `sys.path`, so that modules beside it can be imported; those are
Python's to share.

Elsewhere: when an operator is made and what it is handed (`node.operators`).
"""

from __future__ import annotations

import re
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dora.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from dora.wire.runtime import OperatorConfig

_CLASS = "Operator"
_METHOD = "on_event"


class Operator(Protocol):
    """What a user's `class Operator` looks like."""

    dataflow_descriptor: dict[str, Any]

    def on_event(self, dora_event: Any, send_output: Callable[..., None]) -> Any:
        """Take one event; answer with a `DoraStatus`."""


class OperatorSource:
    """Where instances of one operator come from.

    Args:
        config: The operator.

    Raises:
        OperatorError: the file is not there, or has no `class Operator` with `on_event`.
        Exception: whatever the file itself raises.
    """

    def __init__(self, config: OperatorConfig) -> None:
        self._id = config.id
        self.path = Path(config.source)
        folder = str(self.path.parent)
        if folder not in sys.path:
            sys.path.append(folder)
        self._name = _module_name(self.path, config.id)
        self._class = self._import()

    def make(self) -> Operator:
        """A new instance."""
        made: Operator = self._class()
        return made

    def reload(self, old: Operator) -> Operator:
        """An instance of the class that the file holds now, with the attributes of the `old` one.

        When that fails, all stays as it was.

        Raises:
            OperatorError: the file is not there, or has no `class Operator` with `on_event`.
            Exception: whatever the file itself or its `__init__` raises.
        """
        fresh = self._import()
        new: Operator = fresh()
        new.__dict__.update(getattr(old, "__dict__", {}))
        self._class = fresh
        return new

    def _import(self) -> Callable[[], Any]:
        """The class, from the file as it is now. A module that fails leaves the former in place."""
        try:
            text = self.path.read_bytes()
        except OSError as exc:
            raise OperatorError(
                f"operator `{self._id}`: its file `{self.path}` cannot be read: {exc.strerror}"
            ) from exc
        # Compiled here, not by the import system: its cache takes two versions of one second
        # and one size for the same.
        code = compile(text, str(self.path), "exec")
        spec = util.spec_from_file_location(self._name, self.path)
        assert spec is not None
        module = util.module_from_spec(spec)
        former = sys.modules.get(self._name)
        sys.modules[self._name] = module
        try:
            exec(code, module.__dict__)
            return self._class_of(module)
        except BaseException:
            if former is None:
                del sys.modules[self._name]
            else:
                sys.modules[self._name] = former
            raise

    def _class_of(self, module: ModuleType) -> Callable[[], Any]:
        found = getattr(module, _CLASS, None)
        if not isinstance(found, type):
            raise OperatorError(
                f"operator `{self._id}`: `{self.path}` has no class `{_CLASS}`; write\n"
                f"  class {_CLASS}:\n"
                f"      def {_METHOD}(self, dora_event, send_output):\n"
                "          return DoraStatus.CONTINUE"
            )
        if not callable(getattr(found, _METHOD, None)):
            raise OperatorError(
                f"operator `{self._id}`: `class {_CLASS}` of `{self.path}` has no method "
                f"`{_METHOD}(self, dora_event, send_output)`"
            )
        return found


def _module_name(path: Path, operator_id: str) -> str:
    """Under which name to import a file."""
    name = path.stem
    if name.isidentifier() and name not in sys.modules and name not in sys.builtin_module_names:
        spec = util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            if origin.exists() and origin.samefile(path):
                return name
    return re.sub(r"\W", "_", f"{name}_{operator_id}")
