"""A survey's skeleton as Markdown."""

from __future__ import annotations

from blemish.literature.datasets import datasets
from blemish.literature.disputes import disputes
from blemish.literature.facts import settings
from blemish.literature.papers import Publication
from blemish.literature.survey import Content
from blemish.literature.tables import markdown


def written_markdown(content: Content) -> str:
    """Return the survey as one Markdown page; the figure is the file taxonomy.svg beside it."""
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
    parts += ["## Methods compared", "", markdown(content.compared)]
    parts += ["## Data sets", "", markdown(content.sets)]
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
            parts += [f"#### {board.dataset.name}, {board.metric.name} (%)", "", markdown(board.table())]
            parts += [f"- {note}" for note in board.notes(traps=False)]
            parts += [""]
    return "\n".join(parts).rstrip() + "\n"


def _listed(paper: Publication) -> str:
    title = paper.title.replace("[", "\\[").replace("]", "\\]")
    linked = f"[{title}]({paper.link})" if paper.link else title
    where = " ".join(part for part in (paper.venue, str(paper.year or "")) if part)
    code = f" ([code]({paper.code}))" if paper.code else ""
    return f"{linked}{', ' if where else ''}{where}{code} `{paper.key}`"
