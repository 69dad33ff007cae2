"""report.py: writes the results of `make bench-report` to the table of docs/performance.md and to figures.

usage: report.py BUILD DOCS

Reads from BUILD: bench.txt and peers.txt, the output of `make bench` and `make bench-peers`; growth.txt, the output of
bench/report/growth; and the size of stripped.so. Writes the rows between the two marks in DOCS/performance.md, and
growth.tsv, ratios.tsv and their plots in DOCS/figures/.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BEGIN, END = "<!-- figures: make bench-report -->", "<!-- end of figures -->"
PEERS = ["numpy", "torch", "libtorch", "fann", "adolc"]


def measured(path, pattern):
    return [m.groups() for m in map(re.compile(pattern).match, open(path)) if m]


def rows(bench, peers):
    """Yields (case, goal, limits, (ours, unit, floor, ratio), {peer: (time, ratio)}) for each case of cases.tsv."""
    ours = {name: rest for name, *rest in measured(bench, r"bench (\S+) ours (\S+) (\S+) floor (\S+) ratio (\S+)")}
    beside = {}
    for case, peer, time, ratio in measured(peers, r"peer (\S+) (\S+) (\S+) \S+ ratio (\S+)"):
        beside.setdefault(case, {})[peer] = (time, float(ratio))
    for line in open(os.path.join(HERE, "cases.tsv")):
        if line.startswith("#"):
            continue
        case, goal, limits = line.rstrip("\n").split("\t")
        if case in ours:
            yield case, goal, limits, ours[case], beside.get(case, {})


def plain(number):
    return f"{float(number):,.4g}" if float(number) < 10000 else f"{float(number):,.0f}"


def table(report):
    yield "| case | ours | floor | ours / floor | peers: time (theirs / ours) | goal | what limits it |"
    yield "|---|---|---|---|---|---|---|"
    for case, goal, limits, (ours, unit, floor, ratio), peers in report:
        others = ", ".join(f"{p} {plain(peers[p][0])} ({plain(1 / peers[p][1])})" for p in PEERS if p in peers)
        ours, floor = f"{plain(ours)} {unit}", f"{plain(floor)} {unit}"
        yield f"| {case} | {ours} | {floor} | {ratio} | {others or '-'} | {goal} | {limits} |"


def megabytes(path):
    return f"{os.path.getsize(path) / 1e6:.2f} MB"


def size_row(library):
    others = [f"libtorch_cpu {megabytes(path)}" for path in glob.glob("/usr/lib/*/libtorch_cpu.so")]
    return (f"| library, stripped | {megabytes(library)} | - | - | {', '.join(others) or '-'} | 1 MB | "
            "kernels for three instruction sets |")


def replace_rows(page, lines):
    text = open(page).read()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        sys.exit(f"{page} lacks the lines {BEGIN} and {END}")
    with open(page, "w") as out:
        out.write(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after)


def write_ratios(path, report):
    """Writes lines of case, ours / floor and ours / each peer, with '?' for a missing peer."""
    with open(path, "w") as out:
        print("case", "floor", *PEERS, sep="\t", file=out)
        for case, _, _, (_, _, _, ratio), peers in report:
            print(case, ratio, *(peers[p][1] if p in peers else "?" for p in PEERS), sep="\t", file=out)


def main(build, docs):
    report = list(rows(f"{build}/bench.txt", f"{build}/peers.txt"))
    figures = os.path.join(docs, "figures")
    os.makedirs(figures, exist_ok=True)
    replace_rows(os.path.join(docs, "performance.md"), [*table(report), size_row(f"{build}/stripped.so")])
    write_ratios(os.path.join(figures, "ratios.tsv"), report)
    shutil.copyfile(f"{build}/growth.txt", os.path.join(figures, "growth.tsv"))
    for picture in "ratios", "growth":
        subprocess.run(["gnuplot", os.path.join(HERE, picture + ".gp")], cwd=figures, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
