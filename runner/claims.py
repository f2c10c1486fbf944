"""Claims mode: a repository without `load` runs its own command, and its metric is what that printed.

The sandboxes and limits are those of every run. But nothing is asked of a model, so the number is self-reported: a
candidate can print what it likes. Whoever shows such a number says so.
"""

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runner.candidate import Candidate
from runner.compiled import caches
from runner.corpus import PrepareError, digest
from runner.protocol import Claims
from runner.record import Record, Report
from runner.sandbox.interface import Sandbox
from runner.source import Checkout
from runner.training import train
from runner.transcript import TAIL_BYTES

PARSER_VERSION = 1
_LINE = re.compile(r"\s*(?P<name>[A-Za-z][\w .-]{0,79}?)\s*:\s*(?P<value>\S.*?)\s*")
_MEMORY = ("peak_vram_mb", "peak_memory_mb", "peak_memory_mib")


class ClaimError(Exception):
    """What was printed does not say what the metric is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a candidate says of itself."""

    metric: float
    memory_mib: float = 0.0


def run_command(candidate: Candidate, record: Record, report: Report, *, claims: Claims, home: Path | None) -> None:
    """Gives the record the metric that the contract's command prints. Raises FailedError or ClaimError."""
    record.run = replace(record.run, self_reported=True)
    first, *rest = claims.command
    argv = [*candidate.python, *rest] if first in ("python", "python3") else [first, *rest]
    # Without a network, what Hugging Face's libraries have in their cache is all there is. And what compilers make goes
    # where it may be written, which that home is not.
    env = {"HF_HUB_OFFLINE": "1", **caches(candidate.home("train"))}
    if home:
        env |= {"HOME": str(home), "DATA_DIR": str(home)}
    readable = (home,) if home else ()
    tail = train(candidate, record, report, argv=argv, who="the command", env=env, readable=readable, collects=False)
    found = claimed(tail, name=claims.metric)
    metric = None if candidate.request.smoke else found.metric
    record.run = replace(record.run, metric=metric, claimed_memory_mib=found.memory_mib)


def claimed(tail: str, *, name: str) -> Claim:
    """The last line `name: number` of what was printed, and the accelerator's memory if a line tells it.

    Upper and lower case, and what separates words in a name, do not matter, but one output spells a name one way.
    Raises ClaimError, one sentence.
    """
    is_cut = len(tail.encode()) >= TAIL_BYTES
    lines = re.split(r"[\r\n]+", tail)[1 if is_cut else 0 :]
    spelled: dict[str, str] = {}
    memory_mib = 0.0
    for match in filter(None, map(_LINE.fullmatch, lines)):
        if _plain(match["name"]) == _plain(name):
            spelled.pop(match["name"], None)
            spelled[match["name"]] = match["value"]
        elif _plain(match["name"]) in _MEMORY and (size := _number(match["value"])):
            memory_mib = size
    if not spelled:
        where = f" in the last {TAIL_BYTES // 1024} KiB of its output, and nothing before is looked at" * is_cut
        raise ClaimError(f"the command printed no line `{name}: NUMBER`{where}")
    if len(spelled) > 1:
        first, second = list(spelled)[:2]
        raise ClaimError(f"the command printed the metric in two spellings, `{first}` and `{second}`: print only one")
    ((shown, value),) = spelled.items()
    metric = _number(value)
    if metric is None:
        raise ClaimError(f"the command printed `{shown}: {value[:40]}`, which is not a finite number alone")
    return Claim(metric=metric, memory_mib=memory_mib)


def _plain(name: str) -> str:
    return re.sub(r"[\s._-]+", "_", name).casefold()


def _number(text: str) -> float | None:
    try:
        value = float(text) if re.fullmatch(r"[-+.\deE]{1,40}", text, re.ASCII) else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def offered_home(claims: Claims, environment: Mapping[str, str]) -> Path | None:
    """The folder of this machine that the contract's command may read. Raises PrepareError."""
    if not claims.data:
        return None
    root = environment.get("NIGHTLAB_DATA", "")
    if not root:
        raise PrepareError(
            f"the contract's command needs the data folder {claims.data!r}: set NIGHTLAB_DATA on the runner's machine "
            "to the folder that holds it"
        )
    home = Path(root).resolve() / claims.data
    if not home.is_dir():
        raise PrepareError(f"the contract's command needs the data folder {claims.data!r}, but there is no {home}")
    return home


def environment_digest(claims: Claims, *, checkout: Checkout, directory: str, home: Path | None, box: Sandbox) -> str:
    """What, besides code and hardware, a result depends on. Of data only names and sizes are looked at."""
    listed = hashlib.sha256()
    for parent, folders, names in os.walk(home) if home else ():
        folders.sort()
        for path in (Path(parent) / name for name in sorted(names)):
            listed.update(f"{path.relative_to(home or '')}\0{path.lstat().st_size}\0".encode())
    prepare = os.path.normpath(f"{directory}/prepare.py")
    return digest(
        {
            "data": listed.hexdigest(),
            "prepare": hashlib.sha256(checkout.fixed_file(prepare, required=False)).hexdigest(),
            "claims": f"{PARSER_VERSION} {claims.command}",
            **box.environment,
        }
    )
