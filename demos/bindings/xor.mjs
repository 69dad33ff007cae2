// xor.mjs: trains XOR with autodiff from JavaScript, by koffi. Usage: node xor.mjs LIBRARY API.json [FOLDER], where FOLDER has
// node_modules/koffi.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [path, description, folder = "."] = process.argv.slice(2);
const koffi = createRequire(resolve(folder, "package.json"))("koffi");
const lib = koffi.load(resolve(path));
const api = JSON.parse(readFileSync(description, "utf8"));
const types = Object.fromEntries(api.types.map((t) => [t.name, t]));
const known = new Map(["void", "bool", "int", "int64_t", "uint64_t", "size_t", "float", "double"].map((t) => [t, t]));

// A C type's name as koffi's type: a struct by its fields, an enum as int, any pointer but a text as an address.
function ctype(name) {
    const array = name.match(/^(.*) \[(\d+)\]$/);
    if (array) return koffi.array(ctype(array[1]), Number(array[2]));
    if (name === "const char *") return "str";
    if (name.endsWith("*") || name.includes("(") || name.includes("[")) return "void *";
    if (!known.has(name)) {
        const { kind, fields } = types[name];
        const of = kind === "enum" ? "int"
            : koffi.struct(name, Object.fromEntries(fields.map((f) => [f.name, ctype(f.type)])));
        known.set(name, of);
    }
    return known.get(name);
}

// ad.ad_relu(x): a function with the types that the description gives.
const ad = new Proxy({}, { get(made, name) {
    const { returns, parameters } = api.functions.find((f) => f.name === name);
    return made[name] ??= lib.func(name, ctype(returns), parameters.map((p) => ctype(p.type)));
} });
const constant = (name) => api.constants.find((c) => c.name === name).value;
const shape = (...dim) => ({ ndim: dim.length, dim: [...dim, ...Array(constant("AD_MAX_NDIM") - dim.length).fill(0)] });
// A struct of options: what is not given is 0.
const options = (name, given) => Object.assign(koffi.decode(Buffer.alloc(koffi.sizeof(ctype(name))), ctype(name)), given);

const g = ad.ad_graph_new();
ad.ad_seed(g, 1);
const array = (values, ...dim) => ad.ad_tensor(g, constant("AD_F64"), new Float64Array(values), shape(...dim));
const x = array([0, 0, 0, 1, 1, 0, 1, 1], 4, 2), t = array([0, 1, 1, 0], 4, 1);
const tanh = lib.symbol("ad_tanh", "void");
const net = ad.nn_mlp(g, constant("AD_F64"), 3, new BigInt64Array([2n, 8n, 1n]), koffi.address(tanh));
const adam = ad.nn_adam(net, options("nn_adam_opts", { lr: 0.05 }));
let value;
for (let step = 0; step < 300; step++) {
    const scope = ad.ad_begin(g), loss = ad.nn_bce_logits(ad.nn_apply(net, x), t);
    ad.nn_zero_grad(adam), ad.ad_backward(loss), ad.nn_step(adam);
    value = ad.ad_item(loss);
    ad.ad_end(g, scope);
}
const y = ad.ad_sigmoid(ad.nn_apply(net, x));
console.log(`loss ${value.toFixed(6)}; outputs ${[0, 1, 2, 3].map((i) => ad.ad_at(y, i).toFixed(3)).join(" ")}`);
process.exitCode = ad.ad_ok(g) && value < 0.01 ? 0 : 1;
