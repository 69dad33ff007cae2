"""compare.py: our cases and the same work done by peers, in turns.

usage: compare.py BUILD [CASE]

Prints, for each case and each peer that is installed,
    peer CASE PEER Y UNIT ratio R
where R is our time over the peer's: the median over rounds of the ratio of two measurements one after the other.
Before that, each peer shows with two numbers that it does the same work; one that does not is an error.
"""
import os
import statistics
import subprocess
import sys

ROUNDS = 9
TOLERANCE = 1e-5
UNIT_NS = {"ns": 1, "us": 1e3, "ms": 1e6}
OURS = ["scalar", "nets", "arrays", "optim", "startup"]


class Server:
    """A program that answers: ours, or a peer's."""

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
            sys.exit(f"{self.name}: ended within {verb} {case}: {self.process.stderr.read()}")
        return [float(x) for x in answer.split()]

    def fault(self):
        lines = self.process.stderr.read().strip().splitlines()
        return lines[-1] if lines else "it has no cases"


def servers(build):
    """Ours and those of the peers that run; says which do not."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":
        environment.pop(name, None)
    here = os.path.dirname(os.path.abspath(__file__))
    ours = [Server("ours", [f"{build}/bench/{name}", "--serve"], environment) for name in OURS]
    peers = []
    for name in "numpy", "torch", "libtorch", "fann", "adolc":
        script, program = f"{here}/{name}_peer.py", f"{build}/bench/peers/{name}"
        if not os.path.exists(script) and not os.path.exists(program):
            print(f"no {name} here: left out; `make deps-peers` installs it", flush=True)
            continue
        peer = Server(name, [sys.executable, script] if os.path.exists(script) else [program], environment)
        if peer.units:
            peers.append(peer)
        else:
            print(f"{name} does not run: left out: {peer.fault()}", flush=True)
    return ours, peers


def check(case, mine, peer):
    expected, found = mine.ask("check", case), peer.ask("check", case)
    for a, b in zip(expected, found):
        if not abs(a - b) <= TOLERANCE * abs(a):
            sys.exit(f"{case}: {peer.name} gives {b:.9g} where ours is {a:.9g}: it does not do the same work")


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
        sys.exit(f"no case {wanted}; there are: " + " ".join(case for mine in ours for case in mine.units))
    for mine in ours:
        for case in mine.units:
            able = [peer for peer in peers if case in peer.units]
            if able and wanted in (None, case):
                compare(case, mine, able)


if __name__ == "__main__":
    main(*sys.argv[1:])
