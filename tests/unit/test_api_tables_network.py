"""Cells of what pods are reached by and keep things in, as `kubectl get` shows them."""

from __future__ import annotations

from typing import Any

import pytest
from support.tables import AGE, CREATED, SELECTED, SELECTOR, an, cells, row

# Network


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.0.0.1"}, {}, ["ClusterIP", "10.0.0.1", "<none>", "<none>"]),
        ({"type": "ClusterIP", "clusterIPs": ["None"]}, {}, ["ClusterIP", "None", "<none>", "<none>"]),
        (
            {
                "type": "NodePort",
                "clusterIP": "10.0.0.1",
                "externalIPs": ["1.1.1.1"],
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
            },
            {},
            ["NodePort", "10.0.0.1", "1.1.1.1", "80:30080/TCP,53/UDP"],
        ),
        ({"type": "LoadBalancer"}, {}, ["LoadBalancer", "<none>", "<pending>", "<none>"]),
        (
            {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
            {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "1.2.3.4"}, {"hostname": "b"}]}},
            ["LoadBalancer", "<none>", "1.2.3.4,b,9.9.9.9", "<none>"],
        ),
        ({"type": "ExternalName", "externalName": "x.y"}, {}, ["ExternalName", "<none>", "x.y", "<none>"]),
    ],
)
def test_services(spec: Any, status: Any, expected: Any) -> None:
    assert cells("", "Service", spec=spec, status=status) == [*expected, AGE, "<none>"]


def test_ingresses() -> None:
    rules = [{"host": f"h{index}"} for index in range(5)]
    group = "networking.k8s.io"
    assert cells(group, "Ingress", spec={"rules": rules, "tls": [{}], "ingressClassName": "n"}) == [
        "n",
        "h0,h1,h2 + 2 more...",
        "",
        "80, 443",
        AGE,
    ]
    status = {"loadBalancer": {"ingress": [{"hostname": "a.long.name.of.a.balancer"}]}}
    assert cells(group, "Ingress", spec={}, status=status) == ["<none>", "*", "a.long.name.of.a.balancer", "80", AGE]
    parameters = {"kind": "P", "apiGroup": "x.y", "name": "p"}
    assert cells(group, "IngressClass", spec={"controller": "c", "parameters": parameters}) == ["c", "P.x.y/p", AGE]
    assert cells(group, "NetworkPolicy", spec={"podSelector": SELECTOR}) == [SELECTED, AGE]


def test_endpoints() -> None:
    addresses = [{"ip": "1.1.1.1"}, {"ip": "::1"}]
    assert cells("", "Endpoints") == ["<none>", AGE]
    assert cells("", "Endpoints", subsets=[{"addresses": addresses}]) == ["1.1.1.1,::1", AGE]
    got = cells("", "Endpoints", subsets=[{"addresses": addresses, "ports": [{"port": 80}, {"port": 81}]}])
    assert got == ["1.1.1.1:80,[::1]:80,1.1.1.1:81 + 1 more...", AGE]
    got = cells(
        "discovery.k8s.io",
        "EndpointSlice",
        addressType="IPv4",
        ports=[{"port": 80}, {"name": "x"}, {}],
        endpoints=[{"addresses": ["1.1.1.1"]}, {"addresses": ["1.1.1.2"]}],
    )
    assert got == ["IPv4", "80,x,*", "1.1.1.1,1.1.1.2", AGE]
    assert cells("discovery.k8s.io", "EndpointSlice", addressType="IPv4") == ["IPv4", "<unset>", "<unset>", AGE]


# Storage


def test_volumes_and_claims() -> None:
    spec = {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"]}
    status = {"phase": "Bound", "capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}
    got = cells("", "PersistentVolumeClaim", spec=spec, status=status)
    assert got == ["Bound", "v", "1Gi", "RWO,RWX", "fast", "<unset>", AGE, "Filesystem"]
    waiting = cells("", "PersistentVolumeClaim", spec={}, status={"phase": "Pending"})
    assert waiting == ["Pending", "", "", "", "", "<unset>", AGE, "<unset>"]
    going = an(status={"phase": "Bound"})
    going["metadata"]["deletionTimestamp"] = CREATED
    assert row("", "PersistentVolumeClaim", going)["cells"][1] == "Terminating"
    spec = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadOnlyMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "n", "name": "c"},
    }
    old = {"volume.beta.kubernetes.io/storage-class": "old"}
    got = cells("", "PersistentVolume", spec=spec, status={"phase": "Bound"}, annotations=old)
    assert got == ["5Gi", "ROX", "Retain", "Bound", "n/c", "old", "<unset>", "", AGE, "<unset>"]


def test_classes_and_drivers() -> None:
    group = "storage.k8s.io"
    assert cells(group, "StorageClass", provisioner="p") == ["p", "Delete", "Immediate", False, AGE]
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert row(group, "StorageClass", an(annotations=default, provisioner="p"))["cells"][0] == "a (default)"
    assert cells(group, "CSIDriver", spec={}) == [True, False, False, "<unset>", False, "<none>", AGE]
    got = cells(
        group, "VolumeAttachment", spec={"attacher": "x", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    )
    assert got == ["x", "v", "n", False, AGE]
