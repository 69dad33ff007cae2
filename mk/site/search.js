/* search.js: finds sections of the pages by their words, in an index that is loaded when the search is used first. */
(function () {
    "use strict";

    /* How well an entry [heading, page, address, words] fits the words of a query: 0 unless it has all of them. */
    function score(entry, terms) {
        var heading = entry[0].toLowerCase(), names = heading.split(/[ ,]+/), words = entry[3].toLowerCase();
        var total = 0;
        function is_name(name) { return names.indexOf(name) >= 0; }
        for (var i = 0; i < terms.length; i++) {
            var term = terms[i], at = heading.indexOf(term);
            if (is_name(term) || is_name("ad_" + term) || is_name("nn_" + term)) total += names[1] ? 100 : 110;
            else if (at === 0) total += 40;
            else if (at > 0) total += 20;
            else if (words.indexOf(term) >= 0) total += 1;
            else return 0;
        }
        return total;
    }

    /* The twenty entries that fit best; of equal ones, the first. */
    function rank(entries, query) {
        var terms = query.toLowerCase().split(/\s+/).filter(Boolean), found = [];
        if (terms.length === 0) return found;
        entries.forEach(function (entry, place) {
            var s = score(entry, terms);
            if (s > 0) found.push({ entry: entry, score: s, place: place });
        });
        found.sort(function (a, b) { return b.score - a.score || a.place - b.place; });
        return found.slice(0, 20).map(function (f) { return f.entry; });
    }

    /* The words around the first term. */
    function excerpt(words, query) {
        var term = query.toLowerCase().split(/\s+/)[0], at = Math.max(0, words.toLowerCase().indexOf(term) - 50);
        return (at > 0 ? "…" : "") + words.substr(at, 140).trim();
    }

    if (typeof module !== "undefined") {
        module.exports = rank;
        return;
    }

    var field = document.getElementById("search"), found = document.getElementById("found"), root = field.dataset.root;

    function add(parent, kind, text) {
        parent.appendChild(document.createElement(kind)).textContent = text;
        return parent.lastChild;
    }

    function show() {
        var query = field.value.trim(), entries = window.search_index;
        found.textContent = "";
        found.hidden = query === "" || !entries;
        if (found.hidden) return;
        var best = rank(entries, query);
        if (best.length === 0) add(found, "span", "Nothing is found.");
        best.forEach(function (entry) {
            var link = add(found, "a", "");
            link.href = root + entry[2];
            add(link, "b", entry[0]);
            add(link, "small", entry[0] === entry[1] ? "" : "  " + entry[1]);
            add(link, "span", excerpt(entry[3], query));
            link.addEventListener("click", function () { found.hidden = true; });
        });
    }

    function load() {
        if (document.getElementById("index")) return;
        var script = document.createElement("script");
        script.id = "index";
        script.src = root + "search_index.js";
        script.onload = show;
        document.body.appendChild(script);
    }

    field.addEventListener("focus", load);
    field.addEventListener("input", show);
    field.addEventListener("keydown", function (e) {
        var first = found.querySelector("a");
        if (e.key === "Enter" && first) first.click();
        if (e.key === "ArrowDown" && first) { first.focus(); e.preventDefault(); }
    });
    document.addEventListener("keydown", function (e) {
        var here = document.activeElement;
        if (e.key === "Escape") found.hidden = true;
        if (e.key === "/" && here !== field) { field.focus(); e.preventDefault(); }
        if (found.contains(here) && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
            ((e.key === "ArrowDown" ? here.nextElementSibling : here.previousElementSibling) || field).focus();
            e.preventDefault();
        }
    });
}());
