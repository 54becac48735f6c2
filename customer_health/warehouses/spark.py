"""Spark: schemas of an Iceberg catalogue, and views that are replaced, the list of them last.

Beside the schemas that dbt builds (`customer_health` and those with a suffix) there are

- `customer_health_p_<time>_<hex>`: the tables of one publication, written once and kept,
- `customer_health_published`: what readers open, one view per mart on the tables of one of these,
- `customer_health_publications`: the table `kept`, which says which publication is which, with its
  manifest.

Iceberg commits one table at a time, so a publication cannot be one transaction. All the work is
done beside what readers have: marts are copied, the copy is checked and entered in `kept`. Then
the views are replaced, each in one commit that moves no data, and that of
`fct_health__publications` last. What this view lists is what was published: the next run finds a
replacement that a dead run left unfinished by its state in `kept`, and puts the views back to what
the list says. For the seconds that the replacement takes, a reader who reads several views may see
two publications; one who wants to be sure reads the list before and after
(docs/engines.md). Our own commands resolve the list once and read the kept tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from customer_health import rollback
from customer_health.errors import HealthError
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
from customer_health.spark_server import Session, SparkServer, bound, literal, quoted
from customer_health.targets import rendered_output
from customer_health.warehouses.base import Reader
from customer_health.warehouses.schemas import SchemaWarehouse

if TYPE_CHECKING:
    from customer_health.gate_spark import Spark
    from customer_health.gates import GateName

PUBLICATIONS, CHECKS = "fct_health__publications", "fct_health__publication_checks"
SCORES, POINTS = "fct_health__account_scores", "fct_health__metric_scores"
OURS = "health__"  # part of the name of every mart and snapshot of the package
# States of a row of `kept`. The first two say that views are being replaced just now: by a new
# publication, or by going back to one.
PUBLISHING, RETURNING = "publishing", "returning"
KEPT, WITHDRAWN = rollback.KEPT, rollback.WITHDRAWN
COPIES_AT_ONCE = 4
_KEPT_COLUMNS = (
    "publication_id",
    "kept_schema",
    "published_at",
    "state",
    "tables",
    "manifest",
    "size_bytes",
)


class SparkReader(Reader):
    """The tables of the publication that readers had when it was opened."""

    def __init__(self, session: Session, schema: str) -> None:
        self._session = session
        self._schema = schema

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        written = bound(sql, values)
        # A publication has its marts and snapshots in one schema.
        for schema in ("{marts}", "{snapshots}"):
            written = written.replace(schema, quoted(self._schema))
        return self._session.rows(written)

    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the last query."""
        return self._session.columns()


