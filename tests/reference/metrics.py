#!/usr/bin/python3
"""metrics.py: metrics and scalers of scikit-learn on small and random arrays, for tests/test_nn_metrics.c.

Writes metrics.txt of tests/reference/results_nn; needs python3-sklearn.

    /usr/bin/python3 tests/reference/metrics.py

A case is five lines: its name; an array and another, each as its number of axes, its sizes and its elements; the names
of the results; and the results, or "refused" where scikit-learn raises an exception.
"""
import math
import os
import warnings

import numpy as np
import sklearn
from sklearn import metrics, preprocessing

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn")
NAN, INF = math.nan, math.inf
random = np.random.RandomState(7)
warnings.simplefilter("ignore")


# ---- classification: a row with a NaN predicts a class that does not exist ------------------------------------

def predicted(scores):
    return [len(row) if np.isnan(row).any() else int(np.argmax(row)) for row in scores]


def check_classes(scores, classes):
    if scores.ndim != 2 or scores.shape[1] < 2 or classes.shape != scores.shape[:1]:
        raise ValueError("shape")
    if not np.all(np.isin(classes, range(scores.shape[1]))):
        raise ValueError("class")


def top_k(scores, classes, k):
    """top_k_accuracy_score refuses NaN, so rows with one are left out and counted as wrong, and infinities. Of equal
    scores it takes the last as the highest; here it is the first, so the columns are turned round."""
    good = ~np.isnan(scores).any(axis=1)
    if not good.any():
        return 0.0 if len(scores) else NAN
    c, finite = scores.shape[1], np.clip(scores[good], -1e300, 1e300)
    right = metrics.top_k_accuracy_score(c - 1 - classes[good], finite[:, ::-1], k=k, normalize=False,
                                         labels=range(c)) if c > 2 else sum(
        np.argsort(-row, kind="stable").tolist().index(t) < k for row, t in zip(finite, classes[good]))
    return right / len(scores)


def macro(score, scores, classes):
    """Over the classes that rows have or predict."""
    found, c = predicted(scores), scores.shape[1]
    seen = sorted(set(classes.astype(int)) | (set(found) - {c}))
    return score(classes.astype(int), found, labels=seen, average="macro", zero_division=0) if seen else NAN


def of_classes(scores, classes):
    check_classes(scores, classes)
    found, c = predicted(scores), scores.shape[1]
    values = {
        "accuracy": metrics.accuracy_score(classes.astype(int), found) if len(found) else NAN,
        "top1": top_k(scores, classes, 1),
        "top2": top_k(scores, classes, 2),
        "top5": top_k(scores, classes, 5),
        "precision": macro(metrics.precision_score, scores, classes),
        "recall": macro(metrics.recall_score, scores, classes),
        "f1": macro(metrics.f1_score, scores, classes),
    }
    good = [i for i, j in enumerate(found) if j < c]
    counts = metrics.confusion_matrix(classes[good].astype(int), [found[i] for i in good], labels=range(c)) \
        if good else np.zeros((c, c))
    values.update(("confusion%d_%d" % (i, j), counts[i, j]) for i in range(c) for j in range(c))
    return values


# ---- regression, ranking and scaling ------------------------------------------------------------------------

def of_numbers(y, target):
    if y.ndim < 1 or y.squeeze(-1 if y.ndim == 2 and y.shape[1] == 1 else ()).shape != \
            target.squeeze(-1 if target.ndim == 2 and target.shape[1] == 1 else ()).shape:
        raise ValueError("shape")
    return {"r2": metrics.r2_score(target, y)}


def of_labels(scores, labels):
    return {"auc": metrics.roc_auc_score(labels, scores)}


def of_standard(x, _):
    s = preprocessing.StandardScaler().fit(x)
    return lines("shift", s.mean_) | lines("scale", 1 / s.scale_) | lines("to", s.transform(x).ravel())


