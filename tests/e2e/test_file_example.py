"""The example of the file source, as a process that is killed: what it reported is not reported again."""

from __future__ import annotations

from pathlib import Path

from support.keryx import Keryx, keryx, until

EXAMPLE = Path(__file__).parents[2] / "examples/file/file.yaml"


def logged(run: Keryx, name: str) -> int:
    return sum(line.get("triggerType") == "Log" and name in str(line) for line in run.lines)


async def test_files_are_logged_once_over_a_kill(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "before.csv").touch()
    manifest = tmp_path / "file.yaml"
    manifest.write_text(EXAMPLE.read_text().replace("/tmp/keryx-example", str(watched)))
    async with keryx(tmp_path / "run", "run", manifest, "--data", tmp_path / "data") as run:
        await run.says("Eventing server started")
        for name in ("one.csv", ".hidden.csv", "other.txt"):
            (watched / name).write_text("1")
        await until(lambda: logged(run, "one.csv"), what=lambda: run.err)
        run.kill()
        run.start()
        await run.says("Eventing server started")
        (watched / "two.csv").write_text("2")
        await until(lambda: logged(run, "two.csv"), what=lambda: run.err)
        assert [logged(run, name) for name in ("before.csv", "one.csv", ".hidden.csv", "other.txt")] == [0, 0, 0, 0]
        assert await run.stop() == 0
