"""Errors that a person can act on, and the exit codes of the command line.

Everything that is expected to go wrong is raised as a `HealthError`, whose message is one line
that names what is wrong and what to do. The command line prints that line, never a traceback.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import Any

OK = 0
REFUSED = 1  # data, policy or a file is not as it must be; nothing was published
USAGE = 2  # the command was called in a way that makes no sense
BUSY = 3  # another run holds the lock
INTERRUPTED = 130  # Ctrl-C (128 + SIGINT)
TERMINATED = 143  # SIGTERM (128 + SIGTERM)

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


class HealthError(Exception):
    """Something is refused, with one line that says why and what to do.

    Args:
        message: one line for a person: what, where (file, row, column), and the fix.
        exit_code: what the process exits with (see the constants of this module).
        details: machine-readable facts for `--json`, for example the failed checks.
        lines: further lines, one problem each, where one line cannot name them all.
    """

    def __init__(
        self,
        message: str,
        exit_code: int = REFUSED,
        *,
        details: dict[str, Any] | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.details = details or {}
        self.lines = list(lines)


class UsageError(HealthError):
    """The command was called in a way that makes no sense (exit code 2)."""

    def __init__(self, message: str, **more: Any) -> None:
        super().__init__(message, USAGE, **more)


class BusyError(HealthError):
    """Another run holds the lock (exit code 3)."""

    def __init__(self, message: str, **more: Any) -> None:
        super().__init__(message, BUSY, **more)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. A KeyboardInterrupt, so that dbt cancels its queries as on Ctrl-C."""


def first_line(text: str, limit: int = 300) -> str:
    """The text as one line of at most `limit` characters (databases answer in paragraphs)."""
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def from_os_error(error: OSError) -> HealthError:
    """One clear line for what the operating system refused."""
    where = str(error.filename) if error.filename else "a file"
    if error.errno in _FULL_DISK:
        return HealthError(
            f"no space left while writing {where}: free some space and run again "
            "(the published copy is as it was)"
        )
    if error.errno in _NOT_ALLOWED:
        return HealthError(
            f"not allowed to write {where}: check its owner and permissions, or choose another "
            "folder with --home"
        )
    return HealthError(f"{where}: {error.strerror or error}")


def from_database_error(error: Exception) -> HealthError:
    """One clear line for what DuckDB refused."""
    return what_the_machine_lacks(str(error)) or HealthError(f"DuckDB: {first_line(str(error))}")


def what_the_machine_lacks(text: str) -> HealthError | None:
    """What stands behind an error text that says nothing about data or SQL; None for others.

    Another process at the file, a full disk and too little memory come out of whatever happened
    to run at that moment, so that the name of a model would lead astray.
    """
    name = re.search(r'file "([^"]+)"', text)
    if "Could not set lock on file" in text or "Conflicting lock" in text:
        return BusyError(
            f"another process has {name.group(1) if name else 'the database'} open: "
            "let it finish (readers should open published.duckdb, which is never locked)"
        )
    if "No space left on device" in text:
        file = name.group(1) if name else None
        return from_os_error(OSError(errno.ENOSPC, "no space left", file))
    if "Out of Memory" in text or "failed to allocate" in text:
        return HealthError(
            f"DuckDB ran out of memory ({first_line(text, 160)}): raise "
            "CUSTOMER_HEALTH_MEMORY_LIMIT or lower CUSTOMER_HEALTH_THREADS"
        )
    return None
