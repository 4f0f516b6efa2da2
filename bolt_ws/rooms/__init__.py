"""Rooms: one broadcast, any number of connections, any number of processes."""
