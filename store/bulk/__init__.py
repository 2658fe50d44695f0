"""The fast writer: a batch of decoded messages becomes rows in one transaction."""

from store.bulk.writer import AnySent, tables_of, write
from store.rows import Incoming

__all__ = ["AnySent", "Incoming", "tables_of", "write"]
