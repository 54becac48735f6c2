"""PostgreSQL: schemas of one database, and one transaction that changes all that readers have.

Beside the schemas that dbt builds (`customer_health` and those with a suffix) there are

- `customer_health_p_<time>_<hex>`: the tables of one publication, written once and kept,
- `customer_health_published`: what readers open, one view per mart on the tables of one of these,
- `customer_health_publications`: the table `kept`, which says which publication is which, with its
  manifest. Readers need no right to it, nor to the kept schemas.

A publication is one transaction: its row is added to the candidate, all marts and snapshots are
copied, the copy is checked, then the views are replaced, each under a lock that is kept to the end.
Whatever ends it before the commit leaves no trace. A transaction of a reader that has looked at one
view holds off the replacement of all until it ends, so it sees one publication; the replacement
gives up after a moment, lets other readers pass, and tries again.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from customer_health import rollback
from customer_health.errors import BusyError, HealthError, UsageError, first_line
from customer_health.gate_engines import URL_VARIABLE, Postgres, missing_driver, quoted
from customer_health.places import refuse_other_places
from customer_health.publication import (
    KEEP,
    LEAST_KEPT,
    ROW_COLUMNS,
    CandidateFacts,
    GateCheck,
    Publication,
)
from customer_health.rollback import CURRENT, Plan
from customer_health.settings import Settings
from customer_health.targets import rendered_output
from customer_health.warehouses.base import Reader, UnreachableError
from customer_health.warehouses.schemas import SchemaWarehouse

if TYPE_CHECKING:
    from customer_health.gates import GateName

OLDEST_SERVER = 150_000
KEPT, WITHDRAWN = rollback.KEPT, rollback.WITHDRAWN
PUBLICATIONS, CHECKS = "fct_health__publications", "fct_health__publication_checks"
SCORES, POINTS = "fct_health__account_scores", "fct_health__metric_scores"
OURS = "health__"  # part of the name of every mart and snapshot of the package

# The replacement of the views waits this long for readers, less than the second after which the
# server would look for deadlocks and might end the reader.
LOCK_TIMEOUT = "300ms"
LOCK_PAUSE_SECONDS = 0.5
LOCK_PATIENCE_SECONDS = 120.0
_SETTLE_SECONDS = 5.0

# Sessions that hold the lock of a run, by database and schema: publications are made in them, so
# that a run that has lost its lock cannot publish.
_held: dict[str, Any] = {}


class PostgresReader(Reader):
    """The readers' views in one read-only transaction."""

    def __init__(self, cursor: Any, schema: str) -> None:
        self._cursor = cursor
        self._schema = schema

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        written = sql.replace("%", "%%").replace("?", "%s")
        # A publication has its marts and snapshots in one schema.
        for schema in ("{marts}", "{snapshots}"):
            written = written.replace(schema, quoted(self._schema))
        self._cursor.execute(written, list(values))
        return list(self._cursor.fetchall())

    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the last query."""
        return tuple(column.name for column in self._cursor.description or [])

    def has(self, mart: str) -> bool:
        """Whether it is among the views."""
        name = f"{quoted(self._schema)}.{quoted(mart)}"
        self._cursor.execute("select to_regclass(%s) is not null", [name])
        return bool(self._cursor.fetchone()[0])


class PostgresWarehouse(SchemaWarehouse):
    """The database of a dbt target of type postgres."""

    engine = "postgres"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        output = rendered_output(settings) or {}
        url = os.environ.get(URL_VARIABLE, "").strip()
        self._database = Postgres.from_url(url) if url else Postgres.from_profile(output)
        self._role = str(output.get("role") or "")
        self._marts = str(output.get("schema") or "customer_health")
        self._snapshots = f"{self._marts}_snapshots"
        self._readers = f"{self._marts}_published"
        self._kept_prefix = f"{self._marts}_p_"
        self._registry = f"{quoted(f'{self._marts}_publications')}.kept"

    # -- the run ---------------------------------------------------------------------------------
    def check_ready(self) -> None:
        """The server answers and is new enough, and only one database is meant."""
        if os.environ.get(URL_VARIABLE, "").strip():
            raise UsageError(
                f"{URL_VARIABLE} is for commands that only read; dbt builds in the database of "
                "its target: unset it"
            )
        with self._transaction() as cursor:
            cursor.execute("select current_setting('server_version_num')::int")
            if cursor.fetchone()[0] < OLDEST_SERVER:
                raise HealthError(
                    f"{self._database.label}: PostgreSQL is older than 15, the oldest that is known"
                )

    @contextmanager
    def lock(self, run_id: str, command: str) -> Iterator[None]:
        """An advisory lock of the database, held by a session of its own."""
        name = f"customer_health {command} {run_id} {socket.gethostname()}"
        session = self._connect(name)
        try:
            session.autocommit = True
            with session.cursor() as cursor:
                number = "hashtextextended(%s, 0)"
                cursor.execute(f"select pg_try_advisory_lock({number})", [self._lock_name])
                if not cursor.fetchone()[0]:
                    raise BusyError(
                        f"{self._holder(cursor)}: wait for it to end, or look with "
                        "`customer-health status` on its machine"
                    )
            _held[self._key] = session
            try:
                yield
            finally:
                _held.pop(self._key, None)
        finally:
            session.close()

    def _holder(self, cursor: Any) -> str:
        """Who holds the lock, in words."""
        cursor.execute(
            """
            select activity.application_name, activity.backend_start::timestamp(0)
            from pg_locks as locks
            inner join pg_stat_activity as activity on locks.pid = activity.pid
            where
                locks.locktype = 'advisory'
                and locks.granted
                and locks.database = (
                    select oid from pg_database where datname = current_database()
                )
                and (locks.classid::bigint << 32 | locks.objid::bigint)
                = hashtextextended(%s, 0)
            """,
            [self._lock_name],
        )
        found = cursor.fetchone()
        if found is None:
            return f"another run holds the lock of {self._database.label}"
        name = str(found[0]).removeprefix("customer_health ")
        return f"another run on {self._database.label} in progress since {found[1]} UTC ({name})"

    @property
    def _lock_name(self) -> str:
        return f"customer_health {self._marts}"

    @property
    def _key(self) -> str:
        return f"{self._database.arguments!r} {self._marts}"

    @property
    def _place(self) -> str:
        return self._database.label

    def _session(self) -> AbstractContextManager[Any]:
        return self._transaction()

    # -- gates -----------------------------------------------------------------------------------
    def gate_database(self, gate: GateName) -> Postgres:
        """The database of the target, or the one that CUSTOMER_HEALTH_POSTGRES_URL names."""
        return self._database

    def marts_schema(self) -> str:
        """That of the target."""
        return self._marts

    def check_places(self, nodes: Mapping[str, Any]) -> None:
        """Only the schema of the target, and the one that dbt's own rule makes of it."""
        refuse_other_places(nodes, self.engine, self._marts, self._snapshots)

    # -- the candidate ---------------------------------------------------------------------------
    def read_candidate(self) -> CandidateFacts:
        """Facts of the marts that dbt has built."""
        with self._transaction() as cursor:
            scores = self._relation(self._marts, SCORES)
            if not self._exists(cursor, self._marts, SCORES):
                raise HealthError(
                    f"there is no candidate to publish ({self._marts} in {self._database.label}): "
                    "run `customer-health run`"
                )
            cursor.execute(
                f"""
                select
                    max(as_of_date),
                    string_agg(distinct scoring_version, '+' order by scoring_version),
                    count(*),
                    count(health_score)
                from {scores}
                where as_of_date = (select max(as_of_date) from {scores})
                """
            )
            as_of, versions, accounts, scored = cursor.fetchone()
            if as_of is None:
                raise HealthError(
                    "the candidate holds no scores: look at `customer-health check landing`"
                )
            cursor.execute(
                f"select max(observed_at)::timestamp from {self._relation(self._marts, POINTS)} "
                "where as_of_date = %s and observed_at < as_of_date",
                [as_of],
            )
            newest = cursor.fetchone()[0]
        return CandidateFacts(as_of, versions, accounts, scored, newest)

    def seal(self) -> str:
        """Files, and rows ever written, of the tables of the candidate.

        The server counts rows when the session that wrote them ends, so sessions of dbt that are
        just ending are waited for.
        """
        give_up_at = time.monotonic() + _SETTLE_SECONDS
        while True:
            with self._transaction() as cursor:
                cursor.execute(
                    "select count(*) from pg_stat_activity where datname = current_database() "
                    "and usename = current_user and application_name = 'dbt'"
                )
                is_settled = cursor.fetchone()[0] == 0
                if is_settled or time.monotonic() > give_up_at:
                    cursor.execute(
                        """
                        select md5(coalesce(string_agg(
                            concat_ws(
                                ' ', class.oid, class.relfilenode,
                                counted.n_tup_ins, counted.n_tup_upd, counted.n_tup_del
                            ),
                            ',' order by class.oid
                        ), ''))
                        from pg_class as class
                        left join pg_stat_all_tables as counted on class.oid = counted.relid
                        where
                            class.relkind in ('r', 'v')
                            and class.relnamespace in (
                                select oid from pg_namespace where nspname in (%s, %s)
                            )
                        """,
                        [self._marts, self._snapshots],
                    )
                    return str(cursor.fetchone()[0])
            time.sleep(0.05)

    # -- publications ----------------------------------------------------------------------------
    def restore_history(self) -> list[str]:
        """In one transaction, from the tables of the current publication."""
        with self._transaction() as cursor:
            done = self._remove_leftover_schemas(cursor)
            reference = self._reference(cursor, done)
            ours = {
                **dict.fromkeys(
                    (name for name in (PUBLICATIONS, CHECKS)
                     if self._exists(cursor, self._marts, name)), self._marts,
                ),
                **dict.fromkeys(self._names(cursor, self._snapshots, "r"), self._snapshots),
            }  # fmt: skip
            theirs = set() if reference is None else self._history_of(cursor, reference)
            for name in sorted(ours.keys() | theirs):
                schema = ours.get(name)
                done.extend(
                    self._restore_table(cursor, name, schema, reference if name in theirs else None)
                )
        return done

    def _history_of(self, cursor: Any, kept: str) -> set[str]:
        """Tables of a publication that are history: of publications, and snapshots."""
        own = {PUBLICATIONS, CHECKS}
        names = self._names(cursor, kept, "r")
        return {name for name in names if name in own or name.startswith("snap_")}

    def _restore_table(
        self, cursor: Any, name: str, ours: str | None, kept: str | None
    ) -> list[str]:
        """Make one table of the candidate (in the schema `ours`) that of the publication `kept`."""
        is_own = name in (PUBLICATIONS, CHECKS)
        schema = ours or (self._marts if is_own else self._snapshots)
        table = self._relation(schema, name)
        if kept is None:
            if not is_own:
                cursor.execute(f"drop table {table} cascade")
                return [f"removed {schema}.{name}, which was never published"]
            cursor.execute(f"delete from {table}")
            what = "publications" if name == PUBLICATIONS else "checks of publications"
            count = cursor.rowcount
            return [f"voided {count} {what} that were never published"] if count else []
        source = self._relation(kept, name)
        columns = self._columns(cursor, kept, name)
        if ours is not None and columns == self._columns(cursor, ours, name):
            if self._digest(cursor, table) == self._digest(cursor, source):
                return []
            cursor.execute(f"delete from {table}")
            cursor.execute(f"insert into {table} select * from {source}")
        else:
            cursor.execute(f"create schema if not exists {quoted(schema)}")
            cursor.execute(f"drop table if exists {table} cascade")
            cursor.execute(f"create table {table} as table {source}")
        return [f"{schema}.{name} is as last published again (a run ended before it published)"]

    def _remove_leftover_schemas(self, cursor: Any) -> list[str]:
        """Kept tables that the list of kept publications does not name (any longer)."""
        known = {row["kept_schema"] for row in self._kept(cursor)}
        cursor.execute(
            "select nspname from pg_namespace where starts_with(nspname, %s) order by 1",
            [self._kept_prefix],
        )
        left = [name for (name,) in cursor.fetchall() if name not in known]
        for name in left:
            cursor.execute(f"drop schema {quoted(name)} cascade")
        return [f"removed the schema {name}, which holds no publication" for name in left]

    def last_publication(self) -> Publication | None:
        """The one that readers have, with its manifest."""
        with self._transaction() as cursor:
            kept = self._kept(cursor)
            if not kept:
                return None
            current = [row for row in kept if row["state"] == CURRENT] or kept
            return Publication.from_dict(json.loads(current[0]["manifest"]))

    def publish(self, publication: Publication, checks: Sequence[GateCheck]) -> list[str]:
        """Copy and replace in one transaction; older publications are removed after it."""
        name = publication.publication_id
        kept = self._kept_schema(name)
        with self._transaction(is_run=True) as cursor:
            for schema in (self._readers, f"{self._marts}_publications"):
                if not self._has_schema(cursor, schema):
                    cursor.execute(f"create schema {quoted(schema)}")
            cursor.execute(
                f"""
                create table if not exists {self._registry} (
                    publication_id text primary key,
                    kept_schema text not null unique,
                    published_at timestamp not null,
                    state text not null check (state in ('{CURRENT}', '{KEPT}', '{WITHDRAWN}')),
                    tables text not null,
                    manifest text not null
                )
                """
            )
            self._insert(cursor, PUBLICATIONS, ROW_COLUMNS, [publication.row()])
            columns = ("publication_id", *(each.name for each in fields(GateCheck)))
            self._insert(cursor, CHECKS, columns, [[name, *check.row()] for check in checks])
            tables = self._copy_candidate(cursor, kept)
            row = {"publication_id": name, "kept_schema": kept, "tables": json.dumps(tables)}
            trouble = self._trouble(cursor, row, publication)
            if trouble is not None:
                raise HealthError(f"readers could not use the copy: {trouble}")
            cursor.execute(
                f"insert into {self._registry} values (%s, %s, %s, '{KEPT}', %s, %s)",
                [
                    name,
                    kept,
                    publication.published_at,
                    json.dumps(tables),
                    json.dumps(publication.to_dict(), ensure_ascii=False, default=str),
                ],
            )
            gone = [row["publication_id"] for row in self._kept(cursor)
                    if row["state"] == WITHDRAWN]  # fmt: skip
            self._replace_views(cursor, kept)
            self._set_states(cursor, name, withdrawn=gone)
        return self._prune()

    def _copy_candidate(self, cursor: Any, kept: str) -> list[str]:
        """Copy marts and snapshots of the candidate into a new schema; their names."""
        cursor.execute(f"create schema {quoted(kept)}")
        sources = [
            *((self._marts, name) for name in self._names(cursor, self._marts, "r", "v", "m")),
            *((self._snapshots, name) for name in self._names(cursor, self._snapshots, "r")),
        ]
        for schema, name in sources:
            copy = self._relation(kept, name)
            # Views of the newest rows become tables: they name tables that dbt goes on writing.
            cursor.execute(f"create table {copy} as select * from {self._relation(schema, name)}")
            columns = {column for column, _ in self._columns(cursor, kept, name)}
            keys = [column for column in ("account_id", "as_of_date") if column in columns]
            if keys:
                cursor.execute(f"create index on {copy} ({', '.join(keys)})")
            if len(keys) > 1:
                cursor.execute(f"create index on {copy} (as_of_date)")
            cursor.execute(f"analyze {copy}")
        return [name for _, name in sources]

    def _replace_views(self, cursor: Any, kept: str) -> None:
        """Let the readers' views show the tables of a publication, all of them at once.

        Raises:
            HealthError: when a reader does not let go of them, or something depends on a view
                whose columns have changed.
        """
        import psycopg2

        wanted = self._names(cursor, kept, "r")
        present = self._names(cursor, self._readers, "v")
        give_up_at = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            cursor.execute("savepoint replacement")
            try:
                cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
                for name in wanted:
                    self._replace_view(cursor, kept, name, exists=name in present)
                for name in present:
                    if name not in wanted:
                        cursor.execute(f"drop view {self._relation(self._readers, name)}")
                cursor.execute("set local lock_timeout = 0")
                cursor.execute("release savepoint replacement")
                return
            except (
                psycopg2.errors.LockNotAvailable,
                psycopg2.errors.DeadlockDetected,
            ) as error:
                cursor.execute("rollback to savepoint replacement")
                if time.monotonic() > give_up_at:
                    raise HealthError(
                        f"readers of {self._readers} hold on to it for "
                        f"{LOCK_PATIENCE_SECONDS:.0f} s{self._blockers(cursor)}: end their "
                        "transactions and run `customer-health publish` (nothing was published)"
                    ) from error
                time.sleep(LOCK_PAUSE_SECONDS)
            except psycopg2.errors.DependentObjectsStillExist as error:
                raise HealthError(
                    f"a mart has other columns now, and something of yours depends on its view "
                    f"({first_line(str(error), 200)}): drop that, publish, and create it again"
                ) from error

    def _replace_view(self, cursor: Any, kept: str, name: str, *, exists: bool) -> None:
        """One view of the readers; with other columns it is made anew, with the same grants."""
        view = self._relation(self._readers, name)
        columns = self._columns(cursor, kept, name)
        grants: list[tuple[str, str]] = []
        if exists and self._columns(cursor, self._readers, name) != columns:
            cursor.execute(
                """
                select
                    case when held.grantee = 0 then 'public' else held.grantee::regrole::text end,
                    held.privilege_type
                from pg_class as class
                cross join lateral aclexplode(class.relacl) as held
                where class.oid = %s::regclass and held.grantee <> class.relowner
                """,
                [view],
            )
            grants = list(cursor.fetchall())
            cursor.execute(f"drop view {view}")
        listed = ", ".join(quoted(column) for column, _ in columns)
        source = self._relation(kept, name)
        cursor.execute(f"create or replace view {view} as select {listed} from {source}")
        for grantee, privilege in grants:  # as the server quotes and names them
            cursor.execute(f"grant {privilege} on {view} to {grantee}")

    def _blockers(self, cursor: Any) -> str:
        """Sessions that have looked at the readers' views in a transaction that goes on."""
        cursor.execute(
            """
            select distinct locks.pid, activity.application_name
            from pg_locks as locks
            inner join pg_class as class on locks.relation = class.oid
            inner join pg_namespace as namespace on class.relnamespace = namespace.oid
            inner join pg_stat_activity as activity on locks.pid = activity.pid
            where namespace.nspname = %s and locks.pid <> pg_backend_pid() and locks.granted
            order by 1
            limit 3
            """,
            [self._readers],
        )
        found = [f"process {pid} {name}".strip() for pid, name in cursor.fetchall()]
        return f" ({', '.join(found)})" if found else ""

    def _set_states(self, cursor: Any, current: str, withdrawn: Sequence[str]) -> None:
        """Which publication readers have, and which were taken from them."""
        cursor.execute(
            f"update {self._registry} set state = case when publication_id = %s then '{CURRENT}' "
            f"when publication_id = any(%s) then '{WITHDRAWN}' else '{KEPT}' end",
            [current, list(withdrawn)],
        )

    def _prune(self) -> list[str]:
        """Remove what was withdrawn, and all but the last publications; what did not work."""
        with self._transaction() as cursor:
            kept = self._kept(cursor)
        removable = [row for row in kept if row["state"] == WITHDRAWN]
        whole = [row for row in kept if row["state"] != WITHDRAWN]
        limit = self.settings.keep_bytes
        total = 0
        for number, row in enumerate(whole):
            total += row["size_bytes"]
            is_too_much = number >= KEEP or (limit is not None and total > limit)
            if number >= LEAST_KEPT and row["state"] != CURRENT and is_too_much:
                removable.append(row)
        remarks = []
        for row in removable:
            try:
                with self._transaction() as cursor:
                    cursor.execute("set local lock_timeout = '5s'")
                    cursor.execute(f"drop schema if exists {quoted(row['kept_schema'])} cascade")
                    cursor.execute(
                        f"delete from {self._registry} where publication_id = %s",
                        [row["publication_id"]],
                    )
            except HealthError as error:
                remarks.append(
                    f"published, but could not remove {row['publication_id']}: {error.message}"
                )
        return remarks

    def _insert(
        self, cursor: Any, table: str, columns: Sequence[str], rows: list[list[Any]]
    ) -> None:
        """Insert rows into a mart of the candidate, with bound values."""
        if not rows:
            return
        marks = ", ".join("%s" for _ in columns)
        cursor.executemany(
            f"insert into {self._relation(self._marts, table)} ({', '.join(columns)}) "
            f"values ({marks})",
            rows,
        )

    # -- reading and going back ------------------------------------------------------------------
    def where_readers_look(self) -> str:
        """The schema of the views."""
        return f"the schema {self._readers} in {self._database.label}"

    def is_published(self) -> bool:
        """Whether the readers' list of publications is there."""
        with self._transaction() as cursor:
            return self._exists(cursor, self._readers, PUBLICATIONS)

    def published(self) -> tuple[Publication, str | None]:
        """The newest of the readers' list; its manifest is in the list of kept ones."""
        with self.reader() as reader:
            rows = reader.rows(
                f"select {', '.join(ROW_COLUMNS)} from {{marts}}.{PUBLICATIONS} "
                "order by published_at desc, publication_id desc limit 1"
            )
        if not rows:
            raise HealthError(f"{self.where_readers_look()} lists no publication")
        newest = Publication(**dict(zip(ROW_COLUMNS, rows[0], strict=True)))
        with self._transaction() as cursor:
            for row in self._kept(cursor):
                if row["publication_id"] == newest.publication_id:
                    return Publication.from_dict(json.loads(row["manifest"])), None
        return newest, f"the list of kept publications ({self._registry}) does not name it"

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """The views, in a transaction that sees one publication."""
        with self._transaction(is_reader=True) as cursor:
            if not self._exists(cursor, self._readers, PUBLICATIONS):
                raise HealthError(
                    f"nothing is published yet in {self.where_readers_look()}: run "
                    "`customer-health run`"
                )
            yield PostgresReader(cursor, self._readers)

    def roll_back(self, plan: Plan) -> Publication:
        """The views show the tables of the kept publication, in one transaction."""
        if plan.withdrawn:
            rollback.refuse_candidate(self.settings)
        name = plan.target.publication_id
        with self._transaction(is_run=True) as cursor:
            row = self._find(self._kept(cursor), name, None)
            trouble = self._trouble(cursor, row)
            if trouble is not None:
                raise HealthError(f"{name} is damaged: {trouble}")
            self._replace_views(cursor, row["kept_schema"])
            self._set_states(cursor, name, withdrawn=sorted(plan.withdrawn))
        return plan.target

    # -- kept publications -----------------------------------------------------------------------
    def _kept(self, cursor: Any) -> list[dict[str, Any]]:
        """The list of kept publications, the one published last first; empty without the list."""
        cursor.execute(
            "select coalesce(has_table_privilege(to_regclass(%s), 'select'), false)",
            [self._registry],
        )
        if not cursor.fetchone()[0]:
            return []
        columns = ("publication_id", "kept_schema", "published_at", "state", "tables", "manifest")
        cursor.execute(
            f"""
            select
                {", ".join(f"kept.{column}" for column in columns)},
                (
                    select coalesce(sum(pg_total_relation_size(class.oid)), 0)::bigint
                    from pg_class as class
                    inner join pg_namespace as namespace on class.relnamespace = namespace.oid
                    where namespace.nspname = kept.kept_schema and class.relkind = 'r'
                )
            from {self._registry} as kept
            order by kept.published_at desc, kept.publication_id desc
            """
        )
        names = (*columns, "size_bytes")
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _trouble(
        self, cursor: Any, row: Mapping[str, Any], publication: Publication | None = None
    ) -> str | None:
        """What is wrong with the tables of a kept publication; None when nothing is."""
        kept = row["kept_schema"]
        missing = set(json.loads(row["tables"])) - set(self._names(cursor, kept, "r"))
        if missing or not row["tables"]:
            return f"{kept}.{min(missing)} is missing"
        for needed in (PUBLICATIONS, SCORES):
            if not self._exists(cursor, kept, needed):
                return f"{kept}.{needed} is missing"
        listed = self._listed(cursor, row)
        if not listed or listed[0] != row["publication_id"]:
            named = listed[0] if listed else "nothing"
            return f"it names {named} as its newest publication, not {row['publication_id']}"
        facts = publication or Publication.from_dict(json.loads(row["manifest"]))
        cursor.execute(
            f"select count(*) from {self._relation(kept, SCORES)} where as_of_date = %s",
            [facts.as_of_date],
        )
        accounts = cursor.fetchone()[0]
        if accounts != facts.account_count:
            return f"it holds {accounts} accounts for {facts.as_of_date}, not {facts.account_count}"
        return None

    def _listed(self, cursor: Any, row: Mapping[str, Any]) -> list[str]:
        """Ids of the publications that a kept one lists, the newest first."""
        cursor.execute(
            f"select publication_id from {self._relation(row['kept_schema'], PUBLICATIONS)} "
            "order by published_at desc, publication_id desc"
        )
        return [str(name) for (name,) in cursor.fetchall()]

    # -- the catalogue ---------------------------------------------------------------------------
    def _names(self, cursor: Any, schema: str, *kinds: str) -> list[str]:
        """Relations of the package in a schema, by kind (r: table, v: view), sorted."""
        cursor.execute(
            """
            select class.relname
            from pg_class as class
            inner join pg_namespace as namespace on class.relnamespace = namespace.oid
            where
                namespace.nspname = %s
                and class.relkind = any(%s::"char"[])
                and strpos(class.relname, %s) > 0
                and strpos(class.relname, '__dbt_') = 0
            order by 1
            """,
            [schema, list(kinds), OURS],
        )
        return [str(name) for (name,) in cursor.fetchall()]

    def _columns(self, cursor: Any, schema: str, name: str) -> list[tuple[str, str]]:
        """Names and types of the columns of a relation, in order."""
        cursor.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
            [self._relation(schema, name)],
        )
        return [(str(column), str(kind)) for column, kind in cursor.fetchall()]

    def _exists(self, cursor: Any, schema: str, name: str) -> bool:
        """Whether there is such a relation."""
        cursor.execute("select to_regclass(%s) is not null", [self._relation(schema, name)])
        return bool(cursor.fetchone()[0])

    def _has_schema(self, cursor: Any, schema: str) -> bool:
        """Whether there is such a schema."""
        cursor.execute("select to_regnamespace(%s) is not null", [quoted(schema)])
        return bool(cursor.fetchone()[0])

    def _digest(self, cursor: Any, relation: str) -> tuple[Any, ...]:
        """Row count and a hash over all rows, whatever their order."""
        cursor.execute(
            "select count(*), sum(hashtextextended(whole_row::text, 0)::numeric) "
            f"from {relation} as whole_row"
        )
        return tuple(cursor.fetchone())

    @staticmethod
    def _relation(schema: str, name: str) -> str:
        """A relation with its schema, quoted."""
        return f"{quoted(schema)}.{quoted(name)}"

    # -- sessions --------------------------------------------------------------------------------
    def _connect(self, name: str) -> Any:
        """A session in UTC.

        Raises:
            HealthError: in one line without the password.
        """
        try:
            import psycopg2
        except ImportError as error:
            raise missing_driver() from error
        try:
            session = psycopg2.connect(
                **{"connect_timeout": 15, "keepalives_idle": 60, **self._database.arguments},
                application_name=name[:63],
            )
        except psycopg2.Error as error:
            raise UnreachableError(self._in_words(error, "cannot be reached").message) from None
        with session.cursor() as cursor:
            cursor.execute(
                "set time zone 'UTC'; set standard_conforming_strings = on; "
                "set search_path = pg_catalog; set statement_timeout = 0; set lock_timeout = 0; "
                "set client_min_messages = warning"
            )
            if self._role:
                cursor.execute(f"set role {quoted(self._role)}")
        session.commit()
        return session

    @contextmanager
    def _transaction(self, *, is_run: bool = False, is_reader: bool = False) -> Iterator[Any]:
        """A cursor in a transaction, committed at the end.

        Args:
            is_run: use the session that holds the lock of this run, where there is one.
            is_reader: change nothing, and see one state of the database.

        Raises:
            HealthError: with what the server says, in one line; the transaction is undone.
        """
        held = _held.get(self._key) if is_run else None
        session = held or self._connect("customer_health")
        import psycopg2

        try:
            session.autocommit = False
            with session.cursor() as cursor:
                if is_reader:
                    cursor.execute("set transaction isolation level repeatable read, read only")
                yield cursor
            session.commit()
        except psycopg2.Error as error:
            self._undo(session)
            raise self._in_words(error, "refused") from error
        except BaseException:
            self._undo(session)
            raise
        finally:
            if held is None:
                session.close()
            elif not session.closed:
                session.autocommit = True

    @staticmethod
    def _undo(session: Any) -> None:
        """Roll back, as far as the session still lives."""
        import psycopg2

        # A session that is gone has been rolled back by the server.
        with suppress(psycopg2.Error):
            session.rollback()

    def _in_words(self, error: Exception, what: str) -> HealthError:
        """One line for what the server says."""
        said = self._database.without_secrets(str(error).split("\nLINE ")[0])
        return HealthError(f"{self._database.label} {what}: {first_line(said, 200)}")
