"""Commands for projects that this template rendered."""

__version__ = "0.3.0.dev0"
