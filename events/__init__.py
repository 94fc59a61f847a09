"""The shared floor of Keryx, and (in `app`) its roof. Nothing is defined here, for ever.

The name `events` is shared with a distribution on PyPI: import what you need from its module.
"""
