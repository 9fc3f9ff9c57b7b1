"""The rules of the service, above its repositories and below its API."""
