"""dbt, called in this process, with its answer checked node by node.

dbt exits 0 when a selection matches nothing, when a test of severity `warn` fails, and on
`dbt retry` after a kill when it finds nothing to do. So the exit code is not asked: the nodes
that ran are counted, and each of them must have ended well.
"""

from __future__ import annotations

import gc
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from customer_health.errors import HealthError, first_line, what_the_machine_lacks
from customer_health.progress import Reporter
from customer_health.settings import PREFIX, Settings, validate_vars

TESTS = {"test", "unit_test"}
_ENDED_WELL = {"success", "pass", "warn", "no-op"}


@dataclass(frozen=True)
class Node:
    """How one node of a dbt command ended."""

    unique_id: str
    name: str
    resource_type: str
    status: str
    message: str
    severity: str

    @property
    def failed(self) -> bool:
        """Whether this node stops a publication.

        A test that only warns does not, unless its severity is `error`: there the project says
        that it matters, and a raised `error_if` threshold must not turn it into a remark.
        """
        if self.status not in _ENDED_WELL:
            return True
        return self.status == "warn" and self.severity == "error"

    def in_words(self) -> str:
        """One line: `test unique_x: Got 3 results, configured to fail if != 0`."""
        said = first_line(self.message, 200) or self.status
        return f"{self.resource_type.replace('_', ' ')} {self.name}: {said}"


@dataclass(frozen=True)
class Outcome:
    """How a dbt command ended, node by node."""

    command: str
    nodes: tuple[Node, ...]

    def count(self, *resource_types: str) -> int:
        """Number of nodes of these types that ran."""
        counted = Counter(node.resource_type for node in self.nodes)
        return sum(counted[resource_type] for resource_type in resource_types)

    @property
    def tests_run(self) -> int:
        """Number of tests that ran."""
        return self.count(*TESTS)

    @property
    def tests_passed(self) -> int:
        """Number of tests that passed (those that warned did not)."""
        return sum(
            node.status in {"pass", "success"} for node in self.nodes if node.resource_type in TESTS
        )

    @property
    def warned(self) -> list[Node]:
        """Tests of severity `warn` that found something."""
        return [node for node in self.nodes if node.status == "warn" and not node.failed]

    def to_dict(self) -> dict[str, Any]:
        """Counts and the nodes that did not simply pass, for results in JSON."""
        return {
            "command": self.command,
            "nodes": len(self.nodes),
            "models": self.count("model"),
            "seeds": self.count("seed"),
            "snapshots": self.count("snapshot"),
            "tests_run": self.tests_run,
            "tests_passed": self.tests_passed,
            "not_passed": [
                asdict(node) for node in self.nodes if node.failed or node.status == "warn"
            ],
        }

    def require_success(self, log_file: Path) -> None:
        """Refuse the outcome unless nodes ran and each of them ended well.

        Raises:
            HealthError: naming the first failed nodes and the log.
        """
        if not self.nodes:
            raise HealthError(
                f"dbt {self.command} ran no node at all: the project has nothing to build, or a "
                f"selection matches nothing (log: {log_file})"
            )
        failed = [node for node in self.nodes if node.failed]
        if not failed:
            return
        # Skipped nodes only follow from the others: name causes first.
        failed.sort(key=lambda node: node.status == "skipped")
        causes = [node for node in failed if node.status != "skipped"] or failed
        for node in causes:
            lacking = what_the_machine_lacks(node.message)
            if lacking is not None:
                raise lacking
        skipped = len(failed) - len(causes)
        more = f", {skipped} skipped after them" if skipped else ""
        raise HealthError(
            f"dbt {self.command}: {len(causes)} of {len(self.nodes)} nodes failed{more}, first "
            f"{causes[0].in_words()} (log: {log_file})",
            details={"dbt": self.to_dict()},
            lines=[node.in_words() for node in causes[:10]] if len(causes) > 1 else [],
        )


