"""Outside text in a prompt, marked as data: a repository's files, logs, comments, the words of earlier proposals."""

import hashlib

from bot.core.text import line


def fence(source: str, text: str) -> str:
    """`text` between two marks that nothing inside can imitate, since they carry its own hash.

    The text itself is left as it is: edits must be able to quote it exactly.
    """
    mark = hashlib.sha256(f"{source}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    closing = "" if text.endswith("\n") else "\n"
    name = line(source, 200).replace('"', "'").replace(">", "")
    return f'<data mark="{mark}" source="{name}">\n{text}{closing}</data mark="{mark}">'
