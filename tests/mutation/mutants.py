"""Mutants of a source file: one small change each, in what is computed and not in what is said about it."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# Methods and functions that are mistaken for one another.
NEIGHBOURS = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "mean", "mean": "sum"}
# What is said to people may be worded otherwise.
SAYS = {"warning", "warning_once", "info", "note"}


@dataclass(frozen=True)
class Mutant:
    """One changed program.

    Args:
        file: Its path below `career_hf`.
        name: Where it is and what is changed, in words that stay when lines move.
        lines: First and last line of what is changed.
        program: The unchanged program.
        place: Where the changed node is in it.
        new: What stands there instead.
    """

    file: str
    name: str
    lines: tuple[int, int]
    program: ast.Module
    place: list[tuple[str, int | None]]
    new: ast.AST

    @property
    def tree(self) -> ast.Module:
        """The changed program."""
        tree = copy.deepcopy(self.program)
        _put(tree, self.place, self.new)
        return ast.fix_missing_locations(tree)


def mutants_of(path: Path, file: str) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    source = ast.parse(path.read_text(encoding="utf-8"))
    found, names = [], {}
    for place, owner, node in _changeable(source):
        for change, mutated in _changes(node):
            name = f"{owner}: {change}"
            names[name] = names.get(name, 0) + 1
            name += f" #{names[name]}" if names[name] > 1 else ""
            lines = (node.lineno, node.end_lineno or node.lineno)
            found.append(Mutant(file, name, lines, source, place, mutated))
    return found


def _changeable(tree: ast.Module) -> Iterator[tuple[list[tuple[str, int | None]], str, ast.AST]]:
    """Nodes that compute something, each with its path from the root and the name of the function it is in."""

    def walk(
        node: ast.AST, place: list[tuple[str, int | None]], owner: str
    ) -> Iterator[tuple[list[tuple[str, int | None]], str, ast.AST]]:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr) or _is_talk(node):
            return
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets):
            return
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            owner = node.name if owner == "file" else f"{owner}.{node.name}"
        if place and hasattr(node, "lineno") and not isinstance(node, ast.arg | ast.FunctionDef | ast.ClassDef):
            yield place, owner, node
        if isinstance(node, ast.Raise):
            return
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "bases"):
                continue
            if isinstance(value, ast.AST):
                yield from walk(value, [*place, (field, None)], owner)
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        yield from walk(item, [*place, (field, i)], owner)

    yield from walk(tree, [], "file")


def _is_talk(node: ast.AST) -> bool:
    """A docstring, or something that is said to the user."""
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Constant):
        return True
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in SAYS


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Each change of a node, in words, and what stands in its place."""

    def changed(new: ast.AST) -> tuple[str, ast.AST]:
        return f"{_short(node)} -> {_short(new)}", ast.copy_location(new, node)

    def other(**fields: object) -> tuple[str, ast.AST]:
        new = copy.copy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return changed(new)

    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            yield other(ops=[*node.ops[:i], SWAPPED[type(operator)](), *node.ops[i + 1 :]])
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPPED:
        yield other(op=SWAPPED[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield changed(node.operand)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield other(test=ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test))
    elif isinstance(node, ast.Raise | ast.Continue | ast.Break):
        yield changed(ast.Pass())
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield changed(ast.Pass())
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield other(value=ast.copy_location(ast.Constant(None), node.value))
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield other(value=not node.value)
        elif isinstance(node.value, int | float):
            yield other(value=node.value + 1)
        elif isinstance(node.value, str) and node.value and not any(letter.isspace() for letter in node.value):
            yield other(value=f"{node.value}_")
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in NEIGHBOURS:
            function = copy.copy(node.func)
            function.attr = NEIGHBOURS[node.func.attr]
            yield other(func=function)
        for i, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                yield other(keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])


def _short(node: ast.AST) -> str:
    """The first line of a node as source."""
    text = ast.unparse(node).split("\n")[0]
    return text if len(text) <= 150 else f"{text[:147]}..."


def _put(tree: ast.AST, place: list[tuple[str, int | None]], new: ast.AST) -> None:
    """Replaces the node at a path."""
    for field, i in place[:-1]:
        tree = getattr(tree, field) if i is None else getattr(tree, field)[i]
    field, i = place[-1]
    if i is None:
        setattr(tree, field, new)
    else:
        getattr(tree, field)[i] = new
