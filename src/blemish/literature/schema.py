"""The rules of the data files: what an entry of every kind holds, how entries are sorted, in which file each belongs.

And what no single source should say: one number in two settings, and two numbers under the same conditions. Both mostly
mean that an entry was filed wrongly; where the source does print it, a line of allowed.jsonl says so. Every breach is a
line. The tests hold every entry to these rules, `tools/literature.py` does so for a new one.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable
from typing import Any

from blemish.core import registry
from blemish.literature import fields as f
from blemish.literature.entries import KEYS, fold, located, node_ids
from blemish.literature.results import COLUMNS

KINDS = (
    *("papers", "results", "recalled", "methods", "datasets", "metrics", "settings", "sources", "venues", "disputes"),
    "allowed",
)
"""The kinds of entry; each has files of its own in data/."""

OF_CARDS = {"licence", "home", "categories", "train_good", "validation_good", "test_good", "test_anomalous"}
"""What the card of a data set that we read says of it."""

Entry = dict[str, Any]

NAME = f.matching(r"[a-z0-9_.-]+", "a_small_name")
TEXTS = f.many(f.text)
YEAR = f.whole(1950, 2100)
"""Checks that several kinds share."""


def problems(folder: Traversable) -> list[str]:
    """Return everything that is wrong with the entries below a data folder.

    Args:
        folder: The data folder.

    Returns:
        One line a problem, empty if there is none. Contradictions are searched only where the entries are sound.
    """
    found = {kind: list(located(kind, folder)) for kind in KINDS}
    rules = _rules({kind: [entry for _, entry in lines] for kind, lines in found.items()})
    said: list[str] = []
    for kind, lines in found.items():
        required, checks = rules[kind]
        for where, entry in lines:
            said += [f"{where}: {problem}" for problem in _entry_problems(kind, entry, required, checks)]
        said += _repeated(kind, lines)
        if not said:  # files can be laid out only when their entries are sound
            said += _misplaced(kind, lines)
    said += _clashes(found)
    return said or contradictions(found["results"], found["allowed"])  # only sound entries can be compared


def laid_out(folder: Traversable) -> dict[str, str]:
    """Return the text of every data file as it should be.

    Args:
        folder: The data folder.

    Returns:
        Texts by the files' names: entries in their file, sorted, fields in the order of their rules.
    """
    sheets: dict[str, list[tuple[Any, str]]] = {}
    for kind in KINDS:
        order = {name: i for i, name in enumerate(_rules({k: [] for k in KINDS})[kind][1])}
        for number, (_, entry) in enumerate(located(kind, folder)):
            tidy = dict(sorted(entry.items(), key=lambda item: order.get(item[0], len(order))))
            key = (number,) if kind == "settings" else sort_key(kind, entry)  # settings have the order of the tables
            sheets.setdefault(sheet_of(kind, entry), []).append((key, json.dumps(tidy, ensure_ascii=False)))
    return {name: "".join(f"{line}\n" for _, line in sorted(lines)) for name, lines in sheets.items()}


def sheet_of(kind: str, entry: Mapping[str, Any]) -> str:
    """Return the file in which an entry belongs.

    Args:
        kind: The kind of entry.
        entry: The entry.

    Returns:
        The file, relative to data/.
    """
    if kind == "papers":
        return f"papers/{entry['family'].replace('/', '-')}.jsonl"
    return f"results/{entry['dataset']}.jsonl" if kind == "results" else f"{kind}.jsonl"


def sort_key(kind: str, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what entries of one kind are sorted by inside their file.

    Args:
        kind: The kind of entry.
        entry: The entry.

    Returns:
        The key; keys of one kind can be compared.
    """
    if kind in ("results", "recalled"):
        first = (entry["dataset"], entry["method"].lower(), entry["metric"], entry["setting"], entry.get("inputs", ""))
        rest = (entry.get("backbone", ""), entry.get("image_size", 0), entry.get("detail", ""), entry["value"])
        return (*first, *rest, json.dumps(entry["sources"]))
    if kind == "allowed":
        return tuple(str(entry.get(name, "")) for name in ("source", "dataset", "method", "metric", "value"))
    name = entry[{"papers": "key", "methods": "name", "venues": "name"}.get(kind, "id")]
    return (name.lower(), name)


