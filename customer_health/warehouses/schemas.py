"""What engines have in common on which a publication is a schema of tables, written once and kept.

Readers open views of another schema, and a table `kept` says which publication is which. How a
session is opened, how tables are looked at, and how views are replaced is the engine's.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from customer_health import rollback
from customer_health.errors import HealthError, UsageError
from customer_health.publication import Publication
from customer_health.rollback import CURRENT, DAMAGED, WITHDRAWN, Kept, Plan
from customer_health.warehouses.base import Warehouse


class SchemaWarehouse(Warehouse):
    """A warehouse whose kept publications are schemas; a `session` is what `_session` opens."""

    _marts: str
    _kept_prefix: str

    @property
    @abstractmethod
    def _place(self) -> str:
        """The server, for people."""

    @abstractmethod
    def _session(self) -> AbstractContextManager[Any]:
        """A session that only looks."""

    @abstractmethod
    def _kept(self, session: Any) -> list[dict[str, Any]]:
        """The list of kept publications, the one published last first; empty without the list."""

    @abstractmethod
    def _trouble(
        self, session: Any, row: Mapping[str, Any], publication: Publication | None = None
    ) -> str | None:
        """What is wrong with the tables of a kept publication; None when nothing is."""

    @abstractmethod
    def _listed(self, session: Any, row: Mapping[str, Any]) -> list[str]:
        """Ids of the publications that a kept one lists, the newest first."""

    def _reference(self, session: Any, done: list[str]) -> str | None:
        """The schema that says what was published: the current one, else the newest that is whole.

        Raises:
            HealthError: when something was published, and nothing of it is whole.
        """
        kept = [row for row in self._kept(session) if row["state"] != WITHDRAWN]
        kept.sort(key=lambda row: row["state"] != CURRENT)  # the others stay as they are sorted
        for row in kept:
            if self._trouble(session, row) is None:
                if row["state"] != CURRENT:
                    done.append(
                        "what readers have is damaged: history is taken from "
                        f"{row['publication_id']} until the next publication"
                    )
                return str(row["kept_schema"])
        if not kept:
            return None
        raise HealthError(
            f"no publication in {self._place} is whole "
            f"({self._trouble(session, kept[0])}): restore its schema {kept[0]['kept_schema']}, "
            f"or drop the schema {self._marts}_publications to start anew"
        )

    def list_kept(self) -> list[Kept]:
        """From the list of kept publications; nothing where this user may not read it."""
        found = []
        with self._session() as session:
            for row in self._kept(session):
                manifest = Publication.from_dict(json.loads(row["manifest"]))
                is_whole = self._trouble(session, row) is None
                found.append(
                    Kept(
                        row["publication_id"],
                        row["state"] if is_whole else DAMAGED,
                        manifest.as_of_date,
                        manifest.published_at,
                        manifest.scored_account_count if is_whole else None,
                        manifest.account_count if is_whole else None,
                        row["size_bytes"],
                    )
                )
        return found

    def plan_rollback(self, wanted: str | None = None) -> Plan:
        """A kept schema that is whole."""
        with self._session() as session:
            kept = self._kept(session)
            if not kept:
                raise HealthError(
                    f"no publication is kept in {self._place}: `customer-health run` makes one"
                )
            current = next((row for row in kept if row["state"] == CURRENT), None)
            remarks: list[str] = []
            trouble = None if current is None else self._trouble(session, current)
            if trouble is not None:
                remarks.append(f"what readers have is damaged: {trouble}")
                current = None
            if wanted is not None:
                row = self._find(kept, wanted, current)
                trouble = self._trouble(session, row)
                if trouble is not None:
                    raise HealthError(f"{wanted} is damaged: {trouble}")
            else:
                row = self._newest_whole(session, kept, current, remarks)
            listed = set(self._listed(session, row))
            had = {each["publication_id"] for each in kept if each["state"] == WITHDRAWN}
            if current is not None:
                had.update(self._listed(session, current))
            elif wanted is not None:
                had.update(each["publication_id"] for each in kept[: kept.index(row)])
            still_kept = {each["publication_id"] for each in kept}
        return Plan(
            Publication.from_dict(json.loads(row["manifest"])),
            None,
            None if current is None else Publication.from_dict(json.loads(current["manifest"])),
            frozenset((had - listed) & still_kept),
            tuple(remarks),
        )

    @staticmethod
    def _find(
        kept: list[dict[str, Any]], wanted: str, current: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The kept publication of an id."""
        if current is not None and current["publication_id"] == wanted:
            raise UsageError(f"readers have {wanted} already: `rollback --list` shows the others")
        for row in kept:
            if row["publication_id"] == wanted:
                return row
        raise rollback.unknown_publication(wanted, [row["publication_id"] for row in kept])

    def _newest_whole(
        self,
        session: Any,
        kept: list[dict[str, Any]],
        current: dict[str, Any] | None,
        remarks: list[str],
    ) -> dict[str, Any]:
        """The newest that is whole, not withdrawn, and older than what readers have."""
        older = None if current is None else set(self._listed(session, current)[1:])
        for row in kept:
            name = row["publication_id"]
            if row["state"] == WITHDRAWN or (older is not None and name not in older):
                continue
            if self._trouble(session, row) is None:
                return row
            remarks.append(f"{name} is damaged and was passed over")
        if current is not None:
            raise HealthError(
                f"nothing older than {current['publication_id']} is kept whole: mend the cause "
                "and `customer-health run`"
            )
        raise HealthError(
            "what readers have is damaged, and no kept publication is whole: "
            "`customer-health run` makes a new one"
        )

    def _kept_schema(self, publication_id: str) -> str:
        """`customer_health_p_20260630051500_a1b2c3`."""
        return self._kept_prefix + publication_id.split("T", 1)[1].replace("-", "_")
