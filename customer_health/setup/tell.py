"""What `init` and `doctor` print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health.gate_engines import URL_VARIABLE
from customer_health.settings import CONNECTORS, PROJECT_FILE, RAW_TABLES
from customer_health.setup.doctor import MARKS, Finding
from customer_health.setup.propose import PASSWORD_VARIABLE, Proposal

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


def proposal(found: Proposal, console: Console) -> None:
    """What was found, what will be unknown, and what to look at."""
    console.print(f"Looked at {escape(found.place.label)}", highlight=False, soft_wrap=True)
    console.print()
    _vendors(found, console)
    console.print()
    _unknown(found, console)
    if found.warnings:
        console.print()
    for warning in found.warnings:
        console.print(f"! {escape(warning)}", style="yellow", highlight=False, soft_wrap=True)


def files(found: Proposal, blocks: Mapping[str, str], console: Console) -> None:
    """What to write into files, one block each."""
    for name, text in blocks.items():
        if text:
            console.print()
            console.print(f"{escape(name)}:", style="bold", highlight=False)
            console.print()
            console.print(escape(text.rstrip()), highlight=False, soft_wrap=True)


def next_steps(
    found: Proposal, folder: Path, written: list[Path], command: str, console: Console
) -> None:
    """The commands to type next.

    Args:
        found: what was proposed.
        folder: of the project.
        written: files that were written there; none where it was only looked.
        command: what was typed, to be typed again with --write.
        console: where to print.
    """
    console.print()
    if written:
        names = ", ".join(file.name for file in written)
        console.print(f"Wrote {escape(names)} to {escape(str(folder))}. Next:", highlight=False)
        steps = [f"cd {folder}"]
    elif (folder / PROJECT_FILE).is_file():
        console.print(
            f"Nothing was written: {escape(str(folder))} has a project. Paste the blocks above "
            "into its files. Next, in its folder:",
            highlight=False,
            soft_wrap=True,
        )
        steps = []
    else:
        console.print("Nothing was written. To make a project of this, and next:", highlight=False)
        steps = [f"{command} --write --dir {folder}", f"cd {folder}"]
    if found.place.engine == "postgres":
        steps += [f"export {PASSWORD_VARIABLE}=…", f"unset {URL_VARIABLE}"]
    for step in (*steps, "dbt deps", "customer-health doctor", "customer-health run"):
        console.print(f"  {escape(step)}", highlight=False, soft_wrap=True)


def as_dict(found: Proposal, written: list[Path]) -> dict[str, Any]:
    """As JSON types."""
    return {
        "result": "ok",
        "place": found.place.label,
        "filled_by": found.filler,
        "missing": [table for table, used in found.using.items() if not used],
        "connected_weight": round(found.connected_weight, 6),
        "unknown_metrics": [
            {"label": weight.label, "weight": round(weight.share, 6)} for weight in found.unknown
        ],
        "account_links": {
            vendor: {
                "column": link.column,
                "filled_share": link.filled_share,
                "known_share": link.known_share,
            }
            for vendor, link in found.links.items()
        },
        "candidates": {
            domain: [
                {
                    "vendor": each.vendor,
                    "schema": each.schema,
                    "required_share": round(each.share, 6),
                    "known_columns": list(each.known),
                    "rows": each.rows(domain),
                    "newest": each.newest(domain),
                }
                for each in (vendor, *found.others[domain])
            ]
            for domain, vendor in found.chosen.items()
        },
        "warnings": found.warnings,
        "currencies_without_rates": found.unrated,
        "vars": found.variables(),
        "written": [str(file) for file in written],
    }


def findings(found: list[Finding], console: Console) -> None:
    """One line for each finding."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for each in found:
        colour = _COLOURS[each.state]
        check = "" if each.check == before else each.check
        table.add_row(f"[{colour}]{MARKS[each.state]}[/{colour}]", escape(check), escape(each.said))
        before = each.check
    console.print(table, highlight=False)
    bad = sum(each.state == "bad" for each in found)
    console.print()
    console.print(
        f"{bad} to mend before a run" if bad else "A run can go ahead: customer-health run",
        highlight=False,
    )


def _vendors(found: Proposal, console: Console) -> None:
    """Which vendor or schema fills what, and why."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    filler = found.filler
    for domain, vendors in CONNECTORS.items():
        names = sorted({table for tables in vendors.values() for table in tables})
        vendor = found.chosen.get(domain)
        own = [name for name in names if filler.get(name) == f"{found.raw_schema}.{name}"]
        said = []
        if vendor:
            said.append(f"[bold]{vendor.vendor}[/bold], schema {escape(vendor.schema)}")
            said.append(f"fills {', '.join(vendor.usable(domain))}")
            said += [escape(remark) for remark in _remarks(found, domain)]
        if own:
            said.append(f"raw tables in {escape(str(found.raw_schema))}: {', '.join(own)}")
        if not said:
            said.append(f"[yellow]nothing[/yellow]; there are connectors of {', '.join(vendors)}")
        table.add_row(domain, "\n".join(said))
    in_domains = {each for tables in CONNECTORS.values() for ts in tables.values() for each in ts}
    more = [name for name in RAW_TABLES if name not in in_domains and found.using[name]]
    if more:
        table.add_row("other", f"raw tables in {escape(str(found.raw_schema))}: {', '.join(more)}")
    console.print(table, highlight=False)


def _remarks(found: Proposal, domain: str) -> list[str]:
    """Why it is the vendor, what it lacks, and how its accounts are linked."""
    vendor = found.chosen[domain]
    there, known = vendor.known
    measured = vendor.in_words(domain)
    said = [f"{there} of {known} known columns{f'; {measured}' if measured else ''}"]
    for each in vendor.of_domain(domain):
        if each.missing:
            said.append(f"{each.raw_table} lacks {', '.join(each.missing)}")
        elif each.empty:
            said.append(f"{each.raw_table} has no rows in {', '.join(each.empty)}")
        elif each.lacking:
            said.append(f"{each.raw_table} without {', '.join(each.lacking)}")
    link = found.links.get(vendor.vendor)
    if link is not None and link.column is None:
        said.append("accounts by e-mail domain only, unless you map account_links")
    elif link is not None:
        shares = []
        if link.filled_share is not None:
            shares.append(f"{link.filled_share:.0%} filled")
        if link.known_share is not None:
            shares.append(f"{link.known_share:.0%} of these known")
        counted = f" ({', '.join(shares)})" if shares else ""
        said.append(f"accounts by {link.column}{counted}, else by domain")
    return said


def _unknown(found: Proposal, console: Console) -> None:
    """What will not be known, and what that is worth."""
    console.print(
        f"{found.connected_weight:.0%} of the standard scorecard has data",
        style="bold",
        highlight=False,
    )
    if not found.unknown:
        return
    console.print("Not connected, so their weight goes to the rest:", highlight=False)
    for weight in found.unknown:
        lacking = [table for table in weight.also if not found.using[table]]
        needs = " or ".join(lacking or weight.tables)
        console.print(
            f"  {weight.share:5.1%}  {escape(weight.label)} (needs {needs})",
            highlight=False,
            soft_wrap=True,
        )
