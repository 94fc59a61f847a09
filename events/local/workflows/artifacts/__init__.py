"""Artifacts: where they lie, and how they come into pods and out of them. Contract: workflows I.

locations.py    which key of which bucket, or of the local store; pure
scripts.py      the lines of a pod's script that fetch and save
archives.py     tar and zip
buckets.py      S3, and what speaks its protocol
stores.py       one way to read and write both, bucket and local store
transfers.py    what is under way between buckets and pods
"""
