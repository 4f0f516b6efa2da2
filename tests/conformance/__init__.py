"""Autobahn's test suite, against an echo on Daphne and uvicorn. See README.md."""
