// draw.js: canvases: colours, maps of values, charts with logarithmic axes.

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));

// 256 colours from one class to the other, as pixels, and the colours of the theme.
const colours = {};
function readColours() {
    for (const name of ["back", "card", "ink", "soft", "line", "zero", "one", "middle", "train", "test", "accent"])
        colours[name] = css("--" + name);
    const lo = rgb(colours.zero),
        mid = rgb(colours.middle),
        hi = rgb(colours.one);
    colours.ramp = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
        const t = i / 127.5 - 1,
            end = t < 0 ? lo : hi,
            k = Math.abs(t) ** 0.8 * 0.68; // points are stronger
        const [r, g, b] = mid.map((m, c) => Math.round(m + k * (end[c] - m)));
        colours.ramp[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
}

// A canvas's context in CSS pixels, with its pixels those of the screen.
function begin(canvas) {
    const scale = Math.min(window.devicePixelRatio || 1, 2),
        box = canvas.getBoundingClientRect();
    const w = Math.round(box.width * scale),
        h = Math.round(box.height * scale);
    if (canvas.width !== w || canvas.height !== h) (canvas.width = w), (canvas.height = h);
    const c = canvas.getContext("2d");
    c.setTransform(scale, 0, 0, scale, 0, 0);
    c.clearRect(0, 0, box.width, box.height);
    return { c, w: box.width, h: box.height };
}

// Adds to c's path the lines on which n x n values v, which fill a square of width w, are z: marching squares.
function addContour(c, v, n, z, w) {
    const cell = w / n,
        cut = (a, b) => (a - z) / (a - b);
    for (let j = 0; j < n - 1; j++)
        for (let i = 0; i < n - 1; i++) {
            const a = v[j * n + i],
                b = v[j * n + i + 1],
                d = v[(j + 1) * n + i],
                f = v[(j + 1) * n + i + 1],
                ends = [];
            if (a > z !== b > z) ends.push([i + cut(a, b), j]);
            if (b > z !== f > z) ends.push([i + 1, j + cut(b, f)]);
            if (d > z !== f > z) ends.push([i + cut(d, f), j + 1]);
            if (a > z !== d > z) ends.push([i, j + cut(a, d)]);
            for (let k = 0; k + 1 < ends.length; k += 2) {
                c.moveTo((ends[k][0] + 0.5) * cell, (ends[k][1] + 0.5) * cell);
                c.lineTo((ends[k + 1][0] + 0.5) * cell, (ends[k + 1][1] + 0.5) * cell);
            }
        }
}

// A square of values on a small canvas of its own, which is then drawn at any size. squash puts a value into -1 .. 1.
function mapCanvas(side) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const c = canvas.getContext("2d"),
        image = c.createImageData(side, side),
        pixels = new Uint32Array(image.data.buffer);
    return {
        canvas,
        paint(values, from, stride, squash) {
            const ramp = colours.ramp;
            for (let i = 0, k = from; i < pixels.length; i++, k += stride) {
                const v = squash(values[k]);
                pixels[i] = ramp[v > -1 ? (v < 1 ? (v * 127.5 + 127.5) | 0 : 255) : 0];
            }
            c.putImageData(image, 0, 0);
        },
    };
}

function point(c, x, y, label, test, r) {
    c.beginPath();
    if (label > 0.5) c.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76);
    else c.arc(x, y, r, 0, 2 * Math.PI);
    c.fillStyle = test ? colours.card : label > 0.5 ? colours.one : colours.zero;
    c.globalAlpha = test ? 0.75 : 1;
    c.fill();
    c.globalAlpha = 1;
    c.lineWidth = test ? 1.6 : 1.2;
    c.strokeStyle = test ? (label > 0.5 ? colours.one : colours.zero) : colours.card;
    c.stroke();
}

const plain = v =>
    v === 0
        ? "0"
        : Math.abs(v) >= 1e6 || Math.abs(v) < 1e-3
          ? v.toExponential(0).replace("e+", "e")
          : String(+v.toPrecision(3));
const number = v =>
    Number.isFinite(v)
        ? Math.abs(v) >= 1e4 || (v !== 0 && Math.abs(v) < 1e-3)
            ? v.toExponential(2).replace("e+", "e")
            : v.toPrecision(4)
        : "–";

