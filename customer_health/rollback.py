"""Going back: a kept publication in the place of the readers' copy.

A publication that turns out to be wrong, or a readers' copy that was damaged, is replaced by one
of the kept publications, read through before it is put in place. What readers are taken back from
stays kept until the next publication, so that going forward again is the same command.

History follows the readers' copy: its list of publications does not name what was withdrawn, and
the next run takes publications and snapshots from it (`publication.restore_history`). The
candidate still holds the scores that were withdrawn, so it cannot be published as it stands; the
next run builds its last days again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health.errors import HealthError, UsageError
from customer_health.publication import (
    Publication,
    kept_files,
    publications_in,
    put_back,
    read_manifest,
    read_through,
    withdrawn_ids,
    write_json,
)
from customer_health.settings import Settings

CURRENT, KEPT, WITHDRAWN, DAMAGED = "current", "kept", "withdrawn", "damaged"


@dataclass(frozen=True)
class Kept:
    """A kept publication. `size_bytes` is that of its database; numbers are null if damaged.

    `state` is `current` (readers have it), `kept`, `withdrawn` (rolled back, until the next
    publication) or `damaged`.
    """

    publication_id: str
    state: str
    as_of_date: date | None
    published_at: datetime | None
    scored_account_count: int | None
    account_count: int | None
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; instants end in Z."""
        written = asdict(self)
        written["as_of_date"] = self.as_of_date.isoformat() if self.as_of_date else None
        written["published_at"] = f"{self.published_at.isoformat()}Z" if self.published_at else None
        return written


@dataclass(frozen=True)
class Plan:
    """What a rollback would do.

    Attributes:
        target: the publication that readers would have.
        path: its database in the publications folder; None where it lies in a server.
        current: what readers have now; None when their copy is missing or damaged.
        withdrawn: ids that would not be published any more, kept until the next publication.
        remarks: what was found on the way, one line each.
    """

    target: Publication
    path: Path | None
    current: Publication | None
    withdrawn: frozenset[str]
    remarks: tuple[str, ...] = ()


def list_kept(settings: Settings) -> list[Kept]:
    """The kept publications, the one published last first."""
    try:
        current = publications_in(settings.published)[0].publication_id
    except HealthError:
        current = None
    withdrawn = withdrawn_ids(settings)
    return [_look_at(path, current, withdrawn) for path in kept_files(settings)]


def _look_at(path: Path, current: str | None, withdrawn: frozenset[str]) -> Kept:
    """One kept publication as its database tells."""
    try:
        newest = publications_in(path)[0]
    except HealthError:
        manifest = read_manifest(path.with_suffix(".json"))
        return Kept(
            path.stem,
            DAMAGED,
            manifest.as_of_date if manifest else None,
            manifest.published_at if manifest else None,
            None,
            None,
            path.stat().st_size,
        )
    state = WITHDRAWN if path.stem in withdrawn else KEPT
    if current == path.stem:
        state = CURRENT
    return Kept(
        newest.publication_id,
        state,
        newest.as_of_date,
        newest.published_at,
        newest.scored_account_count,
        newest.account_count,
        path.stat().st_size,
    )


def plan_rollback(settings: Settings, wanted: str | None = None) -> Plan:
    """Choose the publication to go back to, and read it through.

    Args:
        settings: where the files are.
        wanted: a publication id; None takes the newest that is older than what readers have, or,
            where their copy is missing or damaged, the newest that is whole.

    Raises:
        UsageError: for an id that is not kept, or that readers have already.
        HealthError: when nothing kept is whole, or nothing is older.
    """
    kept = kept_files(settings)
    if not kept:
        raise HealthError(
            f"no publication is kept in {settings.publications_dir}: "
            "`customer-health run` makes one"
        )
    current = _current(settings)
    remarks: list[str] = []
    if current is None:
        remarks.append(f"{settings.published.name} is missing or damaged")
    if wanted is not None:
        path = _find(kept, wanted, current)
        read_through(path)
    else:
        path = _newest_whole(settings, kept, current, remarks)
    listed = {each.publication_id for each in publications_in(path)}
    had = set(withdrawn_ids(settings))
    if current is not None:
        had.update(each.publication_id for each in publications_in(settings.published))
    elif wanted is not None:
        # Their own copy cannot say what readers had: what is kept and newer was passed over.
        had.update(each.stem for each in kept[: kept.index(path)])
    still_kept = {each.stem for each in kept}
    target = publications_in(path)[0]
    return Plan(target, path, current, frozenset((had - listed) & still_kept), tuple(remarks))


