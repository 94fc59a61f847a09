"""The main job where pods cannot be run: a POST becomes a Workflow, which is printed instead of created.

`demo.py` runs it on machines without mount namespaces. It starts `keryx run` on a tutorial, posts one message and reads
the Workflow that results from the output of `--dry-run`. Exit code 0 only when the Workflow carries the message.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

HERE = Path(__file__).parent
WALK_THROUGH = HERE / "tutorials" / "webhook-workflow"
URL = "http://localhost:9100/example"
MESSAGE = "this is my first webhook"
SECONDS = 30.0


def main() -> int:
    """Run the demo; the exit code."""
    keryx = Path(sys.executable).parent / "keryx"
    with tempfile.TemporaryDirectory(prefix="keryx-demo-") as data:
        command = [str(keryx), "run", str(WALK_THROUGH), "--data", data, "--dry-run"]
        print(f"$ keryx run {WALK_THROUGH.relative_to(HERE.parent)} --dry-run")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            return demonstrate(process)
        finally:
            process.terminate()
            process.wait(SECONDS)


def demonstrate(process: subprocess.Popen[str]) -> int:
    """Post the message to the running process and look at what it creates."""
    lines: list[str] = []
    threading.Thread(target=collect, args=(process, lines), daemon=True).start()
    body = json.dumps({"message": MESSAGE}).encode()
    if not post(process, body):
        print("keryx did not answer", file=sys.stderr)
        return 1
    workflow = until_workflow(lines)
    print("".join(lines))
    if workflow is None:
        print("no Workflow resulted", file=sys.stderr)
        return 1
    parameters = workflow["spec"]["arguments"]["parameters"]
    if parameters != [{"name": "message", "value": MESSAGE}]:
        print(f"the Workflow does not carry the message: {parameters}", file=sys.stderr)
        return 1
    print(f"The Workflow {workflow['metadata'].get('name', '')} carries the message: {MESSAGE!r}")
    return 0


def collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    """Keep what the process prints."""
    assert process.stdout is not None
    lines.extend(process.stdout)


def post(process: subprocess.Popen[str], body: bytes) -> bool:
    """POST once the endpoint listens; whether it was accepted."""
    print(f"$ curl -H 'Content-Type: application/json' -d '{body.decode()}' {URL}")
    request = urllib.request.Request(URL, body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                print(f"{answer.status} {answer.read().decode()}\n")
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            print(f"{error.code} {error.read().decode()}")
            return False
        except OSError:
            time.sleep(0.05)  # not listening yet
    return False


def until_workflow(lines: list[str]) -> dict[str, dict[str, dict[str, object]]] | None:
    """The Workflow, once it was printed whole."""
    deadline, seen = time.monotonic() + SECONDS, -1
    while time.monotonic() < deadline:
        if len(lines) == seen:  # nothing has come since: no half of a document
            for document in yaml.safe_load_all("".join(lines)):
                if document and document.get("kind") == "Workflow":
                    return dict(document)
        seen = len(lines)
        time.sleep(0.1)
    return None


if __name__ == "__main__":
    sys.exit(main())
