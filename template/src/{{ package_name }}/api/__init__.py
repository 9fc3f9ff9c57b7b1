"""The HTTP API: `routes/` has a module for each URL prefix, the other modules are shared by routes."""
