"""CPU time of a process' main thread, as the thread itself counts it."""

from __future__ import annotations

import subprocess
import sys

from bench.processes import cpu_s, thread_cpu_s

_PROGRAM = """
import sys, threading, time
def work(seconds):
    while time.thread_time() < seconds:
        sum(range(1000))
helper = threading.Thread(target=work, args=(0.3,))
helper.start()
helper.join()
work(0.2)
print(time.thread_time(), time.process_time(), flush=True)
sys.stdin.read()
"""


def test_other_threads_count_for_the_process_and_not_for_its_main_thread() -> None:
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        thread, whole = map(float, process.stdout.readline().split())
        assert abs(thread_cpu_s(process) - thread) < 0.05
        assert abs(cpu_s(process) - whole) < 0.05
        assert whole - thread > 0.25
        process.stdin.close()
