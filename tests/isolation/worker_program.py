"""A worker for the tests to kill: ``python -m tests.isolation.worker_program URL``."""

import sys

from tests.isolation import tasks

if __name__ == "__main__":
    tasks.app.configure(sys.argv[1])
    tasks.app.run_worker(concurrency=2, grace=0.1, lease=1.5)
