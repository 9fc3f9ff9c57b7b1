"""Commands of `python -m` this package. Each module has a `group`, and is imported only when it is used."""
