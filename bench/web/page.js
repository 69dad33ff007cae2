// page.js: the same net, data and minibatches in this library, in ConvNetJS and in TensorFlow.js; runs in the browser.
"use strict";

const RATE = 0.05,
    MINIBATCHES = 200;

// A net of the playground with tanh, squared error and SGD. Its first weights and its minibatches go to the others.
function makeOurs(m, widths, batch) {
    const p = m._play_new(),
        names = {};
    for (let i = 0; i < m._play_setting_count(); i++) names[m.UTF8ToString(m._play_setting_name(i))] = i;
    const set = (name, value) => m._play_set(p, names[name], value);
    set("layers", widths.length), widths.forEach((n, l) => set("width" + l, n));
    set("loss", 1), set("optimiser", 1), set("rate", RATE), set("batch", batch), set("points", 400);
    m._play_reset(p);
    const sizes = [2, ...widths, 1],
        floats = (at, n) => Float32Array.from(new Float32Array(m.HEAPF32.buffer, at, n));
    const weights = widths
        .concat(1)
        .map((n, l) => ({ w: floats(m._play_weights(p, l), n * sizes[l]), b: floats(m._play_bias(p, l), n) }));
    const batches = [];
    for (let i = 0; i < MINIBATCHES; i++) {
        m._play_train(p, 1);
        batches.push({ x: floats(m._play_batch(p), 2 * batch), t: floats(m._play_targets(p), batch) });
    }
    const output = () => (m._play_look(p, 1), floats(m._play_map(p), 64 * 64));
    return { sizes, weights, batches, after: output(), run: n => m._play_train(p, n) };
}

function makeConvNet({ sizes, weights, batches }, batch) {
    const net = new convnetjs.Net(),
        defs = [{ type: "input", out_sx: 1, out_sy: 1, out_depth: 2 }];
    for (const n of sizes.slice(1, -1)) defs.push({ type: "fc", num_neurons: n, activation: "tanh" });
    net.makeLayers([...defs, { type: "regression", num_neurons: 1 }]);
    net.layers
        .filter(l => l.layer_type === "fc")
        .forEach((layer, l) => {
            layer.filters.forEach((f, k) => {
                for (let j = 0; j < f.w.length; j++) f.w[j] = weights[l].w[k * f.w.length + j];
            });
            for (let k = 0; k < layer.biases.w.length; k++) layer.biases.w[k] = weights[l].b[k];
        });
    // Its loss is half the squared error.
    const trainer = new convnetjs.SGDTrainer(net, {
        method: "sgd",
        learning_rate: 2 * RATE,
        momentum: 0,
        batch_size: batch,
        l2_decay: 0,
    });
    const rows = batches.map(b =>
        Array.from({ length: batch }, (_, i) => {
            const v = new convnetjs.Vol(1, 1, 2);
            (v.w[0] = b.x[2 * i]), (v.w[1] = b.x[2 * i + 1]);
            return [v, [b.t[i]]];
        }),
    );
    let at = 0;
    const run = n => {
        for (let i = 0; i < n; i++) for (const [v, t] of rows[at++ % MINIBATCHES]) trainer.train(v, t);
    };
    const value = (x, y) => {
        const v = new convnetjs.Vol(1, 1, 2);
        (v.w[0] = x), (v.w[1] = y);
        return net.forward(v).w[0];
    };
    return { run, value };
}

async function makeTensorFlow({ sizes, weights, batches }, batch, backend) {
    if (!(await tf.setBackend(backend))) throw new Error(backend + " cannot be used");
    await tf.ready();
    const vars = weights.map(({ w, b }, l) => [
        tf.variable(tf.tensor2d(w, [sizes[l + 1], sizes[l]]).transpose()),
        tf.variable(tf.tensor1d(b)),
    ]);
    const apply = x =>
        vars.reduce((h, [w, b], l) => {
            const z = tf.add(tf.matMul(h, w), b);
            return l < vars.length - 1 ? tf.tanh(z) : z;
        }, x);
    const data = batches.map(b => [tf.tensor2d(b.x, [batch, 2]), tf.tensor2d(b.t, [batch, 1])]),
        sgd = tf.train.sgd(RATE);
    let at = 0;
    const run = n => {
        tf.setBackend(backend);
        for (let i = 0; i < n; i++) {
            const [x, t] = data[at++ % MINIBATCHES];
            tf.tidy(() => sgd.minimize(() => tf.mean(tf.square(tf.sub(apply(x), t)))));
        }
    };
    const value = (x, y) => tf.tidy(() => apply(tf.tensor2d([x, y], [1, 2])).dataSync()[0]);
    return { run, value };
}

// Steps a second of each, asked in turns; and the largest difference of the nets' results after the first minibatches.
async function compare(m, widths, batch, rounds) {
    const ours = makeOurs(m, widths, batch),
        all = { ours },
        apart = {};
    all.convnetjs = makeConvNet(ours, batch);
    for (const backend of ["cpu", "wasm"]) all["tfjs-" + backend] = await makeTensorFlow(ours, batch, backend);
    for (const name of Object.keys(all).slice(1)) {
        all[name].run(MINIBATCHES);
        apart[name] = 0;
        for (let i = 0; i < 64 * 64; i += 315) {
            const x = 1.2 * ((2 * ((i % 64) + 0.5)) / 64 - 1),
                y = 1.2 * (1 - (2 * (Math.floor(i / 64) + 0.5)) / 64);
            apart[name] = Math.max(apart[name], Math.abs(all[name].value(x, y) - ours.after[i]));
        }
    }
    const rates = Object.fromEntries(Object.keys(all).map(n => [n, []])),
        block = {};
    for (let r = -1; r < rounds; r++)
        for (const name of Object.keys(all)) {
            const n = block[name] ?? 20,
                start = performance.now();
            all[name].run(n);
            const took = performance.now() - start;
            if (r < 0)
                block[name] = Math.max(5, Math.ceil((n * 120) / took)); // blocks of 0.12 s
            else rates[name].push((n / took) * 1000);
            await new Promise(resolve => setTimeout(resolve));
        }
    const middle = v => [...v].sort((a, b) => a - b)[v.length >> 1];
    const times = name => middle(rates[name].map((v, i) => rates.ours[i] / v));
    return Object.keys(all).map(name => ({
        name,
        steps: middle(rates[name]),
        times: times(name),
        apart: apart[name] ?? 0,
    }));
}
