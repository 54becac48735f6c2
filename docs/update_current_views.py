"""Writes the YAML of the `…_current` views: `python docs/update_current_views.py`.

A view has the columns of its mart and the publication that they belong to.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

MARTS = Path(__file__).resolve().parents[1] / "models" / "marts"
SUFFIX = "_current"


def declared() -> dict[str, dict[str, Any]]:
    """What the YAML of the marts says, by name of the model."""
    found = {}
    for path in sorted(MARTS.glob("**/*.yml")):
        for model in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", []):
            found[model["name"]] = model
    return found


def written(view: str, mart: dict[str, Any]) -> str:
    """The YAML of a view.

    Args:
        view: its name.
        mart: what the YAML of its mart says.
    """
    grain = re.split(r"(?<=[^.]{3}[.:]) ", " ".join(mart["description"].split()), maxsplit=1)[0]
    meaning = (
        f"{grain.rstrip(':.')}: the newest rows of {mart['name']}, with the publication that they "
        "belong to."
    )
    columns: list[dict[str, str]] = [
        {
            "name": "publication_id",
            "description": "{{ doc('publication_id') }}",
            "data_type": "text",
        },
        *(
            {key: column[key] for key in ("name", "description", "data_type") if key in column}
            for column in mart["columns"]
        ),
    ]
    lines = [
        f"# Written by docs/update_current_views.py from the YAML of {mart['name']}.",
        "version: 2",
        "",
        "models:",
        f"  - name: {view}",
        "    description: >",
        *textwrap.wrap(meaning, 96, initial_indent=" " * 6, subsequent_indent=" " * 6),
        "    columns:",
    ]
    for column in columns:
        text = " ".join(column["description"].split())
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        lines += [
            f"      - name: {column['name']}",
            f'        description: "{quoted}"',
            *([f"        data_type: {column['data_type']}"] if "data_type" in column else []),
        ]
    return "\n".join([*lines, ""])


def expected() -> dict[Path, str]:
    """What the YAML of every view has to be."""
    marts = declared()
    return {
        path.with_suffix(".yml"): written(path.stem, marts[path.stem.removesuffix(SUFFIX)])
        for path in sorted((MARTS / "current").glob("*.sql"))
    }


if __name__ == "__main__":
    for path, text in expected().items():
        path.write_text(text, encoding="utf-8")
