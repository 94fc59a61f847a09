"""What runs between fork and nats-server: the child ties itself to its keryx, then becomes the server.

Called as a script by `embedded.py`: `python -I -S embedded_child.py <pid of keryx> <binary> <argument>…`; imports
nothing of ours. A program of its own because `preexec_fn` runs Python between fork and exec of a process with threads,
which can deadlock (and warns from Python 3.12 on); this costs 15 ms instead.
"""

import os
import sys


def main() -> None:
    """Set up this process, then replace it by nats-server."""
    parent, binary, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        import ctypes
        import signal

        # SIGTERM, not SIGKILL: the server still writes its index, so the next start need not rebuild it. One that hangs
        # keeps the lock, and the next start ends it. The signal comes when the *thread* that forked ends: keryx spawns
        # from the thread of its event loop, never from a worker thread.
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGTERM), 0, 0, 0)
    os.setsid()  # Ctrl-C is for keryx, which stops the server when it has drained
    os.umask(0o077)
    if os.getppid() != int(parent):
        sys.exit("keryx died before its nats-server could start")
    os.execv(binary, [binary, *arguments])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
