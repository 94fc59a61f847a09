"""Values at dotted paths in raw JSON text, read and written in the gjson and sjson dialects (Appendices 1 and 2).

The raw text stays what it is: number literals, key order, duplicate keys (the first one wins) and white space. Filters,
parameters and payloads all read through here.

    path.py       what callers hold: Path, Document
    plain.py      the fast ways for paths of keys and indexes
    walk.py       the way through a document, for every path
    syntax.py     the grammar of paths
    query.py, globs.py, modifiers.py, pretty.py    what single steps do
    write.py      writing
    result.py, scan.py    values, and finding them in text
"""

from __future__ import annotations

from events.paths.path import Document, Path, compile_path, read
from events.paths.plain import MISSING
from events.paths.result import Kind, Result
from events.paths.scan import is_valid
from events.paths.write import write, write_raw

__all__ = [
    "MISSING",
    "Document",
    "Kind",
    "Path",
    "Result",
    "compile_path",
    "is_valid",
    "read",
    "write",
    "write_raw",
]
