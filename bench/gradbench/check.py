"""check.py: checks the tool of GradBench: small inputs of each module, against the definitions in plain Python.

usage: check.py PROGRAM MODULE

Gradients are compared with a complex step through the definitions, Newton's step of kmeans with the means of the
clusters. MODULE protocol checks the answers to other messages. Ends with an error at the first difference.
"""
import cmath
import itertools
import json
import math
import random
import subprocess
import sys

STEP = 1e-100
random.seed(7)


def uniform(*shape, lo=-1.0, hi=1.0):
    if not shape:
        return random.uniform(lo, hi)
    return [uniform(*shape[1:], lo=lo, hi=hi) for _ in range(shape[0])]


def flatten(x):
    return [v for row in x for v in flatten(row)] if isinstance(x, list) else [x]


def like(x, numbers):
    """The numbers of an iterator, nested like x."""
    return [like(row, numbers) for row in x] if isinstance(x, list) else next(numbers)


def jacobian(f, x):
    """The slopes of f, a list or a number, by each number of the nested list x: columns."""
    flat, columns = flatten(x), []
    for i in range(len(flat)):
        at = [complex(v, STEP if i == k else 0) for k, v in enumerate(flat)]
        columns.append([v.imag / STEP for v in flatten(f(like(x, iter(at))))])
    return columns


def gradient(f, x):
    return like(x, iter(column[0] for column in jacobian(f, x)))


def real(x):
    return [real(v) for v in x] if isinstance(x, list) else complex(x).real


# ---- the definitions ------------------------------------------------------------------------------------------------


def matmul(a, b):
    return [[sum(a[i][k] * b[k][j] for k in range(len(b))) for j in range(len(b[0]))] for i in range(len(a))]


def lse(x):
    return cmath.log(sum(cmath.exp(v) for v in x))


def llsq(x, n):
    total = 0
    for i in range(n):
        t = -1 + i * 2 / (n - 1)
        total += ((t > 0) - (t < 0) - sum(v * t**j for j, v in enumerate(x))) ** 2
    return total / 2


def ode(x, s):
    def slope(y):
        return [x[0]] + [x[i] * y[i - 1] for i in range(1, len(x))]

    def moved(y, k, h):
        return [a + h * b for a, b in zip(y, k)]

    y, h = [0] * len(x), 2 / s
    for _ in range(s):
        k1 = slope(y)
        k2 = slope(moved(y, k1, h / 2))
        k3 = slope(moved(y, k2, h / 2))
        k4 = slope(moved(y, k3, h))
        y = [v + h / 6 * (a + 2 * b + 2 * c + d) for v, a, b, c, d in zip(y, k1, k2, k3, k4)]
    return y


def det(a, n):
    total = 0
    for p in itertools.permutations(range(n)):
        sign = (-1) ** sum(p[i] > p[j] for i in range(n) for j in range(i + 1, n))
        total += sign * math.prod((a[i * n + p[i]] for i in range(n)), start=1)
    return total


def gmm(p, d, k, n, x, m, gamma):
    """The log of the posterior, with a Wishart prior of V = I / gamma^2 and d + m + 1 degrees of freedom."""
    alpha, mu, q, l = p
    total, degrees = 0, d + m + 1
    matrices = []
    for c in range(k):
        rows, below = [[0] * d for _ in range(d)], iter(l[c])
        for j in range(d):
            rows[j][j] = cmath.exp(q[c][j])
            for i in range(j + 1, d):
                rows[i][j] = next(below)
        matrices.append(rows)
    weights = [cmath.exp(a) / sum(cmath.exp(b) for b in alpha) for a in alpha]
    roots = [math.prod((rows[j][j] for j in range(d)), start=1) for rows in matrices]  # of det of the precision
    for point in x:
        density = 0
        for c in range(k):
            y = matmul(matrices[c], [[a - b] for a, b in zip(point, mu[c])])
            density += weights[c] * roots[c] * cmath.exp(-sum(v[0] ** 2 for v in y) / 2) / math.sqrt(2 * math.pi) ** d
        total += cmath.log(density)
    gammas = d * (d - 1) / 4 * math.log(math.pi) + sum(math.lgamma((degrees - j) / 2) for j in range(d))
    for c in range(k):
        trace = sum(v**2 for v in flatten(matrices[c]))
        total += m * cmath.log(roots[c]) - gamma**2 * trace / 2
        total -= degrees * d / 2 * math.log(2) - degrees * d * math.log(gamma) + gammas
    return total


