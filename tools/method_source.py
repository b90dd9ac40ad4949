"""What a method's file documents, read without running it: explanation, class, parameters. Needs no torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import blemish.models


@dataclass(frozen=True)
class Parameter:
    """One keyword of a method's constructor; `type` and `default` as they are written, `meaning` in Markdown."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Source:
    """A method's file: what it does in one sentence, how (Markdown), its class and the class's parameters.

    `class_text` is the class docstring before its sections.
    """

    sentence: str
    explanation: str
    class_name: str
    class_text: str
    parameters: tuple[Parameter, ...]


@cache
def read(method: str) -> Source:
    """Read the file of a method, named as `registry.methods()` names it."""
    path = Path(blemish.models.__path__[0]) / f"{method}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    first, _, rest = (ast.get_docstring(tree) or "").partition("\n\n")
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and is_named(node.name, method)]
    (make,) = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    sentence = first.partition(":")[2].strip()
    text, meanings = documented(ast.get_docstring(found) or "")
    return Source(
        sentence=sentence[0].upper() + sentence[1:],
        explanation=markdown(rest),
        class_name=found.name,
        class_text=markdown(text),
        parameters=tuple(parameters(make.args, meanings)),
    )


def is_named(name: str, method: str) -> bool:
    """Return whether a class is the method's own: its name is that of the file but for upper case and underscores."""
    return name.lower() == method.replace("_", "")


def documented(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's text before its sections, and the meaning of each name in `Args:` as one line."""
    text, *sections = re.split(r"^(\w+):\n(?= {4})", docstring, flags=re.M)
    entries = dict(zip(sections[::2], sections[1::2], strict=True)).get("Args", "")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", entries, flags=re.M)
    return text.strip(), {name: " ".join(meaning.split()) for name, meaning in found}


def parameters(arguments: ast.arguments, meanings: Mapping[str, str]) -> list[Parameter]:
    """Return the constructor's keywords; each has a default and a meaning."""
    named = [*arguments.posonlyargs, *arguments.args][1:]
    defaults = [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
    every = [*named, *arguments.kwonlyargs]
    if len(defaults) != len(every):
        raise ValueError(f"{len(every)} parameters have {len(defaults)} defaults; every parameter needs one")
    if unknown := [each.arg for each in every if each.arg not in meanings]:
        raise ValueError(f"the class docstring does not document {', '.join(unknown)} in Args:")
    return [
        Parameter(
            each.arg,
            "" if each.annotation is None else ast.unparse(each.annotation),
            written(default),
            markdown(meanings[each.arg]),
        )
        for each, default in zip(every, defaults, strict=True)
    ]


def written(value: ast.expr) -> str:
    """Return a literal as one writes it: numbers of five digits and more in groups of three."""
    if isinstance(value, ast.Constant) and type(value.value) is int and abs(value.value) >= 10_000:
        return f"{value.value:_}"
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return f'"{value.value}"'
    return ast.unparse(value)


def markdown(text: str) -> str:
    """Return a docstring as Markdown: what it quotes stays, signs that Markdown would take for its own are escaped."""
    pieces = text.split("`")
    for i in range(0, len(pieces), 2):  # outside of quotes
        lines = pieces[i].split("\n")
        pieces[i] = "\n".join(
            line if line.startswith("    ") else line.replace("*", r"\*").replace("<", "&lt;") for line in lines
        )
    return "`".join(pieces)
