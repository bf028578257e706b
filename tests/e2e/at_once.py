"""Tests that mostly let time pass (a promise of 5 s or 10 s) run at the same time, each on its own machine.

    @at_once
    def test_something(make_box): ...

They begin with the session and go on beside the other tests; each then reports its own result, at the end.
"""

import concurrent.futures

import harness

_tests = {}    # (module, name) -> function
_futures = {}  # the same -> future


def run_alone(function):
    """Calls a test outside of pytest's fixtures, with a make_box that cleans up."""
    boxes = []

    def make(*args, **options):
        boxes.append(harness.Box(*args, **options))
        return boxes[-1]

    try:
        function(make)
    finally:
        for box in boxes:
            box.close()


def start(items):
    """Starts those of them that are among the selected tests."""
    selected = {(item.module.__name__, item.originalname) for item in items}
    chosen = {key: test for key, test in _tests.items() if key in selected}
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(len(chosen), 1))
    for key, test in chosen.items():
        _futures[key] = pool.submit(run_alone, test)
    pool.shutdown(wait=False)


def last(items):
    """The same tests with these at the end, where they have had their time."""
    return sorted(items, key=lambda item: (item.module.__name__, item.originalname) in _tests)


def at_once(function):
    key = function.__module__, function.__name__
    _tests[key] = function

    def test():
        _futures[key].result()

    test.__name__ = test.__qualname__ = function.__name__
    test.__module__ = function.__module__
    test.__doc__ = function.__doc__
    return test