def lstm(p, state, sequence):
    main, extra = p
    b, total = len(extra[0]), 0
    state = [list(row) for row in state]

    def sigmoid(v):
        return 1 / (1 + cmath.exp(-v))

    for t in range(len(sequence) - 1):
        x = [a * w for a, w in zip(sequence[t], extra[0])]
        for k in range(len(main) // 2):
            weight, bias, hidden, cell = main[2 * k], main[2 * k + 1], state[2 * k], state[2 * k + 1]
            for i in range(b):
                forget = sigmoid(x[i] * weight[i] + bias[i])
                enter = sigmoid(hidden[i] * weight[b + i] + bias[b + i])
                leave = sigmoid(x[i] * weight[2 * b + i] + bias[2 * b + i])
                change = cmath.tanh(hidden[i] * weight[3 * b + i] + bias[3 * b + i])
                cell[i] = cell[i] * forget + enter * change
                hidden[i] = leave * cmath.tanh(cell[i])
            x = hidden
        y = [a * w + c for a, w, c in zip(x, extra[1], extra[2])]
        norm = cmath.log(2 + sum(cmath.exp(v) for v in y))
        total += sum(gold * (v - norm) for gold, v in zip(sequence[t + 1], y))
    return -total / (b * (len(sequence) - 1))


def cross(a, b):
    return [a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3] for i in range(3)]


def ba_error(p, feat):
    cam, x, w = p
    y = [a - b for a, b in zip(x, cam[3:6])]
    r = cam[0:3]
    angle = cmath.sqrt(sum(v * v for v in r))
    if angle == 0:
        y = [a + b for a, b in zip(y, cross(r, y))]
    else:
        k = [v / angle for v in r]
        c, s, along = cmath.cos(angle), cmath.sin(angle), sum(a * b for a, b in zip(k, y))
        y = [a * c + b * s + d * along * (1 - c) for a, b, d in zip(y, cross(k, y), k)]
    u, v = y[0] / y[2], y[1] / y[2]
    square = u * u + v * v
    radial = 1 + cam[9] * square + cam[10] * square * square
    return [w * (u * radial * cam[6] + cam[7] - feat[0]), w * (v * radial * cam[6] + cam[8] - feat[1])]


def euler(x, z, y):
    def turn(a, i, j):
        r = [[float(p == q) for q in range(4)] for p in range(4)]
        r[i][i] = r[j][j] = cmath.cos(a)
        r[j][i] = cmath.sin(a)
        r[i][j] = -r[j][i]
        return r

    return matmul(matmul(turn(z, 0, 1), turn(y, 2, 0)), turn(x, 1, 2))


def ht(p, data):
    theta, us = p
    model, bones = data["model"], len(data["model"]["parents"])
    angles, left = [[0, 0, 0] for _ in range(bones)], iter(theta[6:])
    for finger in range(5):
        for joint in range(3):
            bone = angles[2 + 4 * finger + joint]
            bone[0] = next(left)
            if joint == 0:
                bone[1] = next(left)
    absolute, transforms = [], []
    for i, parent in enumerate(model["parents"]):
        here = matmul(model["base_relatives"][i], euler(*angles[i]))
        absolute.append(here if parent < 0 else matmul(absolute[parent], here))
        transforms.append(matmul(absolute[i], model["inverse_base_absolutes"][i]))
    norm = cmath.sqrt(sum(v * v for v in theta[:3]))
    k, c, s = [v / norm for v in theta[:3]], cmath.cos(norm), cmath.sin(norm)
    vertices = []
    for x, weights in zip(model["base_positions"], model["weights"]):
        y = [0, 0, 0]
        for w, t in zip(weights, transforms):
            moved = matmul(t, [[v] for v in x])
            y = [a + w * b[0] for a, b in zip(y, moved)]
        if model["is_mirrored"]:
            y[0] = -y[0]
        along = sum(a * b for a, b in zip(k, y))
        turned = [a * c + b * s + d * along * (1 - c) for a, b, d in zip(y, cross(k, y), k)]
        vertices.append([a + b for a, b in zip(turned, theta[3:6])])
    errors = []
    for i, (at, point) in enumerate(zip(data["correspondences"], data["points"])):
        if us:
            a, b, c = (vertices[v] for v in model["triangles"][at])
            u, v = us[i]
            skin = [u * x + v * y + (1 - u - v) * z for x, y, z in zip(a, b, c)]
        else:
            skin = vertices[at]
        errors += [a - b for a, b in zip(point, skin)]
    return errors


