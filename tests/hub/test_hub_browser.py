"""Pages as a real browser shows them: hostile text stays text, and nothing that the pages need is blocked."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hub_world import FILES, World, propose

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
CURVE = """```mermaid
xychart-beta
    title "loss"
    x-axis "step" 0 --> 20
    y-axis "nats" 1 --> 3
    line [3, 2, 1]
```"""
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title = "owned"</script> [x](javascript:alert(1))'


def browse(url: str, profile: Path) -> tuple[str, str]:
    """(DOM after loading, what the browser complained of)."""
    command = [
        CHROMIUM or "",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
        url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(complaints)


def test_a_pull_request_in_a_browser(world: World, tmp_path: Path) -> None:
    propose(world.repo, "exp", "train.py", FILES["train.py"].replace("0.6", "0.7"))
    pull = world.repo.create_pull(
        base="main", head="exp", title="Raise <b>LR</b>", body=f"{CURVE}\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    )
    pull.create_issue_comment(HOSTILE)
    dom, complaints = browse(pull.html_url, tmp_path / "profile")
    assert complaints == ""
    assert "<title>owned" not in dom
    assert "Raise &lt;b&gt;LR&lt;/b&gt;" in dom
    assert "<svg" in dom
    assert "<td>2</td>" in dom
    assert "LR = 0.7" in dom
    assert "<script" not in dom
    assert "javascript:" not in dom.split("<body")[1].replace("[x](javascript:alert(1))", "")
