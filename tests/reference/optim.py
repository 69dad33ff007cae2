#!/usr/bin/python3
"""optim.py: results of torch.optim on a fixed problem, for tests/test_nn_optim.c, test_nn_optim_edges.c and
test_nn_schedules.c.

Writes optim.txt, given.txt, lbfgs.txt, schedules.txt and schedule_edges.txt of tests/reference/results_nn; needs
python3-torch.

    /usr/bin/python3 tests/reference/optim.py
"""
import math
import os
import torch

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results_nn")
STEPS = 100
F64 = dict(dtype=torch.float64)


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                b1, b2 = group["betas"]
                mean = b1 * m + (1 - b1) * p.grad
                update = torch.where(mean.isnan(), mean, mean.sign())  # torch's sign of NaN is 0
                p.sub_(group["lr"] * (update + group["weight_decay"] * p))
                m.mul_(b2).add_((1 - b2) * p.grad)


class NAdam(torch.optim.Optimizer):
    """torch.optim.NAdam as documented. The code of torch 1.13 multiplies twice by mu of step t in the product up to
    t + 1, which later versions do not, and keeps the product in float32."""

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, decay=momentum_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s.update(t=0, product=1.0, m=torch.zeros_like(p), v=torch.zeros_like(p))
                s["t"] += 1
                g = p.grad + group["weight_decay"] * p
                mu = b1 * (1 - 0.5 * 0.96 ** (s["t"] * group["decay"]))
                mu_next = b1 * (1 - 0.5 * 0.96 ** ((s["t"] + 1) * group["decay"]))
                s["product"] *= mu
                s["m"] = b1 * s["m"] + (1 - b1) * g
                s["v"] = b2 * s["v"] + (1 - b2) * g * g
                m_hat = mu_next * s["m"] / (1 - s["product"] * mu_next) + (1 - mu) * g / (1 - s["product"])
                p.sub_(group["lr"] * m_hat / ((s["v"] / (1 - b2 ** s["t"])).sqrt() + group["eps"]))


def leaves():
    """w [3] and v [2]; v has no gradient in the first ten steps."""
    w = torch.tensor([0.5, -1.5, 2.0], requires_grad=True, **F64)
    v = torch.tensor([3.0, -2.0], requires_grad=True, **F64)
    return w, v


def loss_of(w, v, with_v):
    """The curvatures differ, and sines make gradients change sign. Larger rates than below make some runs chaotic."""
    c, t = torch.tensor([1.0, 0.3, 2.0], **F64), torch.tensor([1.0, -1.0, 0.25], **F64)
    loss = (c * (w - t) ** 2 + 0.5 * torch.sin(5 * w)).sum()
    return loss + ((v - 0.7) ** 2).mean() + 0.1 * w[0] * v[1] if with_v else loss


def run(make, clip=None, schedule=None, groups=False):
    w, v = leaves()
    opt = make([{"params": [w]}, {"params": [v], "lr": 0.03, "weight_decay": 0.2}] if groups else [w, v])
    step_schedule = schedule(opt) if schedule else None
    for i in range(STEPS):
        opt.zero_grad(set_to_none=True)
        loss_of(w, v, i >= 10).backward()
        if clip == "norm":
            torch.nn.utils.clip_grad_norm_([p for p in (w, v) if p.grad is not None], 0.5)
        if clip == "value":
            torch.nn.utils.clip_grad_value_([w, v], 0.25)
        opt.step()
        if step_schedule:
            step_schedule.step()
    return w.tolist() + v.tolist()


def one_cycle(opt, lr, **how):
    """The momentum changes too, which is the default of PyTorch."""
    return torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=STEPS + 1, **how)


