"""Business rules, above the repositories and below the API."""
