"""The controller's configuration as it is installed. Contract: sensors F.2."""

from __future__ import annotations

DEFAULT = """\
eventBus:
  jetstream:
    settings: |
      max_memory_store: -1
      max_file_store: -1
    streamConfig: |
      maxMsgs: -1
      maxAge: 72h
      maxBytes: 1GB
      replicas: 3
      duplicates: 300s
    versions: []
"""