o = torch.optim
RUNS = {
    "sgd": (lambda p: o.SGD(p, lr=0.02), {}),
    "sgd_decay": (lambda p: o.SGD(p, lr=0.02, weight_decay=0.1), {}),
    "sgd_momentum": (lambda p: o.SGD(p, lr=0.02, momentum=0.9), {}),
    "sgd_nesterov": (lambda p: o.SGD(p, lr=0.02, momentum=0.8, weight_decay=0.05, nesterov=True), {}),
    "sgd_dampening": (lambda p: o.SGD(p, lr=0.02, momentum=0.7, dampening=0.5, weight_decay=0.3), {}),
    "sgd_clip_norm": (lambda p: o.SGD(p, lr=0.02, momentum=0.9), dict(clip="norm")),
    "sgd_clip_value": (lambda p: o.SGD(p, lr=0.02, momentum=0.9), dict(clip="value")),
    "sgd_groups": (lambda p: o.SGD(p, lr=0.02, momentum=0.9), dict(groups=True)),
    "adam_defaults": (lambda p: o.Adam(p), {}),
    "adam": (lambda p: o.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1), {}),
    "adam_amsgrad": (lambda p: o.Adam(p, lr=0.05, amsgrad=True), {}),
    "adam_groups": (lambda p: o.Adam(p, lr=0.05), dict(groups=True)),
    "adam_exponential": (lambda p: o.Adam(p, lr=0.05),
                         dict(schedule=lambda opt: o.lr_scheduler.ExponentialLR(opt, 0.97))),
    "adam_groups_cosine": (lambda p: o.Adam(p, lr=0.05),
                           dict(groups=True, schedule=lambda opt: o.lr_scheduler.CosineAnnealingLR(opt, 60, 1e-3))),
    "adamw_defaults": (lambda p: o.AdamW(p), {}),
    "adamw": (lambda p: o.AdamW(p, lr=0.02, betas=(0.7, 0.9), weight_decay=0.2), {}),
    "adamw_amsgrad": (lambda p: o.AdamW(p, lr=0.05, amsgrad=True), {}),
    "rmsprop_defaults": (lambda p: o.RMSprop(p), {}),
    "rmsprop": (lambda p: o.RMSprop(p, lr=0.001, alpha=0.9, eps=1e-5, weight_decay=0.1), {}),
    "rmsprop_centered": (lambda p: o.RMSprop(p, lr=0.02, centered=True), {}),
    "rmsprop_momentum": (lambda p: o.RMSprop(p, lr=0.005, momentum=0.8), {}),
    "rmsprop_all": (lambda p: o.RMSprop(p, lr=0.002, alpha=0.95, momentum=0.5, centered=True, weight_decay=0.05), {}),
    "adagrad_defaults": (lambda p: o.Adagrad(p), {}),
    "adagrad": (lambda p: o.Adagrad(p, lr=0.1, lr_decay=0.01, weight_decay=0.1, initial_accumulator_value=0.5), {}),
    "adadelta_defaults": (lambda p: o.Adadelta(p), {}),
    "adadelta": (lambda p: o.Adadelta(p, lr=0.1, rho=0.8, eps=1e-4, weight_decay=0.1), {}),
    "adamax_defaults": (lambda p: o.Adamax(p), {}),
    "adamax": (lambda p: o.Adamax(p, lr=0.02, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1), {}),
    "nadam_defaults": (lambda p: NAdam(p), {}),
    "nadam": (lambda p: NAdam(p, lr=0.05, betas=(0.8, 0.95), weight_decay=0.1, momentum_decay=0.01), {}),
    "sgd_one_cycle": (lambda p: o.SGD(p, lr=0.02, momentum=0.5), dict(schedule=lambda opt: one_cycle(opt, 0.02))),
    "adam_one_cycle": (lambda p: o.Adam(p, lr=0.05), dict(schedule=lambda opt: one_cycle(
        opt, 0.05, three_phase=True, pct_start=0.4, base_momentum=0.7, max_momentum=0.9, anneal_strategy="linear"))),
    "rmsprop_one_cycle": (lambda p: o.RMSprop(p, lr=0.005, momentum=0.3),
                          dict(schedule=lambda opt: one_cycle(opt, 0.005))),
    "adamax_one_cycle": (lambda p: o.Adamax(p, lr=0.05), dict(schedule=lambda opt: one_cycle(opt, 0.05))),
    "nadam_one_cycle": (lambda p: NAdam(p, lr=0.05), dict(schedule=lambda opt: one_cycle(opt, 0.05))),
    "lion_one_cycle": (lambda p: Lion(p, lr=0.01), dict(schedule=lambda opt: one_cycle(opt, 0.01))),
    "lion_defaults": (lambda p: Lion(p), {}),
    "lion": (lambda p: Lion(p, lr=0.01, betas=(0.8, 0.9), weight_decay=0.1), {}),
}

