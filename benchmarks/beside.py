"""Training beside another one: two processes on two cores, each with threads as they come."""

import os
import subprocess
import sys
from dataclasses import dataclass, field

from benchmarks.measure import Row, row_of

TARGET = 2.2
CODE = """
import sys, time
if sys.argv[1] == "patient":
    from evaluation.cli.shared import patient
    patient()
from dataclasses import replace
from benchmarks.inputs import prepared
from benchmarks.steps import MINILM, our_step
setting = replace(MINILM, batch=16, length=40)
step = our_step(prepared(setting), setting)
step()
for line in sys.stdin:
    start = time.monotonic()
    for _ in range(3):
        step()
    print(time.monotonic() - start, flush=True)
"""
"""A process that takes three steps for every line it is sent, and says how long they took."""


@dataclass
class _Pair:
    """Two trainings, of which one or both take steps at a time."""

    how: str
    each: list["subprocess.Popen[str]"] = field(default_factory=list)

    def __enter__(self) -> "_Pair":
        names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
        environment = {key: value for key, value in os.environ.items() if key not in names}
        command = [sys.executable, "-c", CODE, self.how]
        for _ in range(2):
            self.each.append(
                subprocess.Popen(
                    command, env=environment, stdin=-1, stdout=-1, text=True, bufsize=1
                )
            )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.each:
            process.kill()
            process.wait()

    def seconds(self, many: int) -> float:
        """Return the wall time of the first one's steps, with so many at work."""
        for process in self.each[:many]:
            assert process.stdin is not None
            process.stdin.write("go\n")
        took = []
        for process in self.each[:many]:
            assert process.stdout is not None
            took.append(float(process.stdout.readline()))
        return took[0]


def beside(repeats: int) -> list[Row]:
    """Return how long a step takes beside another training over alone, waiting as the command line
    has its threads wait, and as torch's wait by themselves. Wall time: cores have to be free.
    """
    rows = []
    for how, target in (("patient", TARGET), ("spinning", None)):
        with _Pair(how) as pair:
            pair.seconds(2)
            pairs = [(pair.seconds(1), pair.seconds(2)) for _ in range(repeats)]
        note = "wall time" if target else "wall time; as torch's threads wait by themselves"
        rows.append(row_of("step beside another training", "alone", pairs, target, note))
    return rows
