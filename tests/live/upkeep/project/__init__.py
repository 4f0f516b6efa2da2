"""The project that the servers serve."""
