"""The exceptions a user can meet, and the one shape in which mistakes are told.

    DoraError                    a RuntimeError too: programs that catch that go on working
    ├── DescriptorError          the dataflow file has mistakes; carries all of them
    ├── DataflowFailedError      a dataflow ran, and at least one of its nodes failed
    ├── NodeInitError            `Node()` could not join its dataflow
    ├── NodeClosedError          a call on a node that was closed, or belongs to another process
    ├── OutputError              an output id that is malformed or not declared
    ├── OperatorError            an operator's file, class or answer is not as it must be
    ├── PayloadTypeError         a value of a type that cannot be sent; a TypeError too
    ├── MetadataError            metadata that cannot be sent; a TypeError too
    ├── TypeCheckError           a message not of the type that is declared; a TypeError too
    ├── InputFormatError         an input typed, piped or in a file cannot be read as a value
    ├── InputError               an input id that the node does not have, or a message without a key
    ├── StreamEndedError         events were asked for after the last one
    ├── RequestError             a request or goal without an answer
    │   ├── RequestTimeoutError  none came in time; a TimeoutError too
    │   ├── RequestEndedError    none will come: the dataflow stops, or the other side is gone
    │   └── RemoteError          the other side answered that it failed
    ├── ExtensionError           a value that the daemon does not keep
    ├── SampleError              a loan or raw sample used out of turn
    ├── SimulationError          a simulated node failed, hung or left something behind
    ├── ReplayError              a recording cannot be replayed, or not as was wished
    ├── ExportError              what was recorded has no place in the files that were asked for
    ├── ArenaFullError           receivers hold all of a node's shared memory
    ├── DescriptorLimitError     the process may not open as many files as the dataflow needs
    └── ProtocolError            the other side speaks another protocol, or garbage

All of these end a command with one message and status 1, never a traceback.
"""

from __future__ import annotations

import msgspec


class DoraError(RuntimeError):
    """What went wrong, in words meant for the user: what, where, how to mend."""


class NodeInitError(DoraError):
    """`Node()` could not join its dataflow."""


class NodeClosedError(DoraError):
    """The node was closed, or the call comes from a forked child that does not own it."""


class OutputError(DoraError):
    """An output id is malformed, or is not in the node's `outputs:`."""


class OperatorError(DoraError):
    """An operator's file, its class, or what its `on_event` returned is not as it must be."""


class PayloadTypeError(DoraError, TypeError):
    """A value of this type cannot be sent; the message names the conversion to use."""


class MetadataError(DoraError, TypeError):
    """Metadata of this type cannot be sent."""


class InputFormatError(DoraError):
    """An input that was typed, piped in or read from a file is no value that dora knows."""


class InputError(DoraError):
    """An input id is not in the node's `inputs:`, or its message lacks what is needed."""


class StreamEndedError(DoraError):
    """Events were asked for after the last one was handed out."""


class RequestError(DoraError):
    """A request or goal has no answer."""


class RequestTimeoutError(RequestError, TimeoutError):
    """No answer came in time. One that comes later is handed out as an ordinary event."""


class RequestEndedError(RequestError):
    """No answer will come: the dataflow stops, or the other side is gone."""


class RemoteError(RequestError):
    """The other side failed, and said why."""


class ExtensionError(DoraError):
    """The daemon does not keep this value."""


class TypeCheckError(DoraError, TypeError):
    """A value or its metadata is not as the dataflow file declares it."""


class SampleError(DoraError):
    """A loan or raw sample was sent twice, or sent while views of it are still open."""


class SimulationError(DoraError):
    """A simulated node failed, hung or left something behind, or the simulation has no end."""


class ReplayError(DoraError):
    """A recording cannot be replayed, or not in the way that was asked for."""


class ExportError(DoraError):
    """What was recorded has no place in the kind of files that was asked for."""


class ArenaFullError(DoraError):
    """Receivers hold every slot of this node's shared memory."""


class DescriptorLimitError(DoraError):
    """A process needs more file descriptors than its hard limit allows."""


class ProtocolError(DoraError):
    """The other side of a socket speaks another protocol version, or garbage."""


class DataflowFailedError(DoraError):
    """A dataflow ended and at least one of its nodes had failed."""


class Place(msgspec.Struct, frozen=True):
    """A spot in a text file. Line and column count from 1."""

    file: str
    line: int
    column: int
    text: str = ""
    """The whole line, without its line end."""
    width: int = 1
    """How many characters of the line are meant."""


class Problem(msgspec.Struct, frozen=True):
    """One mistake: what it is, where it stands, how to mend it."""

    what: str
    at: Place | None = None
    mend: str | None = None

    @property
    def in_one_line(self) -> str:
        """Without the text of the file: for those who do not want to stop at it."""
        at = f"{self.at.file}:{self.at.line}:{self.at.column}: " if self.at else ""
        return f"{at}{self.what}; {self.mend}" if self.mend else f"{at}{self.what}"

    def __str__(self) -> str:
        lines = []
        if self.at is None:
            lines.append(self.what)
        else:
            at = self.at
            lines.append(f"{at.file}:{at.line}:{at.column}: {self.what}")
            if at.text.strip():
                number = f"{at.line:>5} | "
                shown = at.text.replace("\t", " ")
                lines.append(number + shown)
                lines.append(" " * 6 + "| " + " " * (at.column - 1) + "^" * max(1, at.width))
        if self.mend:
            lines.append(f"  mend: {self.mend}")
        return "\n".join(lines)


class DescriptorError(DoraError):
    """A dataflow file has mistakes. `problems` holds all of them, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
