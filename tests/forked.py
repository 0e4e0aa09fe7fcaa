"""What must end in a process of its own, forked from this one: it need not import torch again."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable

LIMIT_S = 600


def exit_code(run: Callable[[], int]) -> int:
    """Return what ``run`` returns in a forked process; if a signal ended that, its negative number."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)  # from Python 3.12 on
        process = os.fork()
    if process == 0:
        code = 70
        try:
            signal.alarm(LIMIT_S)  # rather than to wait for ever
            code = run()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
