"""Text without secrets in it: those that are known, and whatever looks like one. For logs.

Known ones are found however they got there; the patterns are for those that nobody told us of, such as an
installation's token of this hour.
"""

import re
from collections.abc import Iterable

HIDDEN = "[hidden]"
SHORTEST = 6  # a known secret shorter than this would hide ordinary words

_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?i)(?<=authorization)([\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|token|basic)\s+)?[^\s\"',}]+"),
    re.compile(r"(?i)(?<=x-api-key)([\"']?\s*[:=]\s*[\"']?)[^\s\"',}]+"),
    re.compile(r"(?i)\b(bearer |token )(?=\S*\d)[A-Za-z0-9._~+/=-]{16,}"),
    re.compile(r"\b(?:gh[a-z]|github_pat|hubs?)_[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),  # a signed token, an App's among them
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),  # user and password of a URL
    re.compile(r"(?i)(?<=[?&])((?:token|code|secret|key|password)=)[^\s&\"']+"),
)


class Redactor:
    """Holds the secrets of this process; its repr does not show them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # A key of many lines is also found where it was broken up. Longest first: one may hold another.
        known = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        usable = (secret for secret in known if len(secret) >= SHORTEST and not secret.startswith("-----"))
        longest_first = sorted(usable, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern in _PATTERNS:
            text = pattern.sub(lambda found: f"{found[1] if found.re.groups else ''}{HIDDEN}", text)
        return text
