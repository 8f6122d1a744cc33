"""A warm process: it imports the toolkit once, and forks a child with limits for every command line that it is given.

One job a line on standard input, as JSON: `words`, the `folder` to run in, the variables `env`, and `log`, the file of
what the child says. One line of answer: exit `status`, `seconds` of the processor, `kib` at the peak, `late`.
"""

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
from typing import Any, Final

WAIT: Final = 600.0  # seconds of the clock, on a machine that others use; what waits for ever is ended then
CPU: Final = 60  # seconds of the processor at which a child is ended
SPACE: Final = 6 << 30  # bytes of addresses above those of the warm process


def serve() -> None:
    """Answer jobs until the input ends."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        _warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_watched(json.loads(line))), flush=True)


def _warm_up() -> None:
    import torch

    from energy.cli import main
    from energy.command import catalog

    torch.set_num_threads(1)
    catalog.load_all([])
    main(["train", "model.sizes=[4]", "data=digits", "settler=dual_propagation", "--dry-run"])
    import energy.plots.curves
    import energy.study.inference.study
    import energy.study.page.report
    import energy.train.evaluate
    import energy.train.export
    import energy.train.fit  # noqa: F401


def _watched(job: dict[str, Any]) -> dict[str, Any]:
    child = os.fork()
    if not child:
        _carry_out(job)
    begun, late = time.monotonic(), False
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if not late and time.monotonic() - begun > WAIT:
            late = True
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    told = os.waitstatus_to_exitcode(status)
    return {"status": told, "seconds": used.ru_utime + used.ru_stime, "kib": used.ru_maxrss, "late": late}


def _carry_out(job: dict[str, Any]) -> None:
    """The child: everything that it says goes to a file."""
    status = 99
    try:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        for handle, copy in ((null, 0), (log, 1), (log, 2)):
            os.dup2(handle, copy)
        os.chdir(job["folder"])
        os.environ.update(job["env"])
        with open("/proc/self/statm", encoding="ascii") as held:
            size = int(held.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + SPACE, size + SPACE))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        from energy.cli import main

        status = main(job["words"])
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve()
