// playground.mjs: uses the playground in a headless Chromium as a person does: trains, moves every control, points,
// types, restores an address. Prints TAP. usage: node playground.mjs PAGE FOLDER_FOR_SCREENSHOTS
import { pathToFileURL } from "node:url";
import { Browser } from "./browser.mjs";

const [page, shots] = process.argv.slice(2),
    url = pathToFileURL(page).href;
const b = await Browser.open();
let cases = 0,
    failures = 0;

async function check(name, body) {
    cases++;
    try {
        await body();
        console.log(`ok ${cases} - ${name}`);
    } catch (fault) {
        failures++;
        console.log(`not ok ${cases} - ${name}\n# ${String(fault.stack ?? fault).replace(/\n/g, "\n# ")}`);
    }
}
function equal(got, want, what = "") {
    if (JSON.stringify(got) !== JSON.stringify(want))
        throw new Error(`${what}: ${JSON.stringify(got)} is not ${JSON.stringify(want)}`);
}
function holds(condition, what) {
    if (!condition) throw new Error("not so: " + what);
}
const open = async hash => {
    await b.go(url + (hash ? "#" + hash : ""));
    await b.until("window.page && document.querySelector('.neuron') && true");
};
const wait = ms => new Promise(r => setTimeout(r, ms));
// What the eye sees of the net: weights, data, graph.
const sight = () =>
    b.call(() =>
        JSON.stringify([
            page.e.get("seed"),
            [...page.e.weights(0)],
            page.points.list,
            document.getElementById("net-graph").textContent,
            page.e.trainLoss,
            page.state(),
        ]),
    );
const choose = (id, value) =>
    b.run(`(() => { const s = document.getElementById(${JSON.stringify(id)}); s.value = ${JSON.stringify(value)};
  s.dispatchEvent(new Event(s.type === "range" ? "input" : "change", { bubbles: true })); })()`);
const text = id => b.run(`document.getElementById(${JSON.stringify(id)}).textContent`);

await b.size(1440, 900);

await check("the spiral is learnt to 99 %", async () => {
    await open("layers=16-16&data=0&noise=0.05");
    await choose("speed", "0");
    await b.click("#play");
    await b.until("page.e.accuracy(false) >= 0.99 && page.e.accuracy(true) >= 0.99 && page.e.steps", 120);
    await b.click("#play");
    equal(await b.run("page.running"), false, "paused");
    holds(parseFloat(await text("train-right")) >= 99, "99 % is shown");
    await b.shoot(shots + "/spiral.png");
});

await check("an address restores the state to the bit, with changes during the training", async () => {
    await open("layers=6-5&data=1&optimiser=2&dropout=0.2&seed=7");
    await b.run("page.train(150)");
    await choose("rate-log", "-1");
    await b.run("page.train(100)");
    await choose("optimiser", "0"), await choose("l2", "0.001");
    await b.run("page.train(50); page.save()");
    const [before, hash] = [
        await b.run("JSON.stringify([page.e.steps, page.e.trainLoss, [...page.e.weights(1)]])"),
        await b.run("location.hash.slice(1)"),
    ];
    await open(hash);
    await b.until("page.e.steps === 300");
    equal(await b.run("JSON.stringify([page.e.steps, page.e.trainLoss, [...page.e.weights(1)]])"), before);
    equal(await b.run("page.save(); location.hash.slice(1)"), hash, "the address itself");
});

await check("every control changes what is seen", async () => {
    await open("layers=4-4");
    const controls = [
        ["activation", "2"],
        ["dropout", "0.3"],
        ["loss", "1"],
        ["optimiser", "1"],
        ["rate-log", "-1.5"],
        ["batch", "8"],
        ["l1", "0.001"],
        ["l2", "0.01"],
        ["noise", "0.3"],
        ["points", "100"],
        ["seed", "12"],
    ];
    for (const [id, value] of controls) {
        const before = await sight();
        await choose(id, value);
        holds(before !== (await sight()), id + " changes something");
    }
    for (const id of ["more", "fewer", "step", "reset", "reseed"]) {
        const before = await sight();
        await b.click("#" + id);
        holds(before !== (await sight()), id + " changes something");
    }
    for (let i = 8; i >= 0; i--) {
        await b.run(`document.querySelector('#data input[value="${i}"]').click()`);
        equal(await b.run("page.e.get('data')"), i, "data");
        if (i < 7) holds(await b.run("page.points.list.length > 50"), "there are points");
    }
    for (const name of ["activation", "optimiser", "loss"]) {
        const losses = new Set(),
            n = await b.run(`document.getElementById("${name}").options.length`);
        for (let i = 0; i < n; i++) {
            await b.run("page.reset()");
            await choose(name, String(i));
            await b.run("page.train(300)");
            losses.add(await b.run("page.e.trainLoss"));
        }
        equal(losses.size, n, name + ": each choice trains differently");
        await choose(name, "0");
    }
});

