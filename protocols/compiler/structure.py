"""What a declaration is made of, and which declarations must not be compiled at all."""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import construct
from construct import Construct, Subconstruct
from construct.expr import ExprMixin

from protocols.fields import Declaration
from protocols.items import Items, Pairs, Records


class UnsafeDeclarationError(ValueError):
    """A declaration uses a part of construct that loses or invents data without saying so."""


_WHOLE = (
    construct.StopIf,
    type(construct.Tell),
    construct.Pointer,
    construct.Seek,
    construct.OffsettedEnd,
    construct.RawCopy,
    construct.Checksum,
    construct.LazyBound,
    construct.Lazy,
    construct.LazyStruct,
    construct.LazyArray,
    construct.RepeatUntil,
)
"""These look at positions in the stream or end what is around them: nothing around them may be cut out of it."""
_STREAM = "_io"


def bare(declaration: Declaration) -> Declaration:
    """A declaration without the name and text that were given to it."""
    while type(declaration) is construct.Renamed:
        declaration = declaration.subcon
    return declaration


def is_own(declaration: Declaration, base: type, *methods: str) -> bool:
    """Whether a class takes these methods from ``base`` as they are."""
    return isinstance(declaration, base) and all(getattr(type(declaration), name) is getattr(base, name) for name in methods)


def inside(
    declaration: Declaration, path: str = "", seen: frozenset[int] = frozenset(), into_items: bool = True
) -> Iterator[tuple[Declaration, str]]:
    """A declaration and all that it holds, each with the names that lead to it.

    What items hold is parsed by itself, in a context of its own, and can be left out.
    """
    if id(declaration) in seen:
        return
    if type(declaration) is construct.Renamed and declaration.name:
        path = f"{path}.{declaration.name}" if path else declaration.name
    yield declaration, path
    if into_items or not isinstance(declaration, (Items, Records)):
        for part in _parts(declaration):
            yield from inside(part, path, seen | {id(declaration)}, into_items)


def _parts(declaration: Declaration) -> list[Declaration]:
    parts: list[Any] = []
    if isinstance(declaration, Items):
        return [part for row in declaration.table.values() for part in row]
    for name in ("subcon", "lengthfield", "thensubcon", "elsesubcon", "default"):
        parts.append(vars(declaration).get(name))
    parts += vars(declaration).get("subcons", ())
    cases = vars(declaration).get("cases")
    parts += cases.values() if isinstance(cases, dict) else ()
    return list({id(part): part for part in parts if isinstance(part, Construct)}.values())


def check(declaration: Declaration) -> None:
    """Refuse what would lose data.

    Raises: UnsafeDeclarationError with the field's name and what to use in its place.
    """
    for part, path in inside(declaration):
        field = path or "the declaration"
        if isinstance(part, construct.Switch) and part.default is construct.Pass:
            raise UnsafeDeclarationError(
                f"{field}: Switch without a default gives None for an unknown key and leaves its bytes to the next field; "
                "give it default=GreedyBytes, another declaration, or default=Error"
            )
        if isinstance(part, construct.FlagsEnum):
            raise UnsafeDeclarationError(f"{field}: FlagsEnum forgets the bits that have no name; use protocols.fields.Flags")
        if isinstance(part, construct.GreedyRange):
            raise UnsafeDeclarationError(
                f"{field}: GreedyRange drops an entry that is cut off; use protocols.items.UntilEnd, Items or Records"
            )


def has_to_stay_whole(declaration: Declaration) -> bool:
    """Whether construct has to read the declaration as one, for something in it depends on the stream itself."""
    return any(isinstance(part, _WHOLE) or _reads_stream(part) for part, _ in inside(declaration, into_items=False))


def _reads_stream(part: Declaration) -> bool:
    for parameter in vars(part).values():
        # An expression has every attribute that one asks it for.
        if isinstance(parameter, ExprMixin):
            if repr(_STREAM) in repr(parameter):
                return True
        elif isinstance(parameter, FunctionType) and _STREAM in (*parameter.__code__.co_names, *parameter.__code__.co_consts):
            return True
    return False


def is_contextual(declaration: Declaration) -> bool:
    """Whether anything in a declaration depends on the values of other fields."""
    return any(type(part) not in _PLAIN and not _ignores_context(part) for part, _ in inside(declaration, into_items=False))


def _ignores_context(part: Declaration) -> bool:
    if isinstance(part, (construct.Array, construct.Bytes)):
        return isinstance(part.count if isinstance(part, construct.Array) else part.length, int)
    if isinstance(part, construct.Adapter):
        return not uses_context(part._decode) and not uses_context(part._encode)
    return is_own(part, Subconstruct, "_parse", "_build")


_PLAIN = frozenset(
    (
        construct.Struct,
        construct.Renamed,
        construct.FormatField,
        construct.BytesInteger,
        type(construct.GreedyBytes),
        type(construct.Pass),
        type(construct.Terminated),
        construct.Const,
        construct.Prefixed,
        Items,
        Records,
        Pairs,
    )
)


def uses_context(method: Callable[..., Any]) -> bool:
    """Whether an adapter's ``_decode`` or ``_encode`` looks at its context. When in doubt, it does."""
    code = getattr(method, "__code__", None)
    if code is None or code.co_argcount < 3:
        return True
    context = code.co_varnames[2]
    return any(instruction.argval == context for instruction in dis.get_instructions(code))
