"""The examples of buckets as processes; moto is S3, a stand-in is MinIO."""

from __future__ import annotations

from pathlib import Path

from support.keryx import Keryx, Line, keryx, until
from support.minio import minio, told

EXAMPLES = Path(__file__).parents[2] / "examples/eventsources"


def said(run: Keryx, text: str) -> list[Line]:
    return [line for line in run.lines if line.get("triggerType") == "Log" and text in str(line)]


async def test_minio(tmp_path: Path) -> None:
    manifest = tmp_path / "minio.yaml"
    async with minio() as server:
        text = (EXAMPLES / "minio.yaml").read_text().replace("localhost:9000", server.host)
        manifest.write_text(text)
        async with keryx(tmp_path / "run", "run", manifest, "--data", tmp_path / "data") as run:
            await until(lambda: server.listeners, 30, what=lambda: run.err)
            server.tell(told("in/a.csv"))
            await until(lambda: said(run, "in%2Fa.csv"), 30, what=lambda: run.err)
            assert await run.stop(20) == 0
