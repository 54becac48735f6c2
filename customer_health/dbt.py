"""dbt, called in this process, with its answer checked node by node.

dbt exits 0 when a selection matches nothing, when a test of severity `warn` fails, and on
`dbt retry` after a kill when it finds nothing to do. So the exit code is not asked: the nodes
that ran are counted, and each of them must have ended well.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from customer_health.errors import HealthError, first_line, what_the_machine_lacks
from customer_health.progress import Reporter
from customer_health.settings import PREFIX, Settings, validate_vars
from customer_health.templates import KEPT, kept_templates

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

    from customer_health.fold import Folded

TESTS = {"test", "unit_test"}
_ENDED_WELL = {"success", "pass", "warn", "no-op"}

# The only variables of ours that shape the project itself (which nodes there are, how they are
# configured). All others are read when a node runs, so they need no new parsing.
_SHAPING = ("publishing", "allow_full_refresh")
PARSED = "partial_parse.msgpack"  # what dbt keeps of the parsed project, in its target folder
# Folder that several homes share, where parsing again and again is slow (our own tests).
PARSED_VARIABLE = "CUSTOMER_HEALTH_PARSED"
_HOME_VARIABLE = "CUSTOMER_HEALTH_HOME"
_HOME_AS_FOLDER = re.compile(
    r"""\{\{\s*env_var\(\s*['"]CUSTOMER_HEALTH_HOME['"]\s*(,\s*['"][^'"]*['"]\s*)?\)\s*\}\}/"""
)
_parsed: dict[tuple[Any, frozenset[str]], Folded] = {}


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
    check: Callable[[Mapping[str, Any]], None] | None = None,
) -> Outcome:
    """Run one dbt command and let go of every database afterwards.

    The project is parsed once per run. Unit tests never run here: they test the code and not the
    data. Snapshots run only for a publication, when the variable `publishing` is set. The tests of
    a model run together (see `fold`); where one fails they run one by one, so that the outcome is
    that of each test.

    Args:
        settings: project, home and target.
        command: command of dbt, such as `build`.
        variables: our variables without the prefix; already validated.
        run_dir: gets dbt.log and dbt's answer as <name>_results.json.
        reporter: told how many nodes are done.
        arguments: further arguments of dbt.
        name: what this is called in files and messages; by default the command.
        check: looks at the nodes of the parsed project first, and may refuse it.

    Raises:
        HealthError: when dbt cannot run at all (project, profile, connection), or `check` refuses.
        KeyboardInterrupt: when the run was interrupted.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    validate_vars(variables)
    name = name or command
    project = parse(settings, variables, run_dir=run_dir, name=name)
    if check is not None:
        check(project.manifest.nodes)
    answer = _invoke(
        settings,
        command,
        variables,
        run_dir,
        arguments=[*arguments, *_without_publishing(project.manifest, variables)],
        manifest=project.manifest,
        callback=_NodeCounter(reporter),
    )
    results = getattr(answer.result, "results", None)
    if results is None:
        raise _could_not_run(name, answer.exception, run_dir)
    answer.result.write(str(run_dir / f"{name}_results.json"))
    nodes = [_node(result) for result in results]
    one_by_one = partial(_one_by_one, settings, variables, run_dir, project)
    return Outcome(command=name, nodes=tuple(_unfolded(nodes, project, one_by_one)))


def _unfolded(
    nodes: Sequence[Node], project: Folded, one_by_one: Callable[[list[str]], list[Node]]
) -> Iterator[Node]:
    """Every test by itself, where tests ran together.

    Args:
        nodes: what ran.
        project: the parsed project.
        one_by_one: runs the tests behind nodes that failed.
    """
    failed = [
        node.unique_id
        for node in nodes
        if node.unique_id in project.tests and node.status not in {"pass", "skipped"}
    ]
    for node in nodes:
        for test in project.tests.get(node.unique_id, ()):
            if node.unique_id not in failed:
                severity = str(test.config.severity).lower()
                yield replace(node, unique_id=test.unique_id, name=test.name, severity=severity)
        # What fails together and holds one by one is still no pass.
        if node.unique_id not in project.tests:
            yield node
    if failed:
        by_itself = one_by_one(failed)
        yield from by_itself
        if not any(node.failed for node in by_itself):
            yield from (node for node in nodes if node.unique_id in failed)


def _one_by_one(
    settings: Settings,
    variables: Mapping[str, Any],
    run_dir: Path,
    project: Folded,
    failed: list[str],
) -> list[Node]:
    """Run the tests that failed together by themselves.

    Raises:
        HealthError: when dbt cannot run them.
    """
    names = [name for unique_id in failed for name in project.unfold(unique_id)]
    answer = _invoke(
        settings,
        "test",
        variables,
        run_dir,
        arguments=["--select", *names],
        manifest=project.manifest,
    )
    results = getattr(answer.result, "results", None)
    if results is None:
        raise _could_not_run("test", answer.exception, run_dir)
    return [_node(result) for result in results]


def parse(
    settings: Settings, variables: Mapping[str, Any], *, run_dir: Path, name: str = "parse"
) -> Folded:
    """The parsed project, with the tests of a model put together.

    The first time in a run it comes from dbt's own file in the target folder, where dbt reads what
    has changed since; after that from memory.

    Args:
        settings: project, home and target.
        variables: as for `run_dbt`; only those that shape the project matter.
        run_dir: folder of the run, gets dbt.log; one run parses once.
        name: what the command is called in messages.

    Raises:
        HealthError: when the project or the profile cannot be read.
    """
    from customer_health.fold import fold

    shaping = {key: True for key in _SHAPING if key == "publishing" or variables.get(key)}
    key = (run_dir, settings.project_dir, settings.target)
    for (known, parsed_for), project in _parsed.items():
        if known == key and shaping.keys() <= parsed_for:
            return project
    _parsed.clear()  # each takes 50 MB
    settings.dbt_target.mkdir(parents=True, exist_ok=True)
    shared = _shared_file(settings, shaping)
    own = settings.dbt_target / PARSED
    if shared is not None and shared.is_file() and not own.exists():
        with suppress(OSError):
            shutil.copyfile(shared, own)
    answer = _invoke(settings, "parse", shaping, run_dir, home=_home_to_parse_for(settings))
    if answer.result is None:
        raise _could_not_run(name, answer.exception, run_dir)
    if shared is not None and own.is_file():
        written = shared.with_name(f"{shared.name}.{os.getpid()}")
        with suppress(OSError):
            shutil.copyfile(own, written)
            written.replace(shared)
    answer.result.unit_tests.clear()
    _parsed[key, frozenset(shaping)] = project = fold(answer.result)
    return project


def _shared_file(settings: Settings, shaping: Mapping[str, Any]) -> Path | None:
    """The file that homes share, where CUSTOMER_HEALTH_PARSED names a folder.

    It is a matter of speed alone: dbt compares what it holds with every file of the project.
    """
    folder = _shared_folder()
    if folder is None:
        return None
    parts = [
        str(settings.project_dir),
        settings.target,
        *shaping,
        os.environ.get("DBT_PROFILES_DIR"),
    ]
    return folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}.msgpack"


def _shared_folder() -> Path | None:
    """The folder that homes share, where CUSTOMER_HEALTH_PARSED names one."""
    folder = os.environ.get(PARSED_VARIABLE)
    return Path(folder) if folder else None


def _invoke(
    settings: Settings,
    command: str,
    variables: Mapping[str, Any],
    run_dir: Path,
    *,
    arguments: Sequence[str] = (),
    manifest: Manifest | None = None,
    callback: Any = None,
    home: str | None = None,
) -> Any:
    """The answer of dbt to one command; every database is closed again.

    dbt writes none of its artefacts: the manifest alone takes seconds, and nobody reads it. Its log
    has the level `info`, which holds every error; DBT_LOG_LEVEL_FILE=debug adds all statements.

    Raises:
        KeyboardInterrupt: when it was interrupted.
    """
    from dbt.cli.main import dbtRunner

    prefixed = {f"{PREFIX}{key}": value for key, value in variables.items()}
    command_line = [
        command,
        *("--project-dir", str(settings.project_dir)),
        *_profiles_arguments(settings),
        *(("--target", settings.target) if settings.target else ()),
        *("--target-path", str(settings.dbt_target)),
        *("--log-path", str(run_dir)),
        *("--log-level", "none"),
        *("--log-level-file", os.environ.get("DBT_LOG_LEVEL_FILE") or "info"),
        *("--no-use-colors", "--no-use-colors-file", "--no-write-json"),
        "--no-send-anonymous-usage-stats",
        *("--vars", json.dumps(prefixed)),
        *arguments,
    ]
    with (
        _environment(home or str(settings.home)),
        _quiet_logging(),
        kept_templates((_shared_folder() or settings.dbt_target) / KEPT),
    ):
        try:
            runner = dbtRunner(manifest=manifest, callbacks=[callback] if callback else [])
            answer = runner.invoke(command_line)
        finally:
            release_connections()
    if isinstance(answer.exception, KeyboardInterrupt | SystemExit):
        raise answer.exception
    return answer


def _without_publishing(manifest: Manifest, variables: Mapping[str, Any]) -> list[str]:
    """Arguments that leave out the snapshots until a publication takes them.

    Only a snapshot that another model reads is no matter of publishing: it would be disabled
    outside of it, and with it that model.
    """
    from customer_health.fold import read_by_others

    if variables.get("publishing"):
        return []
    read = read_by_others(manifest)
    snapshots = {
        unique_id: node.name
        for unique_id, node in manifest.nodes.items()
        if unique_id.startswith("snapshot.")
    }
    waiting = sorted(name for unique_id, name in snapshots.items() if unique_id not in read)
    return ["--exclude", *waiting] if waiting else []


def _home_to_parse_for(settings: Settings) -> str:
    """The home that the profile sees while dbt parses, which opens no database.

    The name of a database is the name of its file. Where the profile takes the home for nothing but
    a folder, the parsed project is the same for every home; it is not the same for a copy of the
    project, since seeds are parsed with their full path.
    """
    folder = os.environ.get("DBT_PROFILES_DIR") or str(settings.project_dir)
    try:
        text = (Path(folder) / "profiles.yml").read_text(encoding="utf-8")
        tokens = list(yaml.scan(text))
    except (OSError, yaml.YAMLError):
        return str(settings.home)
    # Values only: a comment may name the variable.
    values = "\n".join(token.value for token in tokens if isinstance(token, yaml.ScalarToken))
    if _HOME_VARIABLE in _HOME_AS_FOLDER.sub("", values):
        return str(settings.home)
    return str(settings.project_dir / "home")


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


def adapter_of_file(target_dir: Path) -> str | None:
    """The engine that the last dbt command with artefacts worked on; None where none is told."""
    try:
        manifest = json.loads((target_dir / "manifest.json").read_text(encoding="utf-8"))
        return str(manifest["metadata"]["adapter_type"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
def _environment(home: str) -> Iterator[None]:
    """What the profile reads from the environment; dbt also changes the working folder."""
    before = os.environ.get(_HOME_VARIABLE)
    folder = Path.cwd()
    os.environ[_HOME_VARIABLE] = home
    try:
        yield
    finally:
        os.chdir(folder)
        if before is None:
            del os.environ[_HOME_VARIABLE]
        else:
            os.environ[_HOME_VARIABLE] = before
