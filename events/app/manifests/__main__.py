"""`python -m events.app.manifests`: write the folder `manifests` here."""

from __future__ import annotations

from events.app import manifests

manifests.write(manifests.FOLDER)
