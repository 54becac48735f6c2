"""The readers' copy: replaced all at once, or not at all.

dbt writes `candidate.duckdb`; readers open `published.duckdb` and nothing else. A publication is
a copy of the candidate that is complete, checked and synced to disk before one `os.replace` puts
it in place. That call is the commit: before it readers see the old file, after it the new one,
whenever the process dies. Readers that hold the old file keep reading it.

The list of publications inside the readers' copy says what was published. Whatever the candidate
knows beyond it (rows and snapshots of a run that died after its snapshot) never was, and
`restore_history` takes it back before the next run builds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from customer_health.errors import HealthError, first_line
from customer_health.settings import Settings

KEEP = 7
LEAST_KEPT = 2  # the current one and the one before, whatever a byte limit says
# Where a file holds no marts yet. Else `marts_schema` looks: a project that installs the package
# may have a target schema and a rule for names of schemas of its own.
MARTS_SCHEMA = "customer_health"
PUBLICATIONS = "fct_health__publications"
PUBLICATION_CHECKS = "fct_health__publication_checks"
ACCOUNT_SCORES = "fct_health__account_scores"
# Name under which dbt attaches the candidate; its views carry it and must lose it.
CANDIDATE_CATALOG = "marts"

_ATTACHED = "published"  # name of a readers' copy within a connection
_FILE_HEADER_BYTES = 3 * 4096  # of a DuckDB file, before its first block
_FICLONE = 0x40049409  # ioctl of Linux: share the blocks of a file instead of copying them
ROW_COLUMNS = (
    "publication_id",
    "published_at",
    "as_of_date",
    "scoring_version",
    "policy_hash",
    "git_sha",
    "account_count",
    "scored_account_count",
    "checks_run",
    "checks_passed",
    "newest_input_at",
    "is_backfill",
)
_CHECK_TEXT = 300  # characters of what was observed and expected
_ADDRESS = re.compile(r"[^\s@'\"<>()]+@[^\s@'\"<>()]+")


@dataclass(frozen=True)
class GateCheck:
    """One check of a quality gate, as it travels inside the data: without keys of rows."""

    gate: str
    rule: str
    table_name: str
    column_name: str | None
    severity: str
    is_passed: bool
    observed: str
    expected: str
    bad_row_count: int | None

    @classmethod
    def from_dict(cls, gate: str, check: dict[str, Any]) -> GateCheck:
        """A check of a written gate report; addresses in its words are left out."""
        return cls(
            gate=gate,
            rule=check["rule"],
            table_name=check["table"],
            column_name=check["column"],
            severity=check["severity"],
            is_passed=bool(check["passed"]),
            observed=_ADDRESS.sub("(address)", str(check["observed"]))[:_CHECK_TEXT],
            expected=_ADDRESS.sub("(address)", str(check["expected"]))[:_CHECK_TEXT],
            bad_row_count=check["rows"],
        )

    def row(self) -> list[Any]:
        """Values of fct_health__publication_checks after the publication_id."""
        return list(asdict(self).values())


def _database(catalog: str | None) -> str:
    """SQL of the name of an attached file. Written, as a bound value makes DuckDB import pandas."""
    return "current_database()" if catalog is None else "'" + catalog.replace("'", "''") + "'"


def marts_schema(connection: duckdb.DuckDBPyConnection, catalog: str | None = None) -> str:
    """The schema that holds the marts in a candidate or a readers' copy.

    Args:
        connection: to the file.
        catalog: name under which the file is attached; None: the current one.

    Raises:
        HealthError: when several schemas hold marts, so that nobody knows which are meant.
    """
    rows = connection.execute(
        f"""
        select schema_name, bool_or(table_name = '{PUBLICATIONS}')
        from duckdb_tables()
        where
            database_name = {_database(catalog)}
            and starts_with(table_name, 'fct_health__')
        group by schema_name
        order by schema_name
        """
    ).fetchall()
    found = [schema for schema, has_publications in rows if has_publications]
    found = found or [schema for schema, _ in rows]
    if len(found) > 1:
        raise HealthError(
            f"the marts are in {len(found)} schemas of one file ({', '.join(found)}): drop the one "
            "that is not built any more, or give each its own CUSTOMER_HEALTH_HOME"
        )
    return str(found[0]) if found else MARTS_SCHEMA


def snapshots_schema(connection: duckdb.DuckDBPyConnection, catalog: str | None = None) -> str:
    """The schema that holds the snapshots; where there are none yet, the one by dbt's own rule."""
    rows = connection.execute(
        f"""
        select min(schema_name)
        from duckdb_tables()
        where
            database_name = {_database(catalog)}
            and starts_with(table_name, 'snap_health__')
        """
    ).fetchall()
    return str(rows[0][0] or f"{marts_schema(connection, catalog)}_snapshots")


