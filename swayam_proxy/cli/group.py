"""The group that holds all commands: turns whatever ends a command into its two lines and exit status."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import click

from swayam_proxy.cli.failure import CommandFailed, Exit


class SwayamGroup(click.Group):
    """A click group whose commands never end in a traceback that an operator caused."""

    def main(  # type: ignore[override]  # click's has overloads, by standalone_mode
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> int:
        """Run a command and exit; with standalone_mode=False return the exit status instead."""
        status = self._run(args, prog_name, {"complete_var": complete_var, **extra})
        if standalone_mode:
            sys.exit(status)
        return status

    def _run(self, args: Sequence[str] | None, prog_name: str | None, extra: dict[str, Any]) -> int:
        try:
            result = super().main(args, prog_name, standalone_mode=False, **extra)
            sys.stdout.flush()
            return result if isinstance(result, int) else Exit.OK
        except click.NoSuchOption as error:
            return _complain(f"there is no option {error.option_name}", _option_todo(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            return Exit.USAGE
        except click.UsageError as error:
            return _complain(_sentence(error.format_message()), _see_help(error))
        except click.ClickException as error:
            return _complain(_sentence(error.format_message()), "see swayam --help", Exit(error.exit_code))
        except CommandFailed as failure:
            return _complain(failure.what, failure.todo, failure.status)
        except (KeyboardInterrupt, click.Abort):
            return Exit.INTERRUPTED
        except BrokenPipeError:
            # whoever read our output has left; keep the interpreter from complaining when it flushes
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.FAILED

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was meant."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            todo = f"did you mean {close[0]}?" if close else "see swayam --help"
            raise CommandFailed(f"there is no command {args[0]}", todo, Exit.USAGE)
        return super().resolve_command(ctx, args)


def _complain(what: str, todo: str, status: Exit = Exit.USAGE) -> int:
    click.echo(f"swayam: {what}\n  {todo}", err=True)
    return status


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return text[:1].lower() + text[1:]


def _option_todo(error: click.NoSuchOption) -> str:
    if error.possibilities:
        return f"did you mean {' or '.join(sorted(error.possibilities))}?"
    return _see_help(error)


def _see_help(error: click.UsageError) -> str:
    return f"see {error.ctx.command_path if error.ctx else 'swayam'} --help"
