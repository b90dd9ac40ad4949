"""What every test process begins with.

One thread each: workers that share two cores would otherwise wait for each other's threads. And Ctrl-C as it is in a
terminal: a shell that starts the suite in its background leaves it ignored, also for the processes that tests start.
"""

import os
import signal

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start
os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGINT, signal.default_int_handler)
