"""What is measured: main's tree, with nothing of the pull request but the allowed paths."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from fake_task import PREPARE, TRAIN, Bench, measured

from runner.protocol import Request, Status
from runner.source import Checkout, FetchError, TreeError


def checked_out(request: Request, folder: Path) -> Checkout:
    return Checkout(source=request.source, cache_dir=Path(request.cache_dir), run_dir=folder)


def files(checkout: Checkout) -> dict[str, str]:
    paths = (path for path in checkout.folder.rglob("*") if not path.is_dir())
    return {path.relative_to(checkout.folder).as_posix(): path.read_text() for path in paths}


MAIN = {"prepare.py": PREPARE, "train.py": TRAIN, "notes.txt": "of main\n"}


def test_main_itself(bench: Bench, tmp_path: Path) -> None:
    checkout = checked_out(bench.request(), tmp_path)
    assert files(checkout) == MAIN
    assert checkout.tree_sha == bench.git("rev-parse", f"{bench.base_sha}^{{tree}}")


def test_only_allowed_paths_come_from_the_head(bench: Bench, tmp_path: Path) -> None:
    allowed = {"train.py": "# new", "model/deep/block.py": "b"}
    others = {"notes.txt": "changed", "prepare.py": "# evil", "x/model/y": "b", "sitecustomize.py": ""}
    checkout = checked_out(bench.request(bench.commit(allowed | others)), tmp_path)
    assert files(checkout) == MAIN | allowed
    only_allowed = bench.commit(allowed)
    assert checkout.tree_sha == bench.git("rev-parse", f"{only_allowed}^{{tree}}")


def test_a_deletion_and_a_file_that_becomes_a_folder(bench: Bench, tmp_path: Path) -> None:
    bench.git("checkout", "--quiet", "--force", "--detach", bench.base_sha)
    (bench.repository / "train.py").unlink()
    (bench.repository / "train.py").mkdir()
    (bench.repository / "train.py" / "__main__.py").write_text("m")
    bench.git("add", "--all")
    bench.git("commit", "--quiet", "-m", "folder")
    head = bench.git("rev-parse", "HEAD")
    bench.git("checkout", "--quiet", "--force", "--detach", bench.base_sha)
    left = files(checked_out(bench.request(head), tmp_path))
    assert left == {"prepare.py": PREPARE, "notes.txt": "of main\n", "train.py/__main__.py": "m"}


@pytest.mark.parametrize("target", ["/etc/passwd", "prepare.py", "../../secret"])
def test_a_link_is_refused(bench: Bench, target: str) -> None:
    run, _ = measured(bench.request(bench.commit({}, links={"train.py": target})))
    assert run.status is Status.INVALID
    assert run.reason == "train.py is a link or a submodule, which a proposal may not add"


def test_a_submodule_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.git("checkout", "--quiet", "--force", "--detach", bench.base_sha)
    bench.git("update-index", "--add", "--cacheinfo", f"160000,{bench.base_sha},model/sub")
    bench.git("commit", "--quiet", "-m", "submodule")
    with pytest.raises(TreeError, match="model/sub is a link or a submodule"):
        checked_out(bench.request(bench.git("rev-parse", "HEAD")), tmp_path)


def test_prepare_is_fixed_even_if_the_patterns_allow_it(bench: Bench) -> None:
    request = bench.request(bench.commit({"prepare.py": PREPARE + "# easier"}))
    request = replace(request, source=replace(request.source, allowed=("*.py",)))
    run, _ = measured(request)
    assert (run.status, run.reason) == (Status.INVALID, "prepare.py is fixed, but the pull request changes it")


def test_the_last_pattern_that_matches_wins(bench: Bench, tmp_path: Path) -> None:
    request = bench.request(bench.commit({"train.py": "# new", "notes.txt": "changed", "model/a.py": "a"}))
    request = replace(request, source=replace(request.source, allowed=("*.py", "!prepare.py", "!model/*.py")))
    assert files(checked_out(request, tmp_path)) == {**MAIN, "train.py": "# new"}


def test_names_that_are_no_commits_never_reach_git(bench: Bench, tmp_path: Path) -> None:
    for name in ("HEAD", "--upload-pack=touch /tmp/x", "abc123"):
        with pytest.raises(FetchError, match="is not the full name of a commit"):
            checked_out(bench.request(name), tmp_path)


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server that refuses everything: its URL, and the Authorization headers it got."""
    headers: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers.append(self.headers.get("Authorization", ""))
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a.git", headers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_token_goes_to_the_forge_and_nowhere_else(bench: Bench) -> None:
    with listening() as (url, headers):
        request = bench.request()
        request = replace(request, source=replace(request.source, git_url=url))
        run, _ = measured(request, env={"NIGHTLAB_GIT_TOKEN": "t0ken"})
    assert headers[0] == "Basic eC1hY2Nlc3MtdG9rZW46dDBrZW4="  # x-access-token:t0ken
    assert run.status is Status.INFRASTRUCTURE
    assert run.reason.startswith(f"could not fetch from {url}: ")
    assert "t0ken" not in run.reason