def _current(settings: Settings) -> Publication | None:
    """What readers have; None when their copy is missing or damaged anywhere."""
    try:
        read_through(settings.published)
        return publications_in(settings.published)[0]
    except HealthError:
        return None


def _find(kept: list[Path], wanted: str, current: Publication | None) -> Path:
    """The kept database of a publication id."""
    if current is not None and current.publication_id == wanted:
        raise UsageError(f"readers have {wanted} already: `rollback --list` shows the others")
    for path in kept:
        if path.stem == wanted:
            return path
    raise unknown_publication(wanted, [path.stem for path in kept])


def unknown_publication(wanted: str, kept: Sequence[str]) -> UsageError:
    """What to say about an id that is not among the kept ones."""
    near = get_close_matches(wanted, kept, n=1, cutoff=0.3)
    hint = f", the nearest is {near[0]}" if near else ""
    return UsageError(
        f"no publication {wanted!r} is kept{hint}: `customer-health rollback --list` shows them"
    )


def _newest_whole(
    settings: Settings, kept: list[Path], current: Publication | None, remarks: list[str]
) -> Path:
    """The newest kept database that is whole, not withdrawn, and older than what readers have."""
    withdrawn = withdrawn_ids(settings)
    older = None
    if current is not None:
        older = {each.publication_id for each in publications_in(settings.published)[1:]}
    for path in kept:
        if path.stem in withdrawn or (older is not None and path.stem not in older):
            continue
        try:
            read_through(path)
            return path
        except HealthError:
            remarks.append(f"{path.name} is damaged and was passed over")
    if current is not None:
        raise HealthError(
            f"nothing older than {current.publication_id} is kept whole: mend the cause and "
            "`customer-health run`"
        )
    raise HealthError(
        f"{settings.published.name} is missing or damaged, and no kept publication is whole: "
        "`customer-health run` makes a new one"
    )


def roll_back(settings: Settings, plan: Plan) -> Publication:
    """Do it, under the run lock that the caller holds.

    Raises:
        HealthError, OSError: nothing was replaced.
    """
    assert plan.path is not None
    if plan.withdrawn:
        refuse_candidate(settings)
    return put_back(settings, plan.path, plan.withdrawn)


def refuse_candidate(settings: Settings) -> None:
    """Note that the candidate holds what was withdrawn: `publish` would bring it back."""
    try:
        state = json.loads(settings.candidate_state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        state = {}
    if not isinstance(state, dict) or not state:
        return
    noted_at = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(settings.candidate_state, {**state, "state": "rolled_back", "noted_at": noted_at})


def advice(settings: Settings, plan: Plan) -> str:
    """What to do next, with the command."""
    if not plan.withdrawn:
        return "Next: `customer-health run`, as every day."
    forward = max(plan.withdrawn)
    text = f"{forward} is kept until the next publication: `customer-health rollback {forward}`. "
    lookback = int(settings.project_vars.get("lookback_days", 3))
    newest = plan.current.as_of_date if plan.current else plan.target.as_of_date
    if newest > plan.target.as_of_date + timedelta(days=lookback):
        first = plan.target.as_of_date + timedelta(days=1)
        return text + (
            f"Next: mend the cause, then `customer-health run --backfill {first} {newest}`, since "
            f"a run by itself builds the last {lookback} days again"
        )
    return f"{text}Next: mend the cause, then `customer-health run`"


def in_words(plan: Plan) -> str:
    """What a rollback would do, as a sentence."""
    now = plan.current.publication_id if plan.current else "a missing or damaged copy"
    return (
        f"readers would go from {now} to {plan.target.publication_id}: scores of "
        f"{plan.target.as_of_date} for {plan.target.scored_account_count:,} of "
        f"{plan.target.account_count:,} accounts"
    )


def render_kept(kept: list[Kept], console: Console) -> None:
    """Print the kept publications for a person."""
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    # The id begins with the date of the scores.
    table.add_column("Publication", no_wrap=True)
    table.add_column("Published (UTC)", no_wrap=True)
    table.add_column("Scored", justify="right", no_wrap=True)
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("")
    for each in kept:
        table.add_row(
            escape(each.publication_id),
            f"{each.published_at:%Y-%m-%d %H:%M}" if each.published_at else "–",
            "–" if each.scored_account_count is None else f"{each.scored_account_count:,}",
            in_bytes(each.size_bytes),
            "" if each.state == KEPT else each.state,
        )
    console.print(table)


def in_bytes(size: float) -> str:
    """A size in words: `8.7 MB`."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"
