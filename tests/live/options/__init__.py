"""Daphne's options, its HTTP and `runserver`, on ours and on stock: the same answers."""
