"""The gRPC contract between Keryx and an event source of one's own: service `generic.Eventing`. Contract: 3.31.

`rpc StartEventSource(EventSource) returns (stream Event)`; examples/generic/eventing.proto says the same for every
language. A server in Python may use this module as it is.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

METHOD = "/generic.Eventing/StartEventSource"
SERVICE = "generic.Eventing"

_FIELD = descriptor_pb2.FieldDescriptorProto
_MESSAGES = {
    "EventSource": (("name", _FIELD.TYPE_STRING), ("config", _FIELD.TYPE_BYTES)),
    "Event": (("name", _FIELD.TYPE_STRING), ("payload", _FIELD.TYPE_BYTES)),
}


def _pool() -> descriptor_pool.DescriptorPool:
    """A pool of its own: a process may have messages of the same name from elsewhere."""
    file = descriptor_pb2.FileDescriptorProto(name="eventing.proto", package="generic", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _pool()
EventSource = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("generic.EventSource"))
"""What is asked for: `name` is the event's name, `config` what the object says."""
Event = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("generic.Event"))
"""What has happened: `name`, and `payload` in bytes."""
