"""The command line: `nightlab --help` lists the commands."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console

if TYPE_CHECKING:
    from bot.hand.bench import Options

_Parser: TypeAlias = argparse.ArgumentParser
console = Console()
HIGHEST_PORT = 65_000  # some more than one are tried


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 fine, 1 it failed and said why, 2 wrong usage, 130 stopped by Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nightlab", description="Improve training code one measured PR at a time.")
    parser.add_argument("--version", action="version", version=version("nightlab"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], int], name: str, says: str, more: str = "") -> _Parser:
        added = commands.add_parser(name, help=says, description=f"{says[:1].upper()}{says[1:]}.", epilog=more)
        added.set_defaults(run=run)
        return added

    demo = command(_demo, "demo", "a local forge, real training on the CPU, real pull requests")
    demo.add_argument("--experiments", type=_count, default=6, metavar="N", help="how many (default: 6)")
    demo.add_argument(
        "--folder", type=Path, default=Path(".nightlab/demo"), help="where it lives (default: %(default)s)"
    )
    demo.add_argument("--port", type=_port, default=8800, help="of the forge; the bot takes the next (default: 8800)")
    demo.add_argument("--fresh", action="store_true", help="throw an earlier demo in that folder away first")
    demo.add_argument("--keep-serving", action="store_true", help="leave the forge up when the experiments are done")
    command(_serve, "serve", "the bot on your forge, configured by NIGHTLAB_* variables or nightlab.toml")
    command(_runner, "runner", "one slot that measures for the bot, by way of its PostgreSQL database")
    config = command(_config, "config", "the settings in force, and where each comes from")
    config.add_argument("--explain", action="store_true", help="what settings there are")
    init = command(_init, "init", "a contract and a program for a repository, as a pull request")
    init.add_argument("place", nargs="?", default=".", help="owner/name; with --local a folder (default: this one)")
    init.add_argument("--local", action="store_true", help="write into a clone, and open nothing")
    init.add_argument("--train", default="", metavar="PATH", help="the training script, where it is not train.py")
    init.add_argument(
        "--action", default="", metavar="OWNER/REPO@COMMIT", help="also a workflow that calls this action"
    )
    doctor = command(_doctor, "doctor", "is everything there that the bot needs, and if not, what to do")
    doctor.add_argument("--json", action="store_true", help="for programs")
    statuses = "Exit status: 0 measured, 1 could not and said why, 2 wrong usage, 3 --fail-unless is not met."
    bench = command(_bench, "bench", "measure a checkout against its base, by hand", statuses)
    bench.add_argument(
        "--head", default=".", metavar="REVISION", help="what to measure (default: this folder as it is)"
    )
    bench.add_argument("--base", metavar="REVISION", help="what with (default: origin's default branch)")
    bench.add_argument("--until-decided", action="store_true", help="as many runs as the contract's policy takes")
    verify = command(_verify, "verify", "run the claim of a merge again, with fresh seeds", statuses)
    verify.add_argument("commit", help="a merge commit of Nightlab's")
    for by_hand in (bench, verify):
        by_hand.add_argument(
            "--repository", type=Path, default=Path(), metavar="FOLDER", help="a clone (default: this)"
        )
        by_hand.add_argument("-n", dest="pairs", type=_count, default=4, help="runs of each side (default: 4)")
        by_hand.add_argument(
            "--at-once", type=_count, default=1, metavar="N", help="runs at the same time (default: 1)"
        )
        by_hand.add_argument(
            "--sandbox",
            choices=("docker", "bubblewrap", "subprocess"),
            help="instead of the contract's, for your own code",
        )
        by_hand.add_argument("--json", type=_new_file, metavar="FILE", help="write everything for programs")
        by_hand.add_argument("--markdown", type=_new_file, metavar="FILE", help="write a comment for a pull request")
        by_hand.add_argument(
            "--fail-unless",
            choices=("better", "not-worse"),
            help="better: the evidence is what a merge needs; not-worse: not all of the 95 %% interval is worse",
        )
    log = command(_log, "log", "the history and the progress chart, rebuilt from git alone")
    log.add_argument("repository", type=Path, nargs="?", default=Path(), help="a clone (default: this folder)")
    log.add_argument("--revision", default="HEAD", help="whose history (default: HEAD)")
    log.add_argument("--svg", type=_new_file, metavar="FILE", help="write the chart as SVG too")
    check = command(_check, "check", "read a contract and say what is wrong with it")
    check.add_argument("contract", type=Path, nargs="?", default=Path(".github/nightlab.yml"))
    propose = command(_propose, "propose", "in a clone: the prompt, its cost and the diff of a proposal")
    propose.add_argument("repository", type=Path, nargs="?", default=Path(), help="a clone (default: this folder)")
    propose.add_argument("--dry-run", action="store_true", required=True, help="open nothing: the bot does that")
    propose.add_argument("--idea", default="", help="what `/experiment` would be given")
    propose.add_argument("--prompt-only", action="store_true", help="do not ask the model, which costs money")
    return parser


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 1000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")


def _port(text: str) -> int:
    if text.isdecimal() and 1024 <= int(text) <= HIGHEST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1024 to {HIGHEST_PORT}")


def _new_file(text: str) -> Path:
    """Where something is written after minutes of measuring: so look now whether it can be."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: name a file in a folder that is there")
    return path


