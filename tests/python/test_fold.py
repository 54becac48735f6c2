"""The tests of a model run as one node, and answer as if each had run by itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from customer_health import dbt
from customer_health.dbt import Node, Outcome
from customer_health.progress import Reporter
from customer_health.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
PROPERTIES: dict[str, Any] = {
    "models": [
        {
            "name": "things",
            "columns": [
                {
                    "name": "thing_id",
                    "data_tests": ["unique", "not_null"],
                },
                {
                    "name": "kind",
                    "data_tests": [
                        {"accepted_values": {"arguments": {"values": ["a", "b, b", "{b}"]}}},
                        {
                            "relationships": {
                                "arguments": {"to": "ref('kinds')", "field": "kind"},
                            }
                        },
                        {"not_null": {"config": {"severity": "warn"}}},
                        {"not_null": {"name": "of_some", "config": {"where": "thing_id > 5"}}},
                    ],
                },
            ],
        },
        {"name": "kinds", "columns": [{"name": "kind", "data_tests": ["unique", "not_null"]}]},
        {"name": "after", "columns": [{"name": "thing_id", "data_tests": ["not_null", "unique"]}]},
        {"name": "beside", "columns": [{"name": "thing_id", "data_tests": ["unique"]}]},
    ]
}
GOOD = "select 1 as thing_id, 'a' as kind union all select 2, 'b, b' union all select 3, '{b}'"
KINDS = "select 'a' as kind union all select 'b, b' union all select '{b}'"
OF_THINGS = {
    "unique_things_thing_id",
    "not_null_things_thing_id",
    "accepted_values_things_kind__a__b_b___b_",
    "relationships_things_kind__kind__ref_kinds_",
    "not_null_things_kind",
    "of_some",
}
OF_KINDS = {"unique_kinds_kind", "not_null_kinds_kind"}
OF_AFTER = {"not_null_after_thing_id", "unique_after_thing_id", "unique_beside_thing_id"}


def build(folder: Path, things: str, beside: str = "") -> Outcome:
    """One build of a small project by our own way of running dbt."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    (models / "models.yml").write_text(json.dumps(PROPERTIES))
    (models / "things.sql").write_text(f"-- depends_on: {{{{ ref('kinds') }}}}\n{things}")
    (models / "kinds.sql").write_text(KINDS)
    (models / "after.sql").write_text("select thing_id from {{ ref('things') }}")
    (models / "beside.sql").write_text(f"select thing_id from {{{{ ref('things') }}}} {beside}")
    project = {
        "name": "customer_health",
        "version": "1.0.0",
        "profile": "small",
        "models": {"+materialized": "table"},
    }
    (folder / "dbt_project.yml").write_text(json.dumps(project))
    output = {
        "type": "duckdb",
        "path": "{{ env_var('CUSTOMER_HEALTH_HOME') }}/build.duckdb",
        "threads": 2,
    }
    profile = {"small": {"target": "dev", "outputs": {"dev": output}}}
    (folder / "profiles.yml").write_text(json.dumps(profile))
    settings = Settings.resolve(folder, folder / "home", environ={})
    settings.prepare()
    return dbt.run_dbt(
        settings,
        "build",
        variables={},
        run_dir=folder / f"run{len(list(folder.glob('run*')))}",
        reporter=Reporter(Console(stderr=True), quiet=True),
    )


def statuses(outcome: Outcome) -> dict[str, str]:
    """How each test ended; each is told once."""
    tests = [node for node in outcome.nodes if node.resource_type == "test"]
    assert max(Counter(node.unique_id for node in tests).values()) == 1
    return {node.name: node.status for node in tests}


def test_every_test_is_told_by_itself(tmp_path: Path) -> None:
    outcome = build(tmp_path, GOOD)
    assert statuses(outcome) == dict.fromkeys(OF_THINGS | OF_KINDS | OF_AFTER, "pass")
    assert (outcome.tests_run, outcome.tests_passed) == (11, 11)
    outcome.require_success(tmp_path / "dbt.log")
    ran = json.loads((tmp_path / "run0" / "build_results.json").read_text())["results"]
    assert sum(each["unique_id"].startswith("test.") for each in ran) == 5


