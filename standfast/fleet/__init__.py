"""Report, verify and update all projects of a list of repositories."""
