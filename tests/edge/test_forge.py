"""What a repository on a forge may hold that is easily read wrong, over real HTTP."""

from collections.abc import Iterator

import pytest

from bot.core.scope import Change
from bot.edge.github import installations, ledger
from bot.edge.github.access import Access
from bot.edge.github.forge import Forge
from bot.edge.github.texts import Texts
from bot.edge.github.wire import ClosedError
from bot.hub import Hub
from bot.hub.shapes import git as shapes

FILES = {"a.py": "A = 1\n", "src/b.py": "B = 1\n", "src/deep/c.py": "C = 1\n", "src/deep/d.py": "D = 1\n"}
WHEN = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, str, Forge]]:
    folder = tmp_path_factory.mktemp("forge")
    for path, text in FILES.items():
        (folder / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / path).write_text(text)
    (folder / "source" / "weights.bin").write_bytes(b"\xff\x00")
    (folder / "source" / "replaced.py").write_text('MISSING = "\ufffd"\n')
    with Hub(folder / "hub") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "model", source=folder / "source")
        token = hub.create_token("ada")
        yield hub, token, _access(hub, token).forge("ada/model")


def _access(hub: Hub, token: str) -> Access:
    return Access(api_url=hub.api_url, app_id=None, private_key="", token=token, write_spacing_s=0)


def _main(forge: Forge) -> str:
    tip = forge.tip("main")
    assert tip is not None
    return tip.sha


@pytest.mark.parametrize("most", [100_000, 5, 3])
def test_a_tree_that_the_forge_cuts_short_is_read_to_its_end(
    place: tuple[Hub, str, Forge], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    hub, token, _ = place
    forge = _access(hub, token).forge("ada/model")  # that has no answers yet
    monkeypatch.setattr(shapes, "MOST_ENTRIES", most)
    if most < 4:  # as many as the root has
        with pytest.raises(ClosedError, match="the root folder holds more files than the forge lists"):
            forge.paths(sha=_main(forge))
        return
    base = _main(forge)
    head = forge.commit_files(parent_sha=base, files={"src/deep/d.py": "D = 2\n"}, message="m", when_utc=WHEN).sha
    assert set(forge.paths(sha=base)) == {*FILES, "weights.bin", "replaced.py"}
    assert forge.changes(base_sha=base, head_sha=head) == [Change(path="src/deep/d.py", old_mode="100644", lines=2)]


def test_a_text_above_a_megabyte_is_read(place: tuple[Hub, str, Forge]) -> None:
    """GitHub sends no content with it: a ledger's table is so long after some thousands of experiments."""
    forge = place[2]
    table = "commit\tval_bpb\n" * 100_000
    made = forge.commit_files(parent_sha=_main(forge), files={ledger.TABLE: table}, message="m", when_utc=WHEN)
    assert forge.read(ledger.TABLE, sha=made.sha) == table


def test_what_is_no_text_is_told_from_text_with_a_replacement_character(place: tuple[Hub, str, Forge]) -> None:
    forge = place[2]
    texts = Texts(forge, sha=_main(forge))
    assert set(texts) == {*FILES, "replaced.py"}
    assert texts["replaced.py"] == 'MISSING = "\ufffd"\n'
    assert forge.read("weights.bin", sha=_main(forge)) is None


def test_no_repository_is_left_out_of_a_long_list(
    place: tuple[Hub, str, Forge], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, token, _ = place
    monkeypatch.setattr(installations, "PER_PAGE", 1)
    for number in range(11):
        hub.create_repo("ada", f"model-{number}")
    assert len(installations.reachable(_access(hub, token))) == 12
