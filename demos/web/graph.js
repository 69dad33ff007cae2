// graph.js: an expression graph as SVG: Vars are boxes, Ops ellipses, data flows from left to right.

const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes, parent, text) {
    const e = document.createElementNS(SVG, name);
    for (const k in attributes) e.setAttribute(k, attributes[k]);
    if (text !== undefined) e.textContent = text;
    if (parent) parent.append(e);
    return e;
}

// The column of each node: one more than that of the last thing it is made of; leaves stand before their first use.
function columns(graph) {
    const column = new Array(graph.nodes.length).fill(0);
    for (const [from, to] of graph.edges) column[to] = Math.max(column[to], column[from] + 1); // edges are in order
    const first = new Array(graph.nodes.length).fill(Infinity);
    for (const [from, to] of graph.edges) first[from] = Math.min(first[from], column[to]);
    graph.nodes.forEach((n, i) => {
        if (n.kind >= 2 && first[i] < Infinity) column[i] = first[i] - 1;
    });
    return column;
}

// Rows: each node near those that it is connected to; a few sweeps from left to right and back.
function rows(graph, column) {
    const count = Math.max(...column) + 1,
        layers = Array.from({ length: count }, () => []);
    graph.nodes.forEach((n, i) => layers[column[i]].push(i));
    const near = graph.nodes.map(() => []);
    for (const [a, b] of graph.edges) near[a].push(b), near[b].push(a);
    const row = new Array(graph.nodes.length).fill(0);
    const settle = layer => {
        const wish = i => (near[i].length ? near[i].reduce((s, j) => s + row[j], 0) / near[i].length : row[i]);
        const sorted = layer
            .map((i, k) => [graph.nodes[i].kind >= 2 ? wish(i) + 0.6 : wish(i), k, i])
            .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        let at = -Infinity;
        sorted.forEach(s => {
            s[0] = at = Math.max(s[0], at + 1);
        });
        const shift = sorted.reduce((s, x) => s + x[0] - wish(x[2]), 0) / sorted.length;
        sorted.forEach(s => {
            row[s[2]] = s[0] - shift;
        });
    };
    layers.forEach(l =>
        l.forEach((i, k) => {
            row[i] = k;
        }),
    );
    for (let sweep = 0; sweep < 6; sweep++)
        (sweep % 2 ? [...layers].reverse() : layers).forEach(l => l.length && settle(l));
    const least = Math.min(...row);
    return row.map(r => r - least);
}

class GraphView {
    constructor(box, engine) {
        (this.box = box), (this.engine = engine), (this.view = engine.m._view_new());
    }

    // Values are those of now.
    value(i, k) {
        return this.engine.m._view_value(this.view, i, k);
    }
    grad(i, k) {
        return this.engine.m._view_grad(this.view, i, k);
    }
    hasGrad(i) {
        return this.engine.m._view_has_grad(this.view, i) !== 0;
    }

    draw(variable) {
        const graph = this.engine.graph(this.view, variable);
        const column = columns(graph),
            row = rows(graph, column);
        const widths = [],
            boxes = graph.nodes.map(n => this.sizeOf(n));
        graph.nodes.forEach((n, i) => {
            widths[column[i]] = Math.max(widths[column[i]] || 0, boxes[i][0]);
        });
        const lefts = [];
        widths.reduce((x, w, i) => ((lefts[i] = x), x + w + 26), 8);
        const width = lefts[widths.length - 1] + widths[widths.length - 1] + 8,
            height = (Math.max(...row) + 1) * 58 + 16;
        this.box.replaceChildren();
        this.graph = graph;
        this.live = [];
        const root = svg(
            "svg",
            {
                width,
                height,
                viewBox: `0 0 ${width} ${height}`,
                role: "group",
                "aria-label": `${graph.nodes.length} nodes`,
            },
            this.box,
        );
        const defs = svg("defs", {}, root),
            marker = svg(
                "marker",
                {
                    id: this.box.id + "-arrow",
                    viewBox: "0 0 8 8",
                    refX: 7,
                    refY: 4,
                    markerWidth: 7,
                    markerHeight: 7,
                    orient: "auto",
                },
                defs,
            );
        svg("path", { d: "M0 0L8 4L0 8z", style: "fill:var(--soft)" }, marker);
        const X = i => lefts[column[i]] + widths[column[i]] / 2,
            Y = i => 8 + 29 + row[i] * 58;
        for (const [a, b] of graph.edges) {
            const x1 = X(a) + boxes[a][0] / 2,
                x2 = X(b) - boxes[b][0] / 2 - 1,
                mid = Math.max(14, (x2 - x1) / 2);
            svg(
                "path",
                {
                    class: "edge",
                    d: `M${x1} ${Y(a)}C${x1 + mid} ${Y(a)} ${x2 - mid} ${Y(b)} ${x2} ${Y(b)}`,
                    "marker-end": `url(#${this.box.id}-arrow)`,
                },
                root,
            );
        }
        graph.nodes.forEach((n, i) => this.node(root, n, X(i), Y(i), boxes[i]));
        this.refresh();
    }

