"""The service's own errors. `problems.py` maps them to HTTP statuses."""


class ServiceError(Exception):
    """An error whose message clients may read: it contains nothing internal."""


class NotFoundError(ServiceError):
    """The requested entity does not exist."""


class ConflictError(ServiceError):
    """The change conflicts with existing data."""


class InvalidValueError(ServiceError):
    """A value in the request is not valid, for example because it refers to an entity that does not exist."""


class PreconditionFailedError(ServiceError):
    """The entity has changed since the client read it."""


class DatabaseUnavailableError(ServiceError):
    """The database does not answer, or no connection became free in time."""

    def __init__(self) -> None:
        super().__init__("The database is unavailable. Try again later.")


class OperatorError(Exception):
    """The service or a command cannot continue. The message tells an operator why, and what to do."""
