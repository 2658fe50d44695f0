"""construct's ``this.`` expressions as Python, and contexts for what is handed to construct."""

from __future__ import annotations

from typing import Any

from construct import Container
from construct import expr as expressions

from protocols.compiler.writer import Scope, Writer

# construct's stubs leave out what its expressions are made of.
_expr: Any = expressions
_FUNCTIONS = {len: "len", sum: "sum", min: "min", max: "max", abs: "abs"}


def python(expression: Any, scope: Scope, writer: Writer) -> str | None:
    """An expression as Python; None where only construct can evaluate it (a function, ``this._root``)."""
    if not callable(expression):
        return writer.literal(expression)
    if isinstance(expression, _expr.BinExpr):
        left, right = python(expression.lhs, scope, writer), python(expression.rhs, scope, writer)
        if left is None or right is None:
            return None
        sign = _expr.opnames[expression.op]
        # operator.contains has its operands the other way round.
        return f"({right} in {left})" if sign == "in" else f"({left} {sign} {right})"
    if isinstance(expression, _expr.UniExpr):
        operand = python(expression.operand, scope, writer)
        return None if operand is None else f"({_expr.opnames[expression.op]} {operand})"
    if isinstance(expression, _expr.FuncPath):
        function, operand = expression._FuncPath__func, expression._FuncPath__operand
        argument = None if operand is None else python(operand, scope, writer)
        return None if argument is None or function not in _FUNCTIONS else f"{_FUNCTIONS[function]}({argument})"
    if type(expression) is _expr.Path:
        return _path(_steps(expression), scope)
    return None


def _steps(path: Any) -> list[Any]:
    steps: list[Any] = []
    while path._Path__parent is not None:
        steps.insert(0, path._Path__field)
        path = path._Path__parent
    return steps if repr(path) == "this" else []


def _path(steps: list[Any], scope: Scope) -> str | None:
    while steps and steps[0] == "_":
        if scope.parent is None:
            return None
        scope, steps = scope.parent, steps[1:]
    if not steps:
        return None
    if steps[0] in scope.names:
        found = scope.names[steps[0]]
    elif scope.whole and not str(steps[0]).startswith("_"):
        found = f"{scope.whole}[{steps[0]!r}]"
    else:
        return None
    return found + "".join(f"[{step!r}]" for step in steps[1:])


def context_of(scope: Scope, stream: str, is_building: bool) -> str:
    """Python that makes the context which construct would have made itself."""
    if scope.parent is None:
        return f"_top({is_building}, {scope.index})"
    outer = context_of(scope.parent, stream, is_building)
    own = ", ".join(f"{name!r}: {variable}" for name, variable in scope.names.items())
    fields = f"{{**{scope.whole}, {own}}}" if scope.whole else f"{{{own}}}"
    return f"_layer({outer}, {scope.subcons}, {stream}, {scope.index}, {fields})"


def top(is_building: bool, index: int | None) -> Container[Any]:
    """The context outside all structs."""
    context: Container[Any] = Container(_parsing=not is_building, _building=is_building, _sizing=False)
    context["_params"] = context
    if index is not None:
        context["_index"] = index
    return context


def layer(outer: Container[Any], subcons: Any, stream: Any, index: int | None, fields: dict[str, Any]) -> Container[Any]:
    """A struct's context inside another one."""
    kept = {name: outer[name] for name in ("_params", "_parsing", "_building", "_sizing")}
    context: Container[Any] = Container(_=outer, _root=None, _subcons=subcons, _io=stream, _index=index, **kept)
    context["_root"] = outer.get("_root", context)
    context.update(fields)
    return context
