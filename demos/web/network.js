// network.js: the net as columns of neurons with their maps, and the plot of one of them.

class NetworkView {
    constructor(engine, pick) {
        (this.engine = engine),
            (this.box = document.getElementById("network")),
            (this.canvas = document.getElementById("edges"));
        this.pick = pick; // called with a change of the widths
        this.shown = { layer: -1, neuron: 0 };
        this.maps = [];
    }

    // Places of columns and neurons for the present net; new elements for neurons and heads of layers.
    build() {
        const e = this.engine,
            layers = e.layers,
            curve = e.isCurve;
        this.building = true; // a neuron that has the focus and goes is no reason to draw
        this.box.querySelectorAll(".layer, .neuron").forEach(x => x.remove());
        this.building = false;
        const widths = [curve ? 1 : 2];
        for (let l = 0; l < layers; l++) widths.push(e.width(l));
        const height = this.box.clientHeight - 40,
            most = Math.max(...widths);
        this.size = Math.max(14, Math.min(46, (height - 8) / most - 5));
        this.full = Math.max(this.box.clientWidth, widths.length * 80);
        const X = i => 30 + this.size / 2 + (i * (this.full - 60 - this.size)) / (widths.length - 1);
        const gap = n => Math.min(this.size + 18, (height - this.size - 8) / Math.max(1, n - 1));
        const Y = (k, n) => 40 + height / 2 + (k - (n - 1) / 2) * gap(n);
        this.places = widths.map((n, i) => Array.from({ length: n }, (_, k) => [X(i), Y(k, n)]));
        this.side = e.m._play_map_side();
        this.maps = widths.slice(1).map(n => Array.from({ length: n }, () => mapCanvas(this.side)));
        this.inputs = widths[0];
        this.inputMaps = curve ? [] : [0, 1].map(k => this.inputMap(k));
        if (
            this.shown.layer >= 0 &&
            (this.shown.layer >= layers - 1 || this.shown.neuron >= widths[this.shown.layer + 1])
        )
            this.shown = { layer: -1, neuron: 0 };
        for (let l = 0; l < layers - 1; l++) this.head(l, X(l + 1), widths[l + 1]);
        this.label(X(0), "inputs");
        this.label(X(layers), "output");
        for (let l = 0; l < layers; l++) this.places[l + 1].forEach((p, k) => this.button(l, k, p));
    }

    label(x, text) {
        const d = document.createElement("div");
        (d.className = "layer"), (d.style.left = x + "px"), (d.style.top = "4px"), (d.textContent = text);
        this.box.append(d);
    }

    head(l, x, width) {
        const d = document.createElement("div"),
            less = document.createElement("button"),
            n = document.createElement("b"),
            more = document.createElement("button");
        (d.className = "layer"), (d.style.left = x + "px");
        (less.textContent = "−"), (more.textContent = "+"), (n.textContent = width);
        less.setAttribute("aria-label", `One neuron less in layer ${l + 1}`),
            more.setAttribute("aria-label", `One neuron more in layer ${l + 1}`);
        (less.onclick = () => this.pick(l, width - 1)), (more.onclick = () => this.pick(l, width + 1));
        (less.disabled = width <= 1), (more.disabled = width >= 16);
        d.append(less, n, more);
        this.box.append(d);
    }

    button(l, k, [x, y]) {
        const b = document.createElement("button"),
            output = l === this.engine.layers - 1;
        const size = this.size + 4;
        b.className = "neuron";
        b.style.cssText = `left:${x - size / 2}px;top:${y - size / 2}px;width:${size}px;height:${size}px`;
        b.setAttribute("aria-label", output ? "Output" : `Neuron ${k + 1} of layer ${l + 1}`);
        const show = () => {
            this.shown = output ? { layer: -1, neuron: 0 } : { layer: l, neuron: k };
            this.mark();
            this.changed();
        };
        b.addEventListener("pointerenter", event => event.pointerType === "mouse" && show());
        b.addEventListener("pointerleave", event => event.pointerType === "mouse" && this.back());
        b.addEventListener("focus", show);
        b.addEventListener("blur", () => this.back());
        b.addEventListener("keydown", event => this.walk(event, l, k));
        b.dataset.at = l + " " + k;
        b.tabIndex = l === 0 && k === 0 ? 0 : -1;
        this.box.append(b);
    }

