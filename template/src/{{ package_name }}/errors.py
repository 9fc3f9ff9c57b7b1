"""What can go wrong in the service's own terms; `api/problems.py` gives each its HTTP status."""


class ServiceError(Exception):
    """Told to the client as it is: its message must say nothing that only operators may know."""


class NotFoundError(ServiceError):
    """What was asked for is not there."""


class ConflictError(ServiceError):
    """What was asked contradicts what is there."""


class PreconditionFailedError(ServiceError):
    """What was to be changed has been changed by somebody else meanwhile."""


class DatabaseUnavailableError(ServiceError):
    """The database does not answer, or has no connection to spare."""

    def __init__(self) -> None:
        super().__init__("The database is not available at the moment.")


class OperatorError(Exception):
    """The service or one of its commands cannot go on; the message is all that its operator needs."""
