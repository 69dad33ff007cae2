// page.js: controls, the address, keys, and the loop of frames.

const CHOICES = {
    data: ["Spiral", "Moons", "Circles", "XOR", "Sine", "Steps", "Packet", "Own points", "Own curve"],
    activation: [
        "tanh",
        "sigmoid",
        "relu",
        "leaky relu",
        "elu",
        "selu",
        "gelu",
        "silu",
        "mish",
        "softplus",
        "sin",
        "none (linear)",
    ],
    loss: ["cross-entropy", "squared error", "absolute error", "Huber", "hinge"],
    optimiser: [
        "Adam",
        "SGD",
        "SGD, momentum 0.9",
        "SGD, Nesterov",
        "RMSprop",
        "Adagrad",
        "Adamax",
        "NAdam",
        "AdamW",
        "Lion",
    ],
    batch: [
        [1, "1"],
        [8, "8"],
        [32, "32"],
        [100, "100"],
        [0, "all points"],
    ],
    l1: [
        [0, "none"],
        [0.0001, "0.0001"],
        [0.001, "0.001"],
        [0.01, "0.01"],
    ],
    l2: [
        [0, "none"],
        [0.0001, "0.0001"],
        [0.001, "0.001"],
        [0.01, "0.01"],
        [0.1, "0.1"],
    ],
};
const OWN_CLASSES = 7,
    SAVED = [
        "data",
        "points",
        "noise",
        "seed",
        "activation",
        "dropout",
        "loss",
        "optimiser",
        "rate",
        "l1",
        "l2",
        "batch",
    ];
// What may change while a net is trained: the weights stay.
const LATER = ["dropout", "loss", "optimiser", "rate", "l1", "l2", "batch"];
const $ = id => document.getElementById(id);

class Page {
    constructor(engine) {
        this.e = engine;
        (this.running = false), (this.perFrame = 10), (this.layerColours = []);
        (this.first = {}), (this.log = []); // the settings at step 0, and [step, name, value] of later changes
        this.network = new NetworkView(engine, (l, n) => this.set("width" + l, n));
        this.network.changed = () => this.drawNow();
        this.plot = new Plot($("plot"), engine, this.network);
        this.graph = new GraphView($("net-graph"), engine);
        this.expression = new ExpressionPage(engine, () => this.saveSoon());
        this.controls();
        this.keys();
        this.pointer();
    }

    // ---- settings ----

