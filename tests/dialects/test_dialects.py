"""Every model compiles for every engine that is claimed, parses, and keeps to what the engine has.

`make test-dialects` runs this in an environment of its own, since the adapters of five warehouses
do not live beside the project's own pins. Nothing here runs on a warehouse.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from checks import problems
from harness import ENGINES, FORMS, PROJECT_DIR


@pytest.fixture(scope="session")
def compilations(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Path]]]:
    """The compiled project of each engine that a chosen test asks for, two engines at a time."""
    chosen = (getattr(item, "callspec", None) for item in request.session.items)
    engines = {
        each.params["compiled"]: None for each in chosen if each and "compiled" in each.params
    }
    folder = tmp_path_factory.mktemp("compiled")
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {engine: pool.submit(_compile, engine, folder / engine) for engine in engines}
        pool.shutdown(cancel_futures=True)


def _compile(engine: str, folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("harness.py"), engine, folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT_DIR,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module", params=sorted(ENGINES))
def compiled(request: pytest.FixtureRequest, compilations: dict[str, Future[Path]]) -> Path:
    """Folder with the compiled project of one engine; its name is the engine's."""
    return compilations[request.param].result()


def test_compiles_and_keeps_to_the_engine(compiled: Path) -> None:
    statements: dict[str, Path] = {}  # most are the same in every form
    for file in sorted(compiled.glob("*/*.sql")):
        statements.setdefault(file.read_text(encoding="utf-8"), file)
    found: dict[str, str] = {}
    for sql, file in statements.items():
        for problem in problems(sql, compiled.name):
            found.setdefault(f"{file.name}: {problem}", file.parent.name)
    assert not found, "\n".join(found)


def test_every_model_is_compiled_in_every_form(compiled: Path) -> None:
    models = {file.stem for file in (PROJECT_DIR / "models").rglob("*.sql")}
    for form in FORMS:
        files = {file.stem for file in (compiled / form.name).glob("*.sql")}
        assert models <= files
        hooks = [name for name in files if re.search(r"[.](pre|post)_hook_\d", name)]
        assert hooks or not form.has_history, "hooks that delete rows are rendered"


def test_compiled_sql_holds_no_unrendered_template(compiled: Path) -> None:
    for file in compiled.glob("*/*.sql"):
        text = file.read_text(encoding="utf-8")
        assert "{{" not in text and "{%" not in text, file.name


@pytest.mark.parametrize(
    ("sql", "dialect", "says"),
    [
        ("select 1 from", "snowflake", "does not parse"),
        ("select a from t union select a from u", "bigquery", "does not parse"),
        ("select isfinite(a) from t", "redshift", "function isfinite"),
        ("select cast(a as double) from t", "bigquery", "type double"),
        ("create table t (a double precision not null)", "bigquery", "type double precision"),
        ("select sum(a) over (order by b) from t", "redshift", "without a frame"),
        (
            "select sum(a) over (order by b range between 1 preceding and current row) from t",
            "redshift",
            "without a frame",
        ),
    ],
)
def test_problems_are_seen(sql: str, dialect: str, says: str) -> None:
    assert any(says in problem for problem in problems(sql, dialect))