def in_schemas(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """A query in which `{marts}` and `{snapshots}` are the schemas of the opened file."""
    for name, find in (("{marts}", marts_schema), ("{snapshots}", snapshots_schema)):
        if name in sql:
            sql = sql.replace(name, _quote(find(connection)))
    return sql


def checks_of(report: Path) -> list[GateCheck]:
    """The checks of a gate report that a run wrote; empty when there is none.

    Raises:
        HealthError: when the file is damaged.
    """
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
        return [GateCheck.from_dict(content["gate"], check) for check in content["checks"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise HealthError(
            f"{report}: no readable gate report; run `customer-health run`"
        ) from error


@dataclass(frozen=True)
class Publication:
    """One publication: the row that travels inside the data, and the manifest beside it.

    Timestamps are naive and in UTC, as everywhere in the marts.
    """

    publication_id: str
    published_at: datetime
    as_of_date: date
    scoring_version: str
    policy_hash: str
    git_sha: str | None
    account_count: int
    scored_account_count: int
    checks_run: int
    checks_passed: int
    newest_input_at: datetime | None
    is_backfill: bool
    # Only in the manifest: hashes of all versions (a published version is immutable) and the row
    # counts that the gates found (those of the next run compare with them).
    policy_hashes: dict[str, str] = field(default_factory=dict)
    row_counts: dict[str, int] = field(default_factory=dict)
    # Statistics of the raw tables that the landing gate found; that of the next run compares.
    profile: dict[str, Any] = field(default_factory=dict)
    # When `forget` last took an account out of the copy; the counts are those after it.
    erased_at: str | None = None

    def row(self) -> list[Any]:
        """Values of fct_health__publications, in the order of its columns."""
        return [getattr(self, column) for column in ROW_COLUMNS]

    def to_dict(self) -> dict[str, Any]:
        """The manifest as JSON types; instants end in Z."""
        written = asdict(self)
        written["published_at"] = _instant(self.published_at)
        written["newest_input_at"] = _instant(self.newest_input_at)
        written["as_of_date"] = self.as_of_date.isoformat()
        return written

    def to_summary(self) -> dict[str, Any]:
        """The manifest without the statistics of raw tables, for people and schedulers."""
        written = self.to_dict()
        del written["profile"]
        return written

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> Publication:
        """The reverse of `to_dict`; unknown keys are left out.

        Raises:
            KeyError, ValueError, TypeError: when the manifest is damaged.
        """
        known = {name: written[name] for name in cls.__dataclass_fields__ if name in written}
        known["published_at"] = _parse_instant(written["published_at"])
        newest = written.get("newest_input_at")
        known["newest_input_at"] = None if newest is None else _parse_instant(newest)
        known["as_of_date"] = date.fromisoformat(written["as_of_date"])
        return cls(**known)


def new_publication_id(as_of: date, now: datetime | None = None) -> str:
    """`<as_of>T<UTC time of publication>-<6 hex>`: unique, sorted by as_of, then by time."""
    moment = now or datetime.now(UTC)
    return f"{as_of.isoformat()}T{moment:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"


# -- reading -----------------------------------------------------------------------------------
@contextlib.contextmanager
def open_published(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a readers' copy as every reader should: read-only, without access to anything else.

    Raises:
        duckdb.Error: when the file is no whole database.
    """
    connection = connect_published(path)
    try:
        yield connection
    finally:
        connection.close()


def connect_published(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection of `open_published` that the caller closes.

    Within a process DuckDB opens a path once and hands it to every later connection, also when the
    file was replaced since. Attached to an instance of its own it is the file of this moment.
    `select_published` makes a cursor of the connection look at it too.

    Raises:
        duckdb.Error: when the file is no whole database.
    """
    connection = duckdb.connect(":memory:")
    try:
        written = str(path).replace("'", "''")
        connection.execute(f"attach '{written}' as {_ATTACHED} (read_only)")
        connection.execute("set enable_external_access = false")
        select_published(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def select_published(connection: duckdb.DuckDBPyConnection) -> None:
    """Names mean those of the attached readers' copy."""
    connection.execute(f"use {_ATTACHED}")


def publications_in(path: Path) -> list[Publication]:
    """The publications that a readers' copy lists, the newest first (without manifest parts).

    Raises:
        HealthError: when the file cannot be opened, or lists none.
    """
    try:
        with open_published(path) as connection:
            _refuse_truncated(connection, path)
            rows = connection.execute(
                in_schemas(
                    connection,
                    f"select {', '.join(ROW_COLUMNS)} from {{marts}}.{PUBLICATIONS} "
                    "order by published_at desc, publication_id desc",
                )
            ).fetchall()
    except (duckdb.Error, OSError) as error:
        raise HealthError(f"{path} cannot be read: {first_line(str(error), 160)}") from error
    if not rows:
        raise HealthError(f"{path} lists no publication")
    return [Publication(**dict(zip(ROW_COLUMNS, row, strict=True))) for row in rows]


def _refuse_truncated(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file that cannot hold its blocks; DuckDB notices only when it reads the last ones.

    Free blocks at the end need not be there, so this is no proof of wholeness (`read_through` is).

    Raises:
        HealthError: naming both sizes in bytes.
    """
    block_size, blocks = connection.execute(
        "select block_size, used_blocks from pragma_database_size() "
        "where database_name = current_database()"
    ).fetchall()[0]
    expected, found = _FILE_HEADER_BYTES + block_size * blocks, path.stat().st_size
    if found < expected or (found - _FILE_HEADER_BYTES) % block_size:
        raise HealthError(
            f"{path} is truncated: {found:,} bytes are there, its data need {expected:,}"
        )


def read_through(path: Path) -> None:
    """Read every value of every table, so that damage in any block that holds data is noticed.

    Raises:
        HealthError: naming the file and what DuckDB found.
    """
    publications_in(path)
    try:
        with open_published(path) as connection:
            tables = connection.execute(
                "select schema_name, table_name from duckdb_tables() "
                "where database_name = current_database()"
            ).fetchall()
            for schema, table in tables:
                _digest(connection, f"{_quote(schema)}.{_quote(table)}")
    except duckdb.Error as error:
        raise HealthError(f"{path} is damaged: {first_line(str(error), 160)}") from error


def read_manifest(path: Path) -> Publication | None:
    """The publication that a manifest describes; None when it is missing or damaged."""
    try:
        return Publication.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def last_publication(settings: Settings) -> Publication | None:
    """What readers have (or had, if their copy was damaged), with the parts of its manifest."""
    reference = find_reference(settings)
    if reference is None:
        return None
    newest = publications_in(reference)[0]
    kept = settings.publications_dir / f"{newest.publication_id}.json"
    for path in (settings.manifest, kept):
        manifest = read_manifest(path)
        if manifest is not None and manifest.publication_id == newest.publication_id:
            return manifest
    return newest


def find_reference(settings: Settings) -> Path | None:
    """The file that says what was published: the readers' copy, else the newest kept one.

    Returns:
        None when nothing was published yet.

    Raises:
        HealthError: when there are such files, but none can be read. Going on would throw the
            history of publications away.
    """
    problem: HealthError | None = None
    withdrawn = withdrawn_ids(settings)
    kept = [path for path in kept_files(settings) if path.stem not in withdrawn]
    for path in (settings.published, *kept):
        if path.exists():
            try:
                publications_in(path)
                return path
            except HealthError as error:
                problem = problem or error
    if problem is None:
        return None
    raise HealthError(
        f"{problem.message}, nor can a publication in {settings.publications_dir}: put a good "
        "copy back, or move these files away to start anew"
    )


def withdrawn_ids(settings: Settings) -> frozenset[str]:
    """Publications that `rollback` took from the readers, and that can still be brought back.

    The record counts as long as readers have what it went back to, that is until the next
    publication; so nothing has to happen at one instant with the replacement of their copy.
    """
    try:
        written = json.loads(settings.withdrawal.read_text(encoding="utf-8"))
        went_back_to, ids = str(written["went_back_to"]), frozenset(map(str, written["withdrawn"]))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()
    return ids if went_back_to == _current_id(settings) else frozenset()


def _current_id(settings: Settings) -> str | None:
    """The publication that readers have; that of the manifest where their copy is damaged."""
    try:
        return publications_in(settings.published)[0].publication_id
    except HealthError:
        manifest = read_manifest(settings.manifest)
        return None if manifest is None else manifest.publication_id


def kept_files(settings: Settings) -> list[Path]:
    """Kept publications, the one published last first."""
    files = settings.publications_dir.glob("*.duckdb")
    published_at = {}
    for path in files:
        manifest = read_manifest(path.with_suffix(".json"))
        published_at[path] = manifest.published_at if manifest else datetime.min
    return sorted(published_at, key=lambda path: (published_at[path], path.name), reverse=True)


# -- before a run ------------------------------------------------------------------------------
def restore_history(settings: Settings) -> list[str]:
    """Make publications and snapshots of the candidate those of the readers' copy again.

    A run that died between its snapshot and its publication leaves snapshot rows of a publication
    that never was, and rows that it closed. Taking the tables back whole is exact, where undoing
    single rows is not. It also brings history back when the candidate was lost.

    Returns:
        What was done, one line each; empty when there was nothing to do.

    Raises:
        HealthError, duckdb.Error, OSError
    """
    done = _remove_leftover_files(settings)
    reference = find_reference(settings)
    if reference is not None and reference != settings.published:
        done.append(
            f"{settings.published.name} is missing or damaged: history is taken from "
            f"{reference.name} until the next publication"
        )
    if reference is None and not settings.candidate.exists():
        return done
    connection = duckdb.connect(str(settings.candidate))
    try:
        ours = _history_tables(connection, _catalog(connection))
        theirs: dict[str, str] = {}
        if reference is not None:
            # A path cannot be bound in ATTACH; quotes in it are doubled.
            quoted = str(reference).replace("'", "''")
            connection.execute(f"attach '{quoted}' as kept (read_only)")
            theirs = _history_tables(connection, "kept")
        for table in sorted(ours.keys() | theirs.keys()):
            done.extend(_restore_table(connection, table, ours.get(table), theirs.get(table)))
        connection.execute("checkpoint")
    finally:
        connection.close()
    return done


def _history_tables(connection: duckdb.DuckDBPyConnection, catalog: str) -> dict[str, str]:
    """History of publications in a database: quoted name with schema -> its CREATE TABLE.

    These are the publications with their checks, and the snapshots.
    """
    rows = connection.execute(
        """
        select schema_name, table_name, sql
        from duckdb_tables()
        where
            database_name = ?
            and (
                (schema_name = ? and schema_name <> ?)
                or (schema_name = ? and table_name in (?, ?))
                or starts_with(table_name, 'snap_health__')
            )
        """,
        [
            catalog,
            snapshots_schema(connection, catalog),
            marts_schema(connection, catalog),
            marts_schema(connection, catalog),
            PUBLICATIONS,
            PUBLICATION_CHECKS,
        ],
    ).fetchall()
    return {f"{_quote(schema)}.{_quote(table)}": sql for schema, table, sql in rows}


def _restore_table(
    connection: duckdb.DuckDBPyConnection, table: str, ours: str | None, theirs: str | None
) -> list[str]:
    """Make one table of the candidate (`ours`: its DDL) what the reference has (`theirs`)."""
    plain = table.replace('"', "")
    if theirs is None:
        name = plain.split(".", 1)[1]
        if name in (PUBLICATIONS, PUBLICATION_CHECKS):
            voided = connection.execute(f"select count(*) from {table}").fetchall()[0][0]
            connection.execute(f"delete from {table}")
            what = "publications" if name == PUBLICATIONS else "checks of publications"
            return [f"voided {voided} {what} that were never published"] if voided else []
        connection.execute(f"drop table {table}")
        return [f"removed {plain}, which was never published"]
    if ours == theirs and _digest(connection, table) == _digest(connection, f"kept.{table}"):
        return []
    connection.execute("begin transaction")
    try:
        if ours is not None:
            connection.execute(f"drop table {table}")
        connection.execute(f"create schema if not exists {table.split('.', 1)[0]}")
        connection.execute(theirs)
        connection.execute(f"insert into {table} select * from kept.{table}")
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return [f"{plain} is as last published again (a run ended before it published)"]


def _digest(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[Any, ...]:
    """Row count and a hash over all rows, whatever their order."""
    rows = connection.execute(
        f"select count(*), sum(hash(whole_row)::hugeint) from {table} as whole_row"
    ).fetchall()
    return tuple(rows[0])


def _remove_leftover_files(settings: Settings) -> list[str]:
    """Remove half-written copies and kept files that were never put in place."""
    done = []
    for folder in (settings.home, settings.publications_dir):
        for path in sorted(folder.glob("*.tmp*")):
            path.unlink()
            done.append(f"removed {path.name}, left by a run that ended early")
    try:
        published = {each.publication_id for each in publications_in(settings.published)}
    except HealthError:
        return done
    withdrawn = withdrawn_ids(settings)
    if not withdrawn:
        settings.withdrawal.unlink(missing_ok=True)
    for path in sorted(settings.publications_dir.glob("*.*")):
        is_ours = path.suffix in {".duckdb", ".json"}
        if is_ours and path.stem not in published and path.stem not in withdrawn:
            path.unlink()
            done.append(f"removed {path.name}, which is not among the published ones")
    return done


# -- publishing --------------------------------------------------------------------------------
@dataclass(frozen=True)
class CandidateFacts:
    """What the candidate says about its newest date."""

    as_of_date: date
    scoring_version: str
    account_count: int
    scored_account_count: int
    newest_input_at: datetime | None


def read_candidate(settings: Settings) -> CandidateFacts:
    """Facts of the candidate for its newest as_of_date.

    Raises:
        HealthError: when there is no candidate, or it holds no scores.
    """
    if not settings.candidate.exists():
        raise HealthError(
            f"there is no candidate to publish ({settings.candidate}): run `customer-health run`"
        )
    connection = duckdb.connect(str(settings.candidate), read_only=True)
    try:
        marts = _quote(marts_schema(connection))
        as_of, versions, accounts, scored = connection.execute(
            f"""
            select
                max(as_of_date),
                string_agg(distinct scoring_version, '+' order by scoring_version),
                count(*),
                count(health_score)
            from {marts}.{ACCOUNT_SCORES}
            where as_of_date = (select max(as_of_date) from {marts}.{ACCOUNT_SCORES})
            """
        ).fetchall()[0]
        if as_of is None:
            raise HealthError(
                "the candidate holds no scores: look at `customer-health check landing`"
            )
        newest = connection.execute(
            f"""
            select max(observed_at)::timestamp
            from {marts}.fct_health__metric_scores
            where as_of_date = ? and observed_at < as_of_date
            """,
            [as_of],
        ).fetchall()[0][0]
    finally:
        connection.close()
    return CandidateFacts(as_of, versions, accounts, scored, newest)


def publish(
    settings: Settings,
    publication: Publication,
    checks: Sequence[GateCheck] = (),
    *,
    keep: int = KEEP,
) -> list[str]:
    """Put the candidate in place as the readers' copy.

    The order is what makes it safe at any point: row into the candidate, candidate closed, copy
    made beside, checked and synced, kept copy and its manifest stored, then the one `os.replace`.
    Manifest and pruning come after the commit: if they fail, the publication stands.

    Args:
        settings: where the files are.
        publication: the row and the manifest.
        checks: what its gates found.
        keep: number of publications to keep, this one included.

    Returns:
        Remarks about what did not work after the commit.

    Raises:
        HealthError, duckdb.Error, OSError: nothing was published.
    """
    name = publication.publication_id
    withdrawn = withdrawn_ids(settings)
    kept = settings.publications_dir / f"{name}.duckdb"
    copy = settings.home / f"{name}.published.tmp"
    kept_copy = settings.publications_dir / f"{name}.tmp"
    try:
        _write_row(settings, publication, checks)
        _clone(settings.candidate, copy)
        _free_views_from_catalog(copy)
        _sync(copy)
        verify(copy, publication)
        copy.chmod(copy.stat().st_mode & ~0o222)  # nobody writes to a publication by mistake
        _clone(copy, kept_copy)
        kept_copy.chmod(copy.stat().st_mode)
        _sync(kept_copy)
        os.replace(kept_copy, kept)
        _write_manifest(kept.with_suffix(".json"), publication)
        # A write-ahead log beside a file that it does not belong to makes it unopenable.
        _wal(settings.published).unlink(missing_ok=True)
        _sync_folder(settings.publications_dir)
    except BaseException:
        for path in (copy, _wal(copy), kept_copy, kept, kept.with_suffix(".json")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise
    os.replace(copy, settings.published)
    remarks = []
    for what, finish in (
        ("sync the folder", lambda: _sync_folder(settings.home)),
        ("write the manifest", lambda: _write_manifest(settings.manifest, publication)),
        ("remove what was rolled back", lambda: _end_withdrawal(settings, withdrawn)),
        ("remove old publications", lambda: prune(settings, keep)),
    ):
        try:
            finish()
        except OSError as error:
            remarks.append(f"published, but could not {what}: {error}")
    return remarks


def verify(path: Path, publication: Publication) -> None:
    """Open a copy as readers will, and look that it is this publication and whole.

    Raises:
        HealthError: naming what is wrong with it.
    """
    newest = publications_in(path)[0]
    if newest.publication_id != publication.publication_id:
        raise HealthError(
            f"the copy names {newest.publication_id} as its newest publication, not "
            f"{publication.publication_id}"
        )
    try:
        with open_published(path) as connection:
            accounts = connection.execute(
                in_schemas(
                    connection,
                    f"select count(*) from {{marts}}.{ACCOUNT_SCORES} where as_of_date = ?",
                ),
                [publication.as_of_date],
            ).fetchall()[0][0]
            for schema, view in _views(connection):
                connection.execute(f"select * from {_quote(schema)}.{_quote(view)} limit 0")
    except duckdb.Error as error:
        raise HealthError(f"readers could not use the copy: {first_line(str(error))}") from error
    if accounts != publication.account_count:
        raise HealthError(
            f"the copy holds {accounts} accounts for {publication.as_of_date}, the candidate "
            f"{publication.account_count}"
        )


def prune(settings: Settings, keep: int = KEEP) -> list[Path]:
    """Remove all kept publications but the last `keep`, and fewer where a byte limit says so.

    The published one and the one before it always stay, or there would be no way back. Sizes are
    those of whole files; where the file system shares their blocks they take less.

    Returns:
        The databases that were removed.
    """
    manifest = read_manifest(settings.manifest)
    removed = []
    kept_bytes = 0
    for number, path in enumerate(kept_files(settings)):
        kept_bytes += path.stat().st_size
        too_many = number >= keep
        too_large = settings.keep_bytes is not None and kept_bytes > settings.keep_bytes
        is_published = manifest is not None and path.stem == manifest.publication_id
        if number < LEAST_KEPT or is_published or not (too_many or too_large):
            continue
        path.unlink()
        path.with_suffix(".json").unlink(missing_ok=True)
        removed.append(path)
    return removed


def _end_withdrawal(settings: Settings, withdrawn: frozenset[str]) -> None:
    """After a new publication nobody goes forward to what was rolled back before it."""
    for publication_id in withdrawn:
        for suffix in (".duckdb", ".json"):
            (settings.publications_dir / f"{publication_id}{suffix}").unlink(missing_ok=True)
    settings.withdrawal.unlink(missing_ok=True)


def put_back(settings: Settings, kept: Path, withdrawn: frozenset[str]) -> Publication:
    """Put a kept publication in place as the readers' copy, all at once.

    The kept copy stays where it is. What is withdrawn is recorded first: the record counts only
    once readers have what it goes back to, so a death in between changes nothing.

    Args:
        settings: where the files are.
        kept: a database of the publications folder.
        withdrawn: publications that readers have or had and that this one does not list.

    Returns:
        The publication that readers have now.

    Raises:
        HealthError, OSError: nothing was replaced.
    """
    newest = publications_in(kept)[0]
    copy = settings.home / f"{newest.publication_id}.published.tmp"
    try:
        _clone(kept, copy)
        _sync(copy)
        read_through(copy)
        verify(copy, newest)
        copy.chmod(copy.stat().st_mode & ~0o222)
        if withdrawn:
            write_json(
                settings.withdrawal,
                {
                    "went_back_to": newest.publication_id,
                    "withdrawn": sorted(withdrawn),
                    "at": datetime.now(UTC).isoformat(timespec="seconds"),
                },
            )
        # A write-ahead log beside a file that it does not belong to makes it unopenable.
        _wal(settings.published).unlink(missing_ok=True)
        os.replace(copy, settings.published)
    except BaseException:
        for path in (copy, _wal(copy)):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise
    _sync_folder(settings.home)
    if not withdrawn:
        settings.withdrawal.unlink(missing_ok=True)
    manifest = read_manifest(kept.with_suffix(".json"))
    is_its_own = manifest is not None and manifest.publication_id == newest.publication_id
    published = manifest if manifest is not None and is_its_own else newest
    _write_manifest(settings.manifest, published)
    return published


def repair_manifest(settings: Settings) -> list[str]:
    """Rewrite published.json when a run died between replacing the data and the manifest."""
    try:
        newest = publications_in(settings.published)[0]
    except HealthError:
        return []
    written = read_manifest(settings.manifest)
    if written is not None and written.publication_id == newest.publication_id:
        return []
    kept = read_manifest(settings.publications_dir / f"{newest.publication_id}.json")
    _write_manifest(settings.manifest, kept or newest)
    return [f"{settings.manifest.name} was behind the data and is repaired"]


def _write_row(
    settings: Settings, publication: Publication, checks: Sequence[GateCheck] = ()
) -> None:
    """Insert the rows into the candidate, fold its write-ahead log in and close it."""
    connection = duckdb.connect(str(settings.candidate))
    try:
        marts = _quote(marts_schema(connection))
        connection.execute("begin transaction")
        _insert(connection, f"{marts}.{PUBLICATIONS}", ROW_COLUMNS, [publication.row()])
        if checks:
            columns = ("publication_id", *(each.name for each in fields(GateCheck)))
            rows = [[publication.publication_id, *check.row()] for check in checks]
            _insert(connection, f"{marts}.{PUBLICATION_CHECKS}", columns, rows)
        connection.execute("commit")
        connection.execute("checkpoint")
    finally:
        connection.close()
    if _wal(settings.candidate).exists():
        raise HealthError(
            f"{_wal(settings.candidate).name} is still there: another process has the candidate "
            "open; close it and run `customer-health publish`"
        )


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    rows: list[list[Any]],
) -> None:
    """Insert rows with bound values."""
    marks = ", ".join("?" for _ in columns)
    connection.executemany(f"insert into {table} ({', '.join(columns)}) values ({marks})", rows)


def _free_views_from_catalog(path: Path) -> None:
    """Take the name under which dbt attached the candidate out of the views of a copy.

    DuckDB stores views with the catalog that dbt writes (`marts.customer_health.…`), and no
    reader of the file has a catalog of that name. The parsed statement is changed, not its text.
    """
    connection = duckdb.connect(str(path))
    try:
        for schema, view in _views(connection):
            try:
                _free_view(connection, schema, view)
            except duckdb.Error as error:
                raise HealthError(
                    f"readers could not use the view {view}: {first_line(str(error), 160)}"
                ) from error
        connection.execute("checkpoint")
    finally:
        connection.close()


def _free_view(connection: duckdb.DuckDBPyConnection, schema: str, view: str) -> None:
    """Write one view without our catalog name, if it has it; its comment stays."""
    sql, comment = connection.execute(
        "select sql, comment from duckdb_views() where schema_name = ? and view_name = ?",
        [schema, view],
    ).fetchall()[0]
    freed = _without_catalog(connection, sql)
    if freed is None:
        return
    target = f"{_quote(schema)}.{_quote(view)}"
    connection.execute(f"create or replace view {target} as {freed}")
    if comment is not None:
        quoted = str(comment).replace("'", "''")
        connection.execute(f"comment on view {target} is '{quoted}'")


def _without_catalog(connection: duckdb.DuckDBPyConnection, create_view: str) -> str | None:
    """The select of a view without our catalog name; None when it does not name it.

    Raises:
        HealthError: when DuckDB cannot parse its own text (then publication stops).
    """
    select = create_view.split(" AS ", 1)[1].rstrip().rstrip(";")
    tree = json.loads(
        connection.execute("select json_serialize_sql(?::varchar)", [select]).fetchall()[0][0]
    )
    if tree.get("error"):
        raise HealthError(f"a view cannot be published: {tree.get('error_message')}")
    if not _strip_catalog(tree):
        return None
    rows = connection.execute("select json_deserialize_sql(?::json)", [json.dumps(tree)]).fetchall()
    return str(rows[0][0])


def _strip_catalog(part: Any) -> bool:
    """Remove our catalog from tables and columns of a parsed statement; whether any had it."""
    found = False
    if not isinstance(part, dict):
        children: list[Any] = part if isinstance(part, list) else []
    else:
        if part.get("catalog_name") == CANDIDATE_CATALOG:
            part["catalog_name"] = ""
            found = True
        names = part.get("column_names") if part.get("class") == "COLUMN_REF" else None
        # catalog.schema.table.column: shorter names cannot begin with a catalog.
        if isinstance(names, list) and len(names) > 3 and names[0] == CANDIDATE_CATALOG:
            part["column_names"] = names[1:]
            found = True
        children = list(part.values())
    for child in children:
        found = _strip_catalog(child) or found
    return found


def _views(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Schema and name of the views of the opened database."""
    return connection.execute(
        """
        select schema_name, view_name
        from duckdb_views()
        where not internal and database_name = current_database()
        order by schema_name, view_name
        """
    ).fetchall()


def _catalog(connection: duckdb.DuckDBPyConnection) -> str:
    """Name of the opened database."""
    return str(connection.execute("select current_database()").fetchall()[0][0])


# -- files -------------------------------------------------------------------------------------
def _clone(source: Path, target: Path) -> None:
    """Copy a file, sharing its blocks where the file system can (then it takes no time)."""
    if sys.platform == "linux":
        try:
            with source.open("rb") as reader, target.open("wb") as writer:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
                return
        except OSError:
            pass  # this file system has no shared blocks: copy the bytes
    shutil.copyfile(source, target)


def _write_manifest(path: Path, publication: Publication) -> None:
    """Write a manifest, all at once."""
    write_json(path, publication.to_dict())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file so that readers find the old or the new one, never a part."""
    part = path.with_name(f"{path.name}.tmp")
    with part.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, ensure_ascii=False, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    _sync_folder(path.parent)


def _sync(path: Path) -> None:
    """Have the file's bytes on the disk before anything points to it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Have the names of a folder on the disk."""
    _sync(folder)


def _wal(path: Path) -> Path:
    """DuckDB's write-ahead log beside a database."""
    return path.with_name(f"{path.name}.wal")


def _quote(identifier: str) -> str:
    """An identifier for SQL, whatever it contains."""
    doubled = identifier.replace('"', '""')
    return f'"{doubled}"'


def _instant(value: datetime | None) -> str | None:
    """A naive UTC timestamp as ISO 8601 with Z."""
    return None if value is None else value.isoformat(timespec="microseconds") + "Z"


def _parse_instant(text: str) -> datetime:
    """The reverse of `_instant`."""
    return datetime.fromisoformat(text.removesuffix("Z"))