def descend(f, slope, x):
    """The eval's gradient descent."""
    y, d, rate, went_down = f(x), slope(x), 1e-5, 0
    while math.hypot(*d) > 1e-5:
        if went_down == 10:
            rate, went_down = 2 * rate, 0
        there = [a - rate * b for a, b in zip(x, d)]
        if math.dist(x, there) <= 1e-5:
            break
        if f(there) < y:
            x, y, d, went_down = there, f(there), slope(there), went_down + 1
        else:
            rate, went_down = rate / 2, 0
    return x


def crossing(w):
    x, v, charges = [0, 8], [0.75, 0], [[10, 10 - w], [10, 0]]
    while True:
        force = [0, 0]
        for c in charges:
            away = [a - b for a, b in zip(x, c)]
            cube = cmath.sqrt(away[0] ** 2 + away[1] ** 2) ** 3
            force = [a + b / cube for a, b in zip(force, away)]
        x = [a + 0.1 * b for a, b in zip(x, v)]
        if complex(x[1]).real <= 0:
            return (x[0] - x[1] / v[1] * v[0]) ** 2
        v = [a + 0.1 * b for a, b in zip(v, force)]


def particle(w):
    return descend(lambda x: crossing(x[0]).real, lambda x: [crossing(x[0] + STEP * 1j).imag / STEP], [w])[0]


def saddle(start):
    def argmax(x):
        def negative(y):
            return y[0] ** 2 + y[1] ** 2 - x[0] ** 2 - x[1] ** 2

        return descend(negative, lambda y: [2 * v for v in y], start)

    def largest(x):
        y = argmax(x)
        return x[0] ** 2 + x[1] ** 2 - y[0] ** 2 - y[1] ** 2

    x = descend(largest, lambda x: [2 * v for v in x], start)
    return x + argmax(x)


# ---- the tool -------------------------------------------------------------------------------------------------------


class Tool:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.id = 0

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ask(self, kind, **fields):
        self.id += 1
        response = self.send(json.dumps({"id": self.id, "kind": kind, **fields}))
        assert response["id"] == self.id, response
        return response

    def evaluate(self, module, function, data, runs=True):
        if runs:
            data = {**data, "min_runs": 3, "min_seconds": 0}
        response = self.ask("evaluate", module=module, function=function, input=data, description="small")
        assert response["success"], response
        times = [t["nanoseconds"] for t in response["timings"] if t["name"] == "evaluate"]
        assert len(times) >= (3 if runs else 1) and min(times) >= 0, times
        return response["output"]


def same(found, expected, where, tolerance=1e-11):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), (where, found.keys())
        for key in expected:
            same(found[key], expected[key], f"{where}.{key}", tolerance)
    elif isinstance(expected, list):
        assert isinstance(found, list) and len(found) == len(expected), (where, found, expected)
        for i, (a, b) in enumerate(zip(found, expected)):
            same(a, b, f"{where}[{i}]", tolerance)
    else:
        assert abs(found - expected) <= tolerance * max(1, abs(expected)), (where, found, expected)


def check_hello(tool):
    same(tool.evaluate("hello", "square", 3.5, runs=False), 12.25, "square")
    same(tool.evaluate("hello", "double", 3.5, runs=False), 7, "double")


def check_lse(tool):
    for x in uniform(5, lo=-3, hi=3), [2.5], [0.5, 0.25, -1]:
        same(tool.evaluate("lse", "primal", {"x": x}), real(lse(x)), "primal")
        same(tool.evaluate("lse", "gradient", {"x": x}), gradient(lse, x), "gradient")
    same(tool.evaluate("lse", "primal", {"x": [1000, 1000]}), 1000 + math.log(2), "large")


