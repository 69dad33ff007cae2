// browser.mjs: a headless Chromium and one page in it, spoken to by the DevTools protocol over two pipes. It needs no
// package of Node.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

// The first of these that runs; null if none does.
export function findChromium() {
    for (const name of [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"].filter(Boolean))
        if (spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0) return name;
    return null;
}

export class Browser {
    static async open() {
        const b = new Browser();
        b.profile = fs.mkdtempSync(path.join(os.tmpdir(), "playground-"));
        b.process = spawn(
            findChromium(),
            [
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-extensions",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
                "--user-data-dir=" + b.profile,
                "about:blank",
            ],
            { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
        );
        (b.waiting = new Map()), (b.serial = 0), (b.faults = []), (b.listeners = []);
        let rest = "";
        b.process.stdio[4].on("data", data => {
            const parts = (rest + data.toString()).split("\0");
            rest = parts.pop();
            parts.forEach(text => b.receive(JSON.parse(text)));
        });
        const { targetInfos } = await b.send("Target.getTargets");
        const page = targetInfos.find(t => t.type === "page");
        b.session = (await b.send("Target.attachToTarget", { targetId: page.targetId, flatten: true })).sessionId;
        for (const domain of ["Page", "Runtime", "Log"]) await b.send(domain + ".enable");
        return b;
    }

    receive(message) {
        if (message.id !== undefined) {
            const { resolve, reject } = this.waiting.get(message.id) ?? { resolve() {} };
            this.waiting.delete(message.id);
            return message.error ? reject(new Error(message.error.message)) : resolve(message.result);
        }
        const { method, params } = message;
        if (method === "Runtime.exceptionThrown")
            this.faults.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
        if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type))
            this.faults.push("console: " + params.args.map(a => a.value ?? a.description).join(" "));
        if (method === "Log.entryAdded" && params.entry.level === "error") this.faults.push(params.entry.text);
        this.listeners = this.listeners.filter(l => !(l.method === method && (l.resolve(params), true)));
    }

    send(method, params = {}) {
        const id = ++this.serial;
        this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId: this.session }) + "\0");
        return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    }
    event(method) {
        return new Promise(resolve => this.listeners.push({ method, resolve }));
    }

    async go(url) {
        const loaded = this.event("Page.loadEventFired");
        await this.send("Page.navigate", { url: "about:blank" });
        await loaded;
        const again = this.event("Page.loadEventFired");
        await this.send("Page.navigate", { url });
        await again;
    }
    // The value of an expression in the page, which may be a promise.
    async run(expression) {
        const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
            expression,
            awaitPromise: true,
            returnByValue: true,
        });
        if (exceptionDetails)
            throw new Error(
                expression.slice(0, 80) + ": " + (exceptionDetails.exception?.description ?? exceptionDetails.text),
            );
        return result.value;
    }
    async until(expression, seconds = 20) {
        const end = Date.now() + 1000 * seconds;
        for (;;) {
            const value = await this.run(expression);
            if (value) return value;
            if (Date.now() > end) throw new Error(`after ${seconds} s not true: ${expression}`);
            await new Promise(r => setTimeout(r, 50));
        }
    }

    size(width, height, phone = false) {
        return this.send("Emulation.setDeviceMetricsOverride", {
            width,
            height,
            deviceScaleFactor: phone ? 2 : 1,
            mobile: phone,
        });
    }
    // A function's value, called in the page.
    call(f, ...args) {
        return this.run(`(${f})(${args.map(a => JSON.stringify(a)).join()})`);
    }
    // The place of an element on the screen, which is moved there: a few pixels from its corner, or its middle.
    place(selector, fromCorner = 0) {
        return this.call(
            (selector, by) => {
                const e = document.querySelector(selector);
                e.scrollIntoView({ block: "center" });
                const b = e.getBoundingClientRect();
                return by ? [b.left + by, b.top + by] : [b.left + b.width / 2, b.top + b.height / 2];
            },
            selector,
            fromCorner,
        );
    }
    async click(selector) {
        const at = await this.place(selector);
        await this.mouse("mousePressed", at, 1);
        await this.mouse("mouseReleased", at, 1);
    }
    mouse(type, [x, y], buttons = 0) {
        return this.send("Input.dispatchMouseEvent", {
            type,
            x,
            y,
            button: buttons ? "left" : "none",
            buttons,
            clickCount: buttons ? 1 : 0,
        });
    }
    async press(key, code = key, modifiers = 0) {
        const text = key.length === 1 ? key : key === "Enter" ? "\r" : undefined;
        await this.send("Input.dispatchKeyEvent", {
            type: text ? "keyDown" : "rawKeyDown",
            key,
            code,
            text,
            modifiers,
            windowsVirtualKeyCode:
                {
                    Enter: 13,
                    Backspace: 8,
                    Tab: 9,
                    ArrowLeft: 37,
                    ArrowUp: 38,
                    ArrowRight: 39,
                    ArrowDown: 40,
                    Escape: 27,
                }[key] ?? key.toUpperCase().charCodeAt(0),
        });
        await this.send("Input.dispatchKeyEvent", { type: "keyUp", key, code, modifiers });
    }
    async shoot(file, whole = true) {
        const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole });
        fs.mkdirSync(path.dirname(file), { recursive: true });
        fs.writeFileSync(file, Buffer.from(data, "base64"));
    }
    async close() {
        this.process.stdio[3].write(JSON.stringify({ id: ++this.serial, method: "Browser.close" }) + "\0");
        await Promise.race([new Promise(r => this.process.once("exit", r)), new Promise(r => setTimeout(r, 4000))]);
        this.process.kill("SIGKILL");
        fs.rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
    }
}
