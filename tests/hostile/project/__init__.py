"""The project under attack."""
