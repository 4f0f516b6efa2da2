"""The servers' matrix: what each server does at each point of the WebSocket protocol.

A bare ASGI application, without any endpoint of ours, is served by our Daphne, by Daphne as it is
and by uvicorn. It plays the script that a client sends along, so that a test shows both sides of a
connection in one place, and what the other two do instead is listed in `differences.py`.
"""