    controls() {
        for (const name of ["activation", "loss", "optimiser", "batch", "l1", "l2"]) {
            CHOICES[name].forEach((c, i) =>
                $(name).add(new Option(Array.isArray(c) ? c[1] : c, Array.isArray(c) ? c[0] : i)),
            );
            $(name).addEventListener("change", event => this.set(name, +event.target.value));
        }
        for (const name of ["noise", "points", "dropout"])
            $(name).addEventListener("input", event => this.set(name, +event.target.value));
        $("rate-log").addEventListener("input", event => this.set("rate", +(10 ** event.target.value).toPrecision(2)));
        CHOICES.data.forEach((name, i) => this.dataChoice(name, i));
        $("seed").addEventListener("change", event =>
            this.set("seed", Math.max(0, Math.min(999999, Math.floor(+event.target.value || 0)))),
        );
        $("reseed").onclick = () => this.set("seed", 1 + Math.floor(Math.random() * 99999));
        $("fewer").onclick = () => this.set("layers", this.e.get("layers") - 1);
        $("more").onclick = () => this.set("layers", this.e.get("layers") + 1);
        $("play").onclick = () => this.run(!this.running);
        $("step").onclick = () => {
            this.run(false);
            this.train(1);
            this.drawNow();
        };
        $("reset").onclick = () => this.reset();
        $("speed").addEventListener("change", event => {
            this.perFrame = +event.target.value;
        });
        $("undo").onclick = () => {
            this.e.m._play_own_undo(this.e.play);
            this.reset();
        };
        $("clear").onclick = () => {
            this.e.m._play_own_clear(this.e.play);
            this.reset();
        };
        $("copy").onclick = () => this.copy();
        $("theme").onclick = () => this.theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
        $("help").onclick = () => $("keys").showModal();
        for (const tab of ["net", "write"]) $("tab-" + tab).onclick = () => this.tab(tab);
        $("tab-net").parentNode.addEventListener("keydown", event => {
            if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
            this.tab($("net").hidden ? "net" : "write");
            $("tab-" + this.tabName).focus();
        });
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", event =>
            this.theme(event.matches ? "dark" : "light"),
        );
        new ResizeObserver(() => {
            if (!$("net").hidden) this.network.build(), this.drawNow();
        }).observe($("network"));
        new ResizeObserver(() => this.expression.draw()).observe($("map"));
        addEventListener("hashchange", () => {
            if (location.hash.slice(1) !== this.saved) this.restore();
        });
    }

    dataChoice(name, i) {
        const label = document.createElement("label"),
            input = document.createElement("input"),
            canvas = document.createElement("canvas");
        (input.type = "radio"), (input.name = "data"), (input.value = i);
        input.addEventListener("change", () => this.set("data", i));
        label.append(input, canvas, name);
        $("data").append(label);
    }

    // A small picture of each data set.
    thumbnails() {
        const e = (this.other ??= new Engine(this.e.m));
        e.set("points", 60);
        document.querySelectorAll("#data canvas").forEach((canvas, i) => {
            const w = (canvas.width = 90),
                h = (canvas.height = 72),
                c = canvas.getContext("2d"); // whether it is shown or not
            if (i >= OWN_CLASSES) {
                (c.strokeStyle = colours.soft), (c.lineWidth = 2), c.beginPath();
                c.moveTo(w / 2 - 10, h / 2),
                    c.lineTo(w / 2 + 10, h / 2),
                    c.moveTo(w / 2, h / 2 - 10),
                    c.lineTo(w / 2, h / 2 + 10),
                    c.stroke();
                return;
            }
            e.set("data", i), e.set("noise", 0.05), e.reset();
            for (const [x, y, label] of e.points().list) {
                c.fillStyle = label > 0.5 ? colours.one : colours.zero;
                c.beginPath(), c.arc(w / 2 + x * w * 0.4, h / 2 - y * h * 0.42, 2.2, 0, 7), c.fill();
            }
        });
    }

    set(name, value) {
        const { e } = this,
            reach = e.set(name, value);
        if (reach === 0) return this.reset();
        if (e.steps === 0) this.first[name] = e.get(name);
        else {
            this.log = this.log.filter(([s, n]) => !(s === e.steps && n === name));
            this.log.push([e.steps, name, e.get(name)]);
        }
        e.change(reach === 1 ? 1 : 0);
        this.built();
    }

    // New data and weights; changes made during the training become those of its beginning.
    reset() {
        const { e } = this;
        if (!e.reset()) this.say(e.error());
        this.log = [];
        this.first = Object.fromEntries(SAVED.map(n => [n, e.get(n)]));
        this.lossLines = [new History(500), new History(500)];
        this.normLines = Array.from({ length: e.layers }, () => new History(500));
        this.points = e.points();
        this.say("");
        this.network.build();
        this.built();
    }

    // After the graphs were made: what depends on settings is shown anew.
    built() {
        const { e } = this,
            own = e.get("data") >= OWN_CLASSES;
        for (const name of ["activation", "loss", "optimiser", "batch", "l1", "l2"])
            $(name).value = String(+e.get(name).toPrecision(3));
        for (const name of ["noise", "points", "dropout"]) {
            $(name).value = e.get(name);
            document.querySelector(`output[for="${name}"]`).value = +e.get(name).toFixed(2);
        }
        for (const name of ["noise", "points"]) $(name).disabled = own;
        $("rate-log").value = Math.log10(e.get("rate"));
        document.querySelector('output[for="rate-log"]').value = +e.get("rate").toPrecision(2);
        ($("seed").value = e.get("seed")), ($("layers").value = e.get("layers"));
        ($("fewer").disabled = e.get("layers") <= 0), ($("more").disabled = e.get("layers") >= 6);
        document.querySelector(`#data input[value="${e.get("data")}"]`).checked = true;
        ($("own").hidden = !own), (document.querySelector(".own .pick").hidden = e.isCurve);
        for (const i of [0, 4]) $("loss").options[i].disabled = e.isCurve;
        if (e.isCurve && (e.get("loss") === 0 || e.get("loss") === 4)) $("loss").value = "1";
        this.layerColours = Array.from({ length: e.layers }, (_, l) =>
            this.viridis(e.layers === 1 ? 0.3 : l / (e.layers - 1)),
        );
        this.graph.draw(e.m._play_loss_var(e.play));
        this.drawNow();
        this.saveSoon();
    }

    // From violet to green: told apart by lightness too.
    viridis(t) {
        const dark = document.documentElement.dataset.theme === "dark",
            [lo, hi] = dark ? [62, 88] : [28, 66];
        return `hsl(${Math.round(285 - 165 * t)} ${dark ? 55 : 60}% ${Math.round(lo + (hi - lo) * t * 0.8)}%)`;
    }

    say(text) {
        $("message").textContent = text;
    }

    // ---- training and frames ----

    run(on) {
        this.running = on;
        $("play").textContent = on ? "❚❚ Pause" : "▶ Train";
        $("play").setAttribute("aria-pressed", String(on));
        if (on && this.points.train === 0)
            return this.say("There are no points yet: click into the plot."), this.run(false);
        this.counted = { time: performance.now(), steps: this.e.steps, frames: 0 };
        if (on && !this.asked) this.asked = requestAnimationFrame(() => this.frame());
        if (!on) this.saveSoon();
    }

    train(n) {
        const ok = this.e.train(n),
            loss = this.look();
        if (ok && !Number.isNaN(loss)) return true;
        this.say(this.e.error() || "The loss is not a number any more. Lower the learning rate and reset.");
        if (this.running) this.run(false);
        return false;
    }

    // Losses and maps for the weights of now, and a point of each line.
    look() {
        const { e } = this;
        e.look(true);
        if (e.steps > (this.seen ?? -1) || e.steps === 0) {
            this.lossLines[0].add(e.steps, e.trainLoss), this.lossLines[1].add(e.steps, e.testLoss);
            if (e.steps > 0) this.normLines.forEach((l, i) => l.add(e.steps, e.gradNorm(i)));
        }
        this.seen = e.steps;
        return e.trainLoss;
    }

    frame() {
        this.asked = 0;
        if (!this.running) return;
        const until = performance.now() + 9;
        if (this.perFrame) this.train(this.perFrame);
        else {
            let n = 20;
            for (let ok = true; ok && performance.now() < until; ) ok = this.e.train(n);
            this.train(1);
        }
        this.draw();
        this.count();
        if (this.running) this.asked = requestAnimationFrame(() => this.frame());
    }

    count() {
        const c = this.counted,
            now = performance.now();
        c.frames++;
        if (now - c.time < 500) return;
        $("rate").textContent = Math.round(((this.e.steps - c.steps) * 1000) / (now - c.time)).toLocaleString("en");
        $("frames").textContent = Math.round((c.frames * 1000) / (now - c.time));
        this.counted = { time: now, steps: this.e.steps, frames: 0 };
        this.graph.refresh();
    }

    drawNow() {
        if (this.points && !$("net").hidden) {
            this.look();
            this.draw();
            this.graph.refresh();
        }
    }

    draw() {
        const { e } = this;
        if ($("net").hidden) return;
        this.network.paint();
        this.network.draw();
        this.plot.draw(this.points);
        const share = v => (Number.isFinite(v) ? (100 * v).toFixed(1) + " %" : "–");
        $("steps").textContent = e.steps.toLocaleString("en");
        ($("train-loss").textContent = number(e.trainLoss)), ($("test-loss").textContent = number(e.testLoss));
        ($("train-right").textContent = share(e.accuracy(false))),
            ($("test-right").textContent = share(e.accuracy(true)));
        const { layer, neuron } = this.network.shown;
        $("shown").textContent = layer < 0 ? "Output" : `Neuron ${neuron + 1} of layer ${layer + 1}`;
        this.legend();
        if (++this.drawn % 3 && this.running) return; // charts change slowly
        chart(
            $("losses"),
            [
                { points: this.lossLines[0].points, colour: colours.train },
                { points: this.lossLines[1].points, colour: colours.test, dashed: true },
            ],
            { x: "steps", empty: "" },
        );
        chart(
            $("norms"),
            this.normLines.map((l, i) => ({ points: l.points, colour: this.layerColours[i], name: `layer ${i + 1}` })),
            { x: "steps", names: true, empty: "train to see them" },
        );
    }
    drawn = 0;

    legend() {
        const text = this.e.isCurve ? "curve" : "map";
        if ($("legend").dataset.kind === text) return;
        $("legend").dataset.kind = text;
        $("legend").innerHTML = this.e.isCurve
            ? "<span>line: the net &nbsp; filled: training &nbsp; hollow: test</span>"
            : '<span><i class="dot zero"></i> 0</span><span class="ramp"></span>' +
              '<span>1 <i class="dot one"></i></span><span>hollow: test</span>';
    }

    // ---- own points ----

    addPoint([x, y], label) {
        const { e } = this,
            m = e.m;
        if (e.get("data") < OWN_CLASSES) {
            m._play_own_take(e.play);
            e.set("data", e.isCurve ? OWN_CLASSES + 1 : OWN_CLASSES);
        }
        if (!m._play_own_add(e.play, x, y, label)) return this.say("There is room for 400 points.");
        this.reset();
    }

    pointer() {
        const canvas = $("plot"),
            chosen = () => +document.querySelector('input[name="class"]:checked').value;
        const at = event => {
            const box = canvas.getBoundingClientRect();
            return this.plot.fromPixel(event.clientX - box.left, event.clientY - box.top, box.width);
        };
        canvas.addEventListener("click", event => this.addPoint(at(event), event.shiftKey ? 1 - chosen() : chosen()));
        canvas.addEventListener("contextmenu", event => {
            event.preventDefault();
            this.addPoint(at(event), 1 - chosen());
        });
        canvas.addEventListener("focus", () => {
            if (canvas.matches(":focus-visible")) this.plot.cross = this.plot.cross || [0, 0];
            this.drawNow();
        });
        canvas.addEventListener("blur", () => this.drawNow());
        canvas.addEventListener("keydown", event => {
            const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key],
                cross = this.plot.cross || [0, 0];
            if (step)
                (this.plot.cross = cross.map((v, k) => Math.max(-1.15, Math.min(1.15, v + 0.05 * step[k])))),
                    this.drawNow();
            else if (event.key === "Enter") this.addPoint(cross, event.shiftKey ? 1 - chosen() : chosen());
            else if (event.key === "Backspace" && this.e.get("data") >= OWN_CLASSES) $("undo").click();
            else return;
            event.preventDefault(), event.stopPropagation();
        });
    }

    // ---- keys, pages, themes ----

    keys() {
        addEventListener("keydown", event => {
            const t = event.target,
                typing = t.matches("select, dialog[open] *, input:not([type=radio]):not([type=range])");
            if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
            const key = event.key.toLowerCase();
            if (key === "escape") return tip.hide();
            if (key === "?") return $("keys").showModal();
            if (key === "d") return $("theme").click();
            if (key === "e") return this.tab($("net").hidden ? "net" : "write");
            if ($("net").hidden) return;
            if (key === " " && !t.matches("button, input")) $("play").click();
            else if (key === "s") $("step").click();
            else if (key === "r") $("reset").click();
            else if (key === "n") $("reseed").click();
            else if (key === "[") $("fewer").click();
            else if (key === "]") $("more").click();
            else if (key >= "1" && key <= "9") this.set("data", key - 1);
            else return;
            event.preventDefault();
        });
    }

    tab(name) {
        this.tabName = name;
        for (const other of ["net", "write"]) {
            const on = other === name;
            $(other).hidden = !on;
            $("tab-" + other).setAttribute("aria-selected", String(on)), ($("tab-" + other).tabIndex = on ? 0 : -1);
        }
        tip.hide();
        if (name === "net") this.network.build(), this.drawNow();
        else this.run(false), this.expression.read(), this.expression.draw();
        this.saveSoon();
    }

    theme(name) {
        document.documentElement.dataset.theme = name;
        readColours();
        $("legend").dataset.kind = "";
        this.thumbnails();
        this.network.build();
        this.built();
        this.expression.paint();
        this.expression.draw();
    }

    // ---- the address ----

    state() {
        const q = new URLSearchParams(),
            { e } = this;
        if (!$("write").hidden) q.set("tab", "write");
        for (const name of SAVED) q.set(name, +(this.first[name] ?? e.get(name)).toPrecision(6));
        q.set("layers", Array.from({ length: e.layers - 1 }, (_, l) => e.width(l)).join("-") || "0");
        if (e.steps) q.set("steps", e.steps);
        if (this.log.length) q.set("then", this.log.map(c => c.join("_")).join("~"));
        const n = e.m._play_own_count(e.play),
            at = (i, f) => e.m._play_own_at(e.play, i, f);
        if (n && e.get("data") >= OWN_CLASSES)
            q.set(
                "own",
                Array.from({ length: n }, (_, i) =>
                    [at(i, 0).toFixed(3), at(i, 1).toFixed(3), at(i, 2)].join("_"),
                ).join("~"),
            );
        q.set("f", this.expression.text.value), q.set("at", this.expression.at.join("_"));
        return q.toString();
    }

    saveSoon() {
        clearTimeout(this.saving);
        this.saving = setTimeout(() => this.save(), 300);
    }
    save() {
        clearTimeout(this.saving);
        this.saved = this.state();
        history.replaceState(null, "", "#" + this.saved);
    }

    async copy() {
        this.save();
        try {
            await navigator.clipboard.writeText(location.href);
            this.say("The address is copied: it restores this state.");
        } catch {
            this.say("The address is in the address bar: it restores this state.");
        }
        setTimeout(() => this.say(""), 4000);
    }

    restore() {
        const q = new URLSearchParams(location.hash.slice(1)),
            { e } = this,
            m = e.m;
        for (const name of SAVED) if (q.has(name) && Number.isFinite(+q.get(name))) e.set(name, +q.get(name));
        if (q.has("layers")) {
            const widths = q.get("layers") === "0" ? [] : q.get("layers").split("-").slice(0, 6);
            e.set("layers", widths.length), widths.forEach((n, l) => e.set("width" + l, +n || 1));
        }
        if (q.has("own")) {
            m._play_own_clear(e.play);
            const points = q
                .get("own")
                .split("~")
                .map(p => p.split("_").map(Number));
            for (const p of points) if (p.length === 3 && p.every(Number.isFinite)) m._play_own_add(e.play, ...p);
        }
        if (q.has("f")) this.expression.text.value = q.get("f");
        if (q.has("at")) this.expression.at = [0, 1].map(k => +q.get("at").split("_")[k] || 0);
        this.reset();
        const changes = (q.get("then") ?? "").split("~").map(c => c.split("_"));
        const valid = changes.filter(c => LATER.includes(c[1]) && Number.isInteger(+c[0]) && Number.isFinite(+c[2]));
        this.replay(
            Math.max(0, Math.floor(+q.get("steps"))) || 0,
            valid.map(([at, name, value]) => [+at, name, +value]),
        );
        this.tab(q.get("tab") === "write" ? "write" : "net");
    }

    // Trains as it was trained: the same steps with the same changes at the same places, in slices between frames.
    replay(steps, changes) {
        const { e } = this,
            goal = this.points.train > 0 ? Math.min(steps, 1e6) : 0;
        const slice = () => {
            const until = performance.now() + 40;
            while (performance.now() < until) {
                while (changes.length && changes[0][0] <= e.steps) {
                    const [, name, value] = changes.shift();
                    e.change(e.set(name, value) === 1 ? 1 : 0), this.log.push([e.steps, name, value]);
                }
                const next = Math.min(goal, changes.length ? changes[0][0] : goal, e.steps + 50);
                if (e.steps >= goal || !e.train(next - e.steps)) break;
            }
            const more = (e.steps < goal || changes[0]?.[0] <= goal) && !e.error();
            this.say(more ? `Restoring: ${e.steps} of ${goal} steps` : "");
            this.look();
            if (more) return void (this.replaying = requestAnimationFrame(slice));
            this.built();
        };
        cancelAnimationFrame(this.replaying);
        if (goal > 0) slice();
    }
}

load_autodiff().then(
    module => {
        readColours();
        const page = new Page(new Engine(module));
        window.page = page; // for the console and the tests
        document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
        readColours();
        page.expression.text.value = "sin(x) + x*y";
        page.reset();
        page.thumbnails();
        page.restore();
    },
    fault => {
        document.body.textContent = "This browser cannot run the page: " + fault;
    },
);
