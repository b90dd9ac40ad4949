"""One thread a test process: workers that share two cores would otherwise wait for each other's threads."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start
os.environ["HF_HUB_OFFLINE"] = "1"
