"""action.yml, run by act as a job would run it, on a pull request of a repository on a forge of this machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import github
import pytest
import yaml
from quick_task import BETTER, write

from bot.hand import action
from bot.hub import Hub

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
TOOLS = Path(sys.executable).parent

WORKFLOW = """
on: pull_request
jobs:
  bench:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5  # act puts the folder it runs in here instead
      - id: bench
        uses: ./the-action
        with:
          base: main
          pairs: 2
          python: {python}
          token: {token}
      - shell: bash
        env:
          SAID: ${{{{ toJSON(steps.bench.outputs) }}}}
        run: printf '%s' "$SAID" > {said}
"""


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_no_expression_stands_in_a_shell_script() -> None:
    """It would be text of a stranger's that becomes part of the program."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"], step["name"]
        assert step["shell"] == "bash"
    # Only the step that runs no candidate is given the token.
    given = [step["name"] for step in ACTION["runs"]["steps"] if "inputs.token" in str(step)]
    assert given == ["Report"]


@pytest.mark.slow
@pytest.mark.actions
def test_a_pull_request_is_measured_and_gets_one_comment_however_often(tmp_path: Path) -> None:
    act = TOOLS / "act"
    if not act.exists():
        pytest.skip("needs act: `pip install -r .ci/tools.txt`")
    repository, said = tmp_path / "model", tmp_path / "said.json"
    with Hub(tmp_path / "hub") as hub:
        hub.create_user("ada", name="Ada")
        token = hub.create_token("ada")
        hub.create_repo("ada", "model", source=write(tmp_path / "source"))
        subprocess.run(["git", "clone", "-q", str(hub.git_path("ada/model")), str(repository)], check=True)
        (repository / ".github" / "workflows").mkdir()
        workflow = WORKFLOW.format(python=sys.executable, token=token, said=said)
        git(repository, "checkout", "-qb", "idea")
        better = (repository / "train.py").read_text().replace("LR = 0.5", BETTER.replace("LR ", "LR = "), 1)
        (repository / "train.py").write_text(better)
        git(repository, "commit", "-qam", "A better learning rate")
        git(repository, "push", "-q", "origin", "idea")
        # What a job has beside the checkout: its workflow, and the action.
        (repository / ".github" / "workflows" / "bench.yml").write_text(workflow)
        shutil.copytree(ROOT, repository / "the-action", ignore=shutil.ignore_patterns(".*", "tests", "node_modules"))
        pull = (
            github.Github(base_url=hub.api_url, auth=github.Auth.Token(token))
            .get_repo("ada/model")
            .create_pull(base="main", head="idea", title="A better learning rate", body="")
        )
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": pull.number}, "number": pull.number}))
        done = subprocess.run(
            [
                str(act),
                "pull_request",
                "--eventpath",
                str(event),
                "--platform",
                "ubuntu-latest=-self-hosted",
                "--env",
                f"GITHUB_API_URL={hub.api_url}",
                "--env",
                "GITHUB_REPOSITORY=ada/model",
            ],
            cwd=repository,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path / "home"),
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
            },
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        outputs = json.loads(said.read_text())
        assert outputs["result"] == "measured"
        assert float(outputs["difference"]) < 0
        (comment,) = pull.get_issue_comments()
        assert outputs["reason"].split(":")[0] in comment.body
        assert token not in done.stdout

        (tmp_path / "bench.json").write_text(json.dumps(outputs))
        (tmp_path / "bench.md").write_text("Measured again.")
        names = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
        of_a_job = {name: str(tmp_path / name) for name in names} | {
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_API_URL": hub.api_url,
            "GITHUB_REPOSITORY": "ada/model",
            "COMMENT": "true",
        }
        files = [str(tmp_path / "bench.json"), str(tmp_path / "bench.md")]
        assert action.main(files, of_a_job | {"TOKEN": token}) == 0
        (edited,) = pull.get_issue_comments()
        assert (edited.id, edited.body.endswith("Measured again.\n")) == (comment.id, True)
        assert action.main(files, of_a_job | {"TOKEN": "of a job for a fork"}) == 0  # the verdict stands without it


def test_no_value_of_an_output_can_make_another() -> None:
    lines = action.output("reason", "fine\nbetter<<x\ntrue\nx").splitlines()
    end = lines[0].removeprefix("reason<<")
    assert lines[1:] == ["fine", "better<<x", "true", "x", end]
    assert len(end) == 32
