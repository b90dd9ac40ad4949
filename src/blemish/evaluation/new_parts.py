"""Which parts of a folder are new to a model, so that it can be tested on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blemish.core.errors import InputError
from blemish.core.files import content_of
from blemish.data.record import Record
from blemish.inference.provenance import Provenance


def new_parts(records: Sequence[Record], provenance: Provenance) -> tuple[list[Record], str]:
    """Return the records whose files the model was not trained on, nor its threshold chosen from.

    Args:
        records: The candidates.
        provenance: The model's, which says by which contents of files they are known again. A transductive method is tested
            on what it was fitted on.

    Returns:
        The new ones, and a note on the others, or "".

    Raises:
        InputError: none is left.
    """
    learned = () if provenance.learns_from == "unlabelled" else provenance.learned_content or ()
    seen = set(among([*learned, *provenance.calibrated], records))
    left = [record for record in records if record.key not in seen]
    if not left:
        raise InputError(
            f"the model has learned from all {len(records)} parts, or its threshold was chosen from them. Test on others."
        )
    note = (
        f"{len(seen)} of {len(records)} parts there were left out: the model has learned from them, or its threshold was "
        "chosen from them."
    )
    return left, note if seen else ""


def among(contents: Iterable[str], records: Iterable[Record]) -> list[str]:
    """Return the keys of the records whose file's content is among those given.

    Args:
        contents: Contents as of `core.files.content_of`.
        records: The candidates; a file is read only if one of the contents has its size.

    Returns:
        Keys, in the order of the records.
    """
    known = set(contents)
    sizes = {int(content.partition(":")[0]) for content in known}
    images = ((record.key, record.image) for record in records if sizes and record.image.is_file())
    return [key for key, image in images if image.stat().st_size in sizes and content_of(image) in known]
