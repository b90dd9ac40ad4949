"""The field as a tree: families and settings, with every paper and every implemented method in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from blemish.core.card import Card
from blemish.core.errors import DataError
from blemish.literature.entries import fold, look_up, tree
from blemish.literature.facts import methods
from blemish.literature.papers import Publication, every_paper


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the taxonomy.

    Attributes:
        id: The path from the root ("embedding/memory-bank").
        name: Its heading.
        says: What belongs here.
        papers: Papers that have it as their first place.
        methods: Methods of the registry.
        children: Finer places.
    """

    id: str
    name: str
    says: str = ""
    papers: tuple[Publication, ...] = ()
    methods: tuple[str, ...] = ()
    children: tuple[Node, ...] = ()

    @property
    def paper_count(self) -> int:
        """How many papers are placed here and below."""
        return len(self.papers) + sum(child.paper_count for child in self.children)

    def walk(self) -> Iterator[Node]:
        """Yield this place and every place below, from the top."""
        yield self
        for child in self.children:
            yield from child.walk()


@cache
def taxonomy() -> tuple[Node, ...]:
    """Return the tree with every paper and every method of the registry in its place.

    Returns:
        The families.

    Raises:
        DataError: a method's card names a family that has no place here.
    """
    from blemish.core import registry

    return planted({name: registry.method_card(name) for name in registry.methods()})


def planted(cards: Mapping[str, Card]) -> tuple[Node, ...]:
    """Return the tree with every paper and the given methods in their places.

    Args:
        cards: Cards by the methods' names.

    Returns:
        The families.

    Raises:
        DataError: a card names a family that has no place here.
    """
    of_node: dict[str, list[str]] = {}
    for name, card in cards.items():
        of_node.setdefault(place(name, card), []).append(name)
    return tuple(_node(written, of_node) for written in tree()["tree"])


def place(name: str, card: Card) -> str:
    """Return the place of a method: its card's family, or the finer place of its paper inside that family.

    Args:
        name: The method's name in the registry.
        card: Its card.

    Returns:
        The id of the place.

    Raises:
        DataError: the family of the card has no place.
    """
    families: dict[str, str] = tree()["card_families"]
    if card.family not in families:
        raise DataError(
            f"method {name!r} has the family {card.family!r}, which has no place in the taxonomy. "
            f"Known families: {', '.join(sorted(families))}. Take one of them, or add yours to card_families in "
            "literature/data/taxonomy.json."
        )
    found = families[card.family]
    paper = paper_of(name, card)
    if paper is not None:
        top = found.partition("/")[0]
        if "/" not in found:
            return next((f for f in paper.families if f.partition("/")[0] == top), found)
    return found


def paper_of(name: str, card: Card) -> Publication | None:
    """Return the paper of an implemented method: by the link of its card, its title, or its name.

    Args:
        name: The method's name in the registry.
        card: Its card.

    Returns:
        The paper, None if it is not among ours.
    """
    known = look_up("methods", name) or look_up("methods", card.name)
    key = methods()[known].paper if known else ""
    for paper in every_paper():
        same_link = paper.arxiv and paper.arxiv in card.paper.url
        if same_link or fold(paper.title) == fold(card.paper.title):
            return paper
    return next((paper for paper in every_paper() if paper.key == key), None)


def _node(written: dict[str, Any], of_node: Mapping[str, list[str]]) -> Node:
    return Node(
        id=written["id"],
        name=written["name"],
        says=written.get("says", ""),
        papers=tuple(paper for paper in every_paper() if paper.family == written["id"]),
        methods=tuple(sorted(of_node.get(written["id"], ()))),
        children=tuple(_node(child, of_node) for child in written.get("children", [])),
    )
