"""Writes the table of vars in docs/configuring.md (`--check` only compares it).

Names, defaults and effects are those of dbt_project.yml, where the comment behind a var says its
effect; types are those by which customer_health/settings.py validates.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

from customer_health.settings import PREFIX, var_types

PROJECT_DIR = Path(__file__).resolve().parents[1]
DOCUMENT = PROJECT_DIR / "docs" / "configuring.md"
BEGIN = "<!-- vars:begin (written by docs/update_vars.py from dbt_project.yml) -->"
END = "<!-- vars:end -->"
USING = re.compile(r"using_(\w+)")


def declared(text: str) -> list[tuple[str, str, str]]:
    """Name without prefix, default as written in YAML, and effect of every var.

    Args:
        text: of dbt_project.yml.

    Raises:
        SystemExit: for a var that no comment explains.
    """
    found = []
    for name, default in yaml.safe_load(text)["vars"].items():
        line = re.search(rf"^  {name}: .*?(?:\s#\s+(.*))?$", text, re.MULTILINE)
        short = name.removeprefix(PREFIX)
        effect = line[1] if line else None
        table = USING.fullmatch(short)
        if effect is None and table:
            effect = f"whether the raw table `{table[1]}` is declared"
        if effect is None:
            raise SystemExit(f"dbt_project.yml: no comment says what {name} does")
        shown = default if isinstance(default, str) else json.dumps(default)
        found.append((short, shown, effect))
    return found


def table() -> str:
    """The table, with its marks.

    Raises:
        SystemExit: for a var without type or effect.
    """
    types = var_types()
    text = (PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    lines = [BEGIN, "| var | type | default | effect |", "|---|---|---|---|"]
    for name, default, effect in declared(text):
        if name not in types:
            raise SystemExit(f"customer_health/settings.py: no type for {PREFIX}{name}")
        lines.append(f"| `{PREFIX}{name}` | {types[name]} | `{default}` | {effect} |")
    return "\n".join([*lines, END])


def main(arguments: list[str]) -> int:
    """Write or compare the table; 1 when it was to be compared and differs."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split("<!-- vars:begin", 1)
    after = rest.split(END, 1)[1]
    written = before + table() + after
    if "--check" in arguments:
        if written != text:
            print(f"{DOCUMENT.name} is behind: python docs/update_vars.py", file=sys.stderr)
        return int(written != text)
    DOCUMENT.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