def run_dbt(
    settings: Settings,
    command: str,
    *,
    variables: dict[str, Any],
    run_dir: Path,
    reporter: Reporter,
    arguments: Sequence[str] = (),
    name: str | None = None,
) -> Outcome:
    """Run one dbt command and let go of every database afterwards.

    Args:
        settings: project, home and target.
        command: command of dbt, such as `build`.
        variables: our variables without the prefix; already validated.
        run_dir: gets dbt.log and dbt's answer as <name>_results.json.
        reporter: told how many nodes are done.
        arguments: further arguments of dbt.
        name: what this is called in files and messages; by default the command.

    Raises:
        HealthError: when dbt cannot run at all (project, profile, connection).
        KeyboardInterrupt: when the run was interrupted.
    """
    from dbt.cli.main import dbtRunner

    run_dir.mkdir(parents=True, exist_ok=True)
    validate_vars(variables)
    progress = _NodeCounter(reporter)
    prefixed = {f"{PREFIX}{name}": value for name, value in variables.items()}
    command_line = [
        command,
        *("--project-dir", str(settings.project_dir)),
        *_profiles_arguments(settings),
        *(("--target", settings.target) if settings.target else ()),
        *("--target-path", str(settings.dbt_target)),
        *("--log-path", str(run_dir)),
        *("--log-level", "none", "--log-level-file", "debug"),
        *("--no-use-colors", "--no-use-colors-file"),
        "--no-send-anonymous-usage-stats",
        *("--vars", json.dumps(prefixed)),
        *arguments,
    ]
    with _environment(settings), _quiet_logging():
        try:
            answer = dbtRunner(callbacks=[progress]).invoke(command_line)
        finally:
            release_connections()
    if isinstance(answer.exception, KeyboardInterrupt | SystemExit):
        raise answer.exception
    results = getattr(answer.result, "results", None)
    if results is None:
        raise _could_not_run(name or command, answer.exception, run_dir)
    kept = run_dir / f"{name or command}_results.json"
    _keep_results(settings.dbt_target / "run_results.json", kept)
    return Outcome(command=name or command, nodes=tuple(_node(result) for result in results))


