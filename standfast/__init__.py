"""Commands for projects that this template rendered."""

__version__ = "1.0.0.dev0"
