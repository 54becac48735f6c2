"""A PostgreSQL server for tests: started by them, as another user where they run as root.

It listens on a socket in a folder of its own and nowhere else, asks for a password, and is stopped
by its process id.
"""

from __future__ import annotations

import io
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

PASSWORD = "s3cr3t/p@ss:word%"  # with what must be quoted in a URL
_QUOTED_PASSWORD = "s3cr3t%2Fp%40ss%3Aword%25"
_TYPES = {
    "VARCHAR": "text",
    "INTEGER": "bigint",
    "BIGINT": "bigint",
    "HUGEINT": "numeric",
    "DOUBLE": "double precision",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "DATE": "date",
    "BOOLEAN": "boolean",
    "JSON": "jsonb",
}


def programs() -> Path | None:
    """Folder with initdb and postgres; None when there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


@contextmanager
def server() -> Iterator[str]:
    """A fresh server for as long as the context lasts.

    Yields:
        The folder of its socket.
    """
    folder = programs()
    assert folder is not None
    base = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a short path, as sockets need
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        names = [entry.pw_name for entry in pwd.getpwall()]
        entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(base, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "America/New_York"}
    running: dict[str, Any] = {"cwd": base, "env": environment, **user}
    password = base / "password"
    password.write_text(PASSWORD + "\n", encoding="utf-8")
    password.chmod(0o644)
    try:
        made = subprocess.run(
            [
                folder / "initdb",
                "--pgdata=data",
                "--username=health",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-sync",
            ],
            capture_output=True,
            text=True,
            check=False,
            **running,
        )
        assert made.returncode == 0, made.stderr
        process = subprocess.Popen(
            [folder / "postgres", "-D", "data", "-k", str(base), "-h", "", "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **running,
        )
        try:
            _wait(base, process)
            yield str(base)
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(timeout=30)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def url(socket: str, database: str = "postgres", password: str = _QUOTED_PASSWORD) -> str:
    """Connection URL of a database of the server."""
    return f"postgresql://health:{password}@/{database}?host={socket}"


def _wait(base: Path, process: subprocess.Popen[Any]) -> None:
    """Wait until the server answers."""
    import psycopg2

    for _ in range(100):
        assert process.poll() is None, "the server ended"
        try:
            psycopg2.connect(url(str(base))).close()
            return
        except psycopg2.OperationalError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def execute(socket: str, database: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements; the rows of the last one, if it has any."""
    import psycopg2

    connection = psycopg2.connect(url(socket, database))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def copy_database(duckdb_file: Path, socket: str, database: str) -> None:
    """Load every table of a DuckDB file into a new database of the same schemas and names."""
    import psycopg2

    execute(socket, "postgres", f'create database "{database}"')
    target = psycopg2.connect(url(socket, database))
    with (
        duckdb.connect(str(duckdb_file), read_only=True) as source,
        target,
        target.cursor() as cursor,
    ):
        relations = source.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_catalog = current_database() order by all"
        ).fetchall()
        for schema in dict.fromkeys(row[0] for row in relations):
            cursor.execute(f'create schema "{schema}"')
        for schema, table in relations:
            name = f'"{schema}"."{table}"'
            described = source.execute(f"describe {name}").fetchall()
            columns = ", ".join(f'"{row[0]}" {_TYPES.get(row[1], "numeric")}' for row in described)
            cursor.execute(f"create table {name} ({columns})")
            file = duckdb_file.with_name(f"{table}.csv")
            source.execute(f"copy {name} to '{file}' (header false, nullstr '\\N')")
            with file.open(encoding="utf-8") as rows:
                text = io.StringIO(rows.read())
            cursor.copy_expert(f"copy {name} from stdin with (format csv, null '\\N')", text)
            file.unlink()
    target.close()
