"""The version of the LIGO_LW reader, for those who compare it without reading."""

READER_VERSION = 1
"""Raised whenever the same file gives other rows; a test holds it to what the reader gives."""
