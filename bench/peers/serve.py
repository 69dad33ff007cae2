"""serve.py: what serve.h is, for peers in Python; and the numbers that the cases begin with."""
import sys
import time

import numpy as np

SAMPLE = 0.03  # seconds that a measurement takes at least


def fill(n, seed):
    """The n numbers in +-1 of bench_fill in bench/common.c: a linear congruential generator, by doubling."""
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
    """Weights [out, in] and biases [out], as mlp_new in bench/nets.c makes them."""
    for i, (n, m) in enumerate(zip(widths, widths[1:])):
        yield fill(n * m, 7 + i).reshape(m, n) / np.sqrt(np.float32(n)), np.zeros(m, np.float32)


def timed(work, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def serve(cases):
    """cases: name -> class, with work(), the number of items in one call, and result(), the two numbers to compare."""
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
