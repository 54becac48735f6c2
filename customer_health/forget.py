"""Erasure requests: an account or a person is taken out of everything below CUSTOMER_HEALTH_HOME.

First it is found out by which ids and addresses they are known (an account's users and contacts,
a person's contacts with the same address). Then every file that holds data is written anew without
them: the readers' copy, kept publications, candidate, build, landing tables and raw Parquet files;
reports, logs and dbt's artefacts are cleaned as texts, and the ledgers of the CRM sync lose its
records (what a CRM has is for its owner to delete). Last comes the proof: every text column of
every table is asked, and every file is searched byte by byte.

The raw files go last, so that a killed command finds the same ids again when it is repeated. No id
is written anywhere: what `result.json` keeps of the request are counts.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health import erase
from customer_health.erase import Erased, Eraser, Identity, Needles
from customer_health.errors import HealthError, UsageError
from customer_health.progress import Reporter
from customer_health.publication import kept_files, publications_in, read_manifest, write_json
from customer_health.settings import Settings
from customer_health.sync.ledger import erase as erase_from_ledgers
from customer_health.sync.ledger import folder_of

# Raw tables that say who belongs to whom are cleaned last.
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
_LAST = ("product_events", "crm_contacts", "product_users", "crm_accounts")
# Caches of dbt that are no text; it makes them anew.
_CACHES = {".msgpack", ".gpickle", ".pickle"}
_LONGEST_ID = 256
_LEAST_NAME = 6  # characters of a name that is searched for
_ROUNDS = 10  # person -> address -> contact -> …: ends as soon as nothing new is found


@dataclass
class Report:
    """What was erased, and what the proof found.

    Attributes:
        found: number of ids by kind.
        erased: places (tables, files) with the rows and values that were taken out.
        left: what the owner of a file must do; with any of it the request is not finished.
        remarks: what was looked at and is fine, with the reason.
        files: number of files searched.
        bytes_searched: their size.
        too_short: ids that a byte search cannot tell from other values.
    """

    found: dict[str, int] = field(default_factory=dict)
    erased: list[Erased] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: int = 0
    bytes_searched: int = 0
    searched: int = 0
    too_short: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; without any id."""
        return {
            "found": self.found,
            "erased": [each.to_dict() for each in self.erased],
            "left": self.left,
            "remarks": self.remarks,
            "search": {
                "files": self.files,
                "bytes": self.bytes_searched,
                "values": self.searched,
                "values_too_short": self.too_short,
            },
        }


@dataclass
class Request:
    """One request on its way: who, the working database, and what came of it."""

    settings: Settings
    identity: Identity
    eraser: Eraser
    report: Report
    ledger_keys: frozenset[str] = frozenset()  # of records in the ledgers of the CRM sync

    def in_words(self) -> str:
        """What would happen, without an id."""
        found = ", ".join(f"{count:,} {what}" for what, count in self.report.found.items() if count)
        return (
            f"{found or 'no trace'} would be erased from everything in {self.settings.home}; "
            "this cannot be taken back"
        )


def check_id(value: str, option: str) -> str:
    """An id as typed, without space around it.

    Raises:
        UsageError: when it is empty, too long, or holds control characters.
    """
    text = value.strip()
    if not text or len(text) > _LONGEST_ID or re.search(r"[\x00-\x1f\x7f]", text):
        raise UsageError(f"{option}: an id has 1 to {_LONGEST_ID} characters on one line")
    return text


