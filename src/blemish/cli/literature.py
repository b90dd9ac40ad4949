"""Commands that know the literature: papers, taxonomy, leaderboard, survey."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.printing import print_json
from blemish.core.errors import InputError
from blemish.core.files import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

    from blemish.core.tables import Table
    from blemish.literature import Node, Ours, Publication

papers_app = typer.Typer(
    help="List the papers of the field: filter, sort, cite.", invoke_without_command=True, rich_markup_mode=None
)
app.add_typer(papers_app, name="papers")


class PaperFormat(StrEnum):
    """What a list of papers is written as."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    bibtex = "bibtex"


class BoardFormat(StrEnum):
    """What a leaderboard is written as."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"


FamilyOption = Annotated[
    str, typer.Option(help="A place in the taxonomy: flow, embedding, memory-bank. [default: all]")
]
YearOption = Annotated[str, typer.Option(help="A year or a range: 2021, 2021-2023, 2024-, -2019. [default: all]")]
VenueOption = Annotated[str, typer.Option(help="A word of the venue: CVPR, TIP. [default: all]")]
CodeOption = Annotated[bool | None, typer.Option("--code/--no-code", help="With or without code. [default: either]")]
TextOption = Annotated[str, typer.Option(help="Words of the title, authors, short name or key. [default: any]")]
OursOption = Annotated[Path | None, typer.Option(help="Folder of benchmark results, for our column. [default: none]")]
RecalledOption = Annotated[
    bool, typer.Option("--recalled", help="Also numbers that were never checked, marked with ?.")
]


@papers_app.callback()
def papers(
    context: typer.Context,
    family: FamilyOption = "",
    year: YearOption = "",
    venue: VenueOption = "",
    code: CodeOption = None,
    text: TextOption = "",
    sort: Annotated[str, typer.Option(help="year (newest first), title, venue, family or key.")] = "year",
    form: Annotated[PaperFormat, typer.Option("--format", help="What to write.")] = PaperFormat.table,
) -> None:
    """List the papers of the field: filter, sort, cite. `blemish papers bibtex` is `--format bibtex`."""
    from blemish.literature import papers as find

    if context.invoked_subcommand is not None:
        context.obj = {"family": family, "year": year, "venue": venue, "code": code, "text": text}
        return
    _show_papers(find(family=family, year=year, venue=venue, code=code, text=text, sort=sort), form)


@papers_app.command()
def bibtex(
    context: typer.Context,
    family: FamilyOption = "",
    year: YearOption = "",
    venue: VenueOption = "",
    code: CodeOption = None,
    text: TextOption = "",
) -> None:
    """Print the papers as BibTeX: unique keys, special characters escaped. Options may stand before or after the word."""
    from blemish.literature import papers as find

    chosen: dict[str, Any] = dict(context.obj or {})
    for name, value in {"family": family, "year": year, "venue": venue, "code": code, "text": text}.items():
        if value in (None, ""):
            continue
        if chosen.get(name) not in (None, ""):
            raise InputError(f"--{name} is given before and after `bibtex`; give it once.")
        chosen[name] = value
    _show_papers(find(**chosen), PaperFormat.bibtex)


@app.command()
def taxonomy(
    svg: Annotated[Path | None, typer.Option(help="Write the picture to this file instead. [default: print]")] = None,
    papers: Annotated[bool, typer.Option("--papers", help="Also the papers of every place.")] = False,
) -> None:
    """Show the field as a tree: families and settings, how many papers each has, and our methods in their places."""
    from blemish.core.files import write_text
    from blemish.literature import taxonomy as grow
    from blemish.literature.drawing import svg as draw

    nodes = grow()
    if svg is not None:
        typer.echo(f"Written: {write_text(svg, draw(nodes))}")
        return
    from rich.tree import Tree

    root = Tree("Anomaly detection")
    for node in nodes:
        _branch(root, node, papers)
    _console(400).print(root)


@app.command()
def leaderboard(
    dataset: Annotated[str, typer.Argument(help="A data set under any of its names: mvtec_ad, VisA.")],
    setting: Annotated[
        str, typer.Option(help="one-class, multi-class, zero-shot, few-shot-4, noisy-0.1 ...")
    ] = "one-class",
    metric: Annotated[str, typer.Option(help="image_auroc, pixel_auroc, aupro ...")] = "image_auroc",
    ours: OursOption = None,
    recalled: RecalledOption = False,
    every: Annotated[bool, typer.Option("--every", help="A line a number, with conditions and source.")] = False,
    sort: Annotated[str, typer.Option(help="published, quoted, re-run, ours, recalled or method.")] = "published",
    form: Annotated[BoardFormat, typer.Option("--format", help="What to write.")] = BoardFormat.table,
) -> None:
    """Show what was reached on a data set: published, quoted, re-run and our numbers in columns that are never mixed."""
    from blemish.literature import leaderboard as gather

    board = gather(dataset, setting=setting, metric=metric, ours=_ours(ours), recalled=recalled, sort=sort)
    if form is BoardFormat.json:
        return print_json(board.as_dict())
    table = board.table(every=every)
    if form is BoardFormat.table:
        _show_table(table)
    else:
        typer.echo(table.written(form.value), nl=False)
    for note in board.notes():  # beside a file for machines, the notes go where people read
        typer.echo(printable(note), err=form in (BoardFormat.csv, BoardFormat.latex))


@app.command()
def survey(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Results of this data set; may be repeated. [default: two]"),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Results in this metric; may be repeated. [default: three]")
    ] = None,
    ours: OursOption = None,
    recalled: RecalledOption = False,
) -> None:
    """Write the skeleton of a survey: Markdown, LaTeX, the picture of the taxonomy, and the BibTeX of what it cites."""
    from blemish.literature import survey as write
    from blemish.literature.survey import DATASETS, METRICS

    paths = write(out, datasets=dataset or DATASETS, metrics=metric or METRICS, ours=_ours(ours), recalled=recalled)
    for path in paths:
        typer.echo(f"Written: {path}")


def _ours(folder: Path | None) -> tuple[Ours, ...] | None:
    if folder is None:
        return None
    from blemish.benchmark.results.ours import ours

    return ours(folder)


def _show_papers(found: tuple[Publication, ...], form: PaperFormat) -> None:
    from blemish.core.tables import Table
    from blemish.literature import bibtex as as_bibtex

    if form is PaperFormat.bibtex:
        typer.echo(as_bibtex(found), nl=False)
    elif form is PaperFormat.json:
        print_json([asdict(paper) | {"link": paper.link} for paper in found])
    elif form is PaperFormat.table:
        short = ("year", "venue", "title", "family", "code", "key")
        rows = [[str(p.year or ""), p.venue, p.title, p.family, "yes" if p.code else "", p.key] for p in found]
        _show_table(Table("", short, rows))
        typer.echo(f"{len(found)} paper{'s' * (len(found) != 1)}")
    else:
        head = ("key", "title", "authors", "venue", "year", "family", "link", "code")
        rows = [[str(getattr(p, name) or "") for name in head] for p in found]
        typer.echo(Table("Papers", head, rows).written(form.value), nl=False)


def _show_table(table: Table) -> None:
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn, console = Drawn(title=Text(table.title) if table.title else None, box=box.SIMPLE_HEAD), _console(200)
    # Headings are not torn where all fit; where they do not, a torn heading is better than a lost column.
    whole = sum(len(name) + 3 for name in table.head) < console.width
    for name in table.head:
        drawn.add_column(Text(name), overflow="fold", min_width=len(name) if whole else None)
    for row in table.body:
        drawn.add_row(*(Text(printable(text)) for text in row))
    console.print(drawn)


def _console(width: int) -> Console:
    """Return a console as wide as the terminal, or `width` letters where there is none: a pipe gets whole lines."""
    import os

    from rich.console import Console

    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=width)


def _branch(tree: Tree, node: Node, papers: bool) -> None:
    from rich.text import Text

    label = Text(f"{node.name} ({node.paper_count})")
    if node.methods:
        label.append("  " + ", ".join(node.methods), style="italic")
    branch = tree.add(label)
    for paper in node.papers if papers else ():
        branch.add(Text(f"{paper.year or ''} {paper.title} [{paper.key}]".strip(), style="dim"))
    for child in node.children:
        _branch(branch, child, papers)
