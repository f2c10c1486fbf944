"""Whole texts compared with files under golden/; NIGHTLAB_REWRITE_GOLDEN=1 writes them anew, for a diff to read."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def assert_golden(text: str, name: str) -> None:
    path = FOLDER / name
    if os.environ.get("NIGHTLAB_REWRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"golden/{name} differs"
