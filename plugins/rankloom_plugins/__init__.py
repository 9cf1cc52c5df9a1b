"""Built-in plugins, one folder a family."""
