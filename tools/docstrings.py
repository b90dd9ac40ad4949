"""Public docstrings have the sections that a reference is rendered from: `python tools/docstrings.py [paths]`.

A public function or method documents every argument ("Args:"), what it returns ("Returns:" or "Yields:") and the errors it
raises itself ("Raises:"). A class documents the arguments of its constructor. Exempt are properties, magic methods,
commands (whose docstrings are the help of the command line), methods that a base class of ours documents already, and
functions without arguments whose docstring is one line. That sections and signatures agree is pydoclint's affair.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "blemish"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(given: list[str]) -> int:
    """Print a line for everything that is missing."""
    wanted = [Path(each).resolve() for each in given] or [SOURCE]
    files = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    bases = _bases(files.values())
    found = [
        f"{path.relative_to(SOURCE.parents[1])}:{line}: {problem}"
        for path, tree in files.items()
        if any(path == each or each in path.parents for each in wanted)
        for line, problem in problems(tree, bases)
    ]
    print(
        "\n".join(
            [*found, f"{len(found)} public docstrings lack a section" if found else "all public docstrings are whole"]
        )
    )
    return bool(found)


def problems(tree: ast.Module, bases: dict[str, tuple[list[str], set[str]]]) -> Iterator[tuple[int, str]]:
    """Yield (line, what is missing) of the public names of a module; `bases` has every class's bases and methods."""
    for node in tree.body:
        if isinstance(node, Function) and _public(node):
            yield from _function(node, node.name, node)
        elif isinstance(node, ast.ClassDef) and _public(node):
            inherited = _inherited(node.name, bases)
            for inner in node.body:
                if not isinstance(inner, Function):
                    continue
                if inner.name == "__init__":
                    yield from _arguments(inner, node.name, ast.get_docstring(node) or "", node.lineno)
                elif _public(inner) and inner.name not in inherited:
                    yield from _function(inner, f"{node.name}.{inner.name}", inner)


def _function(node: Function, name: str, place: Function) -> Iterator[tuple[int, str]]:
    decorators = {ast.unparse(each).partition("(")[0] for each in node.decorator_list}
    if any(
        each.rpartition(".")[2] in ("property", "cached_property", "overload", "setter", "command", "callback")
        for each in decorators
    ):
        return
    said = ast.get_docstring(node) or ""
    yield from _arguments(node, name, said, place.lineno)
    short = not _names(node) and "\n" not in said
    returns = node.returns is not None and ast.unparse(node.returns) not in ("None", "NoReturn", "Never")
    if returns and not short and not re.search(r"^(Returns|Yields):", said, re.M):
        yield place.lineno, f"{name} has no Returns:"
    raised = {
        ast.unparse(each.exc).partition("(")[0] for each in _own(node) if isinstance(each, ast.Raise) and each.exc
    }
    if (
        any(each[:1].isupper() and each not in ("AssertionError", "NotImplementedError") for each in raised)
        and "Raises:" not in said
    ):
        yield place.lineno, f"{name} has no Raises:"


def _arguments(node: Function, name: str, said: str, line: int) -> Iterator[tuple[int, str]]:
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", said + "\n", re.M)
    there = set(re.findall(r"^ {4}\*{0,2}(\w+)(?: \([^)]*\))?:", section[1], re.M)) if section else set()
    missing = [each for each in _names(node) if each not in there]
    if missing:
        yield line, f"{name} does not document {', '.join(missing)}"


def _names(node: Function) -> list[str]:
    given = node.args
    every = [
        *given.posonlyargs,
        *given.args,
        *filter(None, [given.vararg]),
        *given.kwonlyargs,
        *filter(None, [given.kwarg]),
    ]
    return [each.arg for each in every if each.arg not in ("self", "cls") and not each.arg.startswith("_")]


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, but not those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda | ast.ClassDef):
            yield child
            yield from _own(child)


def _public(node: Function | ast.ClassDef) -> bool:
    return not node.name.startswith("_")


def _bases(trees: object) -> dict[str, tuple[list[str], set[str]]]:
    found: dict[str, tuple[list[str], set[str]]] = {}
    for tree in trees:  # type: ignore[attr-defined]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names = [ast.unparse(base).rpartition(".")[2].partition("[")[0] for base in node.bases]
                found[node.name] = names, {inner.name for inner in node.body if isinstance(inner, Function)}
    return found


def _inherited(name: str, bases: dict[str, tuple[list[str], set[str]]]) -> set[str]:
    found: set[str] = set()
    for base in bases.get(name, ([], set()))[0]:
        if base in bases and base != name:
            found |= bases[base][1] | _inherited(base, bases)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
