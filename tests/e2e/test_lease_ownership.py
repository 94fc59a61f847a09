"""Two pods of a Sensor with the leader-election annotation: one acts, and when it is killed the other goes on."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import nats as nats_py
from support.api_server import running
from support.keryx import Keryx, http_sink, pod_environment, relay, until
from support.nats_server import NatsServer

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/sensor-relay"
LEADS = "I'm the LEADER, starting ..."


async def test_the_second_pod_takes_over_within_the_lease(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    pods: list[Keryx] = []
    (tmp_path / "api").mkdir()
    try:
        async with running(tmp_path / "api") as api, http_sink() as sink, api.client() as client:
            sensor = relay(sink.url, at_least_once=True)
            coded = base64.b64encode(json.dumps(sensor).encode()).decode()
            shared = pod_environment(server.url) | {
                "SENSOR_OBJECT": coded,
                "LEADER_ELECTION": "k8s",
                "KUBECONFIG": str(api.kubeconfig),
                "LEADER_ELECTION_LEASE_DURATION": "6s",
                "LEADER_ELECTION_RENEW_DEADLINE": "4s",
            }
            for name in ("relay-a", "relay-b"):
                pods.append(Keryx(tmp_path / name, "sensor-service", environ=shared | {"POD_NAME": name}).start())
                await pods[0].says(LEADS, 60)
            first, second = pods
            await second.says("Not the LEADER, stand by ...", 60)
            async with client.get(LEASE) as answer:
                assert (await answer.json())["spec"]["holderIdentity"].startswith("relay-a_")
            connection = await nats_py.connect(server.url)
            try:
                await first.ready(60)
                await publish(connection, 1)
                await until(lambda: sink.numbers == [1], 60)
                first.kill()
                await publish(connection, 2)
                began = asyncio.get_running_loop().time()
                await second.says(LEADS, 60)
                assert asyncio.get_running_loop().time() - began < 15
                await until(lambda: sink.numbers == [1, 2], 60)
                first.start()
                await first.says("Not the LEADER, stand by ...", 60)
                assert await second.stop() == 0  # gives the Lease up
                await first.says(LEADS, 60)
                await publish(connection, 3)
                await until(lambda: sink.numbers == [1, 2, 3], 60)
                api.kill()  # it ends what it does, and is not ended by it
                await first.says("The Lease is lost; what it owned is paused", 60)
                await publish(connection, 4)
                await api.start()
            finally:
                await connection.close()
            assert sink.numbers == [1, 2, 3]
    finally:
        for pod in pods:
            pod.close()
        server.kill()


async def publish(connection: nats_py.NATS, number: int) -> None:
    data = base64.b64encode(json.dumps({"body": {"number": number}}).encode()).decode()
    event = {
        "id": f"id-{number}",
        "source": "hooks",
        "specversion": "1.0",
        "type": "webhook",
        "subject": "posted",
        "datacontenttype": "application/json",
        "time": "2026-01-01T00:00:00Z",
        "data_base64": data,
    }
    await connection.jetstream().publish("default.hooks.posted", json.dumps(event).encode())
