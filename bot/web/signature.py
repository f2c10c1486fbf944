"""Which webhook bodies are really from the forge."""

import hashlib
import hmac


def is_signed(unverified_body: bytes, *, signature: str, secret: str) -> bool:
    """Whether `signature` (X-Hub-Signature-256) is the HMAC-SHA256 of the raw body; compared in constant time."""
    expected = "sha256=" + hmac.new(secret.encode(), unverified_body, hashlib.sha256).hexdigest()
    return bool(secret) and hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
