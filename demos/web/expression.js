// expression.js: the second page: an expression, its map, its gradient, and the check against differences.

class ExpressionPage {
    constructor(engine, changed) {
        (this.e = engine), (this.changed = changed);
        (this.at = [0.5, 1.2]), (this.edge = 4), (this.good = false);
        this.graph = new GraphView(document.getElementById("write-graph"), engine);
        this.map = mapCanvas(engine.m._expr_side());
        (this.text = document.getElementById("text")), (this.canvas = document.getElementById("map"));
        this.text.addEventListener("input", () => {
            this.read();
            this.changed();
        });
        for (const [k, id] of ["x", "y"].entries())
            document
                .getElementById(id)
                .addEventListener("input", event =>
                    this.move(k ? [this.at[0], +event.target.value] : [+event.target.value, this.at[1]]),
                );
        const drag = event => {
            if (event.type === "pointermove" && !(event.buttons & 1)) return;
            const box = this.canvas.getBoundingClientRect();
            this.canvas.focus({ preventScroll: true });
            this.move([
                ((2 * (event.clientX - box.left)) / box.width - 1) * this.edge,
                (1 - (2 * (event.clientY - box.top)) / box.height) * this.edge,
            ]);
        };
        this.canvas.addEventListener("pointerdown", drag);
        this.canvas.addEventListener("pointermove", drag);
        this.canvas.addEventListener("keydown", event => {
            const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
            if (!step) return;
            event.preventDefault(), event.stopPropagation();
            this.move(this.at.map((v, k) => v + step[k] * (event.shiftKey ? 0.5 : 0.05)));
        });
        document.getElementById("names").textContent = engine.text(engine.m._expr_names());
        for (const example of [
            "sin(x) + x*y",
            "exp(-(x^2 + y^2))",
            "(1-x)^2 + 10(y-x^2)^2",
            "tanh(2x) * sigmoid(y)",
            "max(sin(2x), cos(2y))",
            "log(1 + x^2 y^2)",
            "abs(x) + relu(y)",
        ]) {
            const b = document.createElement("button");
            b.textContent = example;
            b.onclick = () => {
                this.text.value = example;
                this.read();
                this.changed();
            };
            document.getElementById("examples").append(b);
        }
    }

    read() {
        const { e } = this,
            m = e.m;
        m.stringToUTF8(this.text.value, m._expr_text(e.expr), m._expr_text_size());
        this.good = m._expr_read(e.expr) === 0;
        const fault = document.getElementById("fault");
        fault.textContent = this.good
            ? ""
            : this.text.value + "\n" + " ".repeat(m._expr_fault_at(e.expr)) + "^ " + e.text(m._expr_fault(e.expr));
        this.text.setAttribute("aria-invalid", String(!this.good));
        if (!this.good) return;
        m._expr_at(e.expr, ...this.at);
        this.graph.draw(m._expr_var(e.expr));
        this.values = this.shades(e.doubles(m._expr_map(e.expr, this.edge), this.map.canvas.width ** 2));
        this.paint();
        this.move(this.at);
    }

    // Values as -1 .. 1: linear between the quartiles and logarithmic beyond, so that a peak does not hide the rest.
    shades(values) {
        const finite = Float64Array.from(values).filter(Number.isFinite).sort(),
            n = finite.length;
        const at = part => finite[Math.min(n - 1, Math.floor(part * n))],
            middle = at(0.5),
            spread = Math.max((at(0.75) - at(0.25)) / 2, 1e-12);
        const most = Math.asinh(Math.max(at(1) - middle, middle - at(0), spread) / spread);
        return Float64Array.from(values, v => Math.asinh((v - middle) / spread) / most);
    }

    paint() {
        if (this.values) this.map.paint(this.values, 0, 1, v => v);
    }

    move(at) {
        this.at = at.map(v => Math.max(-this.edge, Math.min(this.edge, Math.round(v * 1000) / 1000)));
        for (const [k, id] of ["x", "y"].entries()) {
            const input = document.getElementById(id);
            input.value = this.at[k];
            document.querySelector(`output[for="${id}"]`).value = this.at[k].toFixed(2);
        }
        if (this.good) this.show();
        this.changed();
    }

    // The error of central differences for steps from 10^-0.5 to 10^-12, for x and y.
    errors(slopes) {
        const { e } = this,
            [x, y] = this.at,
            f = (a, b) => e.m._expr_value(e.expr, a, b),
            lines = [[], []];
        for (let k = -0.5; k >= -12; k -= 0.25) {
            const h = 10 ** k;
            lines[0].push([h, Math.abs((f(x + h, y) - f(x - h, y)) / (2 * h) - slopes[0])]);
            lines[1].push([h, Math.abs((f(x, y + h) - f(x, y - h)) / (2 * h) - slopes[1])]);
        }
        return lines.map(l => l.map(([h, v]) => [h, v === 0 ? 1e-17 : v]).reverse());
    }

