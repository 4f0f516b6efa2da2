"""The demo: a chat for two browser tabs, served by Daphne alone. `make demo` starts it."""
