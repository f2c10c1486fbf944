"""A repository whose own command prints the number: the whole loop, and the words it uses for such a number."""

import io
import re

from github.PullRequest import PullRequest
from living_lab import Lab, eventually
from quick_task import BETTER, CONTRACT
from rich.console import Console

from bot.hand.log import log

# Of the form of autoresearch's train.py; it has no `load`, and leaves nothing.
TRAIN = """
import os, zlib

LR = 0.5

noise = zlib.crc32((os.environ["SEED"] + str(LR)).encode()) / 2**31 - 1
print("---")
print(f"val_bpb:          {1.5 + 4 * (LR - 0.8) ** 2 + 0.002 * noise:.6f}")
print(f"peak_vram_mb:     {45060.2:.1f}")
"""
CLAIMING = CONTRACT.replace("task:", "repeatable: true\nclaims: {command: [python3, train.py]}\ntask:")
CLAIMING = CLAIMING.replace("  budget: {steps: 1}\n", "")
MERGING = CLAIMING.replace("]}", "], merge: true}")


def test_a_printed_number_is_never_called_measured_and_merges_only_where_the_contract_says_so(lab: Lab) -> None:
    left, merged = (lab.repository(train=TRAIN, contract=contract) for contract in (CLAIMING, MERGING))
    identities = [target.experiment(BETTER) for target in (left, merged)]

    def proven() -> PullRequest | None:
        pull = left.pull()
        return pull if "nightlab: proven" in {name.name for name in pull.labels} else None

    pull = eventually(proven, "the proof")
    assert pull.state == "open"
    (comment,) = left.replies(pull.number)
    (check,) = left.ada.get_commit(pull.head.sha).get_check_runs()
    for text in (pull.body, comment, check.output.summary):
        assert "The metric is **self-reported**" in text
    assert "the metric is self-reported, so a person merges it" in comment
    for text in (comment, check.output.text, left.replies(1)[0]):
        assert re.search(r"\d bpb", text)
        assert not re.search(r"\d bpb(?! \\?\(self-reported)", text)
        assert "| measured |" not in text

    pull.merge(sha=pull.head.sha)  # as a person who believes it

    row = merged.row(identities[1])
    assert left.row(identities[0])["self_reported"]
    assert (row["state"], row["self_reported"], row["peak_memory_mib"]) == ("merged", True, 45060.2)
    assert merged.git("show", "nightlab-ledger:results.tsv").splitlines()[1].split("\t")[-1] == "self-reported"
    message = merged.git("log", "-1", "--format=%B", "main")
    assert re.search(r"^Metric: val_bpb 1\.\d+ -> 1\.\d+ \(self-reported\)$", message, re.MULTILINE)
    said = io.StringIO()
    git_path = lab.hub.git_path(merged.name)
    assert log(git_path, revision="main", svg=None, console=Console(file=said, width=140)) == 0
    assert re.search(r"1\.\d+ self-reported", said.getvalue())
    assert "val_bpb, self-reported 1." in said.getvalue()
