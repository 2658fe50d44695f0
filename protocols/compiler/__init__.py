"""Turns declarations into straight-line Python, for where construct itself is too slow."""

from protocols.compiler.compiled import Compiled, compile, fixed, source
from protocols.compiler.structure import UnsafeDeclarationError

__all__ = ["Compiled", "UnsafeDeclarationError", "compile", "fixed", "source"]
