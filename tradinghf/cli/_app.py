"""The tree of commands, and `main`, which turns errors into exit codes."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import cache
from typing import TYPE_CHECKING

from tradinghf import logs
from tradinghf._compiling import tell_of_compiling
from tradinghf._outside_text import printable
from tradinghf.cli._json import gives_json, json_printed
from tradinghf.errors import ConfigError, Stopped, TradingHFError, unknown_name

if TYPE_CHECKING:
    from tyro.extras import SubcommandApp

_log = logging.getLogger(__name__)
Command = Callable[..., int | None]
Tree = Mapping[str, "Command | tuple[str, Mapping[str, Command]]"]

_ABOUT = """Learn trading policies from how traders rank trading episodes.

Start: `tradinghf backtest sma_cross --data sp500`, then `tradinghf rlhf --help`.

With --quiet, a command writes its files and its errors, and prints nothing else. With --json FILE
every command writes its result for programs; with --json - it prints that instead."""

_OK, _BAD_INPUT, _INTERRUPTED = 0, 2, 130


@cache
def commands() -> Tree:
    """Every command by name; a group is (help, its commands)."""
    from tradinghf.cli import _accounts as accounts
    from tradinghf.cli import _backtests as backtests
    from tradinghf.cli import _bench as bench
    from tradinghf.cli import _capsule as capsule
    from tradinghf.cli import _compare as compare
    from tradinghf.cli import _ensemble as ensemble
    from tradinghf.cli import _exchange as exchange
    from tradinghf.cli import _feedback as feedback
    from tradinghf.cli import _gate as gate
    from tradinghf.cli import _learn as learn
    from tradinghf.cli import _market as market
    from tradinghf.cli import _own_trades as own
    from tradinghf.cli import _pages as pages
    from tradinghf.cli import _research as research
    from tradinghf.cli import _reward as reward
    from tradinghf.cli import _store as store
    from tradinghf.cli import _system as system
    from tradinghf.cli import _walk as walk

    return _with_json(
        {
            "data": (
                "Market data: what there is, what it holds, whether it can be trusted.",
                {"list": market.data_list, "show": market.data_show, "check": market.data_check},
            ),
            "strategies": ("Rule-based strategies.", {"list": backtests.strategies_list}),
            "backtest": backtests.backtest,
            "compare": compare.compare,
            "sweep": research.sweep,
            "walkforward": walk.walkforward,
            "check": research.check,
            "signal": research.signal,
            "export": research.export,
            "ensemble": ensemble.ensemble,
            "seal": research.seal,
            "episodes": (
                "Recorded stretches of trading, and questions about them.",
                {
                    "collect": feedback.episodes_collect,
                    "import-trades": own.episodes_import_trades,
                    "list": feedback.episodes_list,
                    "show": feedback.episodes_show,
                },
            ),
            "rank": feedback.rank,
            "feedback": (
                "Answers as files, also for other preference learners.",
                {"export": exchange.feedback_export, "import": exchange.feedback_import},
            ),
            "reward": (
                "The reward model: what the rankings value.",
                {"fit": reward.reward_fit, "show": reward.reward_show},
            ),
            "train": learn.train,
            "rlhf": learn.rlhf,
            "gate": gate.gate,
            "monitor": gate.monitor,
            "report": pages.report,
            "pack": capsule.pack,
            "verify": capsule.verify,
            "dashboard": system.dashboard,
            "accounts": (
                "Who may sign in to the dashboard.",
                {
                    "add": accounts.accounts_add,
                    "password": accounts.accounts_password,
                    "list": accounts.accounts_list,
                },
            ),
            "store": (
                "The feedback store: copies, and proof that it is whole.",
                {
                    "backup": store.store_backup,
                    "restore": store.store_restore,
                    "verify": store.store_verify,
                },
            ),
            "doctor": system.doctor,
            "bench": (
                "How fast this machine is, and how few rankings teach how much.",
                bench.COMMANDS,
            ),
        }
    )


def _with_json(tree: Tree) -> Tree:
    """The tree; every command that prints a result can write it as JSON."""

    def group(name: str, item: tuple[str, Mapping[str, Command]]) -> tuple[str, dict[str, Command]]:
        return item[0], {k: gives_json(f"{name} {k}", f) for k, f in item[1].items()}

    return {
        name: group(name, item)
        if isinstance(item, tuple)
        else item
        if name == "dashboard"
        else gives_json(name, item)
        for name, item in tree.items()
    }


def command_paths(tree: Tree) -> Iterator[tuple[tuple[str, ...], Command]]:
    """(words, function) of every command, in the order of the tree."""
    for name, item in tree.items():
        if isinstance(item, tuple):
            yield from (((name, child), function) for child, function in item[1].items())
        else:
            yield (name,), item


def _parser(tree: Tree, *, brief: bool) -> SubcommandApp:
    """The parser of a tree of commands; brief: one line about each, as a list of commands has."""
    from tyro.extras import SubcommandApp

    from tradinghf.cli._options import tries_outputs

    def add(app: SubcommandApp, name: str, function: Command) -> None:
        about = (function.__doc__ or "").split("\n\n")[0]
        app.command(name=name, help=about if brief else None)(tries_outputs(function))

    app = SubcommandApp()
    for name, item in tree.items():
        if isinstance(item, tuple):
            group = SubcommandApp()
            for child, function in item[1].items():
                add(group, child, function)
            app.command(group, name=name, help=item[0])
        else:
            add(app, name, item)
    return app


def resolve(tree: Tree, args: Sequence[str]) -> Command | None:
    """The command that the first words name, or None when they ask for help.

    Raises:
        TradingHFError: they name no command; the message suggests close matches.

    """
    if not args or args[0].startswith("-"):
        return None
    if args[0] not in tree:
        raise TradingHFError(unknown_name("command", args[0], tree))
    item = tree[args[0]]
    if not isinstance(item, tuple):
        return item
    if len(args) < 2 or args[1].startswith("-"):
        return None
    if args[1] not in item[1]:
        raise TradingHFError(unknown_name(f"{args[0]} command", args[1], item[1]))
    return item[1][args[1]]


def run(args: Sequence[str]) -> int:
    """Parse and call; raises what the command raises. `--help` exits."""
    from tyro.conf import DisallowNone, FlagCreatePairsOff, PositionalMetavarFromFieldName

    for number, word in enumerate(args):
        if not word or "\0" in word:
            before = args[number - 1] if number else ""
            which = before if before.startswith("--") else f"Argument {number + 1}"
            what = "holds a NUL" if word else "is empty"
            raise ConfigError(
                f"{which} {what}; expected a value. Is a variable of the shell not set?"
            )
    tree = commands()
    brief = resolve(tree, args) is None
    if not brief:
        # Only this command, so that a mistyped option is not looked for in all the others.
        item = tree[args[0]]
        tree = {
            args[0]: (item[0], {args[1]: item[1][args[1]]}) if isinstance(item, tuple) else item
        }
    if brief and not {"-h", "--help"} & set(args):
        args = [*args, "--help"]
    result = _parser(tree, brief=brief).cli(
        prog="tradinghf",
        description=_ABOUT,
        args=args,
        config=(DisallowNone, FlagCreatePairsOff, PositionalMetavarFromFieldName),
    )
    return result if isinstance(result, int) else _OK


def main(argv: Sequence[str] | None = None) -> int:
    """The `tradinghf` command.

    Returns:
        0 done; 1 internal error, or a check that failed; 2 bad input, with one sentence on what
        was expected; 3 and 4 are answers of `gate` and `monitor`; 130 interrupted; 143 ended by
        SIGTERM. With TRADINGHF_DEBUG=1 every error shows its traceback.

    """
    args = list(sys.argv[1:] if argv is None else argv)
    if args == ["--version"]:
        from tradinghf import __version__

        sys.stdout.write(f"tradinghf {__version__}\n")
        return _OK
    quiet = "--quiet" in args
    args = [word for word in args if word != "--quiet"]
    if sys.stderr.isatty() and not quiet:
        tell_of_compiling(lambda text: sys.stderr.write(text + "\n"))
    try:
        logs.start_log()
        with (
            json_printed(args) as words,
            redirect_stdout(io.StringIO()) if quiet else nullcontext(),
        ):
            return _run_logged(words)
    except Stopped as stopped:
        sys.stderr.write(f"\n{stopped}\n")
        return stopped.code
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) left; keep Python from complaining again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OK
    except (TradingHFError, OSError) as error:  # also a full disk, a read-only one
        if os.environ.get("TRADINGHF_DEBUG"):
            raise
        sys.stderr.write(f"error: {printable(_sentence(error))}\n")
        return _BAD_INPUT


def _run_logged(args: Sequence[str]) -> int:
    """`run`, its beginning and its end in the log."""
    began = time.monotonic()
    # Masked word by word: a password may hold a space.
    words = " ".join(map(logs.without_passwords, args))
    _log.info("command started", extra={"command": words})
    code: int | None = None
    try:
        code = run(args)
    except SystemExit:  # --help, and options that do not exist
        raise
    except Stopped as stopped:
        code = stopped.code
        raise
    except Exception:
        _log.exception("command failed")
        raise
    finally:
        seconds = round(time.monotonic() - began, 1)
        _log.info("command ended", extra={"code": code, "seconds": seconds})
    return code


def _sentence(error: Exception) -> str:
    """What to tell the user; the operating system's errors without their number."""
    if isinstance(error, TradingHFError) or not isinstance(error, OSError):
        return str(error)
    if error.filename is None:
        return error.strerror or str(error)
    return f"{error.strerror or 'No such file or directory'}: {error.filename}"
