"""Many WebSockets on a real PostgreSQL: how many connections it has, and who waits for whom."""
