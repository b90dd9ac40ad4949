"""Every method that exists has one place in the taxonomy, and goes by one name with the published numbers."""

from collections import Counter
from dataclasses import replace

import pytest

from blemish.core import registry
from blemish.core.errors import DataError
from blemish.literature import methods, papers, taxonomy
from blemish.literature.entries import look_up, node_ids, tree
from blemish.literature.taxonomy import paper_of, place, planted


@pytest.mark.parametrize("name", registry.methods())
def test_a_method_has_a_place_that_its_card_names(name) -> None:
    card = registry.method_card(name)
    assert place(name, card) in node_ids()
    assert place(name, card).startswith(tree()["card_families"][card.family])


@pytest.mark.parametrize("name", [name for name in registry.methods() if look_up("methods", name)])
def test_methods_with_published_numbers_are_found_there(name) -> None:
    """A method that numbers were printed for is the same method there."""
    card = registry.method_card(name)
    assert look_up("methods", card.name) == look_up("methods", name)
    found = paper_of(name, card)
    assert found is not None
    assert found.key == methods()[look_up("methods", name)].paper


def test_every_method_and_every_paper_stands_once_in_the_tree() -> None:
    nodes = [node for top in taxonomy() for node in top.walk()]
    assert Counter(name for node in nodes for name in node.methods) == Counter(registry.methods())
    assert Counter(p.key for node in nodes for p in node.papers) == Counter(p.key for p in papers())
    assert [node.id for node in nodes] == list(node_ids())
    assert sum(top.paper_count for top in taxonomy()) == len(papers())


def test_every_family_of_a_card_leads_to_a_place() -> None:
    assert set(tree()["card_families"].values()) <= set(node_ids())


def test_a_method_without_a_place_is_a_clear_error() -> None:
    """A method without a place is an error that says what to do."""
    card = replace(registry.method_card("padim"), family="divination")
    with pytest.raises(DataError, match=r"'divination', which has no place.*card_families"):
        planted({"padim": card})


def test_a_paper_refines_a_place_only_inside_its_family() -> None:
    """A paper makes a place finer only inside the family of the card."""
    assert place("ganomaly", registry.method_card("ganomaly")) == "reconstruction/gan"
    assert place("anoddpm", registry.method_card("anoddpm")) == "reconstruction/diffusion"
    assert place("padim", registry.method_card("padim")) == "embedding/memory-bank"
    moved = replace(registry.method_card("ganomaly"), family="foundation")
    assert place("ganomaly", moved) == "foundation"
