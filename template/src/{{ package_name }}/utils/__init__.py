"""Utilities that are independent of the service."""
