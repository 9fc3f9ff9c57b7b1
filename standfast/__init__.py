"""Commands for projects that the template Standfast rendered."""

__version__ = "1.0.0"
