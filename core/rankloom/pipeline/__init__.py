"""Build, item table, and the way from query to slate."""
