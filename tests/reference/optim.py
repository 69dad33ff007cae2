#!/usr/bin/python3
"""optim.py: results of torch.optim on a fixed problem, for tests/test_nn_optim.c.

Writes optim.txt, lbfgs.txt and schedules.txt of tests/reference/results_nn; needs python3-torch.

    /usr/bin/python3 tests/reference/optim.py
"""
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
                update = (b1 * m + (1 - b1) * p.grad).sign()
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


def write(name, lines):
    with open(os.path.join(HERE, name), "w") as f:
        f.write("# %s: written by tests/reference/optim.py with torch %s\n" % (name, torch.__version__))
        f.writelines("%s %s\n" % (key, " ".join("%.17g" % k for k in values)) for key, values in lines)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    write("optim.txt", [(name, run(make, **how)) for name, (make, how) in RUNS.items()])
    write("lbfgs.txt", [("defaults", lbfgs(4)), ("short", lbfgs(10, max_iter=3, history_size=2)),
                        ("slow", lbfgs(10, lr=0.1, max_iter=4, max_eval=6)), ("one", lbfgs(15, max_iter=1)),
                        ("far", lbfgs(8, lr=30, max_iter=2))])
    write("schedules.txt", [(name, rates(make, **how)) for name, (make, how) in SCHEDULES.items()])
