"""What the pod of a data template runs: the keys below an artifact, through expressions. Contract: workflows B.5.

`python -m events.local.workflows.data_pod PLAN`; the keys were listed before the pod was made.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from events.errors import KeryxError
from events.local.workflows import expressions, gotexts
from events.local.workflows.errors import WorkflowError
from events.local.workflows.handover import POD_UID, RESULT


def transformed(keys: list[str], plan: Mapping[str, Any]) -> str:
    """The result: JSON of what the last expression gives, each with what the one before gave as `data`."""
    data: Any = keys
    for number, step in enumerate(plan["transformation"]):
        try:
            data = expressions.evaluate(str(step.get("expression", "")), {**expressions.environment({}), "data": data})
        except WorkflowError as error:
            raise WorkflowError(f"transformation[{number}]: {error.message}") from error
    return gotexts.dumps(data)


def main(path: str) -> int:
    """The pod: 0 when it is done, 1 with the reason on stderr."""
    plan = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        text = transformed(json.loads(Path(plan["keys"]).read_text(encoding="utf-8")), plan)
    except (KeryxError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    folder = Path(path).parent / os.environ.get(POD_UID, "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
