"""Patches: JSON patch, merge patch, strategic merge patch. Pure: documents and schemas in, a new document out."""
