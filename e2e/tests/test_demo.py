# SPDX-License-Identifier: Apache-2.0
"""What `make demo` shows, from start to end."""

import os
import subprocess
import sys


def test_demo_shows_a_pod_and_leaves_nothing():
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run([sys.executable, "-m", "demo"], cwd=here, capture_output=True, text=True, timeout=600,
                          stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "hello from a zone" in done.stdout and "Nothing is left" in done.stdout
