"""Errors that a user can mend: a message without a traceback that names the place and the remedy."""

from __future__ import annotations


class UserError(Exception):
    """Base of all errors whose message alone tells the user what to do."""


class ConfigError(UserError):
    """The configuration cannot be used; the message names every key that is wrong."""


class DataError(UserError):
    """The images or tables of a source cannot be used; the message names the file or row."""


class StoreError(UserError):
    """A stored file cannot be used; the message names it and the remedy."""