    lines(n) {
        return n.kind === 0
            ? n.text
                  .split("\n")
                  .filter(t => t && t.length < 24 && t !== "keepdims false")
                  .slice(0, 2)
            : [n.text.replace(/^f(32|64) /, "").replace(/^$/, "scalar")];
    }
    sizeOf(n) {
        const text = [n.name, ...this.lines(n)],
            scalar = n.kind > 0 && n.numel === 1;
        return [
            Math.max(46, 18 + 7.2 * n.name.length, scalar ? 84 : 0, ...text.slice(1).map(t => 20 + 5.6 * t.length)),
            46,
        ];
    }

    node(root, n, x, y, [w, h]) {
        const kind = n.kind === 0 ? "op" : n.kind === 1 ? "made" : n.kind === 2 ? "leaf" : "constant";
        const g = svg(
            "g",
            { class: "node " + kind, transform: `translate(${x} ${y})`, tabindex: "0", role: "img" },
            root,
        );
        g.setAttribute("aria-label", (n.kind === 0 ? "Op " : "Var ") + n.name + " " + n.text);
        if (n.kind === 0) svg("ellipse", { rx: w / 2, ry: h / 2 - 3 }, g);
        else svg("rect", { x: -w / 2, y: -h / 2, width: w, height: h, rx: 7 }, g);
        const lines = this.lines(n),
            scalar = n.kind > 0 && n.numel === 1;
        if (scalar) {
            svg("text", { y: -10 }, g, n.name || "");
            const value = svg("text", { y: n.kind === 3 ? 4 : n.name ? 4 : -3, class: "small" }, g),
                grad = svg("text", { y: n.name ? 16 : 11, class: "small" }, g);
            this.live.push({ n, value, grad });
        } else {
            svg("text", { y: lines.length ? (lines.length > 1 ? -7 : -2) : 4 }, g, n.name);
            lines.forEach((t, k) =>
                svg("text", { y: (lines.length > 1 ? 5 : n.name ? 12 : 4) + 11 * k, class: "small" }, g, t),
            );
        }
        const show = e =>
            tip.show(
                this.describe(n),
                e.clientX !== undefined && e.type !== "focus" ? [e.clientX, e.clientY] : g.getBoundingClientRect(),
            );
        g.addEventListener("pointerenter", show);
        g.addEventListener("pointermove", show);
        g.addEventListener("pointerleave", () => tip.hide());
        g.addEventListener("focus", show);
        g.addEventListener("blur", () => tip.hide());
    }

    // The numbers of scalars, as they are now.
    refresh() {
        if (!this.graph) return;
        for (const { n, value, grad } of this.live) {
            value.textContent = "value " + number(this.value(n.i, 0));
            grad.textContent = this.hasGrad(n.i) ? "grad " + number(this.grad(n.i, 0)) : "";
        }
    }

    describe(n) {
        const box = document.createElement("div"),
            title = document.createElement("h3");
        title.textContent = n.kind === 0 ? n.name : n.name || "result";
        const kind = document.createElement("small");
        kind.textContent = ["Op", "Var, a result", "Var, a leaf that is trained", "Var, a constant"][n.kind];
        title.append(kind);
        box.append(title);
        const p = document.createElement("p");
        p.textContent = n.text;
        box.append(p);
        if (n.kind === 0) return box;
        box.append(this.table("value", n, k => this.value(n.i, k)));
        if (this.hasGrad(n.i)) box.append(this.table("gradient", n, k => this.grad(n.i, k)));
        return box;
    }

    // Up to eight rows and six columns, coloured by sign and size.
    table(name, n, at) {
        const box = document.createElement("div"),
            head = document.createElement("h4"),
            table = document.createElement("table");
        const total = n.numel / n.columns,
            nRows = Math.min(8, total),
            nColumns = Math.min(6, n.columns);
        let most = 0;
        for (let k = 0; k < n.numel; k++) most = Math.max(most, Math.abs(at(k)));
        head.textContent =
            name + (total > nRows || n.columns > nColumns ? `, the first of ${total} × ${n.columns}` : "");
        for (let r = 0; r < nRows; r++) {
            const tr = table.insertRow();
            for (let k = 0; k < nColumns; k++) {
                const v = at(r * n.columns + k),
                    td = tr.insertCell();
                td.textContent = number(v);
                const share = most > 0 ? Math.round((55 * Math.abs(v)) / most) : 0;
                if (n.numel > 1)
                    td.style.background = `color-mix(in srgb, var(--${v < 0 ? "zero" : "one"}) ${share}%, transparent)`;
            }
        }
        box.append(head, table);
        return box;
    }
}

const tip = {
    show(content, place) {
        const box = document.getElementById("tip");
        box.replaceChildren(content);
        box.hidden = false;
        const [x, y] = Array.isArray(place) ? place : [place.left + place.width / 2, place.bottom - 12];
        const w = box.offsetWidth,
            h = box.offsetHeight;
        box.style.left = Math.max(4, Math.min(x + 14, innerWidth - w - 6)) + "px";
        box.style.top = (y + 18 + h < innerHeight ? y + 18 : Math.max(4, y - h - 14)) + "px";
    },
    hide() {
        document.getElementById("tip").hidden = true;
    },
};