def of_minmax(x, _):
    s = preprocessing.MinMaxScaler().fit(x)  # whose transform computes x scale - min scale, with fewer digits
    return lines("shift", s.data_min_) | lines("scale", s.scale_) | lines("to", ((x - s.data_min_) * s.scale_).ravel())


def lines(name, values):
    return {"%s%d" % (name, i): v for i, v in enumerate(values)}


# ---- cases ----------------------------------------------------------------------------------------------------

def classes_cases():
    a = [[3, 2, 1], [1, 3, 2], [1, 2, 3], [2, 3, 1], [3, 1, 2], [2, 2, 1]]
    yield "usual", a, [0, 1, 2, 0, 1, 1]
    yield "ties", np.zeros((4, 3)), [0, 1, 2, 0]
    yield "all_nan", np.full((3, 3), NAN), [0, 1, 2]
    yield "all_nan_many", np.full((2, 7), NAN), [0, 6]
    yield "one_nan", [[1, NAN, 3], [1, 2, 3]], [2, 2]
    yield "nan_of_the_class", [[NAN, 2, 3], [5, 2, 3]], [0, 0]
    yield "infinite", [[INF, 1, 2], [-INF, -INF, -INF], [1, INF, INF]], [0, 0, 2]
    yield "class_not_whole", a, [0, 1, 1.7, 0, 1, 1]
    yield "class_nan", a, [0, 1, NAN, 0, 1, 1]
    yield "class_too_large", a, [0, 1, 3, 0, 1, 1]
    yield "class_negative", a, [0, 1, -1, 0, 1, 1]
    yield "class_infinite", a, [0, 1, INF, 0, 1, 1]
    yield "one_column", np.ones((3, 1)), [0, 0, 0]
    yield "fewer_classes", a, [0, 1]
    yield "classes_in_a_column", a, np.zeros((6, 1))
    yield "one_class_only", [[2, 1, 0], [3, 1, 0]], [0, 0]
    yield "some_of_five", np.eye(5)[:3], [0, 1, 2]
    yield "one_hit_of_five", np.eye(5)[[0, 0, 3]], [0, 1, 2]
    yield "empty", np.zeros((0, 3)), []
    yield "one_row", [[0, 1]], [0]
    for k in range(20):
        n, c = random.randint(1, 12), random.randint(2, 8)
        scores = random.randint(-2, 3, (n, c)).astype(float) if k % 2 else random.randn(n, c)
        if k % 5 == 4:
            scores[random.randint(n), random.randint(c)] = NAN
        yield "random%d" % k, scores, random.randint(0, c, n)


def numbers_cases():
    yield "usual", [2.5, 0, 2, 8], [3, -0.5, 2, 7]
    yield "column_and_row", [[2.5], [0], [2], [8]], [3, -0.5, 2, 7]
    yield "met_exactly", [1, 2, 3], [1, 2, 3]
    yield "worse_than_the_mean", [3, 2, 1], [1, 2, 3]
    yield "constant_met", [5, 5, 5], [5, 5, 5]
    yield "constant_missed", [5, 5, 6], [5, 5, 5]
    yield "constant_column", [[1, 5], [2, 5], [4, 5]], [[1, 5], [2, 5], [3, 5]]
    yield "columns_apart", [[2, 1002], [2, 1002], [2, 1002]], [[1, 1001], [2, 1002], [3, 1003]]
    yield "two_by_three", np.ones((2, 3)), np.ones((3, 2))
    yield "other_size", [1, 2, 3], [1, 2]
    yield "one_row", [1], [2]
    yield "empty", [], []
    yield "target_nan", [1, 2, 3], [1, NAN, 3]
    yield "target_infinite", [1, 2, 3], [1, INF, 3]
    yield "prediction_nan", [1, NAN, 3], [1, 2, 3]
    yield "prediction_infinite", [1, INF, 3], [1, 2, 3]
    yield "far_from_zero", [1e8 + 1, 1e8 + 2, 1e8 + 4], [1e8 + 1, 1e8 + 2, 1e8 + 3]
    for k in range(10):
        shape = (random.randint(2, 9), random.randint(1, 4))
        target = random.randn(*shape)
        yield "random%d" % k, target + 0.5 * random.randn(*shape), target


