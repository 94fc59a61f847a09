"""What a kubelet does for the pods of our controllers: volumes become folders, the container a process."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.keryx import Keryx

Object = dict[str, Any]


def project(folder: Path, files: Mapping[str, bytes]) -> None:
    """Files as a kubelet projects them: links into `..data`, which is exchanged as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("..20*")))
    fresh = folder / f"..20{number:06}"
    fresh.mkdir()
    for name, data in files.items():
        (fresh / name).write_bytes(data)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    link = folder / "..data_tmp"
    link.symlink_to(fresh.name)
    link.replace(folder / "..data")


class Pod:
    """One pod of a Deployment, with the ConfigMaps and Secrets that it mounts, below a folder of its own."""

    def __init__(self, root: Path, deployment: Object, things: Mapping[tuple[str, str], Object]) -> None:
        """`things`: (kind, name) -> object."""
        self.root, self._things = root, things
        template = deployment["spec"]["template"]["spec"]
        self.container = template["containers"][0]
        self._volumes = {one["name"]: one for one in template["volumes"]}
        self.project()
        environ = {one["name"]: self._value(one) for one in self.container["env"]}
        more = {
            "KERYX_METRICS_PORT": "0",
            "KERYX_GRACE": "5",
            "KERYX_BUS_AUTH_FILE": self._inside("/etc/eventbus/auth/auth.yaml"),
        }
        self.keryx = Keryx(root / "process", *self.container["args"], environ={**environ, **more})

    def project(self) -> None:
        """Write, or exchange, what is mounted."""
        for mount in self.container["volumeMounts"]:
            volume = self._volumes[mount["name"]]
            if "emptyDir" not in volume:
                project(Path(self._inside(mount["mountPath"])), self._files(volume))

    def _files(self, volume: Object) -> dict[str, bytes]:
        if "configMap" in volume:
            found = self._things["ConfigMap", volume["configMap"]["name"]]
            data = {name: text.encode() for name, text in (found.get("data") or {}).items()}
            return data | {name: base64.b64decode(one) for name, one in (found.get("binaryData") or {}).items()}
        source = volume["secret"]
        data = {
            name: base64.b64decode(one) for name, one in self._things["Secret", source["secretName"]]["data"].items()
        }
        items = source.get("items")
        return {one["path"]: data[one["key"]] for one in items} if items else data

    def _value(self, variable: Object) -> str:
        if "valueFrom" in variable:
            return f"pod-{os.path.basename(self.root)}"
        value = variable.get("value", "")
        paths = [mount["mountPath"] for mount in self.container["volumeMounts"]]
        return self._inside(value) if any(value.startswith(f"{path}/") for path in paths) else value

    def _inside(self, path: str) -> str:
        return f"{self.root}{path}"


def secret(name: str, **data: str) -> Object:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
