"""The skeleton of a survey: Markdown, LaTeX, the figure of the taxonomy, and the BibTeX of everything it cites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blemish.files import write_text
from blemish.literature.bibtex import bibtex
from blemish.literature.datasets import DatasetFacts, datasets
from blemish.literature.drawing import latex_picture, svg
from blemish.literature.facts import settings
from blemish.literature.leaderboard import Leaderboard
from blemish.literature.leaderboard import gathered as gather
from blemish.literature.methods import methods
from blemish.literature.metrics import Metric, metrics
from blemish.literature.names import find, known_name
from blemish.literature.ours import ours as read_ours
from blemish.literature.papers import every_paper, paper
from blemish.literature.results import MARK
from blemish.literature.tables import Table
from blemish.literature.taxonomy import Node, taxonomy

DATASETS = ("mvtec_ad", "visa")
METRICS = ("image_auroc", "pixel_auroc", "aupro")
"""What a survey shows if nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a survey says, before it is written as Markdown or LaTeX. `cited` maps rows of tables to papers' keys."""

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
    ours: Path | str | None = None,
    recalled: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Path, ...]:
    """Write survey.md, survey.tex, references.bib and taxonomy.svg into a folder, and return their paths.

    The results are those of `datasets` and `metrics`, one part a setting; `ours` and `recalled` as in `leaderboard`. Files
    of these names are replaced.

    Raises:
        UnknownName: no such data set or metric.
        DataError: `ours` holds no benchmark results.
        StorageError: the folder cannot be written.
    """
    from blemish.literature.survey_latex import written_latex
    from blemish.literature.survey_markdown import written_markdown

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


def gathered(names: Sequence[str], measures: Sequence[str], ours: Path | str | None, recalled: bool) -> Content:
    """Gather what a survey says.

    Raises:
        UnknownName: no such data set or metric.
        DataError: `ours` holds no benchmark results.
    """
    sets = dict.fromkeys(find("datasets", name) for name in names)
    measured = dict.fromkeys(find("metrics", name) for name in measures)
    ready = None if ours is None else read_ours(ours)
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
    for setting, said in settings().items():
        every = (gather(datasets()[s], said, metrics()[m], ready, recalled) for s in sets for m in measured)
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
    """Return LaTeX that cites one paper."""
    return rf"~\cite{{{key}}}"