def prepare(settings: Settings, *, account: str | None, user: str | None) -> Request:
    """Find out by which ids and addresses an account or a person is known.

    Args:
        settings: where the files are.
        account: id of an account, or None.
        user: id of a product user or contact, or an e-mail address, or None.

    Raises:
        UsageError: unless exactly one of them is given.
        duckdb.Error: when a database is damaged, or another process writes to it.
    """
    if (account is None) == (user is None):
        raise UsageError("say who: --account ID or --user ID, one of them")
    _remove_leftovers(settings)
    connection = duckdb.connect(":memory:")
    _limit_resources(connection, settings)
    attached = []
    for name in ("landing", "build", "candidate"):
        path: Path = getattr(settings, name)
        if path.exists():
            literal = erase.text_literal(str(path))
            connection.execute(f"attach {literal} as {name} (read_only)")
            attached.append(name)
    if account is not None:
        identity = _who_is_account(connection, check_id(account, "--account"))
    else:
        identity = _who_is_person(connection, check_id(str(user), "--user"))
    eraser = Eraser(identity, connection)
    eraser.prepare()
    raw_rows = 0
    for relation, table in _relations(connection, "landing"):
        eraser.note_row_keys(relation, table)
        raw_rows += eraser.count_left(relation, table)
    ledger_keys = identity.account_ids | _action_ids(connection, identity)
    for name in attached:
        connection.execute(f"detach {name}")
    report = Report(
        found={
            "accounts": len(identity.account_ids),
            "ids of users and contacts": len(identity.person_ids),
            "e-mail addresses": len(identity.addresses),
            "raw rows": raw_rows,
        }
    )
    if identity.shared:
        report.remarks.append(
            f"{len(identity.shared)} addresses or names are also those of others and stay there"
        )
    return Request(settings, identity, eraser, report, ledger_keys)


def carry_out(request: Request, reporter: Reporter) -> Report:
    """Erase and prove, under the run lock that the caller holds.

    Raises:
        HealthError: when a file could not be written anew, or the proof by query fails.
        duckdb.Error, OSError
    """
    settings, eraser, report = request.settings, request.eraser, request.report
    with reporter.step("ledgers of the CRM sync"):
        _clean_ledgers(request)
    with reporter.step("publications"):
        for database in (settings.published, *kept_files(settings)):
            if database.exists():
                erase.rewrite_database(database, eraser, _name(settings, database))
                _update_manifest(settings, database)
    with reporter.step("candidate and build"):
        for database in (settings.candidate, settings.build):
            if database.exists():
                erase.rewrite_database(database, eraser, _name(settings, database))
    with reporter.step("reports and logs"):
        _clean_texts(request)
    with reporter.step("raw tables"):
        _clean_landing(request)
        _clean_raw_files(request)
    report.erased = eraser.done
    with reporter.step("proof"):
        _prove(request)
        reporter.detail(f"{report.files} files, {report.bytes_searched / 1e6:,.1f} MB")
    return report


# -- who ---------------------------------------------------------------------------------------
def _relations(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[tuple[str, str]]:
    """Quoted name and plain name of the tables and views of an attached database."""
    rows = connection.execute(
        """
        select schema_name, table_name from duckdb_tables() where database_name = $catalog
        union all
        select schema_name, view_name
        from duckdb_views()
        where database_name = $catalog and not internal
        order by 1, 2
        """,
        {"catalog": catalog},
    ).fetchall()
    quoted = erase._quote
    return [(f"{catalog}.{quoted(schema)}.{quoted(name)}", name) for schema, name in rows]


def _people(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str], list[str]]]:
    """Relations that say who is whom: name, id columns of persons, and all columns."""
    found = []
    for catalog in ("landing", "build"):
        for relation, name in _relations(connection, catalog):
            is_view_of_build = catalog == "build" and not _is_table(connection, relation)
            if is_view_of_build or not name.endswith(erase.OWN_ROWS):
                continue
            columns = [row[0] for row in connection.execute(f"describe {relation}").fetchall()]
            ids = [each for each in ("user_id", "contact_id") if each in columns]
            if ids:
                found.append((relation, ids, columns))
    return found


def _is_table(connection: duckdb.DuckDBPyConnection, relation: str) -> bool:
    """Whether a quoted name is a table and no view."""
    catalog, schema, name = relation.replace('"', "").split(".", 2)
    return bool(
        connection.execute(
            "select count(*) from duckdb_tables() "
            "where database_name = ? and schema_name = ? and table_name = ?",
            [catalog, schema, name],
        ).fetchall()[0][0]
    )


