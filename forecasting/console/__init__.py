"""The figures of the admin's home, one file per panel: dataclasses and plain text, no HTML."""
