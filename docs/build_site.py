"""Builds the documentation site from dbt's manifest and the written pages: `make docs`.

The written pages of the repository, a page per public table from dbt's manifest, and dbt's own
documentation with the lineage become one folder of static files. The pages stay readable on a
forge: links are those of the repository, and what they lead to is copied along.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = "customer_health"
SITE = PROJECT / "docs" / "site"
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "examples/**/*.md",
         "expectations/README.md")  # fmt: skip
TABLES = "tables"
DBT = "dbt/index.html"
# By reader, in the order of the menu.
ROOMS = {
    "core": "Facts and dimensions",
    "current": "Newest rows",
    "bi": "Dashboards",
    "activation": "Actions and CRM",
    "validation": "Does it predict?",
    "semantic": "Semantic layer",
}
_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2[^\n]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<![`\[])`([a-z]+_health__\w+)`(?![`\]])")


# dbt's documentation knows nothing of the site that it is part of.
_WAY_BACK = (
    '<a href="../index.html" style="position: fixed; bottom: 12px; left: 16px; z-index: 9; '
    'padding: 6px 12px; border-radius: 4px; background: #4051b5; color: #fff">← customer_health</a>'
)


class SiteError(Exception):
    """The site cannot be built; the message says what to do."""


@dataclass(frozen=True)
class Mart:
    """A public table.

    Attributes:
        name: of the model.
        room: folder below models/marts.
        grain: first sentence of the description.
        description: all of it.
        columns: name, type and meaning, in order.
        parents: models that it is made from.
        used_by: labels of the dashboards that show it.
    """

    name: str
    room: str
    grain: str
    description: str
    columns: tuple[tuple[str, str, str], ...]
    parents: tuple[str, ...]
    used_by: tuple[str, ...]


def main(arguments: list[str] | None = None) -> int:
    """Build the site; 1 with one line where that does not work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dbt-target", type=Path, default=PROJECT / "target",
                        help="folder with manifest.json and static_index.html")  # fmt: skip
    parser.add_argument("--out", type=Path, default=PROJECT / "target" / "site")
    chosen = parser.parse_args(arguments)
    try:
        page = build(chosen.dbt_target, chosen.out)
    except SiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Open {page}")
    return 0


def build(dbt_target: Path, out: Path) -> Path:
    """Build the site into a folder, which is replaced.

    Args:
        dbt_target: folder with manifest.json and static_index.html of dbt.
        out: the site; what is gathered for it is left in a folder beside it.

    Returns:
        Its first page.

    Raises:
        SiteError: when dbt's files are missing, or a link leads nowhere.
    """
    manifest_file, dbt_page = dbt_target / "manifest.json", dbt_target / "static_index.html"
    for file in (manifest_file, dbt_page):
        if not file.exists():
            raise SiteError(f"{file} is missing: run `dbt docs generate --static` first")
    manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    source = out.with_name(f"{out.name}-source")
    for folder in (source, out):
        shutil.rmtree(folder, ignore_errors=True)
    marts = read_marts(manifest)
    models = {
        node["name"]: node["unique_id"]
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed", "snapshot")
        and node["package_name"] == PACKAGE
    }
    pages = gather(source, {mart.name for mart in marts}, models)
    write_tables(source, marts, models)
    target = source / DBT
    target.parent.mkdir(parents=True)
    target.write_text(
        dbt_page.read_text(encoding="utf-8").replace("</body>", f"{_WAY_BACK}</body>"),
        encoding="utf-8",
    )
    for name in ("site.css", "iframe-worker.js"):
        shutil.copyfile(SITE / name, source / name)
    run_mkdocs(write_config(source, pages, marts), out)
    return out / "index.html"


def read_marts(manifest: Mapping[str, Any]) -> list[Mart]:
    """The public tables of the package, by room and name."""
    labels = {
        node["unique_id"]: node["label"] or node["name"] for node in manifest["exposures"].values()
    }
    found = []
    for node in manifest["nodes"].values():
        is_mart = node["resource_type"] == "model" and node["fqn"][:2] == [PACKAGE, "marts"]
        if not is_mart:
            continue
        description = " ".join(node["description"].split())
        found.append(
            Mart(
                name=node["name"],
                room=node["fqn"][2],
                grain=re.split(r"(?<=[.:]) ", description, maxsplit=1)[0].rstrip(":."),
                description=description,
                columns=tuple(
                    (column["name"], column.get("data_type") or "",
                     " ".join(column["description"].split()))
                    for column in node["columns"].values()
                ),
                parents=tuple(sorted(
                    parent.split(".")[2] for parent in set(node["depends_on"]["nodes"])
                    if parent.split(".")[0] in ("model", "seed")
                )),
                used_by=tuple(sorted(
                    labels[child] for child in set(manifest["child_map"][node["unique_id"]])
                    if child in labels
                )),
            )
        )  # fmt: skip
    order = list(ROOMS)
    return sorted(found, key=lambda mart: (order.index(mart.room), mart.name))


