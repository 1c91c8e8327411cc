"""Readers: each is one file and yields `Clip` or `Still` records."""
