"""Commands that need the protocols beside the database."""
