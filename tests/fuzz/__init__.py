"""Damaged and made-up bytes through the protocols: ``python -m tests.fuzz jt808 --count 1000000 --seed 1``."""