// Lines over a linear or logarithmic x and a logarithmic y. lines: { points: [[x, y], ..], colour, dashed, name }.
function chart(canvas, lines, options) {
    const { c, w, h } = begin(canvas),
        left = 46,
        right = options.names ? 62 : 12,
        top = 8,
        bottom = 26;
    const all = lines.flatMap(l => l.points).filter(p => p[1] > 0 && Number.isFinite(p[1]));
    c.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    c.fillStyle = colours.soft;
    if (all.length === 0) return void c.fillText(options.empty || "", left, h / 2);
    let lo = Infinity,
        hi = -Infinity,
        x0 = Infinity,
        x1 = -Infinity;
    for (const [x, y] of all)
        (lo = Math.min(lo, y)), (hi = Math.max(hi, y)), (x0 = Math.min(x0, x)), (x1 = Math.max(x1, x));
    (lo = Math.log10(Math.max(lo, options.floor || 1e-12))), (hi = Math.log10(hi));
    const spare = Math.max(0.04 * (hi - lo), (0.5 - (hi - lo)) / 2, 0.02);
    (lo -= spare), (hi += spare);
    const log = v => Math.log10(v),
        toX = options.logX ? log : v => v;
    (x0 = toX(x0)), (x1 = Math.max(toX(x1), x0 + (options.logX ? 1 : 10)));
    const X = v => left + ((toX(v) - x0) / (x1 - x0)) * (w - left - right);
    const Y = v => top + ((hi - Math.max(log(v), lo)) / (hi - lo)) * (h - top - bottom);
    c.strokeStyle = colours.line;
    c.lineWidth = 1;
    (c.textAlign = "right"), (c.textBaseline = "middle");
    const every = Math.ceil((hi - lo) / Math.max(2, (h - top - bottom) / 28));
    for (let k = Math.floor(lo); k <= hi; k += every)
        for (const m of hi - lo < 2 ? [1, 2, 5] : [1]) {
            const v = m * 10 ** k,
                y = Math.round(Y(v)) + 0.5;
            if (log(v) < lo || log(v) > hi) continue;
            c.beginPath(), c.moveTo(left, y), c.lineTo(w - right, y), c.stroke();
            c.fillText(plain(v), left - 6, y);
        }
    (c.textBaseline = "top"), (c.textAlign = "center");
    const mark = v => c.fillText(options.logX ? plain(v) : Math.round(v).toLocaleString("en"), X(v), h - bottom + 6);
    if (options.logX) for (let k = Math.ceil(x0); k < x1 - 0.5; k += 2) mark(10 ** k);
    else {
        const step = [1, 2, 5, 10].map(k => k * 10 ** Math.floor(log((x1 - x0) / 4))).find(s => (x1 - x0) / s < 6);
        for (let v = Math.ceil(x0 / step) * step; X(v) < w - right - 50; v += step) mark(v);
    }
    (c.textAlign = "right"), c.fillText(options.x, w - right, h - bottom + 6);
    const ends = [];
    for (const line of lines) {
        (c.strokeStyle = line.colour), (c.lineWidth = 2);
        c.setLineDash(line.dashed ? [6, 4] : []);
        c.beginPath();
        let down = false,
            last = null;
        for (const p of line.points) {
            if (!(p[1] > 0) || !Number.isFinite(p[1])) {
                down = false;
                continue;
            }
            down ? c.lineTo(X(p[0]), Y(p[1])) : c.moveTo(X(p[0]), Y(p[1]));
            (down = true), (last = p);
        }
        c.stroke();
        if (last && options.names) ends.push({ y: Y(last[1]), line });
    }
    c.setLineDash([]);
    (c.textAlign = "left"), (c.textBaseline = "middle");
    ends.sort((a, b) => a.y - b.y);
    ends.forEach((e, i) => {
        if (i && e.y < ends[i - 1].y + 12) e.y = ends[i - 1].y + 12;
    });
    const over = ends.length ? Math.max(0, ends[ends.length - 1].y - (h - bottom)) : 0;
    for (const e of ends) {
        c.fillStyle = e.line.colour;
        c.fillText(e.line.name, w - right + 6, e.y - over);
    }
}

// A list of points that stays short: when it is long, every second one goes.
class History {
    constructor(most) {
        (this.most = most), (this.points = []), (this.every = 1), (this.count = 0);
    }
    add(x, y) {
        if (this.count++ % this.every) return;
        if (this.points.length === this.most)
            (this.points = this.points.filter((_, i) => i % 2 === 0)), (this.every *= 2);
        this.points.push([x, y]);
    }
}
