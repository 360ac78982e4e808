"""`docs/commands.md` has a part for every command, which names all its flags."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from dora.cli import main as main_module
from dora.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
PARTS = dict(re.findall(r"^###? `(dora [^`]*)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands that do something, by their whole names."""
    ctx = click.Context(group)
    for word in group.list_commands(ctx):
        module = main_module._LATER.get(word, "").partition(":")[0] if group is cli else ""
        if module and find_spec(f"dora.cli.{module}") is None:
            continue
        command = group.get_command(ctx, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        elif not command.hidden:
            yield f"{name} {word}", command


COMMANDS = dict(commands(cli, "dora"))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_names_every_flag(name: str) -> None:
    assert name in PARTS, f"docs/commands.md has no heading `{name}`"
    flags = {
        flag
        for param in COMMANDS[name].params
        if isinstance(param, click.Option) and not param.hidden
        for flag in [*param.opts, *param.secondary_opts]
    }
    missing = {
        flag for flag in flags if not re.search(rf"`{re.escape(flag)}(?![\w-])", PARTS[name])
    }
    assert not missing


def test_links_of_the_page_lead_to_its_headings() -> None:
    links = set(re.findall(r"\(#([\w-]+)\)", PAGE))
    headings = {
        re.sub(r"[^\w -]", "", text).strip().replace(" ", "-").lower()
        for text in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    assert links <= headings


def test_the_list_of_commands_has_each_once_in_one_line_of_80_columns() -> None:
    ctx = click.Context(cli, info_name="dora", terminal_width=80)
    lines = cli.get_help(ctx).partition("Begin:")[2].splitlines()
    listed = [line.split()[0] for line in lines if re.match(r"  \w", line)][:-1]
    assert sorted(listed) == cli.list_commands(ctx)
    assert not [line for line in lines if line.startswith("   ")]
