"""The fast writer: a batch of decoded messages becomes rows in one transaction."""

from store.bulk.writer import tables_of, write
from store.rows import Incoming

__all__ = ["Incoming", "tables_of", "write"]
