#!/usr/bin/env python3
# xor.py: trains XOR with autodiff from Python, by ctypes alone. Usage: xor.py [LIBRARY [API.json]]
import ctypes as c
import json
import re
import sys

lib = c.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libautodiff.so")
api = json.load(open(sys.argv[2] if len(sys.argv) > 2 else "docs/api.json"))
plain = {"void": None, "bool": c.c_bool, "int": c.c_int, "int64_t": c.c_int64, "uint64_t": c.c_uint64,
         "size_t": c.c_size_t, "float": c.c_float, "double": c.c_double, "const char *": c.c_char_p}
types = {t["name"]: t for t in api["types"]}


def ctype(name):  # of a C type's name: a struct by its fields, an enum as int, any pointer as an address
    if name in plain:
        return plain[name]
    if re.search(r"\[\d+\]$", name):
        base, size = name[:-1].split(" [")
        return ctype(base) * int(size)
    if name.endswith("*") or "(" in name or "[" in name:
        return c.c_void_p
    if types[name]["kind"] == "enum":
        return c.c_int
    fields = [(f["name"], ctype(f["type"])) for f in types[name]["fields"]]
    plain[name] = type(name, (c.Structure,), {"_fields_": fields})
    return plain[name]


class Lib:  # lib.ad_relu(x): a function with the types that the description gives
    def __getattr__(self, name):
        f = getattr(lib, name)
        about = next(f for f in api["functions"] if f["name"] == name)
        f.restype = ctype(about["returns"])
        f.argtypes = [ctype(p["type"]) for p in about["parameters"]]
        setattr(self, name, f)
        return f


ad, F64 = Lib(), next(k["value"] for k in api["constants"] if k["name"] == "AD_F64")


def array(values, *shape):
    return ad.ad_tensor(g, F64, (c.c_double * len(values))(*values), ctype("ad_shape")(len(shape), shape))


g = ad.ad_graph_new()
ad.ad_seed(g, 1)
x, t = array([0, 0, 0, 1, 1, 0, 1, 1], 4, 2), array([0, 1, 1, 0], 4, 1)
net = ad.nn_mlp(g, F64, 3, (c.c_int64 * 3)(2, 8, 1), c.cast(lib.ad_tanh, c.c_void_p))
adam = ad.nn_adam(net, ctype("nn_adam_opts")(lr=0.05))
for step in range(300):
    scope = ad.ad_begin(g)
    loss = ad.nn_bce_logits(ad.nn_apply(net, x), t)
    ad.nn_zero_grad(adam), ad.ad_backward(loss), ad.nn_step(adam)
    value = ad.ad_item(loss)
    ad.ad_end(g, scope)
y = ad.ad_sigmoid(ad.nn_apply(net, x))
print("loss %.6f;" % value, "outputs", " ".join("%.3f" % ad.ad_at(y, i) for i in range(4)))
sys.exit(0 if ad.ad_ok(g) and value < 0.01 else ad.ad_error(g) or "not learned")