def _rules(found: Mapping[str, list[Entry]]) -> dict[str, tuple[tuple[str, ...], dict[str, f.Check]]]:
    """Return, for each kind, the fields that must be there and the check of every field that may be."""
    known = {kind: {str(e.get(KEYS.get(kind, "id"), e.get("name"))) for e in found[kind]} for kind in KINDS}
    paper = f.one_of({str(e.get("key")) for e in found["papers"]}, "paper")
    result = _result_fields(known)
    needed = ("method", "dataset", "metric", "setting", "value", "sources")
    kind_of_venue = f.one_of(("conference", "workshop", "journal"), "kind of venue")
    return {
        "papers": (("key", "title", "family", "placed_by"), _paper_fields(f.one_of(known["venues"], "venue"))),
        "results": (needed, result),
        "recalled": (needed, result),
        "methods": (("name",), {"name": f.text, "aliases": TEXTS, "paper": paper, "year": YEAR}),
        "datasets": (("id", "name"), _dataset_fields(paper)),
        "metrics": (
            ("id", "name", "says", "range"),
            {"id": NAME, "name": f.text, "aliases": TEXTS, "says": f.text, "range": f.text, "chance": f.text}
            | {"better": f.one_of(("lower",), "direction"), "code": f.link, "disagreements": TEXTS},
        ),
        "settings": (("id", "name", "says"), {"id": NAME, "name": f.text, "says": f.text}),
        "sources": (("id", "name"), {"id": f.text, "name": f.text, "url": f.link}),
        "venues": (("name", "kind"), {"name": f.text, "kind": kind_of_venue}),
        "disputes": (("id", "says"), _dispute_fields(result, f.one_of(known["sources"], "source"))),
        "allowed": (
            ("source", "dataset"),
            {"source": f.one_of(known["sources"], "source")}
            | {name: result[name] for name in ("method", "dataset", "metric", "value")}
            | {"settings": f.many(result["setting"]), "says": f.text},
        ),
    }


def _result_fields(known: Mapping[str, set[str]]) -> dict[str, f.Check]:
    return {
        "method": f.one_of(known["methods"], "method"),
        "dataset": f.one_of(known["datasets"], "data set"),
        "metric": f.one_of(known["metrics"], "metric"),
        "setting": f.one_of(known["settings"], "setting"),
        "value": f.number(-100, 100),
        "inputs": f.one_of(("rgb", "3d", "rgb+3d"), "kind of input"),
        "backbone": f.text,
        "image_size": f.whole(16, 8192),
        "detail": f.text,
        "averaged_here": f.true,
        "by_category": f.mapping(f.text, f.number(0, 100)),
        "sources": f.mapping(f.one_of(known["sources"], "source"), f.one_of(COLUMNS, "kind of source")),
    }


def _dataset_fields(paper: f.Check) -> dict[str, f.Check]:
    counts = ("images", "normal", "anomalous", "train_good", "validation_good", "test_good", "test_anomalous")
    return {
        "id": NAME,
        "name": f.text,
        "aliases": TEXTS,
        "year": YEAR,
        "paper": paper,
        "kind": f.one_of(("average",), "kind"),
        "modality": f.text,
        "categories": TEXTS,
        **dict.fromkeys(counts, f.whole(1, 10**8)),
        "annotation": f.text,
        "image_size": f.text,
        "licence": f.text,
        "home": f.link,
        "counted": f.text,
        "recalled": f.many(f.one_of((*counts, "licence"), "field")),
        "remark": f.text,
    }