    walk(event, l, k) {
        const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
        if (!step) return;
        event.preventDefault(), event.stopPropagation();
        const layer = Math.max(0, Math.min(this.engine.layers - 1, l + step[0]));
        const neuron = Math.max(0, Math.min(this.engine.width(layer) - 1, k + step[1]));
        this.box.querySelector(`[data-at="${layer} ${neuron}"]`).focus();
    }

    back() {
        if (this.building) return;
        this.shown = { layer: -1, neuron: 0 };
        this.mark();
        this.changed();
    }
    mark() {
        const { layer, neuron } = this.shown;
        this.box
            .querySelectorAll(".neuron")
            .forEach(b => b.classList.toggle("shown", b.dataset.at === layer + " " + neuron));
    }

    inputMap(k) {
        const map = mapCanvas(this.side),
            n = this.side,
            v = new Float32Array(n * n);
        for (let i = 0; i < v.length; i++) v[i] = k ? 1 - (2 * Math.floor(i / n)) / n : (2 * (i % n)) / n - 1;
        map.paint(v, 0, 1, x => x);
        return map;
    }

    // Values of neurons are put into -1 .. 1 by the largest, those of the output as they are drawn.
    paint() {
        const e = this.engine,
            layers = e.layers;
        this.scale = [];
        for (let l = 0; l < layers - 1 && !e.isCurve; l++) {
            const v = e.map(l),
                n = e.width(l);
            for (let k = 0; k < n; k++) {
                let most = 1e-6;
                for (let i = k; i < v.length; i += n * 7) most = Math.max(most, Math.abs(v[i]));
                this.maps[l][k].paint(v, k, n, x => x / most);
            }
        }
        if (!e.isCurve) this.maps[layers - 1][0].paint(e.map(-1), 0, 1, this.squash());
    }

    squash() {
        return this.engine.m._play_logits(this.engine.play) ? v => 2 / (1 + Math.exp(-v)) - 1 : v => v;
    }

    draw() {
        const e = this.engine,
            layers = e.layers;
        (this.canvas.style.width = this.full + "px"), (this.canvas.style.height = this.box.clientHeight - 4 + "px");
        const { c } = begin(this.canvas);
        for (let l = 0; l < layers; l++) {
            const w = e.weights(l),
                from = this.places[l],
                to = this.places[l + 1];
            let most = 1e-6;
            for (const v of w) most = Math.max(most, Math.abs(v));
            for (let k = 0; k < to.length; k++)
                for (let j = 0; j < from.length; j++) {
                    const v = w[k * from.length + j],
                        x1 = from[j][0] + this.size / 2,
                        x2 = to[k][0] - this.size / 2,
                        mid = (x1 + x2) / 2;
                    c.strokeStyle = v < 0 ? colours.zero : colours.one;
                    c.globalAlpha = 0.15 + (0.75 * Math.abs(v)) / most;
                    c.lineWidth = 0.4 + (3.2 * Math.abs(v)) / most;
                    c.beginPath(),
                        c.moveTo(x1, from[j][1]),
                        c.bezierCurveTo(mid, from[j][1], mid, to[k][1], x2, to[k][1]),
                        c.stroke();
                }
        }
        c.globalAlpha = 1;
        this.places.forEach((column, i) => column.forEach((p, k) => this.tile(c, i, k, p)));
    }

    tile(c, i, k, [x, y]) {
        const s = this.size,
            e = this.engine;
        c.save();
        c.beginPath(), c.roundRect(x - s / 2, y - s / 2, s, s, 5), c.clip();
        (c.fillStyle = colours.middle), c.fillRect(x - s / 2, y - s / 2, s, s);
        const map = i === 0 ? this.inputMaps[k] : this.maps[i - 1][k];
        if (!e.isCurve) c.drawImage(map.canvas, x - s / 2, y - s / 2, s, s);
        else this.curve(c, i, k, x - s / 2, y - s / 2, s);
        c.restore();
        (c.strokeStyle = colours.line), (c.lineWidth = 1);
        c.beginPath(), c.roundRect(x - s / 2, y - s / 2, s, s, 5), c.stroke();
        if (i > 0) return;
        (c.fillStyle = colours.ink),
            (c.font = "italic 13px Georgia, 'DejaVu Serif', serif"),
            (c.textAlign = "right"),
            (c.textBaseline = "middle");
        c.fillText(this.inputs === 1 ? "x" : "xy"[k], x - s / 2 - 7, y);
    }

