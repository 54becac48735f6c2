"""The challenger version that a fit is written into, and the evidence beside it.

Never the champion, never a version that was published: those are immutable, and only a person
promotes (one status cell in a pull request). All seeds of one fit are replaced together.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.markup import escape

from customer_health import pipeline, policy, publication
from customer_health.errors import HealthError, UsageError
from customer_health.settings import Settings, parse_version

EVIDENCE_FOLDER = "policy_evidence"
_NUMBERED = re.compile(r"(.*?)(\d+)")

Cells = dict[str, str]


@dataclass(frozen=True)
class Challenger:
    """Where a fit goes.

    Attributes:
        version: name of the challenger.
        rows_of: version whose rows are to be read for it: itself, or the champion while it is
            still to be made.
        champion: the version in force.
        is_new: whether it is still to be made.
        seed_files: name of each seed to its file.
    """

    version: str
    rows_of: str
    champion: str
    is_new: bool
    seed_files: Mapping[str, Path]


def choose(settings: Settings, version: str | None, command: str) -> Challenger:
    """The challenger to write.

    Args:
        settings: the project.
        version: as asked for: a challenger, or a name that is free; None takes the newest
            challenger that was never published, else the next free name after the champion's.
        command: for the messages.

    Raises:
        HealthError: when it was published, or there is no champion.
        UsageError: when it is no challenger, or cannot be a name.
    """
    seed_files = policy.find_seed_files(settings.project_dir)
    if "scoring_versions" not in seed_files:
        raise HealthError("seeds/scoring_versions.csv: the seed is missing")
    rows = policy.read_seed("scoring_versions", seed_files["scoring_versions"]).rows
    status = {row.text("scoring_version"): row.text("status") for row in rows}
    champion = next((name for name, what in status.items() if what == "champion"), None)
    if champion is None:
        raise HealthError("seeds/scoring_versions.csv: no version is champion; set one to champion")
    last = publication.last_publication(settings)
    published = set() if last is None else {*last.policy_hashes, last.scoring_version}
    if version is None:
        open_ones = sorted(
            (row.text("valid_from"), row.text("scoring_version"))
            for row in rows
            if row.text("status") == "challenger" and row.text("scoring_version") not in published
        )
        version = open_ones[-1][1] if open_ones else _next_name(champion, {*status, *published})
    if version not in status:
        parse_version(version, "--version")
        return Challenger(version, champion, champion, True, seed_files)
    if status[version] != "challenger":
        raise UsageError(
            f"--version: {version} is {status[version]}, and {command} writes challengers only; "
            f"leave --version away, or name a new one, for example "
            f"{_next_name(champion, {*status, *published})}"
        )
    if version in published:
        raise HealthError(
            f"version {version} was published and is not changed any more: first "
            f"`customer-health policy new-version {version} NAME`, then the same with "
            "--version NAME"
        )
    return Challenger(version, version, champion, False, seed_files)


def _next_name(champion: str, taken: set[str]) -> str:
    """`v2` after `v1`; the champion's name with `_2` where it has no number."""
    matched = _NUMBERED.fullmatch(champion)
    stem, number = (matched[1], int(matched[2])) if matched else (f"{champion}_", 1)
    while True:
        number += 1
        if f"{stem}{number}" not in taken:
            return f"{stem}{number}"


Edit = Callable[[list[Cells]], list[Cells]]