def _dispute_fields(result: Mapping[str, f.Check], source: f.Check) -> dict[str, f.Check]:
    return {
        "id": NAME,
        "methods": f.many(result["method"]),
        "dataset": result["dataset"],
        "metric": result["metric"],
        "settings": f.many(result["setting"]),
        "value": result["value"],
        "column": f.one_of(("published", "quoted", "re-run"), "column"),
        "source": source,
        "about": f.one_of(("count", "licence", "layout", "split", "year"), "fact"),
        "says": f.text,
    }


def _paper_fields(venue: f.Check) -> dict[str, f.Check]:
    place = f.one_of(node_ids(), "place")
    return {
        "key": f.matching(r"[a-z0-9][a-z0-9-]*", "roth2022patchcore"),
        "title": f.text,
        "authors": f.text,
        "family": place,
        "also": f.many(place),
        "placed_by": f.one_of(("curated", "list", "title", "card", "none"), "way of placing"),
        "name": f.text,
        "venue": venue,
        "year": YEAR,
        "arxiv": f.matching(r"\d{4}\.\d{4,5}", "2106.08265"),
        "doi": f.matching(r"10\.\d{4,9}/\S+", "10.1109/CVPR.2019.00982"),
        "url": f.link,
        "code": f.link,
        "domain": f.one_of(("medical",), "domain"),
        "supervision": f.one_of(("supervised", "semi/weakly-supervised"), "supervision"),
    }


def _entry_problems(kind: str, entry: Entry, required: tuple[str, ...], checks: Mapping[str, f.Check]) -> Iterator[str]:
    for name in required:
        if name not in entry:
            yield f"{name} is missing"
    for name, value in entry.items():
        if name not in checks:
            yield f"{name} is no field of {kind}; known: {', '.join(checks)}"
        elif said := checks[name](value):
            yield f"{name} {value!r} {said}"
    if kind == "datasets" and entry.get("id") in registry.datasets():
        for name in OF_CARDS & entry.keys():
            yield f"{name} is said by the data set's card, and only there"
    if kind == "papers" and not any(entry.get(name) for name in ("arxiv", "url", "doi")):
        yield "has no link: arxiv, doi or url"
    recalled = set((entry.get("sources") or {}).values()) == {"memory"}
    if kind == "results" and recalled:
        yield "is only recalled; it belongs in recalled.jsonl"
    if kind == "recalled" and not recalled:
        yield "has a source that was read; it belongs in results/"
    value, metric = entry.get("value"), str(entry.get("metric", ""))
    if "sources" in checks and isinstance(value, int | float) and value < 0 and not metric.startswith("forgetting_"):
        yield f"value {value!r} is below 0"


def _repeated(kind: str, lines: list[tuple[str, Entry]]) -> list[str]:
    """Return entries that say the same thing twice."""

    def identity(entry: Entry) -> str:
        if kind in ("results", "recalled"):
            kinds = entry.get("sources") or {}
            told = {k: v for k, v in entry.items() if k not in ("sources", "by_category", "averaged_here")}
            return json.dumps([told, sorted({COLUMNS.get(k, "") for k in kinds.values()})], sort_keys=True)
        if kind == "allowed":
            return json.dumps(entry, sort_keys=True)
        return str(entry.get({"papers": "key", "methods": "name", "venues": "name"}.get(kind, "id")))

    counts = Counter(identity(entry) for _, entry in lines)
    said = [f"{where}: is there twice" for where, entry in lines if counts[identity(entry)] > 1]
    arxiv = Counter(entry["arxiv"] for _, entry in lines if "arxiv" in entry)
    return said + [f"{w}: arxiv {e['arxiv']} is there twice" for w, e in lines if arxiv.get(e.get("arxiv", ""), 0) > 1]


def _misplaced(kind: str, lines: list[tuple[str, Entry]]) -> list[str]:
    """Return entries that stand in the wrong file or out of order."""
    said, before = [], ("", ())
    for where, entry in lines:
        sheet = where.rpartition(":")[0]
        if sheet_of(kind, entry).rpartition("/")[2] != sheet:
            said.append(f"{where}: belongs in {sheet_of(kind, entry)}")
        here = (sheet, sort_key(kind, entry))
        if kind != "settings" and before[0] == sheet and here[1] < before[1]:
            said.append(f"{where}: is out of order; run tools/literature.py --write")
        before = here
    return said


