"""compare.py: compares the times of our cases with those of the same work in peers, other libraries.

usage: compare.py BUILD [CASE]

Prints for each case and each installed peer
    peer CASE PEER Y UNIT ratio R
where R is our time divided by the time of the peer. In each round our program and the peers measure one after the
other; R is the median of the ratios of the rounds. Before that, compares two numbers that each case computes, to check
that a peer does the same work, and ends with an error if they differ.
"""
import os
import statistics
import subprocess
import sys

ROUNDS = 9
TOLERANCE = 1e-5
UNIT_NS = {"ns": 1, "us": 1e3, "ms": 1e6}
PEERS = ["numpy", "torch", "libtorch", "fann", "adolc", "kann", "codipack", "adept", "cppad"]
OURS = ["scalar", "nets", "arrays", "optim", "attention", "startup"]


class Server:
    """A program of ours or of a peer that answers requests; see serve.h."""

    def __init__(self, name, command, environment):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment, text=True)
        verb, *cases = (self.process.stdout.readline() or "-").split()
        self.units = dict(case.split(":") for case in cases) if verb == "cases" else {}

    def ask(self, verb, case):
        self.process.stdin.write(f"{verb} {case}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name}: ended during {verb} {case}: {self.process.stderr.read()}")
        return [float(x) for x in answer.split()]

    def fault(self):
        lines = self.process.stderr.read().strip().splitlines()
        return lines[-1] if lines else "it listed no cases"


def servers(build):
    """Starts our programs and the peers; reports the peers that do not run."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":
        environment.pop(name, None)
    here = os.path.dirname(os.path.abspath(__file__))
    ours = [Server("ours", [f"{build}/bench/{name}", "--serve"], environment) for name in OURS]
    peers = []
    for name in PEERS:
        script, program = f"{here}/{name}_peer.py", f"{build}/bench/peers/{name}"
        if not os.path.exists(script) and not os.path.exists(program):
            print(f"{name} is skipped: not installed; `make deps-peers` installs all that Debian has", flush=True)
            continue
        peer = Server(name, [sys.executable, script] if os.path.exists(script) else [program], environment)
        if peer.units:
            peers.append(peer)
        else:
            print(f"{name} is skipped: it does not run: {peer.fault()}", flush=True)
    return ours, peers


def check(case, mine, peer):
    expected, found = mine.ask("check", case), peer.ask("check", case)
    for a, b in zip(expected, found):
        if not abs(a - b) <= TOLERANCE * abs(a):
            sys.exit(f"{case}: {peer.name} computes {b:.9g}, ours computes {a:.9g}: the work is not the same")


def compare(case, mine, peers):
    unit = mine.units[case]
    for peer in peers:
        check(case, mine, peer)
    times = [[s.ask("time", case)[0] for s in [mine, *peers]] for _ in range(ROUNDS)]
    for i, peer in enumerate(peers, 1):
        y = statistics.median(row[i] for row in times) / UNIT_NS[unit]
        ratio = statistics.median(row[0] / row[i] for row in times)
        print(f"peer {case} {peer.name} {y:.4g} {unit} ratio {ratio:.3g}", flush=True)


def main(build, wanted=None):
    ours, peers = servers(build)
    if wanted and not any(wanted in mine.units for mine in ours):
        sys.exit(f"there is no case {wanted}; the cases are: " + " ".join(case for mine in ours for case in mine.units))
    for mine in ours:
        for case in mine.units:
            able = [peer for peer in peers if case in peer.units]
            if able and wanted in (None, case):
                compare(case, mine, able)


if __name__ == "__main__":
    main(*sys.argv[1:])
