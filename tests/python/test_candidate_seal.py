"""What counts as a build that may be published, and what stands behind a failed node of dbt."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from customer_health import dbt, pipeline, publication
from customer_health.errors import HealthError
from customer_health.settings import Settings
from customer_health.warehouses import warehouse_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a candidate that a run has built and sealed."""
    found = Settings(project_dir=tmp_path / "project", home=tmp_path)
    found.candidate.write_bytes(b"built")
    state = {"state": "built", "run_id": "a-run", "seal": warehouse_of(found).seal()}
    publication.write_json(found.candidate_state, state)
    return found


def is_ours(settings: Settings) -> bool:
    return not pipeline._was_changed(settings, pipeline._candidate_state(settings))


def test_a_candidate_that_nobody_touched_is_ours(settings: Settings) -> None:
    assert is_ours(settings)


@pytest.mark.parametrize("name", ["candidate.duckdb", "candidate.duckdb.wal"])
@pytest.mark.fault(48)
def test_a_candidate_that_somebody_wrote_to_is_not_ours(settings: Settings, name: str) -> None:
    (settings.home / name).write_bytes(b"half")
    assert not is_ours(settings)
    with pytest.raises(HealthError, match="may be half old and half new"):
        pipeline._require_built(pipeline._candidate_state(settings), was_changed=True)
    # our own writes after that do not make it ours again
    with pipeline.own_writes(settings):
        settings.candidate.write_bytes(b"more")
    assert not is_ours(settings)


def test_our_own_writes_keep_it_ours_also_when_they_fail(settings: Settings) -> None:
    with pytest.raises(RuntimeError), pipeline.own_writes(settings):
        settings.candidate.write_bytes(b"with a snapshot")
        raise RuntimeError
    assert is_ours(settings)


def test_after_our_death_while_writing_only_a_later_dbt_takes_it_away(settings: Settings) -> None:
    with pipeline.own_writes(settings):
        unsealed = settings.candidate_state.read_bytes()
    settings.candidate.write_bytes(b"half a snapshot")
    settings.candidate_state.write_bytes(unsealed)
    assert is_ours(settings)
    manifest = settings.project_dir / "target" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    later = settings.candidate_state.stat().st_mtime + 5
    os.utime(manifest, (later, later))
    assert not is_ours(settings)


@pytest.mark.fault(48)
def test_results_of_another_dbt_command_than_the_manifest_are_refused(tmp_path: Path) -> None:
    results = {"metadata": {"invocation_id": "one"}, "args": {"which": "build"}, "results": []}
    manifest = {"metadata": {"invocation_id": "another"}, "nodes": {}}
    (tmp_path / "run_results.json").write_text(json.dumps(results))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(HealthError, match="is of an earlier dbt command"):
        dbt.outcome_of_file(tmp_path)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            'IO Error: Could not write file "/x/build.duckdb": No space left on device',
            "no space left while writing /x/build.duckdb",
            id="disk",
        ),
        pytest.param(
            "Out of Memory Error: could not allocate block of size 256.0 KiB",
            "raise CUSTOMER_HEALTH_MEMORY_LIMIT",
            id="memory",
        ),
        pytest.param("Binder Error: no such column", "dbt build: 1 of 2 nodes failed", id="sql"),
    ],
)
@pytest.mark.fault(49)
def test_what_the_machine_lacks_is_named_instead_of_the_model(message: str, expected: str) -> None:
    nodes = tuple(
        dbt.Node(f"model.m.{name}", name, "model", status, said, "")
        for name, status, said in [("a", "success", ""), ("b", "error", message)]
    )
    with pytest.raises(HealthError, match=expected):
        dbt.Outcome("build", nodes).require_success(Path("dbt.log"))
