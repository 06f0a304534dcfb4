"""The project's Python files and what each imports, by reading their syntax trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("broker", "services", "forebay")


@dataclass(frozen=True)
class Import:
    """One imported module, and whether it is imported when the importing module is."""

    module: str
    line: int
    is_late: bool


@dataclass(frozen=True)
class Module:
    """One Python file of the three packages."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree, is_late=False))

    def is_in(self, *packages: str) -> bool:
        return any(is_inside(self.name, package) for package in packages)

    def at(self, line: int) -> str:
        """A place as editors understand it."""
        return f"{self.path.relative_to(ROOT)}:{line}"


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def modules() -> list[Module]:
    return [
        Module(_module_name(path), path)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(node: ast.AST, *, is_late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(alias.name, child.lineno, is_late)
            case ast.ImportFrom(module=str(module), names=names):
                # `from services import wire` imports services.wire, so each name counts in full.
                for alias in names:
                    yield Import(f"{module}.{alias.name}", child.lineno, is_late)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, is_late=True)
            case _:
                yield from _imports(child, is_late=is_late)
