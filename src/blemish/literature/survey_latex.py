"""A survey's skeleton as LaTeX: only packages that every TeX brings, every special character escaped."""

from __future__ import annotations

from blemish.literature.bibtex import escape
from blemish.literature.datasets import datasets
from blemish.literature.disputes import disputes
from blemish.literature.facts import settings
from blemish.literature.leaderboard import Leaderboard
from blemish.literature.survey import Content, cite
from blemish.literature.tables import Table, latex

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
    """Return the survey as one LaTeX file; `picture` is the taxonomy, references.bib has every entry it cites."""
    parts = [HEAD + r"\section{Taxonomy}"]
    caption = r"\caption{Families and settings, with the number of papers; methods of blemish in italics.}"
    parts += [r"\begin{figure}[htbp]", r"\centering", picture + caption, r"\end{figure}"]
    for top in content.tree:
        parts.append(rf"\subsection{{{escape(top.name)}}}")
        for node in top.walk():
            if node is not top:
                parts.append(rf"\subsubsection{{{escape(node.name)}}}")
            parts += [escape(node.says)] if node.says else []
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
        parts += [rf"\subsection{{{escape(metric.name)}}}", escape(metric.says + chance), *_list(metric.disagreements)]
    parts.append(r"\section{Results}")
    for setting, boards in content.boards:
        said = settings()[setting]
        parts += [rf"\subsection{{{escape(said.name)}}}", escape(said.says)]
        for board in boards:
            parts += [_results(board, content.cited), *_list(board.notes(traps=False))]
    return "\n".join([*parts, TAIL])


def _results(board: Leaderboard, cited: dict[str, str]) -> str:
    columns = "l" + "l" * len(board.columns) + "l"
    return _cited(board.table(), cited, columns)


def _cited(table: Table, cited: dict[str, str], columns: str) -> str:
    """Return a table whose first column names things and cites their papers."""
    body = [[escape(row[0]) + (cite(cited[row[0]]) if row[0] in cited else ""), *row[1:]] for row in table.body]
    return r"{\small" + "\n" + latex(Table(table.title, table.head, body), columns, raw=(0,)) + "}"


def _list(texts: tuple[str, ...] | list[str]) -> list[str]:
    if not texts:
        return []
    items = [rf"\item {{}}{escape(text)}" for text in texts]  # the braces keep a leading bracket from naming the item
    return [r"\begin{itemize}", *items, r"\end{itemize}"]
