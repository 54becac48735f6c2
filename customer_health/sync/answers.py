"""What a destination says, and what it is to the sender: without the weight of HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from customer_health.errors import HealthError
from customer_health.sync.plan import Item


class BatchFailed(Exception):
    """A batch was not answered for; its records wait.

    Attributes:
        reason: in words.
        is_unclear: whether it may have taken effect all the same.
    """

    def __init__(self, reason: str, *, is_unclear: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_unclear = is_unclear


class BatchRefused(Exception):
    """A batch as a whole was refused for what is in it; `reason` is in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Stop(HealthError):
    """Nothing that follows could succeed either."""


@dataclass(frozen=True)
class Answer:
    """What a destination says about one record.

    Attributes:
        key: of the record.
        because: why it was rejected; None for one that was taken.
        is_missing: whether the destination has no such record.
        is_unclear: of a rejected one: whether it may have been taken all the same.
    """

    key: str
    because: str | None = None
    is_missing: bool = False
    is_unclear: bool = False


class Sender(Protocol):
    """A destination that is open for sending."""

    @property
    def request_count(self) -> int:
        """Number of requests so far."""

    @property
    def was_unclear(self) -> bool:
        """Whether the last `send` had a request whose answer never came.

        It may have taken effect although a later one was refused.
        """

    @property
    def file(self) -> str | None:
        """The file that was written; None where records travel."""

    def send(self, items: list[Item]) -> list[Answer]:
        """Send some records, and say what came of each of them.

        Raises:
            BatchFailed, BatchRefused, Stop
        """

    def close(self) -> None:
        """Let go of connections."""