await check("dropout and penalties are in the graph, enums by name", async () => {
    await open("layers=4&dropout=0.3&l1=0.001&l2=0.01");
    const graph = await text("net-graph");
    for (const part of ["dropout_mask", "L1", "L2", "bce_logits", "reduction mean", "W1", "b2", "target"])
        holds(graph.includes(part), part + " is drawn");
});

await check("gradients of layers: none before, small below many sigmoids", async () => {
    await open("layers=8-8-8-8-8-8&activation=1");
    await b.run("page.train(5)");
    const norms = await b.run("[0, 1, 2, 3, 4, 5, 6].map(l => page.e.gradNorm(l))");
    holds(norms.every(v => v > 0) && norms[0] < norms[6] / 100, "they vanish: " + norms);
});

await check("a Var's value and gradient are shown where the pointer is", async () => {
    await open("layers=3");
    await b.run("page.train(10)");
    await b.call(() => {
        [...document.querySelectorAll("#net-graph .node")].find(g => g.textContent.startsWith("W1")).id = "w1";
    });
    const box = await b.place("#w1", 20);
    await b.mouse("mouseMoved", box);
    await b.until("!document.getElementById('tip').hidden");
    const shown = await b.call(() =>
        [...document.querySelectorAll("#tip table")].map(({ rows: r }) =>
            [r.length, r[0].cells.length, r[0].cells[0].textContent].join(" "),
        ),
    );
    equal(shown, [`3 2 ${await b.run("number(page.e.weights(0)[0])")}`, shown[1]], "values");
    holds((await text("tip")).includes("gradient") && shown.length === 2, "and the gradient");
    await b.shoot(shots + "/pointer.png", false);
    await b.mouse("mouseMoved", [5, 5]);
    await b.until("document.getElementById('tip').hidden");
    await b.run(`[...document.querySelectorAll("#net-graph .node")][0].focus()`);
    await b.until("!document.getElementById('tip').hidden", 5);
});

await check("own points by clicking and by keys", async () => {
    await open("data=7");
    equal(await b.run("page.points.list.length"), 0, "none at first");
    await b.click("#plot");
    equal(await b.run("page.points.list.length"), 1);
    await b.run("document.getElementById('plot').focus()");
    for (const key of ["ArrowLeft", "ArrowLeft", "ArrowUp"]) await b.press(key);
    await b.press("Enter");
    await b.press("Enter", "Enter", 8);
    equal(await b.run("page.points.list.map(p => p[2])"), [0, 0, 1], "classes");
    await b.press("Backspace");
    equal(await b.run("page.points.list.length"), 2);
    await b.run("page.save()");
    const hash = await b.run("location.hash.slice(1)"),
        points = await b.run("page.points.list");
    await open(hash);
    equal(
        await b.run("page.points.list.map(p => p.map(v => v.toFixed(3)))"),
        points.map(p => p.map(v => v.toFixed(3))),
        "restored",
    );
    await open("data=0");
    await b.click("#plot");
    equal(
        await b.run("[page.e.get('data'), page.points.list.length]"),
        [7, 201],
        "the spiral's points become one's own",
    );
    await b.run("page.train(50); page.save()");
    const now = () => b.run("JSON.stringify([page.e.steps, page.e.trainLoss, page.points.list])"),
        trained = await now();
    await open(await b.run("location.hash.slice(1)"));
    await b.until("page.e.steps === 50");
    equal(await now(), trained, "trained on them again, to the bit");
    await b.click("#clear");
    equal(await b.run("page.points.list.length"), 0, "cleared");
    await open("data=8");
    await b.click("#plot");
    equal(await b.run("[page.e.isCurve, page.points.list.length]"), [true, 1], "a curve's");
});

await check("regression: a curve is fitted", async () => {
    await open("data=4&layers=12-12&noise=0.05");
    await b.run("page.train(3000)");
    holds(await b.run("page.e.testLoss < 0.01"), "the test loss is small: " + (await b.run("page.e.testLoss")));
    await b.shoot(shots + "/curve.png");
});

await check("a rate that is too large is said", async () => {
    await open("data=4&loss=1&optimiser=1&activation=11");
    await b.run("page.set('rate', 10); page.run(true)");
    await b.until("!page.running", 20);
    holds((await text("message")).length > 20, "a sentence: " + (await text("message")));
});

