"""The worker process: counts until it is told to stop."""

import itertools
import signal
import sys
import time

signal.signal(signal.SIGTERM, lambda *_: sys.exit("worker: stopped"))
for number in itertools.count(1):
    print(f"worker: job {number}", flush=True)
    time.sleep(1)