def given(i):
    """Gradients of step i: usual, none, small, large; a NaN at step 5; infinity at step 7; a huge one at step 3."""
    usual = math.sin(1.7 * i + 0.3)
    return [usual, 0.0, 1e-9 * usual, 1e9 * usual, math.nan if i == 5 else usual, math.inf if i == 7 else usual,
            1e150 if i == 3 else usual]


def after_given(make, steps=20):
    x = torch.tensor([0.5, -1.5, 2.0, 1.0, -0.5, 0.25, 3.0], requires_grad=True, **F64)
    opt = make([x])
    for i in range(steps):
        x.grad = torch.tensor(given(i), **F64)
        opt.step()
    return x.tolist()


GIVEN = {
    "sgd": lambda p: o.SGD(p, lr=0.1),
    "sgd_decay": lambda p: o.SGD(p, lr=0.1, weight_decay=0.1),
    "sgd_momentum": lambda p: o.SGD(p, lr=0.1, momentum=0.9),
    "sgd_dampening": lambda p: o.SGD(p, lr=0.1, momentum=0.9, dampening=1.0),
    "adam": lambda p: o.Adam(p),
    "adam_beta1": lambda p: o.Adam(p, betas=(0, 0.999)),
    "adam_beta2": lambda p: o.Adam(p, betas=(0.9, 0)),
    "adam_betas": lambda p: o.Adam(p, betas=(0, 0)),
    "adam_eps": lambda p: o.Adam(p, eps=0),
    "adam_amsgrad": lambda p: o.Adam(p, amsgrad=True, betas=(0, 0), eps=0),
    "adamw_decay": lambda p: o.AdamW(p, weight_decay=0),
    "adamw_zeros": lambda p: o.AdamW(p, betas=(0, 0), eps=0, weight_decay=0),
    "rmsprop": lambda p: o.RMSprop(p),
    "rmsprop_alpha": lambda p: o.RMSprop(p, alpha=0),
    "rmsprop_eps": lambda p: o.RMSprop(p, eps=0, momentum=0.5),
    "rmsprop_centered": lambda p: o.RMSprop(p, centered=True, eps=1e-3),
    "adagrad": lambda p: o.Adagrad(p),
    "adagrad_eps": lambda p: o.Adagrad(p, eps=0),
    "adadelta": lambda p: o.Adadelta(p),
    "adadelta_rho": lambda p: o.Adadelta(p, rho=0),
    "adadelta_eps": lambda p: o.Adadelta(p, eps=0),
    "adamax": lambda p: o.Adamax(p),
    "adamax_betas": lambda p: o.Adamax(p, betas=(0, 0)),
    "adamax_eps": lambda p: o.Adamax(p, eps=0),
    "nadam": lambda p: NAdam(p),
    "nadam_zeros": lambda p: NAdam(p, betas=(0, 0), momentum_decay=0),
    "nadam_eps": lambda p: NAdam(p, eps=0),
    "lion": lambda p: Lion(p),
    "lion_zeros": lambda p: Lion(p, betas=(0, 0)),
}


