"""The skeleton of a survey: Markdown, LaTeX, the figure of the taxonomy, and the BibTeX of everything it cites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blemish.core.files import write_text
from blemish.core.tables import Table, escape_latex, longtable
from blemish.literature.bibtex import bibtex
from blemish.literature.drawing import latex_picture, svg
from blemish.literature.entries import find, known_name
from blemish.literature.facts import DatasetFacts, Metric, datasets, methods, metrics, settings
from blemish.literature.leaderboard import Leaderboard, Ours, leaderboard
from blemish.literature.papers import Publication, every_paper, paper
from blemish.literature.results import MARK, disputes
from blemish.literature.taxonomy import Node, taxonomy

DATASETS = ("mvtec_ad", "visa")
METRICS = ("image_auroc", "pixel_auroc", "aupro")
"""What a survey shows if nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a survey says, before it is written as Markdown or LaTeX.

    Attributes:
        tree: The taxonomy.
        compared: The table of methods.
        sets: The table of data sets.
        cited: Keys of papers, by the first text of a table's row.
        measures: The metrics that are explained.
        boards: (id of a setting, its leaderboards that have rows).
    """

    tree: tuple[Node, ...]
    compared: Table
    sets: Table
    cited: dict[str, str]
    measures: tuple[Metric, ...]
    boards: tuple[tuple[str, tuple[Leaderboard, ...]], ...]


def survey(
    out: Path | str,
    *,
    datasets: Sequence[str] = DATASETS,
    metrics: Sequence[str] = METRICS,
    ours: Sequence[Ours] | None = None,
    recalled: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Path, ...]:
    """Write survey.md, survey.tex, references.bib and taxonomy.svg into a folder.

    Args:
        out: The folder; files of these names are replaced.
        datasets: Any names of the data sets whose results are shown.
        metrics: Any names of the metrics; the results have one part a setting.
        ours: Our numbers, None for no column of ours.
        recalled: Whether recalled numbers are shown, in a column of their own.
        progress: Called with the name of each file before it is written.

    Returns:
        The paths of the files.

    Raises:
        UnknownName: no such data set or metric.
        StorageError: the folder cannot be written.
    """
    content = gathered(datasets, metrics, ours, recalled)
    folder = Path(out)
    texts = {
        "taxonomy.svg": svg(content.tree),
        "references.bib": bibtex(every_paper()),
        "survey.md": written_markdown(content),
        "survey.tex": written_latex(content, latex_picture(content.tree)),
    }
    paths = []
    for name, text in texts.items():
        progress(name)
        paths.append(write_text(folder / name, text))
    return tuple(paths)


def gathered(names: Sequence[str], measures: Sequence[str], ours: Sequence[Ours] | None, recalled: bool) -> Content:
    """Gather what a survey says.

    Args:
        names: Any names of data sets.
        measures: Any names of metrics.
        ours: Our numbers, None for no column of ours.
        recalled: Whether recalled numbers are shown.

    Returns:
        The content; a data set or metric named twice is there once.

    Raises:
        UnknownName: no such data set or metric.
    """
    sets = dict.fromkeys(find("datasets", name) for name in names)
    measured = dict.fromkeys(find("metrics", name) for name in measures)
    tree = taxonomy()
    places = {p.key: node for top in tree for node in top.walk() for p in node.papers}
    implemented = {known_name(name): name for top in tree for node in top.walk() for name in node.methods}
    compared, cited = [], {}
    for entry in sorted(methods().values(), key=lambda m: (places[m.paper].id if m.paper else "~", m.name.lower())):
        if not entry.paper:
            continue
        found = paper(entry.paper)
        cited[entry.name] = found.key
        year = str(found.year or "")
        code = "yes" if found.code else ""
        row = [entry.name, places[found.key].name, found.venue, year, code, implemented.get(entry.name, "")]
        compared.append(row)
    boards = []
    for setting in settings():
        every = (
            leaderboard(s, setting=setting, metric=m, ours=ours, recalled=recalled) for s in sets for m in measured
        )
        shown = tuple(board for board in every if board.rows)
        if shown:
            boards.append((setting, shown))
    table, more = _sets()
    return Content(
        tree=tree,
        compared=Table("Methods", ["method", "family", "venue", "year", "code", "in blemish"], compared),
        sets=table,
        cited=cited | more,
        measures=tuple(metrics()[m] for m in measured),
        boards=tuple(boards),
    )


def _sets() -> tuple[Table, dict[str, str]]:
    """Return the table of data sets, and which paper each cites."""
    head = ["data set", "year", "images", "good", "defective", "classes", "truth", "licence"]
    shown: list[DatasetFacts] = [d for d in datasets().values() if not d.kind and d.counted]
    body = [
        [
            d.name,
            d.shown("year"),
            *(d.shown(field) for field in ("images", "normal", "anomalous")),
            str(len(d.categories) or ""),
            d.annotation,
            d.shown("licence"),
        ]
        for d in sorted(shown, key=lambda d: (d.year or 0, d.name))
    ]
    return Table(f"Data sets ({MARK} recalled, not checked)", head, body), {d.name: d.paper for d in shown if d.paper}


def cite(key: str) -> str:
    """Return LaTeX that cites papers.

    Args:
        key: The key of one, or several with commas between.

    Returns:
        The command, with a space before it that does not break.
    """
    return rf"~\cite{{{key}}}"


def written_markdown(content: Content) -> str:
    """Return the survey as one Markdown page.

    Args:
        content: What it says.

    Returns:
        The page; its figure is the file taxonomy.svg in the same folder.
    """
    parts = ["# A survey of visual anomaly detection", "", "(Write the introduction here.)", "", "## Taxonomy", ""]
    parts += ["![Families and settings, with the number of papers](taxonomy.svg)", ""]
    for top in content.tree:
        parts += [f"### {top.name}", ""]
        for node in top.walk():
            if node is not top:
                parts += [f"#### {node.name}", ""]
            parts += [f"{node.says}", ""] if node.says else []
            parts += [f"- {_listed(paper)}" for paper in node.papers]
            parts += [""] if node.papers else []
    parts += ["## Methods compared", "", content.compared.written("markdown")]
    parts += ["## Data sets", "", content.sets.written("markdown")]
    parts += [f"- {datasets()[d.dataset].name}: {d.says}" for d in disputes() if d.about]
    parts += ["", "## Metrics", ""]
    for metric in content.measures:
        chance = f" Chance: {metric.chance}." if metric.chance else ""
        parts += [f"### {metric.name}", "", f"{metric.says}{chance}", ""]
        parts += [f"- {text}" for text in metric.disagreements]
        parts += [""]
    parts += ["## Results", ""]
    for setting, boards in content.boards:
        parts += [f"### {settings()[setting].name}", "", settings()[setting].says, ""]
        for board in boards:
            parts += [f"#### {board.dataset.name}, {board.metric.name} (%)", "", board.table().written("markdown")]
            parts += [f"- {note}" for note in board.notes(traps=False)]
            parts += [""]
    return "\n".join(parts).rstrip() + "\n"


def _listed(paper: Publication) -> str:
    title = paper.title.replace("[", "\\[").replace("]", "\\]")
    linked = f"[{title}]({paper.link})" if paper.link else title
    where = " ".join(part for part in (paper.venue, str(paper.year or "")) if part)
    code = f" ([code]({paper.code}))" if paper.code else ""
    return f"{linked}{', ' if where else ''}{where}{code} `{paper.key}`"


HEAD = r"""\documentclass[10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage[a4paper,margin=20mm]{geometry}
\usepackage{array}
\usepackage{longtable}
\usepackage{url}
\title{A survey of visual anomaly detection}
\author{}
\begin{document}
\maketitle
\section{Introduction}
Write the introduction here.
"""

SETS = r"lrrrrr>{\raggedright}p{24mm}>{\raggedright\arraybackslash}p{26mm}"
"""The columns of the table of data sets."""

TAIL = r"""\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""


def written_latex(content: Content, picture: str) -> str:
    """Return the survey as one LaTeX file: only packages that every TeX brings, every special character escaped.

    Args:
        content: What it says.
        picture: The taxonomy as LaTeX.

    Returns:
        The file; references.bib has every entry it cites.
    """
    parts = [HEAD + r"\section{Taxonomy}"]
    caption = r"\caption{Families and settings, with the number of papers; methods of blemish in italics.}"
    parts += [r"\begin{figure}[htbp]", r"\centering", picture + caption, r"\end{figure}"]
    for top in content.tree:
        parts.append(rf"\subsection{{{escape_latex(top.name)}}}")
        for node in top.walk():
            if node is not top:
                parts.append(rf"\subsubsection{{{escape_latex(node.name)}}}")
            parts += [escape_latex(node.says)] if node.says else []
            parts += [f"{len(node.papers)} papers{cite(','.join(p.key for p in node.papers))}."] if node.papers else []
    parts += [r"\section{Methods compared}", _cited(content.compared, content.cited, "llllll")]
    parts += [
        r"\section{Data sets}",
        _cited(content.sets, content.cited, SETS),
    ]
    parts += _list([f"{datasets()[d.dataset].name}: {d.says}" for d in disputes() if d.about])
    parts.append(r"\section{Metrics}")
    for metric in content.measures:
        chance = f" Chance: {metric.chance}." if metric.chance else ""
        parts += [
            rf"\subsection{{{escape_latex(metric.name)}}}",
            escape_latex(metric.says + chance),
            *_list(metric.disagreements),
        ]
    parts.append(r"\section{Results}")
    for setting, boards in content.boards:
        said = settings()[setting]
        parts += [rf"\subsection{{{escape_latex(said.name)}}}", escape_latex(said.says)]
        for board in boards:
            parts += [_results(board, content.cited), *_list(board.notes(traps=False))]
    return "\n".join([*parts, TAIL])


def _results(board: Leaderboard, cited: dict[str, str]) -> str:
    columns = "l" + "l" * len(board.columns) + "l"
    return _cited(board.table(), cited, columns)


def _cited(table: Table, cited: dict[str, str], columns: str) -> str:
    """Return a table whose first column names things and cites their papers."""
    body = [[escape_latex(row[0]) + (cite(cited[row[0]]) if row[0] in cited else ""), *row[1:]] for row in table.body]
    return r"{\small" + "\n" + longtable(Table(table.title, table.head, body), columns, raw=(0,)) + "}"


def _list(texts: tuple[str, ...] | list[str]) -> list[str]:
    if not texts:
        return []
    items = [
        rf"\item {{}}{escape_latex(text)}" for text in texts
    ]  # the braces keep a leading bracket from naming the item
    return [r"\begin{itemize}", *items, r"\end{itemize}"]