def write(
    settings: Settings,
    challenger: Challenger,
    edits: Mapping[str, Edit],
    *,
    heading: str,
    evidence: str,
    reason: str,
) -> list[str]:
    """Make the version if it is new, then edit its rows and its evidence, all or nothing.

    Args:
        settings: the project.
        challenger: of `choose`.
        edits: seed to a function from all its rows (as text) to all its rows.
        heading: section of the evidence file; one of the same heading is replaced.
        evidence: the section, Markdown without the heading.
        reason: for scoring_versions, if the version is new.

    Returns:
        The files of the fit, as paths in the project.

    Raises:
        HealthError: when a seed belongs to an installed package or cannot be written. The seeds
            are then as they were, but for a new version, which is a copy of the champion.
    """
    seed_files = dict(challenger.seed_files)
    if challenger.is_new:
        pipeline.copy_version(
            settings,
            challenger.rows_of,
            challenger.version,
            valid_from=None,
            author=None,
            reason=reason,
        )
        seed_files = policy.find_seed_files(settings.project_dir)
    contents: dict[Path, bytes] = {}
    for name, edit in edits.items():
        path = pipeline.own_seed(settings, seed_files, name)
        contents[path] = _edited(path, edit)
    file = evidence_file(settings, challenger.version)
    file.parent.mkdir(parents=True, exist_ok=True)
    contents[file] = _with_section(file, challenger.version, heading, evidence).encode()
    policy.replace_files(contents)
    return sorted(
        path.resolve().relative_to(settings.project_dir.resolve()).as_posix() for path in contents
    )


def written_words(challenger: Challenger, files: Sequence[str]) -> str:
    """What was written and what comes next."""
    copied = (
        f" (a new version: a copy of {challenger.rows_of} in every seed, with these changes)"
        if challenger.is_new
        else ""
    )
    return escape(
        f"\nWrote challenger {challenger.version}{copied}: {', '.join(files)}. Review the "
        "change, then: customer-health run (it scores the challenger for the whole history; from "
        "then on its rows are not changed any more), and compare it in "
        "val_health__version_comparison. The champion is as it was."
    )


def evidence_file(settings: Settings, version: str) -> Path:
    """Where the evidence of a version stands: in the project, so that a reviewer sees it."""
    return settings.project_dir / EVIDENCE_FOLDER / f"{version}.md"


def version_edit(version: str, fitted_to: date, **cells: str) -> Edit:
    """Set cells of a version in scoring_versions; `fitted_to` never goes back."""

    def edit(rows: list[Cells]) -> list[Cells]:
        for row in rows:
            if row["scoring_version"] == version:
                row["fitted_to"] = max(row.get("fitted_to") or "", fitted_to.isoformat())
                row.update(cells)
        return rows

    return edit


def replace_rows(mine: Callable[[Cells], bool], new: Sequence[Cells]) -> Edit:
    """Put new rows where the first of the replaced ones stood, else at the end."""

    def edit(rows: list[Cells]) -> list[Cells]:
        places = [number for number, row in enumerate(rows) if mine(row)]
        kept = [row for row in rows if not mine(row)]
        place = places[0] if places else len(kept)
        kept[place:place] = list(new)
        return kept

    return edit


def _edited(path: Path, edit: Edit) -> bytes:
    """The CSV file after an edit, with its own header and line ends."""
    before = path.read_bytes()
    header, *records = csv.reader(io.StringIO(before.decode("utf-8-sig"), newline=""))
    rows = edit([dict(zip(header, record, strict=True)) for record in records if record])
    line_end = "\r\n" if b"\r\n" in before else "\n"
    cells = [[row.get(name, "") for name in header] for row in rows]
    return policy.csv_text(header, cells, line_end).encode()


def _with_section(file: Path, version: str, heading: str, text: str) -> str:
    """The evidence file with a section replaced or added."""
    if file.exists():
        parts = re.split(r"(?m)^(?=## )", file.read_text(encoding="utf-8"))
    else:
        parts = [
            f"# Evidence for {version}\n\n"
            "Written by `customer-health`, for the pull request that proposes this version. How "
            "to read it: docs/validation.md, 10 and 11.\n\n"
        ]
    section = f"## {heading}\n\n{text.strip()}\n\n"
    places = [number for number, part in enumerate(parts) if part.startswith(f"## {heading}\n")]
    if places:
        parts[places[0]] = section
    else:
        parts.append(section)
    return "".join(parts).rstrip() + "\n"
