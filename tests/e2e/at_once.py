"""Tests that mostly let time pass (a promise of 5 s or 10 s) run at the same time, each on its own machine.

    @at_once
    def test_something(make_box): ...

The first of a file's such tests that is selected starts them all; each then reports its own result.
"""

import concurrent.futures

import harness

_tests = {}    # module -> {name: function}
_futures = {}  # (module, name) -> future


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


def _start(module, session):
    selected = {item.originalname for item in session.items if item.module.__name__ == module}
    chosen = {name: test for name, test in _tests[module].items() if name in selected}
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(len(chosen), 1))
    for name, test in chosen.items():
        _futures[module, name] = pool.submit(run_alone, test)
    pool.shutdown(wait=False)


def at_once(function):
    module, name = function.__module__, function.__name__
    _tests.setdefault(module, {})[name] = function

    def test(request, binaries):
        if (module, name) not in _futures:
            _start(module, request.session)
        _futures[module, name].result()

    test.__name__ = test.__qualname__ = name
    test.__module__ = module
    test.__doc__ = function.__doc__
    return test
