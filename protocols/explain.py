"""The byte-by-byte explanation of frames, made from the declarations that decode them.

A body is read by its declaration once more, field by field, and every byte is given to exactly one leaf of a tree.
What a declaration is made of and nobody taught this module becomes one leaf; what cannot be read, a leaf with the error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

from construct import (
    Array,
    Computed,
    ConstructError,
    Container,
    Default,
    FocusedSeq,
    IfThenElse,
    Pass,
    Prefixed,
    Rebuild,
    Renamed,
    Struct,
    Switch,
)

from protocols.body import decode_error, json_value
from protocols.explanation import UNREAD, BitValue, Field, Label, branch, unread
from protocols.fields import Choice, Count, Declaration, FlagWord, Secret
from protocols.items import Entries, Item, Items, Pairs, Records, UntilEnd

Read = tuple[Field | None, Any]
"""A field, None where there is nothing to show, and the value that later fields may depend on."""


def explain(declaration: Declaration, data: bytes, start: int, label: Label) -> Field:
    """Explain bytes that begin at ``start`` of a frame, all of them: those behind the declared ones too."""
    region = _Region(data, start)
    found, _ = region.read(declaration, _context(), label)
    if found is None or (found.end < start + len(data) and not found.children):
        found = Field(label.name, label.text, start, data, children=[found] if found else [])
    rest = data[region.stream.tell() :]
    if rest:
        why = "" if region.is_stopped else "bytes behind the declared ones"
        found.children.append(Field(UNREAD, "Not read 未解析", start + len(data) - len(rest), rest, rest.hex(), error=why))
    found.raw = data
    return found


class _Region:
    """Bytes that a declaration is being read from."""

    def __init__(self, data: bytes, base: int) -> None:
        self.data = data
        self.base = base
        self.stream = BytesIO(data)
        self.is_stopped = False
        """Something could not be read, so that where the next field begins is not known."""

    def read(self, declaration: Declaration, context: Any, label: Label) -> Read:
        for kind, method in _KINDS:
            if isinstance(declaration, kind):
                return method(self, declaration, context, label)
        return self._leaf(declaration, context, label)

    def _leaf(self, declaration: Any, context: Any, label: Label) -> Read:
        start = self.stream.tell()
        try:
            value = declaration._parsereport(self.stream, context, "(parsing)")
        except ConstructError as error:
            return self._stop(start, label, decode_error(error).text), None
        raw = self.data[start : self.stream.tell()]
        if not raw and value in (b"", None):
            return None, value
        found = Field(label.name, label.text, self.base + start, raw, _shown(value), getattr(declaration, "unit", ""))
        if isinstance(value, FlagWord):
            bits = {bit.name: bit.text for _, bit in sorted(value.flags.bits.items())}
            found.bits = [BitValue(name, text, value.values[name]) for name, text in bits.items()]
        if isinstance(declaration, Choice):
            found.meaning = next((option.text for option in declaration.options.values() if option.name == value), "")
        return found, value

    def _stop(self, start: int, label: Label, error: str) -> Field:
        self.is_stopped = True
        self.stream.seek(len(self.data))
        return unread(self.data[start:], self.base + start, label, error)

    def _renamed(self, declaration: Any, context: Any, label: Label) -> Read:
        return self.read(declaration.subcon, context, Label(label.name or declaration.name or "", label.text or declaration.docs))

    def _within(self, declaration: Any, context: Any, label: Label) -> Read:
        return self.read(declaration.subcon, context, label)

    def _nothing(self, declaration: Any, context: Any, label: Label) -> Read:
        return None, declaration._parsereport(self.stream, context, "(parsing)")

    def _secret(self, declaration: Any, context: Any, label: Label) -> Read:
        found, value = self.read(declaration.subcon, context, label)
        for _, part in found.walk() if found else ():
            part.value, part.meaning, part.bits, part.is_secret = None, "", [], True
        return found, value

    def _struct(self, declaration: Any, context: Any, label: Label) -> Read:
        context = _context(context, self.stream)
        value: Any = Container()
        children: list[Field] = []
        for subcon in declaration.subcons:
            found, part = self.read(subcon, context, Label(subcon.name or ""))
            children += [found] if found else []
            if self.is_stopped:
                break
            if subcon.name:
                value[subcon.name] = context[subcon.name] = part
        return self._branch(label, children), value

    def _focused(self, declaration: Any, context: Any, label: Label) -> Read:
        found, value = self._struct(declaration, context, label)
        focus = _evaluate(declaration.parsebuildfrom, context)
        if found:
            # A counted array reads best as the count and its entries in one row.
            parts = [child.children if child.name == focus and child.children else [child] for child in found.children]
            found.children = [child for part in parts for child in part]
        return found, value.get(focus)

    def _chosen(self, declaration: Any, context: Any, label: Label) -> Read:
        is_then = _evaluate(declaration.condfunc, context)
        return self.read(declaration.thensubcon if is_then else declaration.elsesubcon, context, label)

    def _switched(self, declaration: Any, context: Any, label: Label) -> Read:
        key = _evaluate(declaration.keyfunc, context)
        return self.read(declaration.cases.get(key, declaration.default), context, label)

    def _array(self, declaration: Any, context: Any, label: Label) -> Read:
        children: list[Field] = []
        values: list[Any] = []
        for index in range(_evaluate(declaration.count, context)):
            context._index = index
            found, value = self.read(declaration.subcon, context, Label(f"[{index}]"))
            children += [found] if found else []
            values.append(value)
            if self.is_stopped:
                break
        return self._branch(label, children), values

    def _until_end(self, declaration: Any, context: Any, label: Label) -> Read:
        children: list[Field] = []
        values: list[Any] = []
        while self.stream.tell() < len(self.data):
            at = self.stream.tell()
            found, value = self.read(declaration.subcon, context, Label(f"[{len(values)}]"))
            if found is None or self.is_stopped:
                # An entry that is cut ends the list and nothing else.
                error = [leaf.error for leaf in found.leaves()][-1] if found else ""
                children.append(self._stop(at, Label(""), error))
                self.is_stopped = False
                break
            children.append(found)
            values.append(value)
        return self._branch(label, children), values

    def _prefixed(self, declaration: Any, context: Any, label: Label) -> Read:
        length, size = self.read(declaration.lengthfield, context, Label("length", "Length in bytes 长度"))
        if length is None or self.is_stopped:
            return self._branch(label, [length] if length else []), None
        size -= len(length.raw) if declaration.includelength else 0
        at = self.stream.tell()
        left = len(self.data) - at
        if not 0 <= size <= left:
            found = self._stop(at, Label("content"), f"{size} > {left} left")
            return self._branch(label, [length, found]), None
        inner = _Region(self.data[at : at + size], self.base + at)
        content, value = inner.read(declaration.subcon, context, Label("content"))
        self.stream.seek(at + inner.stream.tell() if inner.is_stopped else at + size)
        self.is_stopped = inner.is_stopped
        parts = [length] + ([content] if content else [])
        left_over = inner.data[inner.stream.tell() :]
        if left_over:
            parts.append(unread(left_over, inner.base + inner.stream.tell(), Label(""), "bytes behind the declared ones"))
        return self._branch(label, parts, content), value

    def _pairs(self, declaration: Pairs, context: Any, label: Label) -> Read:
        counted, count = self.read(declaration.count, context, Label("count", "Number of entries 个数"))
        children, pairs = [counted] if counted else [], []
        for index in range(0 if self.is_stopped else count):
            parts = []
            for name, text, part in (("id", "Id 编号", declaration.id), ("value", "Value 值", declaration.value)):
                found, value = self.read(part, context, Label(name, text))
                parts += [found] if found else []
                if self.is_stopped:
                    break
                pairs.append(value)
            children += [branch(Label(f"[{index}]"), parts)] if parts else []
            if self.is_stopped:
                break
        return self._branch(label, children), list(zip(pairs[::2], pairs[1::2], strict=False))

    def _items(self, declaration: Items, context: Any, label: Label) -> Read:
        at = self.stream.tell()
        entries: Entries = declaration._parse(self.stream, context, "(parsing)")
        children = []
        for entry in entries:
            found = self._item(declaration, entry, at)
            children.append(found)
            at += len(found.raw)
        if len(declaration.head) == 2 and at < len(self.data):
            rest = self.data[at:]
            children.append(unread(rest, self.base + at, Label(""), f"no item 0x{rest[0]:02X} that ends within {len(rest)} bytes"))
        else:
            children += self._trailing(at, struct.calcsize(declaration.head), declaration.head)
        return self._branch(label, children), entries

    def _item(self, declaration: Items, item: Item, at: int) -> Field:
        order, *codes = tuple(declaration.head)
        parts, end = [], at
        head = (("id", "Item id 附加信息ID", item.id), ("length", _LENGTH, item.length))
        # Where lengths follow from the ids, there is none to show.
        for (name, text, value), code in zip(head, codes, strict=False):
            size = struct.calcsize(order + code)
            shown = f"0x{value:02X}" if name == "id" else value
            parts.append(Field(name, text, self.base + end, self.data[end : end + size], shown))
            end += size
        raw = self.data[end : end + item.length]
        declared = declaration.declaration(item.id, item.length) if item.name else None
        if declared is None:
            parts += [Field("value", "", self.base + end, raw, raw.hex())] if raw else []
            return branch(Label(f"0x{item.id:02X}", "Not declared 未定义"), parts)
        found = explain(declared, raw, self.base + end, Label("value"))
        text, found.text = found.text, ""
        parts += found.children or [found]
        return branch(Label(item.name, text), parts, value=found.value, unit=found.unit)

    def _records(self, declaration: Records, context: Any, label: Label) -> Read:
        at = self.stream.tell()
        size = struct.calcsize(declaration.head)
        entries: Entries = declaration._parse(self.stream, context, "(parsing)")
        children = []
        for index, body in enumerate(entries):
            length = Field("length", _LENGTH, self.base + at, self.data[at : at + size], len(body))
            at += size
            content = explain(declaration.subcon, body, self.base + at, Label("content"))
            at += len(body)
            children.append(branch(Label(f"[{index}]"), [length, *(content.children or [content])]))
        children += self._trailing(at, size, declaration.head)
        return self._branch(label, children), entries

    def _trailing(self, at: int, size: int, head: str) -> list[Field]:
        """What is left behind the last entry: padding, or an entry that is cut."""
        rest = self.data[at:]
        if not rest:
            return []
        if not rest.strip(b"\0"):
            return [Field("padding", "Padding 填充", self.base + at, rest, rest.hex())]
        length = struct.unpack_from(head, rest)[-1] if len(rest) >= size else size
        left = len(rest) - size if len(rest) >= size else len(rest)
        return [unread(rest, self.base + at, Label(""), f"{length} > {left} left")]

    def _branch(self, label: Label, children: list[Field], content: Field | None = None) -> Field | None:
        if not children:
            return None
        found = branch(label, children)
        if content and not content.children:
            found.value, found.unit, found.meaning = content.value, content.unit, content.meaning
        return found


_LENGTH = "Length in bytes 长度"
_KINDS: tuple[tuple[type, Callable[..., Read]], ...] = (
    (Renamed, _Region._renamed),
    (Secret, _Region._secret),
    (Struct, _Region._struct),
    (FocusedSeq, _Region._focused),
    (IfThenElse, _Region._chosen),
    (Switch, _Region._switched),
    (Array, _Region._array),
    (Prefixed, _Region._prefixed),
    (Rebuild, _Region._within),
    (Default, _Region._within),
    (Count, _Region._within),
    (UntilEnd, _Region._until_end),
    (Items, _Region._items),
    (Records, _Region._records),
    (Pairs, _Region._pairs),
    (Computed, _Region._nothing),
    (type(Pass), _Region._nothing),
)


def _context(outer: Any = None, stream: BytesIO | None = None) -> Any:
    """What construct's ``this`` looks into: the fields of a struct, those around it as ``_``."""
    context: Any = Container(_=outer, _params=Container(), _root=None, _parsing=True, _building=False, _sizing=False, _io=stream)
    context._index = outer.get("_index") if outer else None
    context._root = outer.get("_root") or context if outer else None
    return context


def _evaluate(expression: Any, context: Any) -> Any:
    """A number or word that a declaration gives, or what it says to take from the fields before."""
    return expression(context) if callable(expression) else expression


def _shown(value: Any) -> Any:
    try:
        return json_value(value)
    except TypeError:
        return str(value)
