"""The text files of one commit, fetched when they are read and kept by their hash."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from bot.edge.github.forge import Forge

MAX_BYTES = 300_000  # of a file: longer ones are data
MOST_FILES = 500  # that may be read, so that a search ends
KEPT = 2_000

_known: OrderedDict[str, str] = OrderedDict()  # by blob hash


class Texts(Mapping[str, str]):
    """Path -> text. Files that are too long, or no text, are not in it."""

    def __init__(self, forge: Forge, *, sha: str) -> None:
        self._forge = forge
        self._files = forge.files(sha=sha)
        readable = (path for path, (_, size) in self._files.items() if size <= MAX_BYTES)
        self._readable = sorted(readable, key=lambda path: (path.count("/"), path))[:MOST_FILES]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, readable or not."""
        return {path: size for path, (_, size) in self._files.items()}

    def __getitem__(self, path: str) -> str:
        if path not in self._readable:
            raise KeyError(path)
        blob_sha = self._files[path][0]
        text = _known.get(blob_sha)
        if text is None:
            text = self._forge.blob(blob_sha)
            if text is None or "\0" in text:
                raise KeyError(path)
            _known[blob_sha] = text
            while len(_known) > KEPT:
                _known.popitem(last=False)
        return text

    def __iter__(self) -> Iterator[str]:
        return (path for path in self._readable if path in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
