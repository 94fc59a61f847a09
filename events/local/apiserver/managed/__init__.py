"""Who owns which field: `metadata.managedFields`, and server-side apply.

Everything here is pure: objects, entries, a `Kind` (what the server knows of the object's type) and the time go in,
an object with its entries comes out. `tracking` has the three calls of the server: `create`, `update`, `apply`.
"""
