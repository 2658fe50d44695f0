"""Compiling a declaration: writing its source, and making functions of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO
from struct import Struct
from typing import Any

from construct import ConstructError, Container, ListContainer

from protocols.compiler import conversions
from protocols.compiler.builders import BUILDERS
from protocols.compiler.building import Building
from protocols.compiler.expressions import layer, top
from protocols.compiler.parsers import PARSERS
from protocols.compiler.parsing import Parsing
from protocols.compiler.structure import check, has_to_stay_whole
from protocols.fields import Declaration
from protocols.items import Entries, Item

SOURCE_WIDTH = 132
"""Characters of a line that tells a constant."""


class RefusedError(Exception):
    """The compiled code has met something that only construct can judge. It never leaves the compiled function."""


_RUNTIME = conversions.RUNTIME | {
    "_BytesIO": BytesIO,
    "_ConstructError": ConstructError,
    "_Container": Container,
    "_Entries": Entries,
    "_Item": Item,
    "_ListContainer": ListContainer,
    "_Refused": RefusedError,
    "_layer": layer,
    "_new_list": list.__new__,
    "_new_tuple": tuple.__new__,
    "_top": top,
}


class Compiled:
    """A declaration as two functions.

    Raises: when parsing or building fails, what construct raises for the same input, for construct is asked again.
    """

    parse: Callable[[bytes], Any]
    build: Callable[[Any], bytes]
    source: str
    """Both functions in Python, to be read."""
    fixed: Struct | None = None
    """See :func:`fixed`."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        if has_to_stay_whole(declaration):
            self.parse, self.build = declaration.parse, declaration.build
            self.source = "# construct itself parses and builds this: something in it looks at the stream.\n"
            return
        parsing, building = Parsing(declaration, PARSERS), Building(declaration, BUILDERS)
        parsing.write(declaration)
        building.write(declaration)
        self.fixed = _fixed(declaration, parsing.layouts)
        parse_source = _PARSE.format("\n".join(parsing.lines))
        build_source = _BUILD.format("\n".join(building.lines))
        self.source = "\n\n".join((_told(parsing.constants), parse_source, _told(building.constants), build_source))
        self.parse = _function("parse", parse_source, parsing.constants, declaration.parse)
        self.build = _function("build", build_source, building.constants, declaration.build)


_PARSE = """\
def parse(data):
    try:
        if data.__class__ is not bytes:
            raise _Refused
{}
    except Exception:
        return _construct(data)
"""
_BUILD = """\
def build(whole):
    try:
{}
    except Exception:
        return _construct(whole)
"""


def _fixed(declaration: Declaration, layouts: list[str]) -> Struct | None:
    try:
        size = declaration.sizeof()
    except ConstructError:
        return None
    whole = Struct(layouts[0]) if len(layouts) == 1 else None
    return whole if whole is not None and whole.size == size else None


def _told(constants: dict[str, Any]) -> str:
    """What the names in the source stand for, as comments."""
    lines = []
    for name, value in constants.items():
        owner = getattr(value, "__self__", None)
        # A method of a struct is told by the struct's layout, anything else by what it calls itself.
        text = f"Struct({owner.format!r}).{value.__name__}" if isinstance(owner, Struct) else repr(value)
        lines.append(f"# {name} = {' '.join(text.split())}"[:SOURCE_WIDTH])
    return "\n".join(lines)


def _function(name: str, source: str, constants: dict[str, Any], interpreted: Callable[[Any], Any]) -> Any:
    # The source comes from our own declarations only: nothing that a peer sends is ever in it.
    namespace = _RUNTIME | constants | {"_construct": interpreted}
    exec(source, namespace)
    return namespace[name]


@cache
def compile(declaration: Declaration) -> Compiled:
    """Compile a declaration, once.

    Raises: UnsafeDeclarationError when it uses a part of construct that loses data without saying so.
    """
    check(declaration)
    return Compiled(declaration)


def fixed(declaration: Declaration) -> Struct:
    """A declaration's fields as they stand on the wire, without names and meanings: for what is opened with every frame.

    Shape: a value per field, in order; integers as they are, all else as its bytes.
    Raises: ValueError when not every field has its size, or one layout of :mod:`struct` does not hold them all.
    """
    found = compile(declaration).fixed
    if found is None:
        raise ValueError(f"{declaration} is not of fixed fields in one byte order")
    return found


def source(declaration: Declaration) -> str:
    """The Python that a declaration is compiled to."""
    return compile(declaration).source