def _who_is_account(connection: duckdb.DuckDBPyConnection, account: str) -> Identity:
    """The account with its users and contacts; those that others have too are left out."""
    persons: set[str] = set()
    others: set[str] = set()
    addresses: set[str] = set()
    kept_addresses: set[str] = set()
    is_own = "trim(cast(account_id as varchar)) = ?"
    for relation, ids, columns in _people(connection):
        if "account_id" not in columns:
            continue
        says_who = relation.replace('"', "").endswith(erase.SAYS_WHO)
        for each in ids:
            persons |= _distinct(connection, relation, each, is_own, account)
            if says_who:
                others |= _distinct(connection, relation, each, f"not ({is_own})", account)
        if says_who:
            addresses |= _addresses(connection, relation, is_own, account)
            kept_addresses |= _addresses(connection, relation, f"not ({is_own})", account)
    names: set[str] = set()
    other_names: set[str] = set()
    for relation, name in _relations(connection, "landing"):
        columns = [row[0] for row in connection.execute(f"describe {relation}").fetchall()]
        if name == "crm_accounts" and "account_id" in columns:
            for each in {"account_name", "domain"} & set(columns):
                names |= _distinct(connection, relation, each, is_own, account)
                other_names |= _distinct(connection, relation, each, f"not ({is_own})", account)
    persons.discard(account)
    lower = {each.lower() for each in kept_addresses}
    shared = {each for each in addresses if each.lower() in lower} | (names & other_names)
    return Identity(
        kind="account",
        account_ids=frozenset({account}),
        person_ids=frozenset(persons - others),
        addresses=frozenset(addresses - shared),
        names=frozenset(each for each in names - shared if len(each) >= _LEAST_NAME),
        shared=frozenset(shared),
    )


def _action_ids(connection: duckdb.DuckDBPyConnection, identity: Identity) -> frozenset[str]:
    """Ids of the account's actions, under which a destination may have been sent them."""
    found: set[str] = set()
    for relation, name in _relations(connection, "candidate"):
        if name == "act_health__actions":
            for account in identity.account_ids:
                found |= _distinct(connection, relation, "action_id", "account_id = ?", account)
    return frozenset(found)


def _who_is_person(connection: duckdb.DuckDBPyConnection, person: str) -> Identity:
    """The person with their users and contacts: the same ids, or the same e-mail address."""
    relations = [
        each
        for each in _people(connection)
        if each[0].replace('"', "").endswith((".product_users", ".crm_contacts"))
    ]
    ids, addresses = {person}, {person} & {erase.address_in(person) or ""}
    for _ in range(_ROUNDS):
        known = len(ids) + len(addresses)
        for relation, id_columns, columns in relations:
            texts = [*id_columns, *(each for each in columns if "mail" in each.lower())]
            for column in texts:
                values = addresses | ids
                marks = ", ".join("?" for _ in values)
                is_theirs = f"lower(trim(cast({erase._quote(column)} as varchar))) in ({marks})"
                given = [each.lower() for each in values]
                for each in id_columns:
                    ids |= _distinct(connection, relation, each, is_theirs, *given)
                addresses |= _addresses(connection, relation, is_theirs, *given)
        if len(ids) + len(addresses) == known:
            break
    # An address that is used as an id is both.
    return Identity(kind="user", person_ids=frozenset(ids), addresses=frozenset(addresses))


def _distinct(
    connection: duckdb.DuckDBPyConnection, relation: str, column: str, where: str, *values: str
) -> set[str]:
    """Distinct texts of a column, without space around them and without empty ones."""
    rows = connection.execute(
        f"select distinct trim(cast({erase._quote(column)} as varchar)) from {relation} "
        f"where {where}",
        list(values),
    ).fetchall()
    return {row[0] for row in rows if row[0]}


