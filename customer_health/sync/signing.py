"""How a webhook signs what it sends, and how a receiver verifies it.

The signature is HMAC-SHA256 with the shared secret over `<timestamp>.<body>`, where the timestamp
is the header of that name (seconds since 1970) and the body is taken as the bytes that arrived.
This module needs nothing but Python, so that a receiver can copy it.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

TIMESTAMP_HEADER = "X-Customer-Health-Timestamp"
SIGNATURE_HEADER = "X-Customer-Health-Signature"
IDEMPOTENCY_HEADER = "Idempotency-Key"
TOLERANCE_SECONDS = 300
_PREFIX = "v1="


class SignatureError(ValueError):
    """A request is not to be trusted, with the reason."""


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The value of the signature header.

    Args:
        secret: shared with the receiver.
        timestamp: seconds since 1970.
        body: of the request, as it is sent.
    """
    message = f"{timestamp}.".encode() + body
    return _PREFIX + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> None:
    """Check that a request comes from who holds the secret, and is not an old one sent again.

    Args:
        secret: shared with the sender.
        headers: of the request; upper and lower case do not matter.
        body: as it arrived, before any parsing.
        tolerance_seconds: how far the timestamp may be from this clock.
        now: seconds since 1970; None takes this clock.

    Raises:
        SignatureError: when it must not be trusted.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    written = lower.get(TIMESTAMP_HEADER.lower(), "")
    signature = lower.get(SIGNATURE_HEADER.lower(), "")
    if not (written.isascii() and written.isdigit() and len(written) <= 12):
        raise SignatureError(f"no timestamp in {TIMESTAMP_HEADER}")
    expected = sign(secret, int(written), body)
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise SignatureError("the signature is not of this body and secret")
    moment = time.time() if now is None else now
    if abs(moment - int(written)) > tolerance_seconds:
        raise SignatureError("the timestamp is too far from this clock")
