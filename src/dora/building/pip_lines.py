"""What a `build` line means in a node's environment, and when it need not be run again.

`python` and `pip` are those of the node's environment; where that holds no pip, `uv pip` does the
same. A `pip install` whose outcome depends on nothing but the line, the environment and a few files
need not be repeated while these stay as they are; every other command must. Pure.

Used by `building.dataflow`. Elsewhere: splitting lines (`descriptor.builds`), remembering what was
run (`building.record`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PIP = re.compile(r"pip(3(\.\d+)?)?")
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_INSTALLER = re.compile(r"(?<![\w-])(pip3?|uv)(?![\w-])")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[^\]]*\])?\s*([<>=!~]=?.*)?")

_TAKING_FILE = {"-r", "--requirement", "-c", "--constraint"}
_TAKING_FOLDER = {"-e", "--editable"}
_TAKING_VALUE = {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--index"}
_PLAIN = frozenset(
    [
        "-q",
        "--quiet",
        "-v",
        "--verbose",
        "--no-deps",
        "--no-cache-dir",
        "--no-build-isolation",
        "--no-input",
        "--no-index",
        "--prefer-binary",
        "--user",
        "--disable-pip-version-check",
        "--break-system-packages",
    ]
)
_OF_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")


def translate(words: tuple[str, ...], python: str, uv: str | None) -> tuple[str, ...]:
    """The command of a line, in the environment of an interpreter.

    Args:
        words: The line as written.
        python: The interpreter.
        uv: The command `uv`, if that is what `pip` means.
    """
    name, *rest = words
    if _PYTHON.fullmatch(name):
        if uv and rest[:2] == ["-m", "pip"]:
            return translate(("pip", *rest[2:]), python, uv)
        return (python, *rest)
    if not _PIP.fullmatch(name):
        return words
    if uv is None:
        return (python, "-m", "pip", *rest)
    into = ("--python", python) if rest and not rest[0].startswith("-") else ()
    return (uv, "pip", *rest[:1], *into, *rest[1:])


def means_pip(words: tuple[str, ...]) -> bool:
    """Whether a line is a command of pip."""
    is_module = _PYTHON.fullmatch(words[0]) is not None and words[1:3] == ("-m", "pip")
    return is_module or _PIP.fullmatch(words[0]) is not None


def may_install(words: tuple[str, ...]) -> bool:
    """Whether a line may install packages, be it through a shell or a script."""
    return any(_INSTALLER.search(word) for word in words)


def deciding_files(words: tuple[str, ...], folder: Path) -> list[Path] | None:
    """The files that decide what a line does; None if it must be run each time.

    Args:
        words: The line as written.
        folder: Where it is run.
    """
    rest = _after_install(words)
    if rest is None:
        return None
    files: list[Path] = []
    while rest:
        word, rest = rest[0], rest[1:]
        option, equals, value = word.partition("=")
        if option in _TAKING_FILE | _TAKING_FOLDER | _TAKING_VALUE and word.startswith("-"):
            if not equals:
                if not rest:
                    return None
                value, rest = rest[0], rest[1:]
            if option in _TAKING_FILE:
                files.append(folder / value)
            elif option in _TAKING_FOLDER:
                if "://" in value:
                    return None
                files += [folder / re.sub(r"\[.*\]$", "", value) / name for name in _OF_PROJECT]
        elif word.startswith("-"):
            if word not in _PLAIN:
                return None
        elif not _REQUIREMENT.fullmatch(word) or (folder / word).exists():
            return None  # A file, a folder or an address, whose content may change.
    return files


def _after_install(words: tuple[str, ...]) -> list[str] | None:
    """What follows `pip install`; None if the line is no such command."""
    rest = list(words)
    if _PYTHON.fullmatch(rest[0]) and rest[1:2] == ["-m"]:
        rest = rest[2:]
    elif rest[0] == "uv":
        rest = rest[1:]
    if len(rest) > 1 and _PIP.fullmatch(rest[0]) and rest[1] == "install":
        return rest[2:]
    return None
