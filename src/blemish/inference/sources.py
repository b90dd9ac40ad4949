"""What a user names, as parts: files in folders, the files that belong to them, and the content they are known again by."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from blemish.core.errors import DataError, InputError
from blemish.core.files import content_of
from blemish.core.inputs import KINDS, main_input
from blemish.imaging.mask_names import without_masks
from blemish.imaging.reading import SUFFIXES

PLACES = ("stem", "name", "suffix", "parent")
"""What a template of a file may hold, of the part's main file: name without suffix, name, suffix, name of its folder."""


def parts_below(folder: Path, inputs: Sequence[str] = ("image",)) -> tuple[list[Path], str]:
    """Return the main files of parts in a folder and below, without the masks of defects.

    Args:
        folder: Folder to search.
        inputs: The kinds that the model looks at.

    Returns:
        The files, sorted, and a message about the masks left out, or "".

    Raises:
        DataError: as `images_below`.
    """
    measured = KINDS[main_input(inputs)].measured
    found = images_below(folder, (*SUFFIXES, ".npy") if measured else SUFFIXES)
    parts = without_masks(folder, found)
    masks = len(found) - len(parts)
    return parts, f"{masks} masks in {folder} are no parts and were left out" if masks else ""


def images_below(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return all image files in a folder and below, except hidden ones.

    Args:
        folder: Folder to search.
        suffixes: How their names end, in lower case.

    Returns:
        The files, sorted.

    Raises:
        DataError: there is no image, or a folder or file below cannot be read: its parts would count as good.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}. Check the path.")
    found: list[Path] = []
    try:
        for place, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = (Path(place, name) for name in names if not name.startswith("."))
            found += (path for path in paths if path.suffix.lower() in suffixes and _is_file(path))
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be looked into: {error.strerror}. Allow reading it, or name the images to look at."
        ) from error
    if not found:
        raise DataError(f"{folder} holds no image; looked for {', '.join(suffixes)} in it and below.")
    return sorted(found)


def with_inputs(
    paths: Iterable[Path],
    wanted: Collection[str],
    templates: Mapping[str, str],
    category: str | None = None,
    known: Collection[str] = (),
) -> list[Any]:
    """Return each part with all its inputs.

    Args:
        paths: The parts' main files. Those that a template names as another part's further file are left out.
        wanted: The kinds that the model looks at.
        templates: By kind a file, relative to the main file's folder, in which {stem}, {name}, {suffix} and {parent} stand
            for the main file's: "../xyz/{stem}.tiff".
        category: The parts' category. None: the one of `known` that is the name of a folder in a part's path.
        known: The categories that the model knows.

    Returns:
        The paths, or mappings from kinds to files and the category, as `Inspection.inspect` takes them.

    Raises:
        InputError: a template is of a kind that the model does not look at, or holds something else in braces.
    """
    wanted = tuple(wanted)
    for name, template in templates.items():
        if name not in wanted or not KINDS[name].channels:
            raise InputError(
                f"the model looks at {', '.join(wanted)}; there is no use for files of {name!r} ({template})"
            )
    parts = []
    for path in paths:
        files = {name: _filled(template, path) for name, template in templates.items()}
        parts.append((path, files, category or _category_in(path, known)))
    beside = {os.path.normpath(file) for _, files, _ in parts for file in files.values()}
    kept = [(path, files, named) for path, files, named in parts if os.path.normpath(path) not in beside]
    return [
        {main_input(wanted): path, **files, **({"category": named} if named else {})} if files or named else path
        for path, files, named in kept
    ]


def key_of(source: Any, index: int) -> str:
    """Return the name of a part in its verdict.

    Args:
        source: A path, a mapping with one, a Record, content or an array.
        index: Its number.

    Returns:
        The path of its first file, or "array 3".
    """
    files = getattr(source, "files", source)
    values = list(files.values()) if isinstance(files, Mapping) else [files]
    kinds = list(files) if isinstance(files, Mapping) else ["image"]
    paths = [v for k, v in zip(kinds, values, strict=True) if isinstance(v, str | Path) and k != "category"]
    return str(paths[0]) if paths else f"{'part' if isinstance(source, bytes | Mapping) else 'array'} {index}"


def contents(sources: Iterable[Any]) -> list[str]:
    """Return the keys by which the content of files is recognised under any name.

    Args:
        sources: Files, mappings, Records, content or arrays; content, arrays and files that cannot be read are skipped.

    Returns:
        A key for each readable file, in order.
    """
    found = []
    for source in sources:
        files = getattr(source, "files", source)
        named = files if isinstance(files, Mapping) else {"image": files}
        for kind, file in named.items():
            if isinstance(file, str | Path) and kind != "category":
                with suppress(OSError):
                    found.append(content_of(file))
    return found


def _filled(template: str, path: Path) -> Path:
    values = {"stem": path.stem, "name": path.name, "suffix": path.suffix, "parent": path.parent.name}
    for name in re.findall(r"\{(.*?)\}", template):
        if name not in values:
            raise InputError(f"the template {template!r} holds {{{name}}}; in braces it may hold {', '.join(PLACES)}")
    return path.parent / re.sub(r"\{(.*?)\}", lambda found: values[found[1]], template)


def _category_in(path: Path, known: Collection[str]) -> str | None:
    found = set(known).intersection(path.resolve().parts[:-1])
    return found.pop() if len(found) == 1 else None


def _raise(error: OSError) -> None:
    raise error


def _is_file(path: Path) -> bool:
    """Return whether the path is a file or a link to one; raises OSError where that cannot be determined."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):  # a link to nothing
        return False
