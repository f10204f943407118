"""Benchmarks of the whole plugin in nbdkit. Scripts/bench starts them with the right paths; see its --help."""

import signal
import sys

import compress
import cost
import events
import far
import images
import peers
import restart
import traces
import warm

if __name__ == "__main__":
    # Exits through the context managers, which stop what is running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        what = {"peers": peers.main, "cost": cost.main, "images": images.main, "restart": restart.main,
                "warm": warm.main, "far": far.main, "traces": traces.main, "events": events.main,
                "compress": compress.main}
        sys.exit(what[sys.argv[1]](sys.argv[2:]))
    except OSError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
