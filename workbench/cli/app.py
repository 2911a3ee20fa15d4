"""The frame of the `workbench` command.

Each group of subcommands is a module of this package with one function::

    def register(app: typer.Typer) -> None:
        app.command("name")(name)

that adds its commands; `COMMAND_MODULES` lists the modules in the order of `workbench --help`. The rules they keep:

- Their top level imports nothing heavy (torch, transformers, pandas): each command imports what it needs, so that
  `--help` answers at once.
- What a user can get wrong is a `WorkbenchError`. `main` prints it as one line on standard error and exits with
  status 2; the traceback comes only with `--debug`. A command catches nothing and prints no errors itself.
- Results go to standard output: with `--json` exactly one object, by `print_json`, else tables by `console()`.
  Progress and logs go to standard error.
- A command that has to end with a status of its own raises `typer.Exit(status)`.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import Annotated

import typer

from workbench.cli import atlas, bench, card, doctor, evaluate, fetch, lab, models, trace, train, validate, variants
from workbench.errors import WorkbenchError

COMMAND_MODULES = (models, fetch, trace, train, variants, evaluate, validate, atlas, card, bench, lab, doctor)

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("circuit-workbench"))
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """From one prompt to an explanation of how a small language model computed its next token."""


def build_app() -> typer.Typer:
    """Return the application with the commands of every module in `COMMAND_MODULES`."""
    app = typer.Typer(
        name="workbench",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for module in COMMAND_MODULES:
        module.register(app)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status: 0, 2 for an error, 130 when interrupted."""
    # Importing torch and transformers makes millions of objects that live to the end: collecting garbage on the
    # way finds nothing and takes a fifth of the start-up.
    gc.set_threshold(200_000, 20, 20)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit status."""
    arguments, debug = _take_debug(arguments)
    try:
        status = build_app()(args=arguments or ["--help"], prog_name="workbench", standalone_mode=False)
        sys.stdout.flush()
        # typer swallows a KeyboardInterrupt and returns this status in its place.
        if status == EXIT_INTERRUPTED:
            return _fail("Interrupted.", EXIT_INTERRUPTED, debug=False)
        return status if isinstance(status, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail("Interrupted.", EXIT_INTERRUPTED, debug=debug)
    except WorkbenchError as error:
        return _fail(str(error), EXIT_ERROR, debug=debug)
    except BrokenPipeError:
        # The reader of our output has gone (`workbench models | head`); nothing can be told to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last resort of a command line: a line, not a traceback
        usage = getattr(error, "format_message", None)
        if usage is not None:
            return _fail(f"{usage().rstrip('.')}: see `workbench --help`.", EXIT_ERROR, debug=debug)
        message = f"Unexpected {type(error).__name__}: {error} (run again with --debug for the traceback)."
        return _fail(message, EXIT_ERROR, debug=debug)


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Let `--debug` stand anywhere before a `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return [*kept, *arguments[end:]], len(kept) < end


def _fail(message: str, status: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"workbench: {' '.join(message.split())}\n")
    return status
