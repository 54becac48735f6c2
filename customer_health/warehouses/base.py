"""What a run needs of the engine on which the candidate is built and published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from customer_health import places
from customer_health.errors import HealthError
from customer_health.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from customer_health.gate_engines import Engine
    from customer_health.gates import GateName
    from customer_health.publication import CandidateFacts, GateCheck, Publication
    from customer_health.rollback import Kept, Plan


class UnreachableError(HealthError):
    """The engine does not answer, or does not know us."""


class Reader(ABC):
    """What readers have, open for reading: the current publication or one that is kept.

    All queries of one reader see the same publication.
    """

    @abstractmethod
    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query.

        Args:
            sql: a select of SQL that all engines read, with `?` for each value (and no other
                question mark); a mart is written as `{marts}.fct_health__account_scores`, a
                snapshot as `{snapshots}.snap_health__account_scores`.
            values: what was typed or found; they are bound, never written into the text.

        Raises:
            HealthError: in one line, when the query cannot be answered.
        """

    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the last query."""

    def records(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a query as dictionaries by column; as `rows` otherwise."""
        found = self.rows(sql, values)
        names = self.columns()
        return [dict(zip(names, row, strict=True)) for row in found]

    def arrays(self, sql: str, values: Sequence[Any] = ()) -> dict[str, Any]:
        """Columns of a query as arrays: floats with nan for null, or objects; as `rows` otherwise.

        Engines that can hand over columns do so, which is far quicker for many rows.
        """
        import numpy as np

        found = self.rows(sql, values)
        names = self.columns()
        columns = zip(*found, strict=True) if found else [() for _ in names]
        return {
            name: np.array(
                column,
                dtype=np.float64
                if all(each is None or isinstance(each, int | float) for each in column)
                else object,
            )
            for name, column in zip(names, columns, strict=True)
        }

    def has(self, mart: str) -> bool:
        """Whether there is such a mart, or snapshot."""
        try:
            self.rows(f"select 1 from {{marts}}.{mart} where 1 = 0")
        except HealthError:
            return False
        return True


class Warehouse(ABC):
    """The candidate, the readers' copy and the kept publications of one engine.

    State that only this machine needs (candidate.json, logs, gate reports, the run lock) stays in
    the home folder on every engine. What was published is asked of the engine: the list of
    publications in what readers have.

    Attributes:
        settings: project, home folder and target.
        engine: its name for people and results, as dbt writes it (`duckdb`, `postgres`).
    """

    engine: str

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    # -- the run ---------------------------------------------------------------------------------
    def lock(self, run_id: str, command: str) -> AbstractContextManager[None]:
        """Hold off runs from other machines, beside the lock in the home folder.

        Where several machines can reach the engine it is told here; with files there is only one.

        Raises:
            BusyError: when another run holds it.
        """
        return nullcontext()

    def check_ready(self) -> None:
        """Called first in a command that writes: can the engine be reached, is it set up.

        Raises:
            HealthError: in one line, with what to do.
        """
        return

    # -- gates -----------------------------------------------------------------------------------
    @abstractmethod
    def gate_database(self, gate: GateName) -> Engine | Path:
        """What a gate judges: the raw tables (`landing`) or the marts (`candidate`).

        Raises:
            HealthError: when there is none yet, with what to do.
        """

    @abstractmethod
    def marts_schema(self) -> str | None:
        """Schema of the candidate's marts; None for the name that the gate takes by itself."""

    def check_places(self, nodes: Mapping[str, Any]) -> None:
        """Refuse a project whose names of marts and snapshots this engine would not find.

        Args:
            nodes: nodes of the parsed project by unique id.

        Raises:
            HealthError: naming the first that is elsewhere.
        """
        places.refuse_other_places(nodes, self.engine)

    # -- the candidate ---------------------------------------------------------------------------
    @abstractmethod
    def read_candidate(self) -> CandidateFacts:
        """Facts of the candidate for its newest as_of_date.

        Raises:
            HealthError: when there is no candidate, or it holds no scores.
        """

    @abstractmethod
    def seal(self) -> Any:
        """What changes whenever somebody writes to the candidate, as a JSON value.

        Two calls give equal values exactly if nothing wrote in between. It is compared with what
        candidate.json holds, to see whether a plain dbt ran after our build.
        """

    def release(self) -> None:
        """Let go of everything that this process holds open there."""
        return

    # -- publications ----------------------------------------------------------------------------
    @abstractmethod
    def restore_history(self) -> list[str]:
        """Make publications, their checks and the snapshots of the candidate those of the readers.

        A run that died between its snapshot and its publication leaves rows of a publication that
        never was. Called before each build and each publication.

        Returns:
            What was done, one line each; empty when there was nothing to do.
        """

    @abstractmethod
    def last_publication(self) -> Publication | None:
        """What readers have, with the parts of its manifest; None when nothing was published."""

    @abstractmethod
    def publish(self, publication: Publication, checks: Sequence[GateCheck]) -> list[str]:
        """Put the candidate in place as what readers have, all at once or not at all.

        Adds the row of fct_health__publications and those of fct_health__publication_checks, and
        removes publications that are not kept any longer.

        Returns:
            Remarks about what did not work after the commit.

        Raises:
            HealthError: nothing was published.
        """

    # -- reading and going back ------------------------------------------------------------------
    @abstractmethod
    def where_readers_look(self) -> str:
        """What BI opens, for messages: a file, or a schema of a database."""

    @abstractmethod
    def is_published(self) -> bool:
        """Whether readers have something to open, be it whole or damaged."""

    def published(self) -> tuple[Publication, str | None]:
        """What readers have, with the parts of its manifest, and a remark if those are lost.

        Raises:
            HealthError: when it is damaged, or there is none.
        """
        found = self.last_publication()
        if found is None:
            raise HealthError(f"nothing is published yet in {self.where_readers_look()}")
        return found, None

    @abstractmethod
    def reader(self) -> AbstractContextManager[Reader]:
        """What readers have, open.

        Raises:
            HealthError: when nothing is published, or it cannot be read.
        """

    @abstractmethod
    def list_kept(self) -> list[Kept]:
        """The kept publications, the one published last first."""

    @abstractmethod
    def plan_rollback(self, wanted: str | None = None) -> Plan:
        """Choose the publication to go back to, and look that it is whole.

        Raises:
            UsageError: for an id that is not kept, or that readers have already.
            HealthError: when nothing kept is whole, or nothing is older.
        """

    @abstractmethod
    def roll_back(self, plan: Plan) -> Publication:
        """Put a kept publication back, under the run lock.

        Raises:
            HealthError: nothing was replaced.
        """
