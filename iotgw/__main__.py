"""``python -m iotgw`` is ``iotgw``."""

from iotgw.cli import main

main()