class SparkWarehouse(SchemaWarehouse):
    """The catalogue of a dbt target of type spark."""

    engine = "spark"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        output = rendered_output(settings) or {}
        self._server = SparkServer.from_profile(output)
        self._marts = str(output.get("schema") or "customer_health")
        self._snapshots = f"{self._marts}_snapshots"
        self._readers = f"{self._marts}_published"
        self._kept_prefix = f"{self._marts}_p_"
        self._registry_schema = f"{self._marts}_publications"
        self._registry = f"{quoted(self._registry_schema)}.kept"

    # -- the run ---------------------------------------------------------------------------------
    def check_ready(self) -> None:
        """The server answers, and its default catalogue keeps tables that can be replaced."""
        with self._server.session() as session:
            rows = session.rows("set spark.sql.extensions")
            if "Iceberg" not in str(rows[0][-1]):
                raise HealthError(
                    f"{self._server.where} has no Iceberg: add IcebergSparkSessionExtensions to "
                    "spark.sql.extensions and name a catalogue of it (docs/engines.md)"
                )

    @property
    def _place(self) -> str:
        return self._server.where

    def _session(self) -> AbstractContextManager[Any]:
        return self._server.session()

    # -- gates -----------------------------------------------------------------------------------
    def gate_database(self, gate: GateName) -> Spark:
        """The server of the target."""
        from customer_health.gate_spark import Spark

        return Spark(self._server)

    def marts_schema(self) -> str:
        """That of the target."""
        return self._marts

    def check_places(self, nodes: Mapping[str, Any]) -> None:
        """Only the schema of the target, and the one that dbt's own rule makes of it."""
        refuse_other_places(nodes, self.engine, self._marts, self._snapshots)

    # -- the candidate ---------------------------------------------------------------------------
    def read_candidate(self) -> CandidateFacts:
        """Facts of the marts that dbt has built."""
        with self._server.session() as session:
            if SCORES not in self._tables(session, self._marts):
                raise HealthError(
                    f"there is no candidate to publish ({self._marts} in {self._server.where}): "
                    "run `customer-health run`"
                )
            scores = self._relation(self._marts, SCORES)
            as_of, versions, accounts, scored = session.rows(
                f"""
                select
                    cast(max(as_of_date) as date),
                    array_join(array_sort(collect_set(scoring_version)), '+'),
                    count(*),
                    count(health_score)
                from {scores}
                where as_of_date = (select max(as_of_date) from {scores})
                """
            )[0]
            if as_of is None:
                raise HealthError(
                    "the candidate holds no scores: look at `customer-health check landing`"
                )
            newest = session.rows(
                f"select cast(max(observed_at) as timestamp) from "
                f"{self._relation(self._marts, POINTS)} "
                f"where as_of_date = {literal(as_of)} and observed_at < as_of_date"
            )[0][0]
        return CandidateFacts(as_of, versions, int(accounts), int(scored), newest)

    def seal(self) -> dict[str, str]:
        """The current snapshot of each table of the candidate: every commit makes a new one."""
        found = {}
        with self._server.session() as session:
            for schema in (self._marts, self._snapshots):
                for name in self._tables(session, schema):
                    properties = session.rows(f"show tblproperties {self._relation(schema, name)}")
                    known = {str(key): str(value) for key, value in properties}
                    found[f"{schema}.{name}"] = known.get("current-snapshot-id", "none")
        return found

    # -- publications ----------------------------------------------------------------------------
    def restore_history(self) -> list[str]:
        """Views first, so that they show one publication; then the candidate follows it."""
        with self._server.session() as session:
            done = self._settle(session)
            done += self._remove_leftover_schemas(session)
            reference = self._reference(session, done)
            ours = {
                **{name: self._marts for name in (PUBLICATIONS, CHECKS)
                   if name in self._tables(session, self._marts)},
                **dict.fromkeys(self._tables(session, self._snapshots), self._snapshots),
            }  # fmt: skip
            theirs = set() if reference is None else self._history_of(session, reference)
            for name in sorted(ours.keys() | theirs):
                schema = ours.get(name)
                kept = reference if name in theirs else None
                done.extend(self._restore_table(session, name, schema, kept))
        return done

    def _settle(self, session: Session) -> list[str]:
        """Finish or take back a replacement of the views that a dead run left half-way."""
        done = []
        for row in self._kept(session):
            if row["state"] not in (PUBLISHING, RETURNING):
                continue
            name = row["publication_id"]
            if self._current_id(session) == name:
                self._set_state(session, name, KEPT)
                continue
            current = self._current_row(session)
            if current is not None:
                self._replace_views(session, current["kept_schema"])
            else:  # the first publication of all
                for view in self._views(session, self._readers):
                    session.run(f"drop view {self._relation(self._readers, view)}")
            if row["state"] == RETURNING:
                self._set_state(session, name, KEPT)
            else:
                self._forget(session, row)
            done.append(f"voided the publication {name}, which a run that ended had begun")
        return done

    def _history_of(self, session: Session, kept: str) -> set[str]:
        """Tables of a publication that are history: of publications, and snapshots."""
        return {
            name
            for name in self._tables(session, kept)
            if name in (PUBLICATIONS, CHECKS) or name.startswith("snap_")
        }

    def _restore_table(
        self, session: Session, name: str, ours: str | None, kept: str | None
    ) -> list[str]:
        """Make one table of the candidate (in the schema `ours`) that of the publication `kept`."""
        is_own = name in (PUBLICATIONS, CHECKS)
        schema = ours or (self._marts if is_own else self._snapshots)
        table = self._relation(schema, name)
        if kept is None:
            if not is_own:
                session.run(f"drop table {table}")
                return [f"removed {schema}.{name}, which was never published"]
            count = session.rows(f"select count(*) from {table}")[0][0]
            if not count:
                return []
            session.run(f"delete from {table}")
            what = "publications" if name == PUBLICATIONS else "checks of publications"
            return [f"voided {count} {what} that were never published"]
        source = self._relation(kept, name)
        if ours is not None and self._digest(session, table) == self._digest(session, source):
            return []
        session.run(f"create schema if not exists {quoted(schema)}")
        session.run(f"create or replace table {table} using iceberg as select * from {source}")
        return [f"{schema}.{name} is as last published again (a run ended before it published)"]

    def _remove_leftover_schemas(self, session: Session) -> list[str]:
        """Kept tables that the list of kept publications does not name (any longer)."""
        known = {row["kept_schema"] for row in self._kept(session)}
        left = [
            name
            for name in self._schemas(session)
            if name.startswith(self._kept_prefix) and name not in known
        ]
        for name in left:
            self._drop_schema(session, name)
        return [f"removed the schema {name}, which holds no publication" for name in left]

    def last_publication(self) -> Publication | None:
        """The one that readers have, with its manifest."""
        with self._server.session() as session:
            kept = self._kept(session)
            if not kept:
                return None
            current = [row for row in kept if row["state"] == CURRENT] or kept
            return Publication.from_dict(json.loads(current[0]["manifest"]))

    def publish(self, publication: Publication, checks: Sequence[GateCheck]) -> list[str]:
        """Copy and check beside what readers have, then replace the views, the list last."""
        name = publication.publication_id
        kept = self._kept_schema(name)
        with self._server.session() as session:
            for schema in (self._readers, self._registry_schema, kept):
                session.run(f"create schema if not exists {quoted(schema)}")
            session.run(
                f"create table if not exists {self._registry} (publication_id string, "
                "kept_schema string, published_at timestamp, state string, tables string, "
                "manifest string, size_bytes bigint) using iceberg"
            )
            self._insert(session, PUBLICATIONS, ROW_COLUMNS, [publication.row()])
            columns = ("publication_id", *(each.name for each in fields(GateCheck)))
            self._insert(session, CHECKS, columns, [[name, *check.row()] for check in checks])
            sizes = self._copy_candidate(session, kept)
            row = {
                "publication_id": name,
                "kept_schema": kept,
                "tables": json.dumps(sorted(sizes)),
            }
            trouble = self._trouble(session, row, publication)
            if trouble is not None:
                raise HealthError(f"readers could not use the copy: {trouble}")
            manifest = json.dumps(publication.to_dict(), ensure_ascii=False, default=str)
            values = [
                name,
                kept,
                publication.published_at,
                PUBLISHING,
                row["tables"],
                manifest,
                sum(sizes.values()),
            ]
            session.run(f"insert into {self._registry} values ({', '.join(map(literal, values))})")
            gone = [each for each in self._kept(session) if each["state"] == WITHDRAWN]
            self._replace_views(session, kept)  # its last view is the commit
            self._set_state(session, name, KEPT)
            return self._prune(session, gone)

    def _copy_candidate(self, session: Session, kept: str) -> dict[str, int]:
        """Copy marts and snapshots of the candidate into a schema.

        Returns:
            Bytes by name of the table.
        """
        sources = [
            *((self._marts, name) for name in self._relations(session, self._marts)),
            *((self._snapshots, name) for name in self._tables(session, self._snapshots)),
        ]

        def copy(source: tuple[str, str]) -> tuple[str, int]:
            schema, name = source
            table = self._relation(kept, name)
            with self._server.session() as own:
                # Views of the newest rows become tables: they name tables that dbt writes.
                own.run(
                    f"create or replace table {table} using iceberg as "
                    f"select * from {self._relation(schema, name)}"
                )
                size = own.rows(f"select sum(file_size_in_bytes) from {table}.files")[0][0]
            return name, int(size or 0)

        with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            return dict(pool.map(copy, sources))

    def _replace_views(self, session: Session, kept: str) -> None:
        """Let the readers' views show the tables of a publication, the list of them last."""
        wanted = self._tables(session, kept)
        for name in self._views(session, self._readers):
            if name not in wanted:
                session.run(f"drop view {self._relation(self._readers, name)}")
        for name in sorted(wanted, key=lambda name: (name == PUBLICATIONS, name)):
            session.run(
                f"create or replace view {self._relation(self._readers, name)} as "
                f"select * from {self._relation(kept, name)}"
            )

    def _set_state(self, session: Session, publication_id: str, state: str) -> None:
        """Say what a kept publication is."""
        session.run(
            f"update {self._registry} set state = {literal(state)} "
            f"where publication_id = {literal(publication_id)}"
        )

    def _prune(self, session: Session, withdrawn: Sequence[Mapping[str, Any]]) -> list[str]:
        """Remove what was withdrawn, and all but the last publications; what did not work."""
        gone = {row["publication_id"] for row in withdrawn}
        removable = list(withdrawn)
        whole = [row for row in self._kept(session) if row["publication_id"] not in gone]
        limit = self.settings.keep_bytes
        total = 0
        for number, row in enumerate(whole):
            total += row["size_bytes"]
            is_too_much = number >= KEEP or (limit is not None and total > limit)
            if number >= LEAST_KEPT and row["state"] != CURRENT and is_too_much:
                removable.append(row)
        remarks = []
        for each in removable:
            try:
                self._forget(session, each)
            except HealthError as error:
                remarks.append(
                    f"published, but could not remove {each['publication_id']}: {error.message}"
                )
        return remarks

    def _forget(self, session: Session, row: Mapping[str, Any]) -> None:
        """Remove a kept publication."""
        self._drop_schema(session, row["kept_schema"])
        session.run(
            f"delete from {self._registry} where publication_id = {literal(row['publication_id'])}"
        )

    def _insert(
        self, session: Session, table: str, columns: Sequence[str], rows: list[list[Any]]
    ) -> None:
        """Insert rows into a mart of the candidate."""
        if not rows:
            return
        written = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
        session.run(
            f"insert into {self._relation(self._marts, table)} ({', '.join(columns)}) "
            f"values {written}"
        )

    # -- reading and going back ------------------------------------------------------------------
    def where_readers_look(self) -> str:
        """The schema of the views."""
        return f"the schema {self._readers} of {self._server.where}"

    def is_published(self) -> bool:
        """Whether the readers' list of publications is there."""
        with self._server.session() as session:
            return PUBLICATIONS in self._views(session, self._readers)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """The kept tables of the publication that the readers' list names first."""
        with self._server.session() as session:
            row = self._current_row(session)
            if row is None:
                raise HealthError(
                    f"nothing is published yet in {self.where_readers_look()}: run "
                    "`customer-health run`"
                )
            yield SparkReader(session, row["kept_schema"])

    def roll_back(self, plan: Plan) -> Publication:
        """The views show the tables of the kept publication, the list of publications last."""
        if plan.withdrawn:
            rollback.refuse_candidate(self.settings)
        name = plan.target.publication_id
        with self._server.session() as session:
            row = self._find(self._kept(session), name, None)
            trouble = self._trouble(session, row)
            if trouble is not None:
                raise HealthError(f"{name} is damaged: {trouble}")
            self._set_state(session, name, RETURNING)
            self._replace_views(session, row["kept_schema"])
            gone = ", ".join(map(literal, sorted(plan.withdrawn))) or "null"
            session.run(
                f"update {self._registry} set state = case when publication_id in ({gone}) "
                f"then {literal(WITHDRAWN)} else {literal(KEPT)} end"
            )
        return plan.target

    # -- kept publications -----------------------------------------------------------------------
    def _kept(self, session: Session) -> list[dict[str, Any]]:
        """The list of kept publications, the one published last first; empty without the list."""
        if "kept" not in self._all_tables(session, self._registry_schema):
            return []
        rows = session.rows(
            f"select {', '.join(_KEPT_COLUMNS)} from {self._registry} "
            "order by published_at desc, publication_id desc"
        )
        current = self._current_id(session)
        found = [dict(zip(_KEPT_COLUMNS, row, strict=True)) for row in rows]
        for row in found:
            row["size_bytes"] = int(row["size_bytes"])
            if row["publication_id"] == current and row["state"] != PUBLISHING:
                row["state"] = CURRENT
        return found

    def _current_id(self, session: Session) -> str | None:
        """The publication that the readers' list names first; None where they have none."""
        if PUBLICATIONS not in self._views(session, self._readers):
            return None
        rows = session.rows(
            f"select publication_id from {self._relation(self._readers, PUBLICATIONS)} "
            "order by published_at desc, publication_id desc limit 1"
        )
        return str(rows[0][0]) if rows else None

    def _current_row(self, session: Session) -> dict[str, Any] | None:
        """The entry of the publication that readers have."""
        current = self._current_id(session)
        for row in self._kept(session):
            if row["publication_id"] == current:
                return row
        return None

    def _trouble(
        self, session: Session, row: Mapping[str, Any], publication: Publication | None = None
    ) -> str | None:
        """What is wrong with the tables of a kept publication; None when nothing is."""
        kept = row["kept_schema"]
        there = set(self._tables(session, kept))
        missing = (set(json.loads(row["tables"])) | {PUBLICATIONS, SCORES}) - there
        if missing:
            return f"{kept}.{min(missing)} is missing"
        listed = self._listed(session, row)
        if not listed or listed[0] != row["publication_id"]:
            named = listed[0] if listed else "nothing"
            return f"it names {named} as its newest publication, not {row['publication_id']}"
        facts = publication or Publication.from_dict(json.loads(row["manifest"]))
        accounts = session.rows(
            f"select count(*) from {self._relation(kept, SCORES)} "
            f"where as_of_date = {literal(facts.as_of_date)}"
        )[0][0]
        if accounts != facts.account_count:
            return f"it holds {accounts} accounts for {facts.as_of_date}, not {facts.account_count}"
        return None

    def _listed(self, session: Session, row: Mapping[str, Any]) -> list[str]:
        """Ids of the publications that a kept one lists, the newest first."""
        rows = session.rows(
            f"select publication_id from {self._relation(row['kept_schema'], PUBLICATIONS)} "
            "order by published_at desc, publication_id desc"
        )
        return [str(name) for (name,) in rows]

    # -- the catalogue ---------------------------------------------------------------------------
    def _schemas(self, session: Session) -> list[str]:
        """All schemas of the catalogue."""
        return [str(row[0]) for row in session.rows("show schemas")]

    def _all_tables(self, session: Session, schema: str) -> list[str]:
        """Tables of a schema, sorted; none where there is no such schema."""
        if schema not in self._schemas(session):
            return []
        return sorted(str(row[1]) for row in session.rows(f"show tables in {quoted(schema)}"))

    def _tables(self, session: Session, schema: str) -> list[str]:
        """Tables of the package in a schema, sorted."""
        return [name for name in self._all_tables(session, schema) if _is_ours(name)]

    def _views(self, session: Session, schema: str) -> list[str]:
        """Views of the package in a schema, sorted."""
        if schema not in self._schemas(session):
            return []
        rows = session.rows(f"show views in {quoted(schema)}")
        # Views of the session belong to no schema and are listed with every one.
        return sorted(str(row[1]) for row in rows if row[0] and _is_ours(str(row[1])))

    def _relations(self, session: Session, schema: str) -> list[str]:
        """Tables and views of the package in a schema."""
        tables, views = self._tables(session, schema), self._views(session, schema)
        return [*tables, *(name for name in views if name not in tables)]

    def _drop_schema(self, session: Session, schema: str) -> None:
        """Remove a schema of kept tables with their files."""
        for name in self._all_tables(session, schema):
            session.run(f"drop table {self._relation(schema, name)} purge")
        session.run(f"drop schema if exists {quoted(schema)}")

    def _digest(self, session: Session, relation: str) -> tuple[Any, ...]:
        """Columns, row count and a hash over all rows, whatever their order."""
        described = session.rows(f"describe {relation}")
        columns = [(str(row[0]), str(row[1])) for row in described if row[0]]
        counted = session.rows(
            f"select count(*), sum(cast(xxhash64(*) as decimal(38, 0))) from {relation}"
        )[0]
        return (columns, *counted)

    @staticmethod
    def _relation(schema: str, name: str) -> str:
        """A relation with its schema, quoted."""
        return f"{quoted(schema)}.{quoted(name)}"


def _is_ours(name: str) -> bool:
    """Whether a relation is a mart or a snapshot of the package, and no leftover of dbt."""
    return OURS in name and "__dbt_" not in name
