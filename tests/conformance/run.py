"""The recorded cases of Argo Events and of Kubernetes, run through this project: `tests/conformance/run.py FILE…`.

Prints one line per failing case, one per area, the departures, what is not covered yet, and last how many passed and
failed. Each case is counted once: `passed` are those that answer as upstream does. Exit code 1 on any failure.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' own modules
sys.path.insert(0, str(Path(__file__).parents[2]))

from conformance import running
from conformance.core import read
from conformance.workers import WORKERS


def main(paths: list[str]) -> int:
    if not paths:
        print("usage: run.py FILE…", file=sys.stderr)
        return 2
    logging.disable()  # failing triggers are the subject of some cases
    report = running.Report()
    try:
        cases = [case for path in paths for case in read(Path(path))]
        for case, outcome in running.run_all(cases):
            if line := report.add(case, outcome):
                print(line, flush=True)
    finally:
        WORKERS.close()
    print(*report.lines(), sep="\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
