"""Commands for projects that the template Standfast rendered."""

__version__ = "0.3.0.dev0"
