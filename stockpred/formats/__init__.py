"""Formats of dates and times; Django looks them up by language."""