def check_llsq(tool):
    for n, m in (16, 4), (5, 1), (33, 12):
        x = uniform(m)
        same(tool.evaluate("llsq", "primal", {"x": x, "n": n}), llsq(x, n), "primal")
        same(tool.evaluate("llsq", "gradient", {"x": x, "n": n}), gradient(lambda v: llsq(v, n), x), "gradient")


def check_ode(tool):
    for n, s in (6, 4), (1, 1), (3, 9):
        x = uniform(n, lo=0)
        same(tool.evaluate("ode", "primal", {"x": x, "s": s}), ode(x, s), "primal")
        same(tool.evaluate("ode", "gradient", {"x": x, "s": s}), gradient(lambda v: ode(v, s)[-1], x), "gradient")


def check_det(tool):
    for n in 1, 2, 3, 5:
        a = uniform(n * n)
        same(tool.evaluate("det", "primal", {"A": a, "ell": n}), det(a, n), "primal")
        same(tool.evaluate("det", "gradient", {"A": a, "ell": n}), gradient(lambda v: det(v, n), a), "gradient")


def check_gmm(tool):
    for d, k, n, m, gamma in (3, 2, 5, 0, 1.0), (1, 3, 4, 2, 0.7), (4, 1, 3, 1, 1.5):
        p = [uniform(k), uniform(k, d), uniform(k, d), uniform(k, d * (d - 1) // 2)]
        fixed = {"d": d, "k": k, "n": n, "x": uniform(n, d), "m": m, "gamma": gamma}
        data = {**fixed, "alpha": p[0], "mu": p[1], "q": p[2], "l": p[3]}
        same(tool.evaluate("gmm", "objective", data), real(gmm(p, **fixed)), "objective")
        expected = dict(zip(("alpha", "mu", "q", "l"), gradient(lambda v: gmm(v, **fixed), p)))
        same(tool.evaluate("gmm", "jacobian", data), expected, "jacobian", 1e-10)


def check_lstm(tool):
    for l, c, b in (2, 5, 3), (1, 2, 1):
        p, state = [uniform(2 * l, 4 * b), uniform(3, b)], uniform(2 * l, b)
        text = [[float(random.random() < 0.5) for _ in range(b)] for _ in range(c)]
        data = {"main_params": p[0], "extra_params": p[1], "state": state, "sequence": text}
        same(tool.evaluate("lstm", "objective", data), real(lstm(p, state, text)), "objective")
        expected = flatten(gradient(lambda v: lstm(v, state, text), p))
        same(tool.evaluate("lstm", "jacobian", data), expected, "jacobian")


def check_ba(tool):
    for n, m, p in (3, 4, 12), (2, 5, 600):
        cam, x, w, feat = uniform(11), uniform(3, lo=3, hi=5), uniform(lo=0.5, hi=1.5), uniform(2)
        data = {"n": n, "m": m, "p": p, "cam": cam, "x": x, "w": w, "feat": feat}
        error = {"elements": real(ba_error([cam, x, w], feat)), "repeated": p}
        expected = {"reproj_error": error, "w_err": {"element": 1 - w * w, "repeated": p}}
        same(tool.evaluate("ba", "objective", data), expected, "objective")
        columns = jacobian(lambda v: ba_error(v, feat), [cam, x, w])
        values = [column[e] for e in range(2) for column in columns] + [-2 * w]
        places = list(range(11)) + list(range(11 * n, 11 * n + 3)) + [11 * n + 3 * m]
        rows = [min(15 * r, 30 * p + max(0, r - 2 * p)) for r in list(range(30))]
        expected = {"rows": rows + [31 * p], "cols": places * 2 + [11 * n + 3 * m + p - 1], "vals": values}
        same(tool.evaluate("ba", "jacobian", data), expected, "jacobian", 1e-10)
    still = {**data, "cam": [0.0] * 3 + cam[3:]}
    same(tool.evaluate("ba", "objective", still)["reproj_error"]["elements"],
         real(ba_error([still["cam"], x, w], feat)), "without rotation")
    slopes = tool.evaluate("ba", "jacobian", still)["vals"]
    same(slopes[:15], [column[0] for column in jacobian(lambda v: ba_error([[*v[0], *cam[3:]], x, w], feat),
                                                         [[0.0] * 3])] + slopes[3:15], "without rotation", 1e-10)


def check_ht(tool):
    bones, vertices, count = 22, 9, 4
    for us, mirrored in (uniform(count, 2, lo=0, hi=0.5), True), ([], False):
        model = {"bone_count": bones, "bone_names": [f"bone{i}" for i in range(bones)],
                 "parents": [-1] + [random.randrange(i) for i in range(1, bones)],
                 "base_relatives": uniform(bones, 4, 4), "inverse_base_absolutes": uniform(bones, 4, 4),
                 "base_positions": [row + [1.0] for row in uniform(vertices, 3)],
                 "weights": uniform(vertices, bones, lo=0), "is_mirrored": mirrored,
                 "triangles": [random.sample(range(vertices), 3) for _ in range(6)]}
        data = {"model": model, "correspondences": [random.randrange(6) for _ in range(count)],
                "points": uniform(count, 3)}
        theta = uniform(26)
        problem = {"theta": theta, "data": data, "us": us}
        same(tool.evaluate("ht", "objective", problem), real(ht([theta, us], data)), "objective", 1e-10)
        columns = jacobian(lambda v: ht(v, data), [theta, us])
        expected = []
        for i in range(3 * count):
            own = [columns[26 + 2 * (i // 3) + k][i] for k in range(2)] if us else []
            expected.append(own + [columns[k][i] for k in range(26)])
        same(tool.evaluate("ht", "jacobian", problem), expected, "jacobian", 1e-10)


def check_kmeans(tool):
    points = uniform(30, 3, lo=0)
    means = points[-4:]
    own = [min(range(4), key=lambda c: math.dist(p, means[c])) for p in points]
    cost = sum(math.dist(p, means[c]) ** 2 for p, c in zip(points, own))
    data = {"points": points, "centroids": means}
    same(tool.evaluate("kmeans", "cost", data), cost, "cost")
    steps = []
    for c in range(4):
        members = [p for p, o in zip(points, own) if o == c]
        steps.append([means[c][i] - sum(p[i] for p in members) / len(members) for i in range(3)])
    same(tool.evaluate("kmeans", "dir", data), steps, "dir")


def check_particle(tool):
    expected = particle(0.0)
    for function in "ff", "fr", "rf", "rr":
        same(tool.evaluate("particle", function, {"w": 0.0, "min_runs": 1}, runs=False), expected, function, 1e-9)


def check_saddle(tool):
    expected = saddle([1.0, 0.5])
    for function in "ff", "fr", "rf", "rr":
        same(tool.evaluate("saddle", function, {"start": [1.0, 0.5]}, runs=False), expected, function, 1e-9)


def check_protocol(tool):
    assert tool.ask("start", eval="lse")["tool"] == "autodiff"
    assert tool.ask("define", module="lse")["success"] is True
    assert tool.ask("define", module="unknown")["success"] is False
    tool.ask("analysis", of=1, valid=False, error='text with "quotes", \\ and \u00e9')
    bad = [("unknown", "f", {}), ("lse", "unknown", {"x": [1]}), ("lse", "primal", {}), ("lse", "primal", {"x": [[1], [2, 3]]}),
           ("det", "primal", {"A": [1, 2], "ell": 2}), ("ba", "jacobian", {"n": 0}), ("ht", "objective", {"theta": [1]}),
           ("saddle", "rr", {"start": [1]}), ("gmm", "jacobian", {"x": "text"})]
    for module, function, data in bad:
        response = tool.ask("evaluate", module=module, function=function, input=data)
        assert response["success"] is False and len(response["error"]) > 10, response
    for line in "no JSON", "[1]", '{"id": 1', "{}":
        tool.send(line)
    same(tool.evaluate("hello", "square", 3, runs=False), 9, "after errors")


def main():
    tool = Tool(sys.argv[1])
    try:
        globals()[f"check_{sys.argv[2]}"](tool)
    except AssertionError as difference:
        sys.exit(f"{sys.argv[2]}: {difference}")
    finally:
        tool.process.stdin.close()
    if tool.process.wait() != 0:
        sys.exit(f"the program ended with {tool.process.returncode}")


main()