    // In regression, what a neuron does with x.
    curve(c, i, k, x, y, s) {
        const e = this.engine,
            n = e.m._play_map_size(e.play),
            width = i === 0 ? 1 : e.width(i - 1);
        const v = i === 0 ? null : e.map(i === e.layers ? -1 : i - 1),
            at = p => (v ? v[p * width + k] : (2 * p) / (n - 1) - 1);
        let most = 1;
        for (let p = 0; p < n; p += 5) most = Math.max(most, Math.abs(at(p)));
        (c.strokeStyle = colours.accent), (c.lineWidth = 1.6);
        c.beginPath();
        for (let p = 0; p < n; p += 4) c.lineTo(x + (s * p) / (n - 1), y + s / 2 - (at(p) / most) * s * 0.44);
        c.stroke();
    }
}

// The large plot: the map of the net or of one neuron with the points, or the curve of a regression.
class Plot {
    constructor(canvas, engine, view) {
        (this.canvas = canvas), (this.engine = engine), (this.view = view), (this.cross = null), (this.edge = 1.2);
    }

    toPixel([x, y], w) {
        return [((x / this.edge + 1) / 2) * w, ((1 - y / this.edge) / 2) * w];
    }
    fromPixel(px, py, w) {
        return [((2 * px) / w - 1) * this.edge, (1 - (2 * py) / w) * this.edge];
    }

    draw(points) {
        const { c, w } = begin(this.canvas),
            e = this.engine,
            { layer, neuron } = this.view.shown;
        (c.fillStyle = colours.middle), c.fillRect(0, 0, w, w);
        if (e.isCurve) this.curve(c, w, layer, neuron);
        else {
            (c.imageSmoothingEnabled = true), (c.imageSmoothingQuality = "high");
            c.drawImage(this.view.maps[layer < 0 ? e.layers - 1 : layer][neuron].canvas, 0, 0, w, w);
            this.boundary(c, w);
        }
        const r = w < 340 ? 3.4 : 4;
        for (let i = points.list.length - 1; i >= 0; i--) {
            const [x, y] = this.toPixel(points.list[i], w);
            point(c, x, y, points.list[i][2], i >= points.train, i >= points.train ? r * 0.8 : r);
        }
        if (!this.cross || document.activeElement !== this.canvas) return;
        const [x, y] = this.toPixel(this.cross, w);
        (c.strokeStyle = colours.ink), (c.lineWidth = 1.5);
        c.beginPath(), c.moveTo(x - 9, y), c.lineTo(x + 9, y), c.moveTo(x, y - 9), c.lineTo(x, y + 9), c.stroke();
    }

    // Where the net's value is 0.
    boundary(c, w) {
        (c.strokeStyle = colours.ink), (c.lineWidth = 1.5), (c.globalAlpha = 0.75);
        c.beginPath();
        addContour(c, this.engine.map(-1), this.view.side, 0, w);
        c.stroke();
        c.globalAlpha = 1;
    }

    curve(c, w, layer, neuron) {
        const e = this.engine,
            v = e.map(layer),
            n = e.m._play_map_size(e.play),
            width = layer < 0 ? 1 : e.width(layer);
        (c.strokeStyle = colours.line), (c.lineWidth = 1);
        for (const t of [-1, -0.5, 0, 0.5, 1]) {
            const [x, y] = this.toPixel([t, t], w);
            c.beginPath(), c.moveTo(x, 0), c.lineTo(x, w), c.moveTo(0, y), c.lineTo(w, y), c.stroke();
        }
        (c.strokeStyle = colours.ink), (c.lineWidth = 2.5);
        c.beginPath();
        for (let p = 0; p < n; p++) c.lineTo((w * p) / (n - 1), this.toPixel([0, v[p * width + neuron]], w)[1]);
        c.stroke();
    }
}
