"""A dashboard: a process that reads the published copy again and again, as every reader should.

`python dashboard.py HOME` opens the copy read-only and without access to anything else, reads
several views of it, and looks that all of them are of one publication, which the copy lists with
as many accounts as are there. It goes on until its standard input is closed, then prints one JSON
object: how often it read, which publications it saw, and what went wrong.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

import duckdb

VIEWS = (
    "bi_health__account_360_current",
    "fct_health__account_scores_current",
    "fct_health__metric_scores_current",
    "sync_health__crm_accounts_current",
)
PAUSE_SECONDS = 0.1


def read_once(path: Path) -> str:
    """The publication that the copy holds.

    Raises:
        AssertionError, duckdb.Error: when it is not exactly one whole publication.
    """
    with duckdb.connect(
        str(path), read_only=True, config={"enable_external_access": "false"}
    ) as connection:
        seen = {
            view: connection.execute(
                f"select distinct publication_id from customer_health.{view}"
            ).fetchall()
            for view in VIEWS
        }
        ids = {row[0] for rows in seen.values() for row in rows}
        assert len(ids) == 1 and all(seen.values()), seen
        listed = connection.execute(
            """
            select publications.account_count, count(scores.account_id)
            from customer_health.fct_health__publications as publications
            left join customer_health.fct_health__account_scores as scores
                on publications.as_of_date = scores.as_of_date
            where publications.publication_id = ?
            group by publications.account_count
            """,
            [next(iter(ids))],
        ).fetchall()
        assert len(listed) == 1 and listed[0][0] == listed[0][1], (ids, listed)
        return str(next(iter(ids)))


def main(home: Path) -> None:
    """Read until standard input is closed."""
    reads = 0
    publications: list[str] = []
    problems: list[str] = []
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        try:
            publication = read_once(home / "published.duckdb")
            reads += 1
            if not publications or publications[-1] != publication:
                publications.append(publication)
        except (AssertionError, duckdb.Error) as error:
            problems.append(f"{time.time():.3f} {type(error).__name__}: {error}"[:500])
    print(json.dumps({"reads": reads, "publications": publications, "problems": problems[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
