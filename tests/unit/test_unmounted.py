"""Containers where nothing can be mounted: what paths and names become."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from events import mounted
from events.app.local import images
from events.local.kubelet.processes import Mount
from events.local.kubelet.unmounted import Unmounted
from events.local.standins import by_name, nats
from events.local.standins.site import sitecustomize


@pytest.fixture
def known(tmp_path: Path) -> Unmounted:
    mounts = [Mount("/v/data", "/data"), Mount("/v/inner", "/data/inner"), Mount("/v/tmp", "/tmp")]
    return Unmounted(mounts, ["/tmp/kept"], tmp_path)


@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("cat /data/a /data", "cat /v/data/a /v/data"),
        ("/data/inner/x;/data/innermost", "/v/inner/x;/v/data/innermost"),
        ("--dir=/data --url file:///data/x -d @/data/y", "--dir=/v/data --url file:///v/data/x -d @/v/data/y"),
        ('"path": "/data/x", [\'/data\']', '"path": "/v/data/x", [\'/v/data\']'),
        ("echo x >/data/x; (cd /data && ls)", "echo x >/v/data/x; (cd /v/data && ls)"),
        ("A=/data:/tmp/a:${B:-/data}", "A=/v/data:/v/tmp/a:${B:-/v/data}"),
        ("first\n/data/x", "first\n/v/data/x"),
        ('http://host/data/x host/data $HOME/data ${d}/data "$d"/data $(pwd)/data ./data', None),
        ("/database /data-1 /data.old /tmpfs", None),
        ("/tmp/kept/node/pods/x /tmp/kept", None),
    ],
)
def test_paths_of_mounts_are_told_as_the_machines(known: Unmounted, text: str, real: str | None) -> None:
    assert known.text(text) == (text if real is None else real)
    assert known.text(known.text(text)) == known.text(text)


def test_what_the_machine_has_in_its_environment_stays(known: Unmounted, tmp_path: Path) -> None:
    env = known.environment({"PATH": "/data/bin", "FILE": "/data/f", "LANG": "/data"}, {"PATH": "/data/bin"})
    wanted = {"PATH": "/data/bin", "FILE": "/v/data/f", "LANG": "/v/data", "TMPDIR": "/v/tmp"}
    assert env == {**wanted, "KERYX_ROOT": str(tmp_path / "root")}


def test_a_script_of_a_volume_is_run_as_a_copy_with_the_machines_paths(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "run.sh").write_text("cat /scripts/text\n")
    (volume / "plain.sh").write_text("true\n")
    (volume / "tool").write_text("#!/bin/sh\ncat /scripts/text\n")
    (volume / "tool").chmod(0o755)
    it = Unmounted([Mount(str(volume), "/scripts")], [], tmp_path / "own")
    shell, copy = it.argv(["sh", "/scripts/run.sh"])
    assert shell == "sh"
    assert Path(copy).read_text() == f"cat {volume}/text\n"
    assert it.argv(["sh", "/scripts/plain.sh"]) == ["sh", f"{volume}/plain.sh"]
    assert it.argv(["cat", "/scripts/run.sh"]) == ["cat", f"{volume}/run.sh"], "a file that is read is no script"
    (tool,) = it.argv(["/scripts/tool"])
    assert (Path(tool).read_text(), Path(tool).stat().st_mode & 0o111) == (f"#!/bin/sh\ncat {volume}/text\n", 0o111)
    assert it.argv(["sh", "/scripts/absent"]) == ["sh", f"{volume}/absent"]


def test_programs_of_ours_find_every_mount_below_one_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("value")
    mounts = [Mount(str(tmp_path / "secret"), "/not-here/secrets/one"), Mount(str(tmp_path / "hosts"), "/etc/hosts")]
    Unmounted(mounts, [], tmp_path / "own").lay_out()
    Unmounted(mounts, [], tmp_path / "own").lay_out()
    environ = {mounted.ROOT: str(tmp_path / "own" / "root")}
    assert Path(mounted.where("/not-here/secrets/one/key", environ)).read_text() == "value"
    assert mounted.where("/not-here/secrets/one/absent", environ).endswith("/root/not-here/secrets/one/absent")
    assert mounted.where("/not-here/secrets", environ).endswith("/own/root/not-here/secrets")
    for path in ("/not-here/other", "/etc", "/etc/passwd", "relative", ""):
        assert mounted.where(path, environ) == path
    assert mounted.where("/not-here/secrets/one/key", {}) == "/not-here/secrets/one/key"


CONFIG = """
pid_file: "/run/nats/nats.pid"
jetstream { store_dir: "/data/store" }
cluster {
  routes: [nats://db-0.db.n.svc:6222,"nats://u:p@db-1.db.n.svc:6222", nats://db-2.db.n.svc:6222]
}
cert_file: "/elsewhere/cert.pem"
"""


def test_nats_reads_a_copy_with_paths_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Unmounted([Mount(str(tmp_path / "data"), "/data")], [], tmp_path).lay_out()
    names = {"db-0.db.n.svc": ["127.64.0.2"], "db-1.db.n.svc": ["127.64.0.3"]}
    root = str(tmp_path / "root")
    text = nats.rewritten(CONFIG, names, {"POD_IP": "127.64.0.2", "KERYX_ROOT": root})
    assert f'store_dir: "{root}/data/store"' in text
    assert '"/elsewhere/cert.pem"' in text
    wanted = 'nats://db-0.db.n.svc:6222,"nats://u:p@127.64.0.3:6222", nats://db-2.db.n.svc:6222'
    assert f"routes: [{wanted}]" in text, "its own by name, known ones by address, as many as there were"
    assert nats.arguments([], "127.64.0.2", CONFIG, is_mounted=False)[-2:] == ["--cluster_advertise", "127.64.0.2:6222"]


def test_the_reloader_writes_the_servers_copy_with_the_servers_mounts(tmp_path: Path) -> None:
    for name in ("data", "config", "pid"):
        (tmp_path / name).mkdir()
    (tmp_path / "config" / "server.conf").write_text('store_dir: "/data/store"\n')
    (tmp_path / "config" / "auth.conf").write_text("user: a\n")
    Unmounted([Mount(str(tmp_path / "data"), "/data")], [], tmp_path).lay_out()
    root = str(tmp_path / "root")
    folder = nats.folder_of_copy(tmp_path / "pid" / "nats.pid")
    config = tmp_path / "config" / "server.conf"
    assert nats.copied(config, folder, {"KERYX_ROOT": root}) == folder / "server.conf"
    (folder / ".root").write_text(root)
    (tmp_path / "config" / "auth.conf").write_text("user: b\n")
    nats.copied_again(config, tmp_path / "pid" / "nats.pid", {"KERYX_ROOT": "/another"})
    assert (folder / "server.conf").read_text() == f'store_dir: "{root}/data/store"\n'
    assert (folder / "auth.conf").read_text() == "user: b\n"


def test_curl_and_wget_are_told_what_names_lead_to() -> None:
    names = {"web": ["127.96.0.1"], "db.n": ["127.64.0.2", "127.64.0.3"]}
    assert by_name.for_curl(["-s", "http://web/x", "https://db.n/y", "http://other/"], names) == [
        *("--resolve", "web:80:127.96.0.1", "--resolve", "db.n:443:127.64.0.2,127.64.0.3"),
        *("-s", "http://web/x", "https://db.n/y", "http://other/"),
    ]
    assert by_name.for_curl(["web:9100/example", "-d", "web is a word"], names)[:2] == [
        "--resolve",
        "web:9100:127.96.0.1",
    ]
    assert by_name.for_wget(["-qO-", "http://web:8080/x"], names) == [
        *("--header", "Host: web:8080", "-qO-", "http://127.96.0.1:8080/x")
    ]
    assert by_name.for_wget(["https://web/x"], names) == ["https://web/x"]
    assert by_name.target("http://[bad") is None


def test_any_python_program_knows_the_names_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# comment\n127.0.0.9 web web.n # more\n127.0.0.8 db\n127.0.0.7 db\n::1 six\n")
    assert sitecustomize.addresses("WEB.n.", str(file)) == ["127.0.0.9"]
    assert sitecustomize.addresses("db", str(file)) == ["127.0.0.8", "127.0.0.7"]
    assert sitecustomize.known(str(tmp_path / "absent")) == {}
    asks = "import socket as s; print([r[4][0] for r in s.getaddrinfo('db', 80, s.AF_INET, s.SOCK_STREAM)]); "
    asks += "print(s.getaddrinfo('127.0.0.1', 80)[0][4]); print([r[4][0] for r in s.getaddrinfo('six', 1, type=1)])"
    environment = {**images.unmounted().env, "KERYX_HOSTS": str(file)}
    done = subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['127.0.0.8', '127.0.0.7']", "('127.0.0.1', 80)", "['::1']"]
