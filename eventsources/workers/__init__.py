"""`workers: N`: N processes serve the HTTP endpoints of one EventSource, on the same ports (SO_REUSEPORT, Linux).

    supervisor.py   keeps N workers: starts them again, drains them, says together what they say
    slot.py         one worker's place: one life after another
    life.py         one process: started, talked to, ended
    channel.py      the messages between the two, on the worker's standard input
    plan.py         what a worker is told: everything it needs, nothing on a command line
    desk.py         the worker's side: what it reports, what it is ordered

The worker's program is `events.app.source_worker`. A worker binds its ports itself, so that the kernel stops giving it
connections when it dies; the supervisor holds each port for them, without listening, so that there is one place where
a port is taken or not.
"""
