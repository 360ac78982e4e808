"""`dora completion`: the script that makes Tab complete command lines of `dora`, by click.

Elsewhere: what Tab offers that must be asked for (`cli.completing`); commands, flags and files are
known to click.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from dora.cli.flags import Command

_SHELLS = ["bash", "zsh", "fish"]
_EPILOG = """\
Example: eval "$(dora completion)"

\b
For good, in bash:  echo 'eval "$(dora completion bash)"' >> ~/.bashrc
For good, in zsh:   echo 'eval "$(dora completion zsh)"' >> ~/.zshrc
                    (after `autoload -Uz compinit && compinit`)
For good, in fish:  dora completion fish > ~/.config/fish/completions/dora.fish
"""


@click.command(cls=Command, epilog=_EPILOG)
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> int:
    """Print a script with which Tab completes `dora` in SHELL.

    SHELL is by default the one that asks.
    """
    from click.shell_completion import get_completion_class

    shell = shell or _asking_shell()
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"the installed click knows no completion for {shell}")
    click.echo(script(ctx.find_root().command, {}, "dora", "_DORA_COMPLETE").source(), nl=False)
    return 0


def _asking_shell() -> str:
    """The shell that started this process, else the user's."""
    for name in (_parent(), Path(os.environ.get("SHELL", "")).name):
        if name in _SHELLS:
            return name
    raise click.UsageError(
        f"which shell this is cannot be told; name it, `dora completion {_SHELLS[0]}`, "
        f"for example: {', '.join(_SHELLS)}"
    )


def _parent() -> str:
    """The name of the program that started this process; empty where it cannot be seen."""
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    except OSError:
        return ""
