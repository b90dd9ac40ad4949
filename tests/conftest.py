"""What every test process begins with.

One thread each: workers that share two cores would otherwise wait for each other's threads. And Ctrl-C as it is in a
terminal: a shell that starts the suite in its background leaves it ignored, also for the processes that tests start.
Hypothesis looks at answers, not at how long one takes: a machine may be busy.
"""

import os
import signal

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start
os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("blemish", deadline=None)
settings.load_profile("blemish")