await check("keys: train, step, reset, seed, data, layers, pages, colours", async () => {
    await open();
    const steps = () => b.run("page.e.steps");
    await b.press("s", "KeyS");
    equal(await steps(), 1, "s");
    await b.press("r", "KeyR");
    equal(await steps(), 0, "r");
    await b.press(" ", "Space");
    await b.until("page.e.steps > 20");
    await b.press(" ", "Space");
    const at = await steps();
    await wait(200);
    equal(await steps(), at, "paused");
    const seed = await b.run("page.e.get('seed')");
    await b.press("n", "KeyN");
    holds(seed !== (await b.run("page.e.get('seed')")), "n");
    await b.press("3", "Digit3");
    equal(await b.run("page.e.get('data')"), 2, "3");
    await b.press("]", "BracketRight");
    equal(await b.run("page.e.get('layers')"), 3, "]");
    await b.press("[", "BracketLeft");
    equal(await b.run("page.e.get('layers')"), 2, "[");
    const theme = await b.run("document.documentElement.dataset.theme");
    await b.press("d", "KeyD");
    holds(theme !== (await b.run("document.documentElement.dataset.theme")), "d");
    await b.press("?", "Slash", 8);
    equal(await b.run("document.getElementById('keys').open"), true, "?");
    await b.run("document.getElementById('keys').close()");
    await b.press("e", "KeyE");
    equal(await b.run("document.getElementById('write').hidden"), false, "e");
});

await check("neurons by keys, and more of them by buttons", async () => {
    await open("layers=3-2");
    await b.run("document.querySelector('.neuron').focus()");
    for (const key of ["ArrowDown", "ArrowRight"]) await b.press(key);
    equal(await text("shown"), "Neuron 2 of layer 2");
    await b.run(`document.querySelector('[aria-label="One neuron more in layer 2"]').click()`);
    equal(await b.run("[page.e.width(0), page.e.width(1)]"), [3, 3]);
});

await check("an expression: value, gradient, check, Hessian", async () => {
    await open("tab=write&f=sin(x)%2Bx*y&at=0.5_4");
    const near = (got, want) => holds(Math.abs(got - want) < 1e-7, `${got} is near ${want}`);
    near(+(await text("f")), Math.sin(0.5) + 2);
    near(+(await text("fx")), Math.cos(0.5) + 4), near(+(await text("fy")), 0.5);
    near(+(await text("dx")), Math.cos(0.5) + 4);
    near(+(await text("h00")), -Math.sin(0.5)), equal(await text("h01"), "1");
    holds((await text("verdict")).startsWith("✓"), await text("verdict"));
    const graph = await text("write-graph");
    for (const part of ["sin", "mul", "add", "x", "y", "f"]) holds(graph.includes(part), part + " is drawn");
    await b.shoot(shots + "/expression.png");
    await b.click("#map");
    holds(await b.run("Math.hypot(...page.expression.at) < 0.1"), "the point moves to the pointer");
});

// The numbers of JavaScript's own functions at (0.7, -1.3).
const x = 0.7,
    y = -1.3,
    sigmoid = v => 1 / (1 + Math.exp(-v));
const cases_of = [
    ["2x^2y - 3", 2 * x * x * y - 3],
    ["-x^2", -x * x],
    ["2^3^0.5", 2 ** (3 ** 0.5)],
    ["(x-y)/(x+2)", (x - y) / (x + 2)],
    ["pow(x, 3) + min(x, y)*max(x,y)", x ** 3 + x * y],
    ["atan2(x,y) + hypot(x, y)", Math.atan2(x, y) + Math.hypot(x, y)],
    ["x - y - 1", x - y - 1],
    ["tanh(2x) sigmoid(y)", Math.tanh(2 * x) * sigmoid(y)],
    ["exp(-(x^2+y^2))", Math.exp(-(x * x + y * y))],
    ["log(x) + sqrt(x) + abs(y)", Math.log(x) + Math.sqrt(x) + Math.abs(y)],
    ["pi x + e", Math.PI * x + Math.E],
    ["1.5e-1 x", 0.15 * x],
    ["relu(y) + cos(x)", Math.cos(x)],
    ["x / y / 2", x / y / 2],
    ["+x - -y", x + y],
    ["3", 3],
    ["x", x],
];
await check("expressions mean what they mean in JavaScript", async () => {
    await open(`tab=write&at=${x}_${y}`);
    for (const [source, want] of cases_of) {
        await choose("text", source), await b.run("page.expression.read()");
        equal(await text("fault"), "", source);
        const got = +(await text("f"));
        holds(Math.abs(got - want) < 1e-8 * Math.max(1, Math.abs(want)), `${source}: ${got} is ${want}`);
    }
});

