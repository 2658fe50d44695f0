"""JT/T 808: Chinese road-transport terminals, editions 2011, 2013 and 2019."""

from protocols.jt808.protocol import JT808Protocol

JT808 = JT808Protocol()

__all__ = ["JT808"]
