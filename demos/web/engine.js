// engine.js: the functions of demos/web/*.c for the page: numbers, texts and arrays.

class Engine {
    constructor(module) {
        this.m = module;
        this.play = module._play_new();
        this.expr = module._expr_new();
        this.index = {};
        for (let i = 0; i < module._play_setting_count(); i++) this.index[this.text(module._play_setting_name(i))] = i;
    }

    text(at) {
        return this.m.UTF8ToString(at);
    }
    floats(at, n) {
        return new Float32Array(this.m.HEAPF32.buffer, at, n);
    }
    doubles(at, n) {
        return new Float64Array(this.m.HEAPF64.buffer, at, n);
    }

    get(name) {
        return this.m._play_get(this.play, this.index[name]);
    }
    // How far back the change goes: 0 to the data and the weights, 1 to the graphs, 2 nowhere.
    set(name, value) {
        return this.m._play_set(this.play, this.index[name], value);
    }
    reset() {
        return this.m._play_reset(this.play) === 0;
    }
    change(graphs) {
        return this.m._play_change(this.play, graphs) === 0;
    }
    train(n) {
        return this.m._play_train(this.play, n) !== 0;
    }
    look(maps) {
        return this.m._play_look(this.play, maps ? 1 : 0) !== 0;
    }
    error() {
        return this.text(this.m._play_error(this.play));
    }
    get steps() {
        return this.m._play_steps(this.play);
    }
    get trainLoss() {
        return this.m._play_train_loss(this.play);
    }
    get testLoss() {
        return this.m._play_test_loss(this.play);
    }
    accuracy(test) {
        return this.m._play_accuracy(this.play, test ? 1 : 0);
    }
    get layers() {
        return this.m._play_layers(this.play);
    }
    gradNorm(layer) {
        return this.m._play_grad_norm(this.play, layer);
    }
    get isCurve() {
        return this.m._play_curve(this.play) !== 0;
    }

    // The points, n of them to train on first: x and y of each, and its class.
    points() {
        const n = this.m._play_point_count(this.play),
            curve = this.isCurve;
        const x = this.floats(this.m._play_points(this.play), curve ? n : 2 * n);
        const y = this.floats(this.m._play_labels(this.play), n);
        const list = [];
        for (let i = 0; i < n; i++) list.push(curve ? [x[i], y[i], 0] : [x[2 * i], x[2 * i + 1], y[i]]);
        return { list, train: this.m._play_train_count(this.play) };
    }

    // The values of the net (layer -1) or of hidden neurons at the places of the maps.
    map(layer) {
        const n = this.m._play_map_size(this.play);
        if (layer < 0) return this.floats(this.m._play_map(this.play), n);
        return this.floats(this.m._play_hidden(this.play, layer), n * this.width(layer));
    }
    width(layer) {
        return layer === this.layers - 1 ? 1 : this.get("width" + layer);
    }
    weights(layer) {
        const inputs = layer ? this.width(layer - 1) : this.isCurve ? 1 : 2;
        return this.floats(this.m._play_weights(this.play, layer), inputs * this.width(layer));
    }

    // The graph that a Var depends on. kind: 0 an Op, 1 a Var that an Op made, 2 a leaf with a gradient, 3 a constant.
    graph(v, variable) {
        const m = this.m,
            n = m._view_make(v, variable),
            nodes = [];
        for (let i = 0; i < n; i++)
            nodes.push({
                i,
                kind: m._view_kind(v, i),
                name: this.text(m._view_name(v, i)),
                text: this.text(m._view_text(v, i)),
                numel: m._view_numel(v, i),
                columns: m._view_columns(v, i),
            });
        const edges = [],
            at = m._view_edges(v) / 4;
        for (let k = 0; k < m._view_edge_count(v); k++) edges.push([m.HEAP32[at + 2 * k], m.HEAP32[at + 2 * k + 1]]);
        return { nodes, edges };
    }
}
