// run.mjs: runs the models of save_models.c with onnxruntime and compares the results. Arguments: the folder that has
// node_modules, the folder of the models. Prints a line for each case that differs, then their number.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const [modules, models] = process.argv.slice(2);
const ort = createRequire(resolve(modules, "package.json"))("onnxruntime-node");
const arrays = { float32: Float32Array, float64: Float64Array };

// The arrays of a case, one after the other in its file.
function reader(file) {
    const bytes = readFileSync(join(models, file));
    let at = 0;
    return ({ type, shape }) => {
        const n = shape.reduce((a, b) => a * b, 1), size = n * arrays[type].BYTES_PER_ELEMENT;
        const data = new arrays[type](Uint8Array.from(bytes.subarray(at, (at += size))).buffer);
        return new ort.Tensor(type, data, shape);
    };
}

// The largest difference beside max(1, |expected|). Equal infinities and two NaNs differ by nothing.
function difference(found, expected) {
    let most = 0;
    expected.forEach((e, i) => {
        const f = found[i], same = f === e || (Number.isNaN(f) && Number.isNaN(e));
        const d = same ? 0 : Math.abs(f - e) / Math.max(1, Math.abs(e));
        if (!(d <= most)) most = Number.isNaN(d) ? Infinity : d;
    });
    return most;
}

const options = { logSeverityLevel: 4, intraOpNumThreads: 1 };
const sessions = new Map();
async function run(c) {
    if (!sessions.has(c.model)) {
        sessions.clear();
        sessions.set(c.model, await ort.InferenceSession.create(join(models, c.model), options));
    }
    const next = reader(c.data), feeds = {}, faults = [];
    for (const input of c.inputs) feeds[input.name] = next(input);
    const results = await sessions.get(c.model).run(feeds);
    for (const output of c.outputs) {
        const expected = next(output), found = results[output.name], what = `${c.model} ${output.name}`;
        const d = difference(found.data, expected.data);
        if (found.type !== output.type || String(found.dims) !== String(output.shape))
            faults.push(`${what} is ${found.type} [${found.dims}], not ${output.type} [${output.shape}]`);
        else if (d > c.tolerance) faults.push(`${what} differs by ${d.toExponential(1)}`);
    }
    return faults;
}

// The runtime has no f64 form of some operators.
const isAbsent = (e) => /Could not find an implementation|does not support double|kernel is not supported/.test(e.message);

let wrong = 0, results = 0, absent = [];
for (const line of readFileSync(join(models, "cases.txt"), "utf8").trim().split("\n")) {
    const c = JSON.parse(line);
    let faults = [];
    try { faults = await run(c); }
    catch (e) { isAbsent(e) ? absent.push(c.model) : faults.push(`${c.model}: ${e.message.split("\n")[0]}`); }
    results += c.outputs.length;
    wrong += faults.length;
    for (const fault of faults) console.log(fault);
}
console.log(`${results} results, ${wrong} wrong; the runtime lacks a part of ${absent.length} models: ${absent.join(" ")}`);
process.exitCode = wrong ? 1 : 0;