def _clashes(found: Mapping[str, list[tuple[str, Entry]]]) -> list[str]:
    """Return names that would lead to two things."""
    said = []
    for kind, key in KEYS.items():
        owners: dict[str, str] = {}
        for where, entry in found[kind]:
            own = str(entry.get(key))
            names = (own, str(entry.get("name", own)), *(entry.get("aliases") or ()))
            said += [
                f"{where}: {name!r} already leads to {owners[fold(name)]!r}"
                for name in names
                if owners.setdefault(fold(name), own) != own
            ]
    return said


Located = tuple[str, dict[str, Any]]
"""("file:line", entry)."""

CONDITIONS = ("inputs", "backbone", "image_size", "detail")
"""Fields that, besides the setting, tell two numbers of one source apart."""

_INFLATED = "_anomalib"  # a table of anomalib prints one AUPRO, not AUPRO and AUPRO by anomalib


def contradictions(results: Sequence[Located], allowed: Sequence[Located]) -> list[str]:
    """Find where a source contradicts itself.

    An allowance with `settings` is for one number that a source prints in exactly these settings; one without is for
    several numbers under the same conditions. Fields that it leaves out do not matter.

    Args:
        results: The results.
        allowed: The allowances.

    Returns:
        A line for each contradiction that is not allowed, and for each allowance that nothing needs.
    """
    used: set[str] = set()

    def passes(said: Mapping[str, Any]) -> bool:
        fitting = [
            where
            for where, entry in allowed
            if ("settings" in entry) == ("settings" in said)
            and all(said.get(name) == value for name, value in entry.items() if name != "says")
        ]
        used.update(fitting)
        return bool(fitting)

    found = []
    for (source, method, dataset, metric, value), group in _by_number(results).items():
        named = sorted({_setting(entry) for _, entry in group})
        said = {"source": source, "method": method, "dataset": dataset, "metric": metric, "value": value}
        if len(named) > 1 and not passes({**said, "settings": named}):
            found.append(
                f"{_places(group)}: {source} gives {method} {value} in {' and '.join(named)}; "
                "leave it where the source has it"
            )
    for (source, _, method, dataset, metric, setting, *_), group in _by_conditions(results).items():
        values = sorted({entry["value"] for _, entry in group})
        said = {"source": source, "method": method, "dataset": dataset, "metric": metric}
        if len(values) > 1 and not passes(said):
            found.append(
                f"{_places(group)}: {source} gives {method} {' and '.join(map(str, values))} in {setting} under the same "
                "conditions; say in backbone, image_size or detail what sets them apart"
            )
    return found + [f"{where}: allows what nothing needs; remove it" for where, _ in allowed if where not in used]


def _by_number(results: Sequence[Located]) -> dict[tuple[Any, ...], list[Located]]:
    groups: dict[tuple[Any, ...], list[Located]] = defaultdict(list)
    for where, entry in results:
        for source in entry["sources"]:
            metric = entry["metric"].removesuffix(_INFLATED)
            groups[source, entry["method"], entry["dataset"], metric, entry["value"]].append((where, entry))
    return groups


def _by_conditions(results: Sequence[Located]) -> dict[tuple[Any, ...], list[Located]]:
    groups: dict[tuple[Any, ...], list[Located]] = defaultdict(list)
    for where, entry in results:
        told = [entry.get(name) for name in ("method", "dataset", "metric", "setting", *CONDITIONS)]
        for source in entry["sources"].items():
            groups[*source, *told].append((where, entry))
    return groups


def _setting(entry: Mapping[str, Any]) -> str:
    setting, metric = str(entry["setting"]), str(entry["metric"])
    return f"{setting} as {metric}" if metric.endswith(_INFLATED) else setting


def _places(group: Sequence[Located]) -> str:
    return ", ".join(where for where, _ in group)
