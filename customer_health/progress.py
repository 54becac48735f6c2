"""What a person sees while a command works: live progress on a terminal, plain lines elsewhere.

Everything here goes to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Reporter:
    """Tells the steps of a command.

    On a terminal each step has a spinner, a bar once its size is known, and its time. Elsewhere
    (cron, a pipe, CI) each step is one line when it ends.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.warnings: list[str] = []
        self.seconds: dict[str, float] = {}
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._detail = ""

    def note(self, message: str) -> None:
        """One line of information."""
        if not self.quiet:
            self.console.print(f"[dim]{escape(message)}[/dim]", highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """One line that deserves a look; kept for the result of the run."""
        self.warnings.append(message)
        self.console.print(
            f"[yellow]warning:[/yellow] {escape(message)}", highlight=False, soft_wrap=True
        )

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step while it runs, and one line with its time when it is done."""
        started = time.monotonic()
        self._detail = ""
        if self.console.is_terminal and not self.quiet:
            with Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[detail]}", markup=False),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            ) as progress:
                self._progress = progress
                self._task = progress.add_task(title, total=None, detail="")
                try:
                    yield
                finally:
                    self._progress = None
        else:
            yield
        seconds = time.monotonic() - started
        self.seconds[title] = round(seconds, 3)
        if not self.quiet:
            detail = f": {self._detail}" if self._detail else ""
            self.console.print(
                f"[green]✓[/green] {escape(title)}{escape(detail)} [dim]({seconds:.1f} s)[/dim]",
                highlight=False,
                soft_wrap=True,
            )

    def update(self, done: int, total: int, unit: str) -> None:
        """How far the step is, for example `update(37, 140, "dbt nodes")`."""
        self.detail(f"{done} of {total} {unit}")
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def update_share(self, share: float, stage: str) -> None:
        """How far the step is as a share (0-1), and what it does at the moment."""
        self.detail(stage)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=100 * share, total=100)

    def detail(self, text: str) -> None:
        """A short text beside the step; the last one stays on its line."""
        self._detail = text
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, detail=text)
