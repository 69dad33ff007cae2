// compare.mjs: starts a headless Chromium with the three libraries and prints their steps a second, and their sizes.
// Fails where their results differ, or where this library is less than 5 times as fast as ConvNetJS for minibatches of
// 32 or more. usage: node bench/web/compare.mjs BUILD PACKAGES [ROUNDS]
import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";
import { pathToFileURL } from "node:url";
import { Browser } from "../../tests/web/browser.mjs";

const [build, packages, rounds = "9"] = process.argv.slice(2),
    here = path.dirname(process.argv[1]);
const file = (...parts) => path.resolve(packages, ...parts);
const wasm = file("tfjs-backend-wasm", "dist", "tfjs-backend-wasm-simd.wasm");
const sources = {
    ours: [path.resolve(build, "web", "autodiff.js")],
    convnetjs: [file("convnetjs", "build", "convnet-min.js")],
    "tfjs-cpu": [file("tfjs", "dist", "tf.min.js")],
    "tfjs-wasm": [file("tfjs", "dist", "tf.min.js"), file("tfjs-backend-wasm", "dist", "tf-backend-wasm.min.js"), wasm],
};
const size = files => files.reduce((sum, f) => sum + fs.statSync(f).size, 0);
const packed = files => files.reduce((sum, f) => sum + zlib.gzipSync(fs.readFileSync(f), { level: 9 }).length, 0);

const scripts = [...new Set(Object.values(sources).flat())]
    .filter(f => f.endsWith(".js"))
    .concat(path.resolve(here, "page.js"));
const page = path.resolve(build, "web-bench", "index.html");
fs.writeFileSync(
    page,
    "<!doctype html><meta charset=utf-8>" + scripts.map(f => `<script src="${pathToFileURL(f)}"></script>`).join("\n"),
);

const b = await Browser.open();
await b.go(pathToFileURL(page).href);
await b.until("typeof compare === 'function' && typeof tf === 'object'");
// A page of a file may load no wasm by address, so TensorFlow.js gets a data address.
await b.run(`tf.wasm.setWasmPaths({ "tfjs-backend-wasm.wasm": "", "tfjs-backend-wasm-threaded-simd.wasm": "",
  "tfjs-backend-wasm-simd.wasm": "data:application/wasm;base64,${fs.readFileSync(wasm).toString("base64")}" })`);
console.log(await b.run("navigator.userAgent"));
console.log(
    "bytes, and packed by gzip: " +
        Object.entries(sources)
            .map(([n, f]) => `${n} ${size(f)} (${packed(f)})`)
            .join(", "),
);
console.log("| net | minibatch | " + Object.keys(sources).join(" | ") + " | largest difference |");
console.log("|" + "---|".repeat(Object.keys(sources).length + 3));
let failed = false;
for (const [widths, batch] of [
    [[8, 8], 32],
    [[16, 16], 32],
    [[16, 16, 16], 100],
    [[8, 8], 8],
]) {
    const rows = await b.run(`load_autodiff().then(m => compare(m, [${widths}], ${batch}, ${rounds}))`);
    const cells = rows.map(r => `${Math.round(r.steps)}${r.name === "ours" ? "" : ` (${r.times.toFixed(1)})`}`);
    const apart = Math.max(...rows.map(r => r.apart));
    console.log(`| ${[2, ...widths, 1].join("-")} | ${batch} | ${cells.join(" | ")} | ${apart.toExponential(0)} |`);
    failed = failed || !(apart < 1e-3) || (batch >= 32 && rows[1].times < 5);
}
await b.close();
if (b.faults.length) console.log(b.faults.join("\n"));
process.exit(failed || b.faults.length ? 1 : 0);