def _addresses(
    connection: duckdb.DuckDBPyConnection, relation: str, where: str, *values: str
) -> set[str]:
    """E-mail addresses in any text column of some rows."""
    found: set[str] = set()
    for name, kind, *_ in connection.execute(f"describe {relation}").fetchall():
        if kind == "VARCHAR":
            found |= {
                each
                for each in _distinct(connection, relation, name, where, *values)
                if erase.address_in(each)
            }
    return found


# -- files -------------------------------------------------------------------------------------
def _name(settings: Settings, path: Path) -> str:
    """A path as the report names it: below the home folder where it is there."""
    return str(path.relative_to(settings.home)) if path.is_relative_to(settings.home) else str(path)


def _remove_leftovers(settings: Settings) -> None:
    """Remove what a killed command left half written."""
    for path in sorted(settings.home.rglob(f".*{erase.MARK}*")):
        path.unlink(missing_ok=True)
    shutil.rmtree(settings.raw_dir / ".incoming", ignore_errors=True)


def _limit_resources(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Keep to the memory and threads of a run, and spill below the home folder."""
    spill = erase.text_literal(str(settings.home / "tmp" / "forget"))
    connection.execute(f"set temp_directory = {spill}")
    for name, option in (("MEMORY_LIMIT", "memory_limit"), ("THREADS", "threads")):
        value = os.environ.get(f"CUSTOMER_HEALTH_{name}")
        if value:
            connection.execute(f"set {option} = {erase.text_literal(value)}")


def _update_manifest(settings: Settings, database: Path) -> None:
    """Make the manifest of a copy say the counts that the copy has now."""
    path = settings.manifest if database == settings.published else database.with_suffix(".json")
    newest = publications_in(database)[0]
    manifest = read_manifest(path)
    if manifest is None or manifest.publication_id != newest.publication_id:
        return
    counts = ("account_count", "scored_account_count")
    if all(getattr(manifest, each) == getattr(newest, each) for each in counts):
        return
    changed = replace(
        manifest,
        account_count=newest.account_count,
        scored_account_count=newest.scored_account_count,
        erased_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_json(path, changed.to_dict())


def _data_files(settings: Settings) -> tuple[list[Path], list[Path], list[Path]]:
    """All files of the home folder, and of dbt's folders in the project.

    Returns:
        Databases, Parquet files, and all others.
    """
    folders = [settings.home]
    for name in ("target", "logs"):
        folder = settings.project_dir / name
        if folder.is_dir() and not folder.is_relative_to(settings.home):
            folders.append(folder)
    databases: list[Path] = []
    parquet: list[Path] = []
    others: list[Path] = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file() or path == settings.lock:
                continue
            kinds = {".duckdb": databases, ".parquet": parquet}
            kinds.get(path.suffix, others).append(path)
    return databases, parquet, others


def _clean_ledgers(request: Request) -> None:
    """Take the account and its actions out of what the CRM sync knows about its destinations."""
    for destination, count in erase_from_ledgers(request.settings, request.ledger_keys).items():
        request.eraser.done.append(Erased(f"sync/{destination}.sqlite", rows=count))
        request.report.remarks.append(
            f"{destination} was sent {count} records about it: what it has is for its owner to "
            "delete, and no later sync touches them"
        )


def _clean_texts(request: Request) -> None:
    """Take the ids and addresses out of reports, logs and dbt's artefacts."""
    settings = request.settings
    needles = Needles(request.identity.searched())
    for path in _data_files(settings)[2]:
        if path.is_relative_to(settings.raw_dir) or path.is_relative_to(folder_of(settings)):
            continue  # neither are texts
        try:
            if path.is_relative_to(settings.home / "validation"):
                # these pages name accounts, which no id finds; `validate` writes them anew
                path.unlink()
                request.eraser.done.append(Erased(_name(settings, path), values=1))
                continue
            if path.suffix in _CACHES:
                if needles.redact(path.read_bytes())[1]:
                    path.unlink()
                    request.eraser.done.append(Erased(_name(settings, path), values=1))
                continue
            count = erase.redact_file(path, needles)
        except FileNotFoundError:
            continue  # a dbt that somebody runs by hand has replaced it
        if count:
            request.eraser.done.append(Erased(_name(settings, path), values=count))


def _clean_landing(request: Request) -> None:
    """Write the landing database anew where it holds tables; views hold no rows."""
    settings = request.settings
    if not settings.landing.exists():
        return
    with duckdb.connect(str(settings.landing), read_only=True) as connection:
        tables = connection.execute("select count(*) from duckdb_tables()").fetchall()[0][0]
    if tables:
        erase.rewrite_database(settings.landing, request.eraser, settings.landing.name)


def _clean_raw_files(request: Request) -> None:
    """Write the Parquet files below raw/ anew; those that say who belongs to whom go last."""
    settings = request.settings

    def order(path: Path) -> tuple[int, Path]:
        table = _raw_table(settings, path)
        return (_LAST.index(table) if table in _LAST else -1, path)

    files = [each for each in _data_files(settings)[1] if each.is_relative_to(settings.home)]
    for path in sorted(files, key=order):
        erase.rewrite_parquet(
            path, request.eraser, _raw_table(settings, path), _name(settings, path)
        )


def _raw_table(settings: Settings, path: Path) -> str:
    """The raw table that a Parquet file belongs to: the folder below raw/, else its own name."""
    if path.is_relative_to(settings.raw_dir):
        return path.relative_to(settings.raw_dir).parts[0].removesuffix(".parquet")
    return path.stem


# -- proof -------------------------------------------------------------------------------------
def _prove(request: Request) -> None:
    """Ask every table, then search every file byte by byte.

    Raises:
        HealthError: when a file of ours still names the account or person.
    """
    settings, report = request.settings, request.report
    databases, parquet, others = _data_files(settings)
    for path in databases:
        _ask_database(request, path)
    for path in parquet:
        _ask_parquet(request, path)
    for path in others:
        if path.is_relative_to(settings.raw_dir):
            _ask_owner_about(request, path)
    files = [each for each in (*databases, *parquet, *others) if each.exists()]
    searched = request.identity.searched()
    report.files, report.searched = len(files), len(searched)
    report.bytes_searched = sum(each.stat().st_size for each in files)
    report.too_short = len(request.identity.ids - set(searched))
    if report.too_short:
        report.remarks.append(
            f"{report.too_short} ids are too short or only digits: they were erased by column, but "
            "a byte search could not tell them from other values"
        )
    told = {each.split(":", 1)[0] for each in report.left}
    for path, value, count in erase.search_bytes(files, searched):
        name = _name(settings, path)
        if name in told:
            continue
        inside = _explained(request, path, value)
        if inside:
            report.remarks.append(f"{name}: {count} places inside {inside}")
        else:
            report.left.append(f"{name}: {count} places among its bytes; delete or clean it")


def _ask_database(request: Request, path: Path) -> None:
    """Count what is left in the tables of a database, and behind the views of the landing one.

    Raises:
        HealthError: when a table of ours still names them.
    """
    eraser = request.eraser
    connection = eraser.connection
    connection.execute(f"attach {erase.text_literal(str(path))} as looked (read_only)")
    try:
        is_landing = path == request.settings.landing
        for relation, table in _relations(connection, "looked"):
            if not _is_table(connection, relation):
                # other views only read tables that are asked themselves
                if is_landing:
                    _ask_view(request, relation, table)
                continue
            left = eraser.count_left(relation, table)
            if left:
                raise HealthError(
                    f"{_name(request.settings, path)}: {left} rows of {table} still name them; run "
                    "the command again, and tell the maintainers if that does not help"
                )
    finally:
        connection.execute("detach looked")


def _ask_view(request: Request, relation: str, table: str) -> None:
    """Look behind a view of the landing database: its files may be somebody else's."""
    left = request.eraser.count_left(relation, table)
    if not left:
        return
    sql = request.eraser.connection.execute(
        "select sql from duckdb_views() where database_name = 'looked' and view_name = ?", [table]
    ).fetchall()[0][0]
    quoted = (single or double for single, double in re.findall(_QUOTED, sql))
    paths = [each for each in quoted if "/" in each or "\\" in each or "." in each]
    where = ", ".join(paths) or "another place"
    request.report.left.append(
        f"{table}: {left} rows come from {where}, which is not ours to write; clean it there, then "
        "run this again"
    )


def _ask_parquet(request: Request, path: Path) -> None:
    """Count what is left in a Parquet file.

    Raises:
        HealthError: when it still names them.
    """
    literal = erase.text_literal(erase.literal_glob(path))
    view = f"read_parquet({literal}, hive_partitioning = false)"
    connection = request.eraser.connection
    connection.execute(f"create or replace temp view part as from {view}")
    left = request.eraser.count_left("part", _raw_table(request.settings, path))
    connection.execute("drop view part")
    if left:
        raise HealthError(
            f"{_name(request.settings, path)}: {left} rows still name them; run the command again"
        )


def _ask_owner_about(request: Request, path: Path) -> None:
    """A file below raw/ in a form that is not ours to write."""
    needles = Needles(request.identity.searched())
    with path.open("rb") as file:
        count = sum(needles.redact(line)[1] for line in file)
    if count:
        request.report.left.append(
            f"{_name(request.settings, path)}: names them {count} times; take those rows out, then "
            "run this again"
        )


def _explained(request: Request, path: Path, value: str) -> str:
    """Why the bytes of a value may stand in a file: as a part of something else, or not at all."""
    connection = request.eraser.connection
    if path.suffix == ".duckdb":
        connection.execute(f"attach {erase.text_literal(str(path))} as looked (read_only)")
        try:
            for relation, table in _relations(connection, "looked"):
                if _is_table(connection, relation) and _contains(connection, relation, value):
                    return f"other values of {table}"
        finally:
            connection.execute("detach looked")
        return ""
    if path.suffix == ".parquet":
        literal = erase.text_literal(erase.literal_glob(path))
        relation = f"read_parquet({literal}, hive_partitioning = false)"
        return "other values" if _contains(connection, relation, value) else ""
    found = Needles([value]).redact(path.read_bytes())[1]
    return "" if found else "longer words"


def _contains(connection: duckdb.DuckDBPyConnection, relation: str, value: str) -> bool:
    """Whether a text of a table contains a value."""
    columns = [
        name
        for name, kind, *_ in connection.execute(f"describe from {relation}").fetchall()
        if kind == "VARCHAR"
    ]
    return erase.values_with(connection, relation, columns, value) > 0


# -- telling -----------------------------------------------------------------------------------
def render(report: Report, console: Console) -> None:
    """Print what was erased where, and what the proof found."""
    if report.erased:
        table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
        table.add_column("Where", overflow="fold")
        table.add_column("Rows deleted", justify="right")
        table.add_column("Values erased", justify="right")
        for each in _by_file(report.erased):
            table.add_row(escape(each.place), f"{each.rows:,}", f"{each.values:,}")
        console.print(table)
    else:
        console.print("Nothing names them (any more).")
    console.print(
        f"Proof: every text of every table asked; {report.files:,} files "
        f"({report.bytes_searched / 1e6:,.1f} MB) searched for {report.searched:,} ids, addresses "
        "and names.",
        soft_wrap=True,
        highlight=False,
    )
    for remark in report.remarks:
        console.print(f"note: {escape(remark)}", style="yellow", soft_wrap=True, highlight=False)


def _by_file(erased: list[Erased]) -> list[Erased]:
    """One line a database, and one a folder of reports; `--json` has every table."""
    found: dict[str, Erased] = {}
    for each in erased:
        place, _, table = each.place.partition(": ")
        parts = Path(place).parts
        if not table and parts[0] != "raw" and len(parts) > 1:
            place = f"{parts[0]}/"
        line = found.setdefault(place, Erased(place))
        line.rows += each.rows
        line.values += each.values
    return list(found.values())