# What only one command needs is loaded by that command: the others start sooner, and need not have it.


def _demo(given: argparse.Namespace) -> int:
    from bot.demo import demo

    return demo(
        folder=given.folder,
        experiments=given.experiments,
        port=given.port,
        fresh=given.fresh,
        keep_serving=given.keep_serving,
    )


def _config(given: argparse.Namespace) -> int:
    from bot.setup.config import explain, show

    return explain(console=console) if given.explain else show(os.environ, console=console)


def _init(given: argparse.Namespace) -> int:
    from bot.setup.init import init

    return init(
        given.place,
        local=given.local,
        train=given.train,
        action=given.action,
        environment=os.environ,
        console=console,
    )


def _doctor(given: argparse.Namespace) -> int:
    from bot.doctor import examine_all

    return examine_all(os.environ, console=console, as_json=given.json)


def _log(given: argparse.Namespace) -> int:
    from bot.hand.log import log

    return log(given.repository, revision=given.revision, svg=given.svg)


def _propose(given: argparse.Namespace) -> int:
    from bot.hand.rehearsal import rehearse

    return rehearse(given.repository, idea=given.idea, prompt_only=given.prompt_only)


def _bench(given: argparse.Namespace) -> int:
    from bot.hand.bench import bench

    return bench(head=given.head, base=given.base, until_decided=given.until_decided, options=_by_hand(given))


def _verify(given: argparse.Namespace) -> int:
    from bot.hand.bench import verify

    return verify(commit=given.commit, options=_by_hand(given))


def _by_hand(given: argparse.Namespace) -> "Options":
    from bot.core.contract import Sandbox
    from bot.core.words.comparison import Demand
    from bot.hand.bench import Options

    return Options(
        repository=given.repository,
        pairs=given.pairs,
        at_once=given.at_once,
        sandbox=Sandbox(given.sandbox) if given.sandbox else None,
        json=given.json,
        markdown=given.markdown,
        demand=Demand(given.fail_unless) if given.fail_unless else None,
    )


def _serve(_: argparse.Namespace) -> int:
    from bot.process import serve

    return serve(console=console)


def _runner(_: argparse.Namespace) -> int:
    from bot.process import serve_slot

    return serve_slot(console=console)


def _check(given: argparse.Namespace) -> int:
    from bot.core.contract import Contract, parse

    path: Path = given.contract
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _fail(f"there is no {path}: name the contract, or let `nightlab init --local` write one")
    except OSError as error:
        return _fail(f"cannot read {path}: {error.strerror}")
    except UnicodeDecodeError:
        return _fail(f"{path} is not text in UTF-8")
    parsed = parse(text)
    if isinstance(parsed, Contract):
        console.print(f"{path} is a valid contract", markup=False, soft_wrap=True)
        return 0
    return _fail(*(f"{path}: {problem}" for problem in parsed))


def _fail(*sentences: object) -> int:
    """Say why; the exit status."""
    for sentence in sentences:
        console.print(str(sentence), style="red", markup=False, highlight=False, soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
