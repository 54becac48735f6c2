"""How long a page of the app takes on the server, at 100,000 accounts over two years.

    python benchmarks/dashboards.py --accounts 100000

The readers' copy is that of benchmarks/readers.py (--file keeps it). Each page is drawn by the app
itself without a browser: first in a process that has answered nothing yet, then again as a person
goes on: with other filters, another account, a moved weight, whose answers are not kept either, and
the same page once more. Exit code 1 where one of those that go on is over a second.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
from readers import demo_home, make_copy
from streamlit.testing.v1 import AppTest

PROJECT = Path(__file__).resolve().parents[1]
APP = PROJECT / "dashboards" / "app"
GOAL_SECONDS = 1.0
PAGES = ("portfolio", "account", "actions", "prediction", "what_if", "data_quality")
ROUNDS = 3


def main() -> int:
    """Draw all pages, print the table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="home with a published demo")
    parser.add_argument("--file", type=Path, help="keep the made copy here, and use it if there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dashboards-") as name:
        home = Path(name) / "served"
        home.mkdir()
        file = options.file or home / "published.duckdb"
        if not file.exists():
            make_copy(options.home or demo_home(Path(name) / "demo"), file, options.accounts)
        if file.parent != home:
            (home / "published.duckdb").symlink_to(file.resolve())
        os.environ["CUSTOMER_HEALTH_PROJECT_DIR"] = str(PROJECT)
        os.environ["CUSTOMER_HEALTH_HOME"] = str(home)
        return draw_all(file)


def draw_all(file: Path) -> int:
    """Draw every page and print its seconds; the exit code is 1 where one is too slow."""
    with duckdb.connect(str(file), read_only=True) as copy:
        copy.execute("use customer_health")
        accounts = [
            row[0]
            for row in copy.execute(
                "select account_id from bi_health__account_360_current "
                f"where health_score is not null order by hash(account_id) limit {ROUNDS + 1}"
            ).fetchall()
        ]
        csms = [
            row[0]
            for row in copy.execute(
                "select distinct csm_id from bi_health__account_360_current "
                f"where csm_id is not null order by csm_id limit {ROUNDS + 1}"
            ).fetchall()
        ]
    regions = ("amer", "emea", "apac", "amer")
    asked: dict[str, Callable[[int], dict[str, str]]] = {
        "portfolio": lambda number: {"region": regions[number], "segment": "smb"},
        "account": lambda number: {"account": accounts[number]},
        "actions": lambda number: {"csm_id": csms[number]},
        "prediction": lambda number: {},
        "what_if": lambda number: {},
        "data_quality": lambda number: {},
    }
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}; {file.stat().st_size / 1e9:.1f} GB")  # fmt: skip
    print(f"{'page':<14}{'first':>9}{'goes on':>9}{'again':>9}")
    slow = 0
    for page in PAGES:
        script = (
            f"import sys; sys.path.insert(0, {str(APP)!r})\n"
            f"import frame, {page}\nframe.page_of({page}.show, {page!r})()\n"
        )

        def drawn(query: dict[str, str], script: str = script) -> tuple[float, AppTest]:
            test = AppTest.from_string(script, default_timeout=300)
            for key, value in query.items():
                test.query_params[key] = value
            started = time.perf_counter()
            test.run()
            seconds = time.perf_counter() - started
            assert not test.exception, test.exception
            return seconds, test

        first, test = drawn(asked[page](0))
        going = []
        for number in range(1, ROUNDS + 1):
            if page == "what_if":
                slider = test.slider[0]
                started = time.perf_counter()
                slider.set_value(slider.value + 1).run()
                going.append(time.perf_counter() - started)
            else:
                going.append(drawn(asked[page](number))[0])
        again = drawn(asked[page](0))[0]
        slow += statistics.median(going) > GOAL_SECONDS
        mark = "  over the goal" if statistics.median(going) > GOAL_SECONDS else ""
        print(f"{page:<14}{first:>7.2f} s{statistics.median(going):>7.2f} s{again:>7.2f} s{mark}")
    print(f"goal: at most {GOAL_SECONDS:.0f} s; {slow} of {len(PAGES)} are over it")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
