"""The command line: Typer, with everything heavy imported by the command that needs it.

Options for all commands (``--config FILE``, ``--json``, ``-q``, ``-v``, ``--server URL``) may stand anywhere on the
line.
"""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from simian.cli.defaults import Command, Group
from simian.cli.globals import Globals, only_here, split_globals, with_server
from simian.cli.output import printable
from simian.cli.streams import patient_streams
from simian.errors import DriverError, JournalError, PluginError, Refused, SimianError, UsageError

# name: (module under simian.cli, function, help). Loaded when called, so that `simian --help` stays quick.
COMMANDS = {
    "demo": ("demo", "demo", "Lab up, one monkey under its users, the report, lab down; nothing left behind."),
    "lab": ("lab", "app", "The two-region system to try things on: up, down, status, logs."),
    "init": ("init", "init", "Describe a compose project of your own: simian.yaml, and an override that opts it in."),
    "run": ("run", "run", "Run an experiment, by file or name."),
    "validate": ("experiments", "validate", "Check experiment and configuration files; touch nothing."),
    "experiments": ("experiments", "app", "The experiments that come with simian: list, show, schema."),
    "monkeys": ("monkeys", "app", "Every monkey found, with radius and options; broken plug-ins named."),
    "status": ("look", "status", "Runs now, faults in place or doubtful, halted?"),
    "topology": ("look", "topology", "Regions, zones, nodes and links as seen now."),
    "traffic": ("traffic", "app", "Where users go, by region: show."),
    "doctor": ("look", "doctor", "Is everything reachable, safe, marked; where things are kept."),
    "abort": ("mend", "abort", "End a run now; everything it did is undone."),
    "recover": ("mend", "recover", "Put back whatever a dead run left."),
    "halt": ("mend", "halt", "End every run now and forbid new ones."),
    "resume": ("mend", "resume", "Allow runs again."),
    "schedule": ("schedule", "app", "Recurring runs: add, list, show, pause, resume, remove, preview."),
    "serve": ("serve", "serve", "The daemon: starts due runs, watches and recovers them; pages and API."),
    "history": ("history", "app", "Past runs, newest first."),
    "report": ("report", "report", "The report of a run: `last`, a name, or a unique beginning of one; or --week."),
    "compare": ("report", "compare", "What changed from one run to another."),
    "replay": ("replay", "replay", "Run the same again: monkey or experiment, options and seed as in a past run."),
}
MONKEYS = "A one-off run: simian chaos, gorilla, kong, split-brain, latency, and your own; see simian monkeys."
EPILOG = (
    "Everywhere: --config FILE, --json, -q, -v; --server URL (or SIMIAN_SERVER), to act on the daemon there, with a "
    "token from SIMIAN_TOKEN or --token-file FILE. A monkey's own options: simian MONKEY --help."
)
# What no daemon elsewhere can do for us: what to do instead.
HERE_ONLY = {
    "demo": "it brings up a lab of its own",
    "lab": "it brings up processes or containers on this machine",
    "init": "it writes files on this machine; run it where the compose files are",
    "validate": "it reads files of this machine",
    "doctor": "it looks at drivers and folders; run it where the daemon runs, or see simian status and /readyz",
    "recover": "the daemon recovers what dead runs left by itself, every half minute; else run it there",
    "serve": "it is a daemon; start it where the system is",
    "replay": "it compares plan and checks where the system is; run it there, or press Replay on the page of the run",
}


class Commands(Group):
    """Built-in commands from the table, monkeys from wherever monkeys come from; each loaded when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the table; looking for monkeys would make `simian --help` half as slow again."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load one command."""
        if cmd_name in COMMANDS:
            from importlib import import_module

            module, attribute, help_text = COMMANDS[cmd_name]
            return _command(cmd_name, getattr(import_module(f"simian.cli.{module}"), attribute), help_text)
        from simian.cli.monkey import monkey_command

        return monkey_command(cmd_name, ctx.obj, others=list(COMMANDS))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of this line. Raises UsageError where ``--server`` names a daemon that cannot do it."""
        if args and args[0] in HERE_ONLY and "--help" not in args:
            only_here(ctx.obj, f"simian {args[0]}", HERE_ONLY[args[0]])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table, without loading what is in it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])
        with formatter.section("Monkeys"):
            formatter.write_dl([("MONKEY", MONKEYS)])


def _command(name: str, target: Any, help_text: str) -> Any:
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=Command, help=None if target.__doc__ else help_text)(target)
        target = app
    command = typer.main.get_command(target)
    command.name = name
    return command


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
)


def _version(ctx: typer.Context, asked: bool) -> None:
    if asked:
        from simian import __version__

        print(json.dumps({"simian": __version__}) if ctx.obj and ctx.obj.json else f"simian {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print it and stop."),
) -> None:
    """Break a multi-region system on purpose, watch its users, and put everything back."""


KINDS: list[tuple[type[SimianError], str, int]] = [
    (UsageError, "usage", 2),
    (Refused, "refused", 3),
    (DriverError, "unreachable", 4),
    (JournalError, "journal", 4),
    (PluginError, "plugin", 4),
    (SimianError, "failed", 4),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """The program's entry point; exits with the code of the contract."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    with patient_streams():
        code = _outcome(given)
    sys.exit(code)


def _outcome(given: list[str]) -> int:
    """The exit code of this command line, all that it has to say printed."""
    as_json = "--json" in given
    try:
        settings, rest = split_globals(given)
        as_json = settings.json
        settings = with_server(settings, os.environ)
        code = _run(settings, rest)
        sys.stdout.flush()
        return code
    except SimianError as error:
        return _told(error, as_json)
    except KeyboardInterrupt:
        return _told(SimianError("interrupted"), as_json)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _unexpected(error, f"{where}{error.strerror or error}", as_json)
    except Exception as error:
        return _unexpected(error, f"{type(error).__name__}: {error}", as_json)


def _run(settings: Globals, rest: list[str]) -> int:
    try:
        answer = typer.main.get_command(app).main(args=rest, prog_name="simian", standalone_mode=False, obj=settings)
        return answer if isinstance(answer, int) else 0
    except typer.Abort as error:  # what Typer makes of Ctrl-C
        raise KeyboardInterrupt from error
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError" and not settings.json:
            print(error.format_message(), file=sys.stderr)
            return 2
        raise UsageError(_in_our_words(error)) from error


def _in_our_words(error: Any) -> str:
    """What Typer found wrong with the line, and where to look what would be right."""
    path = error.ctx.command_path if error.ctx else "simian"
    if type(error).__name__ == "NoArgsIsHelpError":
        return f"{path} needs a command; see {path} --help"
    said = str(error.format_message()).replace("Value error, ", "").rstrip(".")
    return f"{said[:1].lower()}{said[1:]}; see {path} --help"


def _unexpected(error: Exception, text: str, as_json: bool) -> int:
    """A defect of ours, or of the machine, in one line; with a traceback on request."""
    if os.environ.get("SIMIAN_DEBUG") == "1":
        raise error
    return _told(SimianError(f"{text}; SIMIAN_DEBUG=1 shows where".replace("\n", " ")), as_json)


def _told(error: SimianError, as_json: bool) -> int:
    reasons = getattr(error, "problems", None) or getattr(error, "reasons", None) or str(error).splitlines()
    kind, code = next((kind, code) for cls, kind, code in KINDS if isinstance(error, cls))
    with contextlib.suppress(OSError):  # nobody can be told; the exit code says it
        if as_json:
            print(json.dumps({"error": {"kind": kind, "reasons": reasons}}), flush=True)
        else:
            for reason in reasons:
                print(f"error: {printable(reason)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
