"""What every page of the app shows: `python pages.py PROJECT HOME ACCOUNT`, as JSON by page.

A process of its own, whose environment names the engine.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import dashboard_world

PAGES = ("portfolio", "account", "actions", "prediction", "what_if", "data_quality")
# When and as what it was published: another on each engine.
_OF_THE_PUBLICATION = re.compile(
    r"\d{4}-\d\d-\d\dT\d{14}-[0-9a-f]{6}|\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?( UTC)?"
)


def main(project: Path, home: Path, account: str) -> None:
    """Draw them, and print what they show."""
    found = {}
    for name in PAGES:
        query = {"account": account} if name == "account" else {}
        page = dashboard_world.page(name, home, query, project)
        assert not page.error, (name, [each.value for each in page.error])
        found[name] = _OF_THE_PUBLICATION.sub("…", dashboard_world.text_of(page))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
