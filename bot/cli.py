"""The command line: nightlab demo | serve | log | check | propose."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from rich.console import Console

console = Console()


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 fine, 1 it failed and said why, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="nightlab", description="Improve training code one measured PR at a time.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="a local forge, real training on the CPU, real pull requests")
    demo.add_argument("--experiments", type=_count, default=6, metavar="N", help="how many (default: 6)")
    demo.add_argument(
        "--folder", type=Path, default=Path(".nightlab/demo"), help="where it lives (default: %(default)s)"
    )
    demo.add_argument("--port", type=int, default=8800, help="of the forge; the bot takes the next (default: 8800)")
    demo.add_argument("--fresh", action="store_true", help="throw an earlier demo in that folder away first")
    demo.add_argument("--keep-serving", action="store_true", help="leave the forge up when the experiments are done")
    commands.add_parser("serve", help="the bot on your forge, configured by NIGHTLAB_* variables")
    log = commands.add_parser("log", help="the history and the progress chart, rebuilt from git alone")
    log.add_argument("repository", type=Path, nargs="?", default=Path(), help="a clone (default: this folder)")
    log.add_argument("--revision", default="HEAD", help="whose history (default: HEAD)")
    log.add_argument("--svg", type=Path, metavar="FILE", help="write the chart as SVG too")
    check = commands.add_parser("check", help="read a contract and say what is wrong with it")
    check.add_argument("contract", type=Path, nargs="?", default=Path(".github/nightlab.yml"))
    propose = commands.add_parser("propose", help="in a clone: the prompt, its cost and the diff of a proposal")
    propose.add_argument("repository", type=Path, nargs="?", default=Path(), help="a clone (default: this folder)")
    propose.add_argument("--dry-run", action="store_true", required=True, help="open nothing: the bot does that")
    propose.add_argument("--idea", default="", help="what `/experiment` would be given")
    propose.add_argument("--prompt-only", action="store_true", help="do not ask the model, which costs money")
    options = parser.parse_args(arguments)
    if options.command == "demo":
        from bot.demo import demo as run_demo  # the parts that only this command needs stay unloaded otherwise

        return run_demo(
            folder=options.folder,
            experiments=options.experiments,
            port=options.port,
            fresh=options.fresh,
            keep_serving=options.keep_serving,
        )
    if options.command == "serve":
        return _serve()
    if options.command == "log":
        from bot.log import log as show_log

        return show_log(options.repository, revision=options.revision, svg=options.svg)
    if options.command == "propose":
        from bot.rehearsal import rehearse

        return rehearse(options.repository, idea=options.idea, prompt_only=options.prompt_only)
    return _check(options.contract)


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 1000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of experiments from 1 to 1000")


def _serve() -> int:
    from bot.engine import EngineLockedError
    from bot.hub.server import PortTakenError
    from bot.service import Service, settings_from

    settings = settings_from(os.environ)
    if isinstance(settings, list):
        for problem in settings:
            console.print(problem, style="red", markup=False)
        return 1
    try:
        service = Service(settings)
    except (EngineLockedError, PortTakenError, ValueError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(f"Nightlab listens on {service.url}; the webhook's path is /webhook. Ctrl-C stops it.")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    service.stop()
    return 0


def _check(path: Path) -> int:
    from bot.core.contract import Contract, parse

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        console.print(f"cannot read {path}: {error}", style="red", markup=False)
        return 1
    parsed = parse(text)
    if isinstance(parsed, Contract):
        console.print(f"{path} is a valid contract", markup=False)
        return 0
    for problem in parsed:
        console.print(f"{path}: {problem}", style="red", markup=False)
    return 1


if __name__ == "__main__":
    sys.exit(main())
