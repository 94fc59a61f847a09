"""The life of objects: read from a body, created, changed, deleted, listed, watched. No HTTP here.

`operations.Operations` is what the handlers and the server's own controllers call.
"""
