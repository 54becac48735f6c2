"""Compiled templates are kept between runs, and only ever what the text says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dbt_common.clients import jinja
from dbt_common.exceptions import CompilationError

from customer_health import templates
from customer_health.templates import kept_templates


def rendered(text: str, context: dict[str, Any] | None = None, **options: Any) -> str:
    """What dbt makes of a template."""
    template = jinja.get_template(text, {}, **options)
    return jinja.render_template(template, context or {})


def test_a_text_is_compiled_once(tmp_path: Path, compiled: list[str]) -> None:
    """Also for a later process, which reads the file; values are those of each rendering."""
    for number in (1, 2):
        with kept_templates(tmp_path / "new" / "kept"):
            assert rendered("select {{ n + 1 }}", {"n": number}) == f"select {number + 1}"
            assert rendered("select {{ n + 1 }}", {"n": 7}) == "select 8"
    assert len(compiled) == 1
    with kept_templates(tmp_path / "new" / "kept"):
        assert rendered("select {{ n + 2 }}", {"n": 1}) == "select 3"
    assert len(compiled) == 2


def test_macros_and_what_they_call(tmp_path: Path, compiled: list[str]) -> None:
    """Macros, loops and what dbt captures while it parses are the same from a kept template."""
    text = "{% macro each(n) %}{% for i in range(n) %}{{ i }}{{ ',' if not loop.last }}{% endfor %}"
    text += "{% endmacro %}{{ dbt_macro__each(3) }}{{ unknown(1) }}"
    for _ in range(2):
        with kept_templates(tmp_path / "kept"):
            assert rendered(text, {"unknown": lambda n: f"!{n}"}) == "0,1,2!1"
            assert rendered(text, capture_macros=True).startswith("0,1,2")
            with pytest.raises(CompilationError, match="unknown"):
                rendered(text)
    assert len(compiled) == 1


def test_nothing_stays_behind(tmp_path: Path, compiled: list[str]) -> None:
    """Outside of a run dbt compiles as always, also after an error."""
    before = jinja.MacroFuzzEnvironment.compile
    refused = pytest.raises(CompilationError, match="Expected an expression")
    with refused, kept_templates(tmp_path / "kept"):
        rendered("{{ 1 }}")
        rendered("{% if %}")
    assert jinja.MacroFuzzEnvironment.compile == before
    rendered("{{ 1 }}")
    assert len(compiled) == 2


@pytest.mark.parametrize("spoiled", [b"", b"x" * 100, "cut", "changed", "other versions"])
def test_what_cannot_be_used_is_compiled_anew(
    tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch, spoiled: str | bytes
) -> None:
    file = tmp_path / "kept"
    with kept_templates(file):
        assert rendered("{{ 'same' }}") == "same"
    whole = file.read_bytes()
    if isinstance(spoiled, bytes):
        file.write_bytes(spoiled)
    elif spoiled == "cut":
        file.write_bytes(whole[:-10])
    elif spoiled == "changed":
        file.write_bytes(whole.replace(b"same", b"lame"))
    else:
        monkeypatch.setattr(templates, "_VERSIONS", "Python 4")
    for count in (2, 2):  # written whole again
        with kept_templates(file):
            assert rendered("{{ 'same' }}") == "same"
        assert len(compiled) == count


def test_old_texts_do_not_pile_up(
    tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept"
    with kept_templates(file):
        rendered("{{ 1 }}")
    monkeypatch.setattr(templates, "_MOST_BYTES", file.stat().st_size)
    with kept_templates(file):
        rendered("{{ 1 }}{{ 2 }}")
    largest = file.stat().st_size
    with kept_templates(file):
        rendered("{{ 3 }}")
    assert file.stat().st_size < largest and len(compiled) == 3


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    """Here a file is where the folder would be."""
    (tmp_path / "taken").write_text("")
    with kept_templates(tmp_path / "taken" / "kept"):
        assert rendered("{{ 1 + 1 }}") == "2"


def test_debugging_of_macros_is_left_alone(
    tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbt then gives each template a name of its own."""
    monkeypatch.setattr(jinja, "MACRO_DEBUGGING", True)
    for count in (1, 2):
        with kept_templates(tmp_path / "kept"):
            rendered("{{ 1 }}")
        assert len(compiled) == count
