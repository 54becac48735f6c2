"""Many tests of one model as one node of dbt.

Each node costs dbt 20 to 40 ms of Python, whatever the database does, and a project has hundreds of
tests that take a millisecond. So before dbt runs, the tests of a model are put together in the
parsed project: one statement that names the tests that fail. It waits for the same models, and the
same models wait for it. The tests of all models that no other model reads are one such statement:
nothing waits for them. The files of the project stay as they are, and a plain `dbt build` runs each
test by itself.

A statement that finds something, or cannot be run, only says that something is wrong: then its
tests run one by one, and their own answers count (`dbt.run_dbt`).

Only tests with the default configuration are put together; all others stay nodes of their own.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_CALL = re.compile(r"^\{\{ ((?:\w+\.)?test_\w+)\(\*\*_dbt_generic_test_kwargs\) \}\}$")
_MODEL = re.compile(r"\{\{ (get_where_subquery\([^{}]+\)) \}\}")
_CONFIG = re.compile(r"\{\{ config\([^{}]*\) \}\}$")
_UNREAD = "unread_models"  # in the place of the model whose tests they are
_NAME = re.compile(r"[A-Za-z_]\w*")
_NO_TEXT = {"none", "true", "false"}  # what Jinja would take for a value
_DEFAULTS = {
    "enabled": True,
    "where": None,
    "limit": None,
    "fail_calc": "count(*)",
    "warn_if": "!= 0",
    "error_if": "!= 0",
    "store_failures": None,
    "store_failures_as": None,
}


@dataclass
class Folded:
    """A parsed project whose tests are put together.

    Attributes:
        manifest: the project; `tests` are not in it, the nodes in their place are.
        tests: the tests behind a node, by its unique id.
    """

    manifest: Manifest
    tests: dict[str, list[Any]] = field(default_factory=dict)

    def unfold(self, unique_id: str) -> list[str]:
        """Put the tests behind a node back in its place; gives their names."""
        del self.manifest.nodes[unique_id]
        tests = self.tests.pop(unique_id)
        self.manifest.nodes.update({test.unique_id: test for test in tests})
        return [test.name for test in tests]


def fold(manifest: Manifest) -> Folded:
    """Put tests together in a parsed project, which is changed."""
    ancestors = _Ancestors(manifest)
    groups: dict[str, list[Any]] = defaultdict(list)
    nodes: list[Any] = list(manifest.nodes.values())
    read = read_by_others(manifest)
    for node in nodes:
        if _is_plain(node):
            last = ancestors.last_of(node.depends_on.nodes)
            if last is not None:
                groups[last if last in read else _UNREAD].append(node)
    folded = Folded(manifest)
    for parent, tests in groups.items():
        if len(tests) > 1:
            together = _together(parent, tests)
            for test in tests:
                del manifest.nodes[test.unique_id]
            manifest.nodes[together.unique_id] = together
            folded.tests[together.unique_id] = tests
    return folded


def read_by_others(manifest: Manifest) -> set[str]:
    """Ids of the nodes that a model, seed or snapshot reads; a test is no reader."""
    return {
        parent
        for node in manifest.nodes.values()
        if str(node.resource_type) != "test"
        for parent in node.depends_on_nodes
    }


def _is_plain(node: Any) -> bool:
    """Whether a node is a generic test that can share a statement with others."""
    metadata = getattr(node, "test_metadata", None)
    if metadata is None or str(node.config.severity).lower() != "error":
        return False
    column = metadata.kwargs.get("column_name", "column")
    return (
        all(getattr(node.config, name) == value for name, value in _DEFAULTS.items())
        and _NAME.fullmatch(node.name) is not None
        and _CALL.match(_CONFIG.sub("", node.raw_code.strip())) is not None
        and _MODEL.fullmatch(str(metadata.kwargs.get("model"))) is not None
        # dbt takes a column name as it stands only where a test is alone
        and _NAME.fullmatch(str(column)) is not None
        and str(column).lower() not in _NO_TEXT
    )


def _together(parent: str, tests: list[Any]) -> Any:
    """One test node in the place of several."""
    node = copy.deepcopy(tests[0])
    model = parent.rpartition(".")[2]
    node.name = f"tests_of_{model}"
    node.unique_id = f"test.{node.package_name}.{node.name}"
    node.alias = node.name
    node.fqn = [*node.fqn[:-1], node.name]
    node.column_name = None
    node.attached_node = None if parent == _UNREAD else parent
    node.test_metadata.name = "together"
    node.test_metadata.kwargs = {"tests": [_without_model(test) for test in tests]}
    node.depends_on.nodes = _united(test.depends_on.nodes for test in tests)
    node.depends_on.macros = _united(test.depends_on.macros for test in tests)
    node.refs = _united(test.refs for test in tests)
    node.sources = _united(test.sources for test in tests)
    node.raw_code = _statement(tests)
    return node


def _without_model(test: Any) -> dict[str, Any]:
    """Arguments of a test but its model, which dbt would compile as a template of its own."""
    kwargs: dict[str, Any] = test.test_metadata.kwargs
    return {name: value for name, value in kwargs.items() if name != "model"}


def _statement(tests: list[Any]) -> str:
    """One row per test that fails."""
    parts = []
    for place, test in enumerate(tests):
        call = _CALL.match(_CONFIG.sub("", test.raw_code.strip()))
        model = _MODEL.fullmatch(test.test_metadata.kwargs["model"])
        assert call is not None and model is not None
        arguments = f"model={model.group(1)}, **_dbt_generic_test_kwargs['tests'][{place}]"
        parts.append(
            f"select '{test.name}' as failed_test, count(*) as failed_rows from (\n"
            f"{{{{ {call.group(1)}({arguments}) }}}}\n"
            f") as found_{place}"
        )
    together = "\nunion all\n".join(parts)
    return f"select * from (\n{together}\n) as together where failed_rows > 0"


def _united(lists: Any) -> list[Any]:
    """All members, each once, in order."""
    found: list[Any] = []
    for members in lists:
        found.extend(each for each in members if each not in found)
    return found


class _Ancestors:
    """What each node needs, directly or not."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.known: dict[str, frozenset[str]] = {}

    def of(self, unique_id: str) -> frozenset[str]:
        """All nodes before a node."""
        if unique_id not in self.known:
            node = self.manifest.nodes.get(unique_id)
            parents = [] if node is None else list(node.depends_on_nodes)
            found = set(parents)
            for parent in parents:
                found |= self.of(parent)
            self.known[unique_id] = frozenset(found)
        return self.known[unique_id]

    def last_of(self, parents: list[str]) -> str | None:
        """The one of several nodes that comes after all others, if there is such a node.

        A test of it and of its ancestors can wait for it alone: so the test holds back the same
        models as before.
        """
        for each in parents:
            if all(other == each or other in self.of(each) for other in parents):
                return each
        return None