def labels_cases():
    yield "usual", [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    yield "ties", [0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1]
    yield "all_equal", [1, 1, 1, 1], [0, 0, 1, 1]
    yield "minus_one", [0.1, 0.4, 0.35, 0.8], [-1, -1, 1, 1]
    yield "two_and_three", [0.1, 0.4, 0.35, 0.8], [2, 2, 3, 3]
    yield "one_label", [0.1, 0.4], [1, 1]
    yield "other_label", [0.1, 0.4], [0, 0]
    yield "three_labels", [0.1, 0.4, 0.35], [0, 1, 2]
    yield "a_probability", [0.1, 0.4, 0.35], [0, 1, 0.5]
    yield "label_nan", [0.1, 0.4, 0.35], [0, 1, NAN]
    yield "label_infinite", [0.1, 0.4, 0.35], [0, 1, INF]
    yield "score_nan", [0.1, NAN, 0.35], [0, 1, 1]
    yield "empty", [], []
    yield "other_size", [0.1, 0.4, 0.35], [0, 1]
    yield "columns", [[0.1, 0.2], [0.05, 0.1], [0.5, 0.6]], [[0, 1], [1, 0], [1, 1]]
    yield "scores_of_two_classes", [[0.1, 0.2], [0.05, 0.1], [0.5, 0.6]], [0, 1, 1]
    for k in range(10):
        n = random.randint(4, 20)
        labels = random.randint(0, 2, n)
        labels[:2] = [0, 1]
        yield "random%d" % k, random.randint(0, 6, n) / 6, labels


def scaling_cases():
    yield "usual", [[1, 10], [2, 20], [4, 60]]
    yield "nan", [[1], [NAN], [3]]
    yield "nan_beside", [[1, NAN], [2, 5], [3, 7]]
    yield "all_nan", [[NAN, 1], [NAN, 2]]
    yield "infinite", [[1], [INF], [3]]
    yield "minus_infinite", [[1], [-INF], [3]]
    yield "constant", [[0.1, 1], [0.1, 2], [0.1, 3]]
    yield "constant_zero", [[0], [0]]
    yield "almost_constant", [[1.0], [1.0 + 2.0 ** -52], [1.0]]
    yield "one_row", [[5, -6]]
    yield "empty", np.zeros((0, 2))
    yield "far_from_zero", [[1e8 + 1], [1e8 + 2], [1e8 + 4]]
    for k in range(6):
        yield "random%d" % k, random.randn(random.randint(2, 9), random.randint(1, 4)) * 10.0 ** random.randint(-6, 6)


# ---- the file -------------------------------------------------------------------------------------------------

def text_of(x):
    x = np.asarray(x, dtype=float)
    return " ".join(["%d" % x.ndim] + ["%d" % n for n in x.shape] + ["%.17g" % v for v in x.ravel()])


def write_case(f, kind, name, compute, a, b):
    try:
        values = compute(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
        names, numbers = " ".join(values), " ".join("%.17g" % v for v in values.values())
    except ValueError:
        names, numbers = "-", "refused"
    f.write("%s %s\n%s\n%s\n%s\n%s\n" % (kind, name, text_of(a), text_of(b), names, numbers))


if __name__ == "__main__":
    with open(os.path.join(HERE, "metrics.txt"), "w") as out:
        out.write("# metrics.txt: written by tests/reference/metrics.py with scikit-learn %s\n" % sklearn.__version__)
        for made in classes_cases():
            write_case(out, "classes", made[0], of_classes, *made[1:])
        for made in numbers_cases():
            write_case(out, "numbers", made[0], of_numbers, *made[1:])
        for made in labels_cases():
            write_case(out, "labels", made[0], of_labels, *made[1:])
        for made in scaling_cases():
            write_case(out, "standard", made[0], of_standard, made[1], [])
            write_case(out, "minmax", made[0], of_minmax, made[1], [])