def rosenbrock(x):
    """With the factor 5; the usual factor of 100 amplifies rounding errors."""
    return (5 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def lbfgs(steps, **options):
    """For each step the loss before it and x [6] after it."""
    x = torch.tensor([-1.2, 1.0, -0.5, 0.8, 0.3, -1.0], requires_grad=True, **F64)
    opt, found = o.LBFGS([x], line_search_fn="strong_wolfe", **options), []

    def closure():
        opt.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    for _ in range(steps):
        found += [opt.step(closure).item()] + x.tolist()
    return found


def rates(make, n=STEPS, metric=None):
    """The learning rate of each of n steps; the initial rate is 0.5."""
    opt = o.SGD([torch.zeros(1, requires_grad=True)], lr=0.5, momentum=0.9)
    schedule, found = make(opt), []
    for i in range(n):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step(*([metric(i)] if metric else []))
    return found


def falling_then_flat(i):
    return max(10.0 - i, 4.0) + (0.5 if i % 3 == 2 else 0.0)


s = o.lr_scheduler
SCHEDULES = {
    "step": (lambda p: s.StepLR(p, 30, 0.1), {}),
    "multistep": (lambda p: s.MultiStepLR(p, [10, 40, 41], 0.5), {}),
    "exponential": (lambda p: s.ExponentialLR(p, 0.95), {}),
    "linear": (lambda p: s.LinearLR(p, 0.25, 1.0, 20), {}),
    "cosine": (lambda p: s.CosineAnnealingLR(p, 40, 0.01), {}),
    "cosine_restarts": (lambda p: s.CosineAnnealingWarmRestarts(p, 10, 2, 0.02), {}),
    "one_cycle": (lambda p: s.OneCycleLR(p, 0.5, total_steps=101, cycle_momentum=False), {}),
    "one_cycle_linear": (lambda p: s.OneCycleLR(p, 0.5, total_steps=101, pct_start=0.4, anneal_strategy="linear",
                                                div_factor=10, final_div_factor=100, cycle_momentum=False), {}),
    "one_cycle_three": (lambda p: s.OneCycleLR(p, 0.5, total_steps=101, three_phase=True, cycle_momentum=False), {}),
    "warmup_then_cosine": (lambda p: s.SequentialLR(p, [s.LinearLR(p, 0.1, 1.0, 10),
                                                        s.CosineAnnealingLR(p, 90)], [10]), {}),
    "plateau": (lambda p: s.ReduceLROnPlateau(p, factor=0.5, patience=3, cooldown=2, min_lr=0.01),
                dict(metric=falling_then_flat)),
    "plateau_max": (lambda p: s.ReduceLROnPlateau(p, mode="max", patience=2, threshold=0.2, threshold_mode="abs"),
                    dict(metric=lambda i: min(i / 10, 3.0))),
}

# The ends of the options, over 50 steps or as many as a cycle has. A negative metric with a relative threshold is left
# out: torch counts one that stays as better each time.
EDGES = {
    "step_of_one": (lambda p: s.StepLR(p, 1, 0.9), {}),
    "step_gamma_zero": (lambda p: s.StepLR(p, 3, 0.0), {}),
    "step_gamma_above_one": (lambda p: s.StepLR(p, 7, 1.5), {}),
    "multistep_at_zero": (lambda p: s.MultiStepLR(p, [0, 3], 0.5), {}),
    "multistep_one": (lambda p: s.MultiStepLR(p, [1], 0.0), {}),
    "exponential_one": (lambda p: s.ExponentialLR(p, 1.0), {}),
    "exponential_zero": (lambda p: s.ExponentialLR(p, 0.0), {}),
    "linear_one_step": (lambda p: s.LinearLR(p, 0.5, 1.0, 1), {}),
    "linear_down_to_zero": (lambda p: s.LinearLR(p, 1.0, 0.0, 20), {}),
    "linear_flat": (lambda p: s.LinearLR(p, 1.0, 1.0, 4), {}),
    "cosine_of_one": (lambda p: s.CosineAnnealingLR(p, 1, 0.1), {}),
    "cosine_beyond": (lambda p: s.CosineAnnealingLR(p, 7, 0.0), {}),
    "cosine_up": (lambda p: s.CosineAnnealingLR(p, 20, 0.9), {}),
    "restarts_of_one": (lambda p: s.CosineAnnealingWarmRestarts(p, 1, 1, 0.1), {}),
    "restarts_doubling": (lambda p: s.CosineAnnealingWarmRestarts(p, 1, 2, 0.0), {}),
    "restarts_equal": (lambda p: s.CosineAnnealingWarmRestarts(p, 7, 1, 0.2), {}),
    "one_cycle_of_one": (lambda p: s.OneCycleLR(p, 0.5, total_steps=1, cycle_momentum=False), dict(n=1)),
    "one_cycle_of_two": (lambda p: s.OneCycleLR(p, 0.5, total_steps=2, cycle_momentum=False), dict(n=2)),
    "one_cycle_of_three": (lambda p: s.OneCycleLR(p, 0.5, total_steps=3, cycle_momentum=False), dict(n=3)),
    "one_cycle_low": (lambda p: s.OneCycleLR(p, 0.5, total_steps=50, pct_start=0.001, cycle_momentum=False),
                      dict(n=50)),
    "one_cycle_high": (lambda p: s.OneCycleLR(p, 0.5, total_steps=50, pct_start=0.999, anneal_strategy="linear",
                                              cycle_momentum=False), dict(n=50)),
    "one_cycle_flat": (lambda p: s.OneCycleLR(p, 0.5, total_steps=50, div_factor=1, final_div_factor=1,
                                              cycle_momentum=False), dict(n=50)),
    "one_cycle_phases": (lambda p: s.OneCycleLR(p, 0.5, total_steps=50, three_phase=True, pct_start=0.45,
                                                div_factor=3, cycle_momentum=False), dict(n=50)),
    "two_in_a_row": (lambda p: s.SequentialLR(p, [s.LinearLR(p, 0.5, 1.0, 1), s.ExponentialLR(p, 0.9)], [1]), {}),
    "plateau_defaults": (lambda p: s.ReduceLROnPlateau(p), dict(metric=lambda i: 3.0)),
    "plateau_no_patience": (lambda p: s.ReduceLROnPlateau(p, patience=0, factor=0.9), dict(metric=lambda i: 3.0)),
    "plateau_no_threshold": (lambda p: s.ReduceLROnPlateau(p, patience=1, threshold=0.0),
                             dict(metric=lambda i: 5 - 1e-9 * i)),
    "plateau_small_gains": (lambda p: s.ReduceLROnPlateau(p, patience=1), dict(metric=lambda i: 5 - 1e-9 * i)),
    "plateau_eps": (lambda p: s.ReduceLROnPlateau(p, patience=0, factor=0.5, eps=0.1), dict(metric=lambda i: 1.0)),
    "plateau_min_above": (lambda p: s.ReduceLROnPlateau(p, patience=0, min_lr=0.7), dict(metric=lambda i: 1.0)),
    "plateau_cooldown": (lambda p: s.ReduceLROnPlateau(p, patience=0, factor=0.9, cooldown=4),
                         dict(metric=lambda i: 1.0)),
    "plateau_nan": (lambda p: s.ReduceLROnPlateau(p, patience=2, factor=0.5), dict(metric=lambda i: math.nan)),
    "plateau_some_nan": (lambda p: s.ReduceLROnPlateau(p, patience=1, factor=0.5),
                         dict(metric=lambda i: math.nan if i % 3 == 1 else 9.0 - i)),
    "plateau_infinite": (lambda p: s.ReduceLROnPlateau(p, patience=2, factor=0.5), dict(metric=lambda i: math.inf)),
    "plateau_negative_absolute": (lambda p: s.ReduceLROnPlateau(p, patience=2, factor=0.5, threshold_mode="abs"),
                                  dict(metric=lambda i: -1.0 - (i < 10) * i)),
    "plateau_max_absolute_negative": (lambda p: s.ReduceLROnPlateau(p, mode="max", patience=2, factor=0.5,
                                                                    threshold_mode="abs"),
                                      dict(metric=lambda i: -20.0 + min(i, 12))),
    "plateau_zero": (lambda p: s.ReduceLROnPlateau(p, patience=1, factor=0.5), dict(metric=lambda i: 0.0)),
}


def write(name, lines):
    with open(os.path.join(HERE, name), "w") as f:
        f.write("# %s: written by tests/reference/optim.py with torch %s\n" % (name, torch.__version__))
        f.writelines("%s %s\n" % (key, " ".join("%.17g" % k for k in values)) for key, values in lines)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    write("optim.txt", [(name, run(make, **how)) for name, (make, how) in RUNS.items()])
    write("given.txt", [(name, after_given(make)) for name, make in GIVEN.items()])
    write("lbfgs.txt", [("defaults", lbfgs(4)), ("short", lbfgs(10, max_iter=3, history_size=2)),
                        ("slow", lbfgs(10, lr=0.1, max_iter=4, max_eval=6)), ("one", lbfgs(15, max_iter=1)),
                        ("far", lbfgs(8, lr=30, max_iter=2))])
    write("schedules.txt", [(name, rates(make, **how)) for name, (make, how) in SCHEDULES.items()])
    write("schedule_edges.txt", [(name, rates(make, **dict(dict(n=50), **how))) for name, (make, how) in EDGES.items()])
