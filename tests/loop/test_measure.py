"""A person has their own pull request measured, from a branch and from a fork."""

import github
import pytest
from github.PullRequest import PullRequest
from living_lab import Lab, Target, eventually
from quick_task import slow


def theirs(lab: Lab, target: Target, *, login: str, path: str, text: str) -> PullRequest:
    """A pull request of `login`'s, who forks unless the repository is theirs."""
    repo = lab.client(login).get_repo(target.name)
    mine = repo if login == "ada" else repo.create_fork()
    parent = mine.get_git_commit(mine.get_git_ref("heads/main").object.sha)
    element = github.InputGitTreeElement(path, "100644", "blob", content=text)
    commit = mine.create_git_commit("Mine", mine.create_git_tree([element], base_tree=parent.tree), [parent])
    mine.create_git_ref("refs/heads/mine", commit.sha)
    return repo.create_pull(base="main", head=f"{login}:mine", title="Raise it", body="Because.", draft=True)


def better(train: str) -> str:
    return train.replace("LR = 0.5", "LR = 0.7")


@pytest.mark.slow
def test_what_comes_from_a_fork_is_measured_when_a_maintainer_asks_and_left_alone(lab: Lab) -> None:
    train = slow(0.09)
    target = lab.repository(train=train)
    pull = theirs(lab, target, login="eve", path="train.py", text=better(train))
    refused = target.ask("/measure", number=pull.number, login="eve")
    eventually(lambda: "-1" in target.reactions(refused), "the refusal")
    target.ask("/measure", number=pull.number)
    shown = target.proven()
    assert (shown.state, shown.draft, shown.head.sha) == ("open", True, pull.head.sha)
    assert target.git("log", "--format=%s", "main") == "Initial commit"
    said = "\n".join(target.replies(pull.number, count=2))
    assert "the pull request is a person's, and so is its merge" in said
    pull.edit(state="closed")


@pytest.mark.slow
def test_what_is_out_of_scope_is_not_run(lab: Lab) -> None:
    target = lab.repository(train=slow(0.11))
    pull = theirs(lab, target, login="ada", path="prepare.py", text="print('mine')\n")
    asked = target.ask("/measure", number=pull.number)
    row = target.row(f"m{asked.id}")
    assert (row["state"], row["runs"]) == ("abandoned", [])
    assert "prepare.py" in row["reason"]
    assert target.pull().state == "open"
    assert target.has("refs/heads/mine")


@pytest.mark.slow
def test_a_push_ends_the_measurement_until_somebody_asks_again_and_a_merge_by_command_is_as_measured(lab: Lab) -> None:
    train = slow(0.4)
    target = lab.repository(train=train)
    pull = theirs(lab, target, login="ada", path="train.py", text=better(train))
    asked = target.ask("/measure", number=pull.number)
    lab.bot.wait_for_training()
    pushed = target.push("mine", "train.py", better(train).replace("0.7", "0.75"))
    assert f"pushed {pushed[:10]} meanwhile" in target.row(f"m{asked.id}")["reason"]
    again = target.ask("/measure", number=pull.number)
    target.proven()
    target.ask(f"/merge {pushed}", number=pull.number)
    row = target.row(f"m{again.id}")
    assert (row["state"], row["overridden_by"]) == ("merged", "ada")
    assert target.git("rev-parse", "main^{tree}") == target.git("rev-parse", f"{pushed}^{{tree}}")
    assert target.has("refs/heads/mine")