await check("an address of nonsense does no harm", async () => {
    await open("data=99&steps=20&own=a_b~1");
    equal(await b.run("[page.e.steps, page.points.list.length]"), [0, 0], "no points, no steps");
    equal(await text("message"), "", "it does not wait for them");
    await open(
        "layers=x-1e9-0-3&seed=-1&noise=NaN&rate=1e99&then=5_data_3~x_rate_y~6.5_rate_1&steps=20&at=p&f=((&tab=z",
    );
    await b.until("page.e.steps === 20");
    equal(await b.run("[page.e.layers, page.e.width(1), page.e.get('rate')]"), [5, 16, 10]);
    await b.press("r", "KeyR");
    await b.press("s", "KeyS");
    equal(await b.run("page.e.steps"), 1);
    await open("data=1&seed=3&steps=1e4&then=~~&own=&layers=&f=%3Cimg+src=x+onerror=alert(1)%3E&tab=write");
    equal(await b.run("document.querySelectorAll('img').length"), 0, "texts are texts");
});

await check("what is no expression is said, with its place", async () => {
    for (const [source, at, words] of [
        ["sin(", 4, "ends too early"],
        ["x + ", 4, "ends too early"],
        ["foo(x)", 0, "not known"],
        ["pow(x)", 0, "two arguments"],
        ["sin(x, y)", 0, "one argument"],
        ["(x", 0, "not closed"],
        ["x)", 1, "not opened"],
        ["x $ y", 2, "not known"],
        ["x, y", 1, "comma"],
        ["sin x", 4, "brackets"],
        ["", 0, "ends too early"],
        [".", 0, "digits"],
        ["*x", 0, "should be here"],
    ]) {
        await choose("text", source), await b.run("page.expression.read()");
        equal(await b.run("page.e.m._expr_fault_at(page.e.expr)"), at, source);
        holds((await text("fault")).includes(words), `${source}: ${await text("fault")} says "${words}"`);
    }
});

await check("on a phone nothing is wider than the screen, and the buttons are within it", async () => {
    await b.size(390, 844, true);
    for (const [tab, name] of [
        ["net", "phone"],
        ["write", "phone-expression"],
    ]) {
        await open(`layers=16-16-16&tab=${tab}`);
        await b.run(tab === "net" ? "page.train(300); page.drawNow()" : "1");
        await wait(300);
        equal(await b.run("document.documentElement.scrollWidth"), 390, tab);
        const within = () =>
            [...document.querySelectorAll(".buttons button")].every(e => {
                const r = e.getBoundingClientRect();
                return r.left >= 0 && r.right <= 390 && r.bottom <= 844;
            });
        if (tab === "net") holds(await b.call(within), "buttons are within the screen");
        const large = () =>
            [...document.querySelectorAll("main button:not(.neuron), main select")].every(
                e => e.offsetParent === null || e.offsetHeight >= 24,
            );
        holds(await b.call(large), "targets of 24 pixels");
        await b.shoot(`${shots}/${name}.png`);
    }
    await b.size(1440, 900);
});

// The least contrast of the theme's pairs of ink and paper, by the rule of WCAG 2.
function leastContrast() {
    const part = v => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    const light = name => {
        const [r, g, b] = rgb(css("--" + name));
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const pairs = "ink back, ink card, soft card, soft field, soft back, accent-ink accent, warn card, accent card";
    const contrasts = pairs.split(", ").map(pair => {
        const [low, high] = pair
            .split(" ")
            .map(light)
            .sort((p, q) => p - q);
        return (high + 0.05) / (low + 0.05);
    });
    return Math.min(...contrasts);
}

await check("both themes: text has a contrast of 4.5 to its background", async () => {
    await open();
    for (const theme of ["light", "dark"]) {
        await b.run(`page.theme("${theme}")`);
        const worst = await b.call(leastContrast);
        holds(worst >= 4.5, theme + ": " + worst);
    }
    const nameless = () =>
        [...document.querySelectorAll("button, input, select, canvas[tabindex]")]
            .filter(e => !e.getAttribute("aria-label") && !e.textContent.trim() && !e.labels?.length)
            .map(e => e.outerHTML);
    equal(await b.call(nameless), [], "all controls have names");
    await b.run("page.train(500); page.drawNow()");
    await b.shoot(shots + "/dark.png");
});

await check("frames follow the screen while it trains", async () => {
    await open("layers=8-8");
    const frame = () => {
        const times = [];
        for (let i = 0; i < 30; i++) {
            const start = performance.now();
            page.train(10);
            page.draw();
            times.push(performance.now() - start);
        }
        return times.sort((a, b) => a - b)[3];
    };
    const took = await b.call(frame);
    holds(took < 16, `ten steps and a frame take less than 1/60 s: ${took} ms`);
    console.log(`# ten steps and a frame of a 2-8-8-1 net: ${took.toFixed(1)} ms`);
});

await check("no error was written to the console", async () => equal(b.faults, []));

await b.close();
console.log(`1..${cases}`);
process.exit(failures ? 1 : 0);
