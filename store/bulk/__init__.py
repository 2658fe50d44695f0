"""The fast writer: a batch of decoded messages becomes rows in one transaction."""

from store.bulk.writer import write
from store.rows import Incoming

__all__ = ["Incoming", "write"]
