"""Commands for people and scripts at the database: ``python -m django <command>``."""