    show() {
        const { e } = this,
            m = e.m,
            p = e.expr,
            [x, y] = this.at,
            h = 1e-5,
            set = (id, v) => {
                document.getElementById(id).textContent = v;
            };
        m._expr_at(p, x, y);
        const slopes = [m._expr_slope(p, 0), m._expr_slope(p, 1)];
        const rc = m._expr_check(p),
            message = e.text(m._expr_check_text(p)),
            compared = m._expr_check_count(p);
        const f = (a, b) => m._expr_value(p, a, b),
            near = [(f(x + h, y) - f(x - h, y)) / (2 * h), (f(x, y + h) - f(x, y - h)) / (2 * h)];
        this.lines = this.errors(slopes);
        const second = m._expr_hessian(p) === 0;
        const value = m._expr_at(p, x, y);
        const digits = v => (Number.isFinite(v) ? String(+v.toPrecision(9)) : String(v));
        set("f", digits(value));
        ["x", "y"].forEach((name, k) => {
            set("f" + name, digits(slopes[k])), set("d" + name, digits(near[k]));
            set(
                "e" + name,
                Math.abs(slopes[k] - near[k])
                    .toExponential(1)
                    .replace("e+", "e"),
            );
        });
        for (const i of [0, 1])
            for (const k of [0, 1]) set(`h${i}${k}`, second ? digits(m._expr_second(p, i, k)) : "–");
        const verdict = document.getElementById("verdict");
        verdict.textContent =
            rc === 0
                ? `✓ ad_gradcheck: backward and differences agree (${compared} slopes)`
                : `✗ ad_gradcheck: ${message}`;
        verdict.className = rc === 0 ? "right" : "wrong";
        this.slopes = slopes;
        this.graph.refresh();
        this.draw();
    }

    draw() {
        if (!this.good || document.getElementById("write").hidden) return;
        const { c, w } = begin(this.canvas),
            toPixel = ([x, y]) => [((x / this.edge + 1) / 2) * w, ((1 - y / this.edge) / 2) * w];
        c.imageSmoothingQuality = "high";
        c.drawImage(this.map.canvas, 0, 0, w, w);
        this.contours(c, w);
        (c.strokeStyle = colours.soft), (c.fillStyle = colours.ink), (c.lineWidth = 1), (c.globalAlpha = 0.6);
        c.beginPath(), c.moveTo(w / 2, 0), c.lineTo(w / 2, w), c.moveTo(0, w / 2), c.lineTo(w, w / 2), c.stroke();
        (c.globalAlpha = 1), (c.font = "11px system-ui, 'DejaVu Sans', sans-serif"), (c.textBaseline = "top");
        c.fillText("x = 4", w - 32, w / 2 + 4), c.fillText("y = 4", w / 2 + 5, 4);
        const [x, y] = toPixel(this.at),
            size = Math.hypot(...this.slopes),
            length = size > 0 && Number.isFinite(size) ? (16 + (44 * size) / (size + 2)) / size : 0;
        const dx = this.slopes[0] * length,
            dy = -this.slopes[1] * length,
            turn = Math.atan2(dy, dx);
        (c.strokeStyle = colours.ink), (c.lineWidth = 2.5);
        if (length) {
            c.beginPath(), c.moveTo(x, y), c.lineTo(x + dx, y + dy), c.stroke();
            c.beginPath(), c.moveTo(x + dx + 7 * Math.cos(turn), y + dy + 7 * Math.sin(turn));
            c.lineTo(x + dx + 6 * Math.cos(turn + 2.2), y + dy + 6 * Math.sin(turn + 2.2)),
                c.lineTo(x + dx + 6 * Math.cos(turn - 2.2), y + dy + 6 * Math.sin(turn - 2.2)),
                c.fill();
        }
        c.fillStyle = colours.card;
        c.beginPath(), c.arc(x, y, 6, 0, 7), c.fill(), c.stroke();
        chart(
            document.getElementById("errors"),
            [
                { points: this.lines[0], colour: colours.train, name: "∂f/∂x" },
                { points: this.lines[1], colour: colours.test, dashed: true, name: "∂f/∂y" },
            ],
            { x: "h", logX: true, floor: 1e-17, names: true },
        );
    }

    contours(c, w) {
        (c.strokeStyle = colours.ink), (c.lineWidth = 0.8), (c.globalAlpha = 0.35);
        c.beginPath();
        for (let z = -0.8; z <= 0.81; z += 0.2) addContour(c, this.values, this.map.canvas.width, z, w);
        c.stroke();
        c.globalAlpha = 1;
    }
}
