"""What a method's file says of itself, read without running it: explanation, class, parameters. Needs no torch."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import blemish.models


@dataclass(frozen=True)
class Parameter:
    """One keyword of a method's constructor; `type` and `default` as they are written."""

    name: str
    type: str
    default: str


@dataclass(frozen=True)
class Source:
    """A method's file: what it does in one sentence, how (Markdown), its class and the class's parameters."""

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
    return Source(
        sentence=sentence[0].upper() + sentence[1:],
        explanation=markdown(rest),
        class_name=found.name,
        class_text=markdown(inspect.cleandoc(ast.get_docstring(found) or "")),
        parameters=tuple(parameters(make.args)),
    )


def is_named(name: str, method: str) -> bool:
    """Say whether a class is the method's own: its name is that of the file but for upper case and underscores."""
    return name.lower() == method.replace("_", "")


def parameters(arguments: ast.arguments) -> list[Parameter]:
    """Return the constructor's keywords; a method's constructor gives every one of them a default."""
    named = [*arguments.posonlyargs, *arguments.args][1:]
    defaults = [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
    every = [*named, *arguments.kwonlyargs]
    if len(defaults) != len(every):
        raise ValueError(f"{len(every)} parameters have {len(defaults)} defaults; every parameter needs one")
    return [
        Parameter(each.arg, "" if each.annotation is None else ast.unparse(each.annotation), written(default))
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
