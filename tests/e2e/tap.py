"""A few lines of test runner: functions named test_* run in order, results go out as TAP.

A test fails by raising, skips by raising Skip(reason).
"""
import inspect
import sys
import traceback


class Skip(Exception):
    pass


def run(module, suite):
    """Runs every test_* function of a module. Returns the exit status."""
    tests = [(n[5:].replace("_", "-"), f) for n, f in inspect.getmembers(module, inspect.isfunction)
             if n.startswith("test_") and f.__module__ == module.__name__]
    tests.sort(key=lambda item: inspect.getsourcelines(item[1])[1])
    print(f"1..{len(tests)}", flush=True)
    failures = 0
    for number, (name, function) in enumerate(tests, 1):
        try:
            function()
            print(f"ok {number} {suite}/{name}", flush=True)
        except Skip as reason:
            print(f"ok {number} {suite}/{name} # SKIP {reason}", flush=True)
        except BaseException:
            failures += 1
            print(f"not ok {number} {suite}/{name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
            if isinstance(sys.exc_info()[1], KeyboardInterrupt):
                raise
    return 1 if failures else 0