@pytest.mark.parametrize(
    ("things", "failed"),
    [
        (
            GOOD.replace("2", "1"),
            {"unique_things_thing_id": "Got 1 result, configured to fail if != 0"},
        ),
        (
            GOOD.replace("'{b}'", "'b'").replace("2", "null"),
            {
                "accepted_values_things_kind__a__b_b___b_":
                    "Got 1 result, configured to fail if != 0",
                "not_null_things_thing_id": "Got 1 result, configured to fail if != 0",
                "relationships_things_kind__kind__ref_kinds_":
                    "Got 1 result, configured to fail if != 0",
            },
        ),
    ],
)  # fmt: skip
def test_the_tests_that_fail_are_named(tmp_path: Path, things: str, failed: dict[str, str]) -> None:
    """And what comes after the model is held back, as by any test."""
    outcome = build(tmp_path, things)
    found = statuses(outcome)
    rest = dict.fromkeys((OF_THINGS | OF_KINDS) - set(failed), "pass")
    assert found == rest | dict.fromkeys(failed, "fail") | dict.fromkeys(OF_AFTER, "skipped")
    messages = {node.name: node.message for node in outcome.nodes if node.status == "fail"}
    assert messages == failed
    after = next(node for node in outcome.nodes if node.name == "after")
    assert after.status == "skipped"
    with pytest.raises(Exception, match=rf"first test ({'|'.join(failed)}): Got 1 result"):
        outcome.require_success(tmp_path / "dbt.log")


def test_of_models_that_nobody_reads_the_one_that_fails_is_named(tmp_path: Path) -> None:
    """Their tests are one node."""
    found = statuses(build(tmp_path, GOOD, beside="union all select 1"))
    passed = dict.fromkeys(OF_THINGS | OF_KINDS | OF_AFTER, "pass")
    assert found == passed | {"unique_beside_thing_id": "fail"}
    ran = json.loads((tmp_path / "run0" / "build_results.json").read_text())["results"]
    assert [each["status"] for each in ran if "unread" in each["unique_id"]] == ["fail"]


def test_a_test_that_cannot_run_is_named(tmp_path: Path) -> None:
    outcome = build(tmp_path, GOOD.replace("kind", "sort"))
    wrong = {name for name, status in statuses(outcome).items() if status == "error"}
    assert wrong == {name for name in OF_THINGS if "thing_id" not in name}
    assert statuses(outcome)["unique_things_thing_id"] == "pass"


def test_what_fails_only_together_is_no_pass() -> None:
    """A statement that the database cannot run as a whole must not count as passed."""

    project: Any = SimpleNamespace(tests={"test.p.together": []})
    together = Node("test.p.together", "together", "test", "error", "too long", "error")
    single = Node("test.p.single", "single", "test", "pass", "", "error")

    def one_by_one(failed: list[str]) -> list[Node]:
        assert failed == ["test.p.together"]
        return [single]

    found = list(dbt._unfolded([together], project, one_by_one))
    assert found == [single, together]


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The tests of this project before, and the project with its tests put together."""
    from customer_health import fold

    before: dict[str, Any] = {}
    real = fold.fold

    def spy(manifest: Any) -> Any:
        before.update(manifest.nodes)
        return real(manifest)

    home = tmp_path_factory.mktemp("parsed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "fold", spy)
        settings = Settings.resolve(PROJECT_DIR, home, environ={})
        settings.prepare()
        folded = dbt.parse(settings, {}, run_dir=home / "run")
    yield before, folded


def test_homes_share_the_parsed_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading all files of this project takes seconds, and a home changes nothing in them."""
    monkeypatch.setenv(dbt.PARSED_VARIABLE, str(tmp_path))
    words = []
    for name in ("first", "second"):
        settings = Settings.resolve(PROJECT_DIR, tmp_path / name, environ={})
        settings.prepare()
        dbt.parse(settings, {}, run_dir=tmp_path / name / "run")
        words.append((tmp_path / name / "run" / "dbt.log").read_text())
    assert ["Unable to do partial parsing" in each for each in words] == [True, False]


def test_no_test_of_this_project_is_lost(parsed: Any) -> None:
    """Each is a node of its own or is told by the statement of exactly one node."""
    before, folded = parsed
    tests = {key for key in before if key.startswith("test.")}
    together = {test.unique_id: key for key, each in folded.tests.items() for test in each}
    assert sum(len(each) for each in folded.tests.values()) == len(together) > 250
    alone = {key for key in folded.manifest.nodes if key.startswith("test.")} - set(folded.tests)
    assert alone | set(together) == tests
    assert not alone & set(together)
    for test, node in together.items():
        statement = folded.manifest.nodes[node].raw_code
        assert statement.count(f"select '{before[test].name}' as failed_test") == 1


def test_tests_hold_back_the_same_models_as_before(parsed: Any) -> None:
    """A model waits for a test when all that the test looks at comes before the model."""
    before, folded = parsed
    models = {key: node for key, node in before.items() if key.startswith(("model.", "seed."))}

    def ancestors(key: str) -> set[str]:
        if key not in known:
            parents = set(models[key].depends_on_nodes) if key in models else set()
            known[key] = parents.union(*(ancestors(parent) for parent in parents))
        return known[key]

    known: dict[str, set[str]] = {}
    for node, tests in folded.tests.items():
        looked_at = set(folded.manifest.nodes[node].depends_on.nodes)
        held = {key for key in models if looked_at <= ancestors(key)}
        for test in tests:
            assert held == {key for key in models if set(test.depends_on.nodes) <= ancestors(key)}