def outcome_of_file(target_dir: Path) -> Outcome:
    """The outcome of a `dbt build` that was run by hand, from its artefacts.

    Args:
        target_dir: dbt's target folder with run_results.json and manifest.json.

    Raises:
        HealthError: when that was no complete build: another command, a selection, or one that
            stopped in the middle (then models of the manifest are missing from the results, or
            the results are of another command than the manifest).
    """
    results_file = target_dir / "run_results.json"
    try:
        results = json.loads(results_file.read_text(encoding="utf-8"))
        manifest = json.loads((target_dir / "manifest.json").read_text(encoding="utf-8"))
        arguments = results["args"]
        invocations = [each["metadata"]["invocation_id"] for each in (results, manifest)]
        nodes = {**manifest["nodes"], **manifest.get("unit_tests", {})}
        outcome = Outcome(
            command=str(arguments["which"]),
            nodes=tuple(_node_of_file(result, nodes) for result in results["results"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HealthError(
            f"{results_file}: no readable answer of dbt; run `customer-health run`"
        ) from error
    if invocations[0] != invocations[1]:
        raise HealthError(
            f"{results_file} is of an earlier dbt command: the last one ended before it wrote its "
            "results; run `dbt build` or `customer-health run`"
        )
    if outcome.command != "build" or arguments.get("select") or arguments.get("exclude"):
        raise HealthError(
            f"{results_file}: the last dbt command was no full build (`dbt {outcome.command}`"
            f"{' with a selection' if outcome.command == 'build' else ''}); "
            "run `dbt build` or `customer-health run`"
        )
    ran = {node.unique_id for node in outcome.nodes}
    missing = sorted(
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if unique_id not in ran
        and node["resource_type"] in {"model", "seed", "test"}
        and node["config"].get("materialized") != "ephemeral"
    )
    if missing:
        raise HealthError(
            f"{results_file}: {len(missing)} nodes did not run, first {missing[0]}: that build "
            "stopped in the middle; run `customer-health run`"
        )
    return outcome


def release_connections() -> None:
    """Close the databases that the dbt adapter keeps open in this process.

    Without this the files stay locked and DuckDB's write-ahead log is not folded in.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager as Manager

    environment = Manager._ENV
    Manager.close_all_connections()
    if environment is not None:
        environment.close()
    gc.collect()


class _NodeCounter:
    """dbt's event callback: counts the nodes that are done."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.done = 0
        self.total = 0

    def __call__(self, event: Any) -> None:
        """Called by dbt for every event, from its worker threads."""
        if event.info.name == "LogStartLine":
            self.total = max(self.total, event.data.total)
        elif event.info.name == "NodeFinished":
            self.done += 1
            if self.total:
                self.reporter.update(min(self.done, self.total), self.total, "dbt nodes")


def _node(result: Any) -> Node:
    """One result of dbtRunner."""
    config = getattr(result.node, "config", None)
    return Node(
        unique_id=result.node.unique_id,
        name=result.node.name,
        resource_type=str(result.node.resource_type),
        status=str(result.status),
        message=str(result.message or ""),
        severity=str(getattr(config, "severity", "") or "").lower(),
    )


def _node_of_file(result: dict[str, Any], nodes: dict[str, Any]) -> Node:
    """One result of run_results.json."""
    node = nodes.get(result["unique_id"], {})
    return Node(
        unique_id=result["unique_id"],
        name=node.get("name", result["unique_id"]),
        resource_type=result["unique_id"].split(".", 1)[0],
        status=result["status"],
        message=str(result.get("message") or ""),
        severity=str(node.get("config", {}).get("severity") or "").lower(),
    )


def _could_not_run(command: str, exception: BaseException | None, run_dir: Path) -> HealthError:
    """Say why dbt stopped before any node ran."""
    log_file = run_dir / "dbt.log"
    if exception is None:
        return HealthError(f"dbt {command} gave no answer (log: {log_file})")
    text = str(exception)
    lacking = what_the_machine_lacks(text)
    if lacking is not None:
        return lacking
    if "Could not find profile" in text:
        return HealthError(
            f"dbt {command} could not run: {first_line(text.removeprefix('Runtime Error'))}; put a "
            "profiles.yml that has it into the project, or name its folder in DBT_PROFILES_DIR"
        )
    return HealthError(f"dbt {command} could not run: {first_line(text)} (log: {log_file})")


def _profiles_arguments(settings: Settings) -> tuple[str, ...]:
    """The project's own profiles.yml, unless DBT_PROFILES_DIR names another folder."""
    has_own = (settings.project_dir / "profiles.yml").is_file()
    if has_own and "DBT_PROFILES_DIR" not in os.environ:
        return ("--profiles-dir", str(settings.project_dir))
    return ()


def _keep_results(source: Path, copy: Path) -> None:
    """Keep dbt's answer in the folder of the run; the target folder is used again."""
    if source.is_file():
        copy.write_bytes(source.read_bytes())


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """On a full disk Python would print a traceback for every line that dbt cannot log."""
    before = logging.raiseExceptions
    logging.raiseExceptions = False
    try:
        yield
    finally:
        logging.raiseExceptions = before


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """What the profile reads from the environment; dbt also changes the working folder."""
    before = os.environ.get("CUSTOMER_HEALTH_HOME")
    folder = Path.cwd()
    os.environ["CUSTOMER_HEALTH_HOME"] = str(settings.home)
    try:
        yield
    finally:
        os.chdir(folder)
        if before is None:
            del os.environ["CUSTOMER_HEALTH_HOME"]
        else:
            os.environ["CUSTOMER_HEALTH_HOME"] = before
