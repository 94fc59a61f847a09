"""jq programs and Lua 5.1 scripts of objects: bounded in time and memory, in a worker process that can be killed.

    pool.py        Scripts: what the rest of Keryx uses; `check` for validation
    lane.py        one worker: started when needed, restarted, who is to blame when it dies
    link.py        one life of a worker: process, socket, frames
    frames.py      what goes over the socket
    worker.py      the child: gives up what it does not need, then answers one request after the other
    jq_engine.py   jq with the differences to gojq levelled
    lua_engine.py  Lua 5.1 in a sandbox (sandbox.lua)
    documents.py   JSON as Go reads and writes it

Contract: sensors A.5.5 and A.6. No script runs in this process: both languages can be made to loop in C, where nothing
interrupts them, and jq ends its process when it is out of memory.

Nothing is imported here: the worker starts through this package and must be small.
"""
