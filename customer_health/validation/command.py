"""What `customer-health validate` does, in order; the command line prints it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from customer_health.progress import Reporter
from customer_health.settings import Settings
from customer_health.validation import baseline, page, rebuild
from customer_health.validation.figures import open_marts, read_figures
from customer_health.validation.leak_tests import look_at_marts, skipped
from customer_health.validation.report import Report, judge

NOT_ASKED = "left out with --no-rebuild"


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        version: scoring version; None takes the champion.
        scorecard: None takes that of most accounts.
        candidate: read the candidate instead of the readers' copy.
        can_rebuild: whether leak tests 1 and 2 run.
        rebuild_date: the date they build again; None takes one about three months back.
        html: file of the page; None takes the home folder.
        against: baseline to compare with.
        write_baseline: baseline to write.
        tolerance: how much a guarded figure may fall.
    """

    version: str | None = None
    scorecard: str | None = None
    candidate: bool = False
    can_rebuild: bool = True
    rebuild_date: date | None = None
    html: Path | None = None
    against: Path | None = None
    write_baseline: Path | None = None
    tolerance: float = baseline.TOLERANCE


@dataclass(frozen=True)
class Done:
    """The report, where its page is, and why the command does not end well."""

    report: Report
    pages: list[Path]
    problems: list[str]


def validate(settings: Settings, options: Options, reporter: Reporter) -> Done:
    """Read the figures, try the leak tests, write the page.

    Raises:
        HealthError: when there is nothing to read, a rebuild or the comparison cannot be made.
    """
    with open_marts(settings, candidate=options.candidate) as connection:
        with reporter.step("figures"):
            figures = read_figures(
                connection,
                settings,
                version=options.version,
                scorecard=options.scorecard,
                candidate=options.candidate,
            )
            where = page.paths(settings, figures, options.html)
            compared = (
                baseline.compare(options.against, figures, options.tolerance)
                if options.against is not None
                else []
            )
            by_marts = look_at_marts(connection, figures)
        if options.can_rebuild:
            tests = rebuild.look_at_rebuild(
                settings, connection, figures, options.rebuild_date, reporter
            )
        else:
            tests = [skipped(1, NOT_ASKED), skipped(2, NOT_ASKED)]
    tests += by_marts
    report = Report(figures, tests, judge(figures, tests), compared)
    with reporter.step("page"):
        page.write(report, where)
    if options.write_baseline is not None:
        baseline.write(options.write_baseline, figures)
    problems = []
    if report.verdict.is_suspicious:
        problems.append(report.verdict.words)
    problems += [f"{each.in_words()}" for each in compared if each.has_fallen]
    return Done(report, where, problems)
