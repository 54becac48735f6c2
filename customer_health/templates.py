"""Templates of dbt, compiled once and kept for the next run.

dbt has Jinja compile every macro and every model anew in each process: a tenth of the Python of a
run, for text that hardly ever changes. Jinja keeps compiled templates only where they come from a
file of its own, which those of dbt do not.

Templates are kept by their text, so that a changed one is another one. What is kept for another
version of Python, Jinja or dbt is left aside. It is a matter of speed alone: a file that is
missing, cut off or cannot be written costs the time of compiling, and nothing else.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

KEPT = "compiled_templates"  # the file in dbt's target folder
_MOST_BYTES = 32 * 2**20  # a project takes 4 MB; above this it starts anew, without old texts
_VERSIONS = "\n".join([sys.version, *(version(name) for name in ("jinja2", "dbt-common"))])


@contextmanager
def kept_templates(file: Path) -> Iterator[None]:
    """Within this, dbt takes templates that it has compiled before from `file`, and adds new ones.

    Args:
        file: what is kept; several processes may share it, and the last one to write wins.
    """
    from dbt_common.clients import jinja

    environment = jinja.MacroFuzzEnvironment
    compile_anew = environment.compile
    codes = _read(file)
    known = len(codes)

    def compile_once(
        self: Any, source: Any, name: Any = None, filename: Any = None, *rest: Any, **options: Any
    ) -> Any:
        # The generated Python is wanted, not its code; or dbt is asked to name it for debugging.
        if not isinstance(source, str) or rest or options or jinja.MACRO_DEBUGGING:
            return compile_anew(self, source, name, filename, *rest, **options)
        key = hashlib.sha256(repr((name, filename, source)).encode()).digest()
        code = codes.get(key)
        if code is None:
            codes[key] = code = compile_anew(self, source, name, filename)
        return code

    environment.compile = compile_once  # type: ignore[method-assign]
    try:
        yield
    finally:
        environment.compile = compile_anew  # type: ignore[method-assign]
        if len(codes) > known:
            _write(file, codes)


def _read(file: Path) -> dict[bytes, CodeType]:
    """What is kept in a file; nothing where it is not whole, too large or of other versions."""
    with suppress(OSError, ValueError, EOFError, TypeError):
        content = file.read_bytes()
        digest, payload = content[:32], content[32:]
        if len(content) <= _MOST_BYTES and hashlib.sha256(payload).digest() == digest:
            versions, codes = marshal.loads(payload)
            if versions == _VERSIONS:
                return dict(codes)
    return {}


def _write(file: Path, codes: dict[bytes, CodeType]) -> None:
    """Replace a file in one step."""
    payload = marshal.dumps((_VERSIONS, codes))
    written = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(hashlib.sha256(payload).digest() + payload)
        written.replace(file)
