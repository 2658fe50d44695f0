"""Files of devices: from the reports that brought them into a folder, looked at, and out again."""
