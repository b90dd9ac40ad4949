"""The literature as data: papers, published numbers, data sets, metrics, a taxonomy, and what is disputed. No torch.

Every fact is a line of a file in `data/`. Numbers keep their setting and the kind of their source; recalled numbers are
kept in a file apart and are printed only with a mark.
"""

from blemish.literature.bibtex import bibtex
from blemish.literature.facts import (
    DatasetFacts,
    MethodName,
    Metric,
    Setting,
    Source,
    Venue,
    dataset,
    datasets,
    method,
    methods,
    metric,
    metrics,
    settings,
    sources,
    venues,
)
from blemish.literature.leaderboard import Leaderboard, Ours, leaderboard
from blemish.literature.papers import Publication, paper, papers
from blemish.literature.results import Dispute, Result, disputed, disputes, results
from blemish.literature.survey import survey
from blemish.literature.taxonomy import Node, taxonomy

__all__ = [
    "DatasetFacts",
    "Dispute",
    "Leaderboard",
    "MethodName",
    "Metric",
    "Node",
    "Ours",
    "Publication",
    "Result",
    "Setting",
    "Source",
    "Venue",
    "bibtex",
    "dataset",
    "datasets",
    "disputed",
    "disputes",
    "leaderboard",
    "method",
    "methods",
    "metric",
    "metrics",
    "paper",
    "papers",
    "results",
    "settings",
    "sources",
    "survey",
    "taxonomy",
    "venues",
]
