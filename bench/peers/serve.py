"""serve.py: serve.h for peers in Python, and the initial numbers of the cases."""
import sys
import time

import numpy as np

SAMPLE = 0.03  # the least duration of a measurement in seconds


def fill(n, seed):
    """The n numbers of serve_fill in serve.h. Blocks of doubling length replace the recurrence."""
    x = np.empty(n, np.uint32)
    a, c, mask = 1664525, 1013904223, 0xFFFFFFFF
    x[0] = (seed * a + c) & mask
    done = 1
    while done < n:
        m = min(done, n - done)
        x[done:done + m] = x[:m] * np.uint32(a) + np.uint32(c)
        c, a, done = (a * c + c) & mask, a * a & mask, done + m
    return (x >> 8).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)


def layers(*widths):
    """The weights [out, in] and biases [out] of mlp_new in bench/nets.c."""
    for i, (n, m) in enumerate(zip(widths, widths[1:])):
        yield fill(n * m, 7 + i).reshape(m, n) / np.sqrt(np.float32(n)), np.zeros(m, np.float32)


def timed(work, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def serve(cases):
    """Answers requests as serve in serve.h. cases maps a name to a class with work(), items, the number of items in one
    call of work, and result(), the two numbers to compare."""
    print("cases", *(name + ":-" for name in cases), flush=True)
    held = state = None
    for line in sys.stdin:
        verb, name = line.split()
        if verb == "check":
            held = state = None
            print("%.17g %.17g" % tuple(cases[name]().result()), flush=True)
            continue
        if held != name:
            held, state = name, None
            state = cases[name]()
            once = timed(state.work, 1)
            once = timed(state.work, 3) if once < SAMPLE else once
            repeats = 1 if once > SAMPLE else int(SAMPLE / once) + 1
        elif repeats > 1:
            state.work()
        print("%.17g" % (timed(state.work, repeats) * 1e9 / state.items), flush=True)