def gather(source: Path, marts: set[str], models: Mapping[str, str]) -> list[str]:
    """Copy the written pages, and the files of the repository that they lead to.

    Returns:
        Paths of the pages, relative to the repository.
    """
    pages = sorted({
        file.relative_to(PROJECT).as_posix()
        for pattern in PAGES
        for file in PROJECT.glob(pattern)
        if not {"dbt_packages", "target"} & set(file.relative_to(PROJECT).parts)
    })  # fmt: skip
    for page in pages:
        text = (PROJECT / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#\s]+)", text):
            copy_linked(source, page, link)
        target = source / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(link_tables(text, page, marts, models), encoding="utf-8")
    return pages


def copy_linked(source: Path, page: str, link: str) -> None:
    """Copy a file that a page links to; pages are gathered themselves, other hosts stay links."""
    if "://" in link or link.startswith("mailto:"):
        return
    file = Path(os.path.normpath(PROJECT / Path(page).parent / link))
    if file.suffix == ".md" or not file.is_file() or not file.is_relative_to(PROJECT):
        return  # what leads nowhere is the strict build's to say
    target = source / file.relative_to(PROJECT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def link_tables(text: str, page: str, marts: set[str], models: Mapping[str, str]) -> str:
    """Let the names of tables in the text lead to their page, or to dbt's where there is none."""
    up = "../" * page.count("/")

    def linked(match: re.Match[str]) -> str:
        name = match[1]
        if name in marts:
            return f"[`{name}`]({up}{TABLES}/{name}.md)"
        if name in models:
            return f"[`{name}`]({up}{dbt_address(models[name])})"
        return match[0]

    parts = []
    end = 0
    for fence in _FENCE.finditer(text):
        parts += [_outside_links(text[end : fence.start()], linked), fence[0]]
        end = fence.end()
    return "".join([*parts, _outside_links(text[end:], linked)])


def _outside_links(text: str, linked: Any) -> str:
    """Link names in a text without fences, not inside of links and headings."""
    lines = []
    for line in text.split("\n"):
        if line.startswith("#"):
            lines.append(line)
            continue
        parts = re.split(r"(!?\[[^\]]*\]\([^)]*\))", line)
        lines.append("".join(
            part if number % 2 else _CODE.sub(linked, part) for number, part in enumerate(parts)
        ))  # fmt: skip
    return "\n".join(lines)


def dbt_address(unique_id: str) -> str:
    """Where dbt's documentation shows a node, from the root of the site."""
    return f"{DBT}#!/{unique_id.split('.', maxsplit=1)[0]}/{unique_id}"


def write_tables(source: Path, marts: list[Mart], models: Mapping[str, str]) -> None:
    """Write a page per public table, and a page that lists them."""
    folder = source / TABLES
    folder.mkdir()
    names = {mart.name for mart in marts}
    for mart in marts:
        text = "\n".join(table_page(mart, models))
        text = link_tables(text, f"{TABLES}/{mart.name}.md", names - {mart.name}, models)
        (folder / f"{mart.name}.md").write_text(text, encoding="utf-8")
    lines = [
        "# Tables", "",
        f"The {len(marts)} public tables and views, made from the project's YAML. Readers find "
        "them in the published copy ([BI tools](../docs/bi.md)). The "
        f"[lineage](../{DBT}#!/overview?g_v=1) is that of dbt.",
    ]  # fmt: skip
    for room, label in ROOMS.items():
        lines += ["", f"## {label}", "", "| table | a row is |", "|---|---|"]
        lines += [
            f"| [`{mart.name}`]({mart.name}.md) | {cell(mart.grain)} |"
            for mart in marts if mart.room == room
        ]  # fmt: skip
    (folder / "README.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


def table_page(mart: Mart, models: Mapping[str, str]) -> Iterator[str]:
    """Lines of the page of a table."""
    address = f"../{dbt_address(models[mart.name])}"
    yield from (f"# {mart.name}", "", mart.description, "")
    yield f"[SQL, tests and lineage in dbt docs]({address}){{ .md-button }}"
    yield from ("", "| column | type | meaning |", "|---|---|---|")
    for name, kind, meaning in mart.columns:
        yield f"| `{name}` | {kind} | {cell(meaning)} |"
    if mart.parents:
        yield from ("", "Made from " + ", ".join(f"`{name}`" for name in mart.parents) + ".")
    if mart.used_by:
        yield from ("", "Shown by " + ", ".join(mart.used_by) + ".")
    yield ""


def cell(text: str) -> str:
    """A text that ends no cell of a table."""
    return text.replace("|", "\\|")


def write_config(source: Path, pages: list[str], marts: list[Mart]) -> Path:
    """Write MkDocs' configuration with the whole menu beside the gathered pages."""
    head, menu = (SITE / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")
    nav = list(whole_menu(yaml.safe_load(menu), pages, marts))
    settings = f"docs_dir: {json.dumps(str(source))}\n"
    config = source.with_suffix(".yml")
    text = head + "\n" + settings + yaml.safe_dump({"nav": nav}, sort_keys=False)
    config.write_text(text, encoding="utf-8")
    return config


def whole_menu(menu: list[Any], pages: list[str], marts: list[Mart]) -> Iterator[dict[str, Any]]:
    """The menu with examples, tables and what it does not name, without pages that are missing."""
    named: set[str] = set()
    for entry in menu:
        ((label, value),) = entry.items()
        if value == TABLES:
            rooms = [
                {title: [f"{TABLES}/{mart.name}.md" for mart in marts if mart.room == room]}
                for room, title in ROOMS.items()
            ]
            yield {label: [f"{TABLES}/README.md", *rooms]}
        elif value == "examples":
            examples = [page for page in pages if page.startswith("examples/")]
            named.update(examples)
            yield {label: sorted(examples, key=lambda page: (page.count("/"), page))}
        elif isinstance(value, list):
            there = [each for each in value if set(each.values()) <= set(pages)]
            named.update(page for each in there for page in each.values())
            yield {label: there}
        else:
            named.add(value)
            yield {label: value}
    more = [page for page in pages if page not in named]
    if more:
        yield {"More": more}


def run_mkdocs(config: Path, out: Path) -> None:
    """Let MkDocs make the site; whatever it warns of is an error.

    Raises:
        SiteError: with MkDocs' warnings.
    """
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(
        [*command, "--config-file", str(config), "--site-dir", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SiteError(f"mkdocs: {(done.stdout + done.stderr).strip()}")


if __name__ == "__main__":
    sys.exit(main())
