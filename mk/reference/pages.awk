# pages.awk: writes the reference of the headers that headers.awk has read, as Markdown: a page for each header and
# README.md, the list of all, in the folder `to`. With `check`, prints the functions without a comment instead, and with
# `list` the names of all functions.

# "nn/layers.h" has the page layers.md, "ops/ops.h" the page ops.md.
function page_of(path) {
    sub(/.*\//, "", path)
    sub(/\.h$/, ".md", path)
    return path
}

# The anchor of a group: that of the first name of its heading.
function anchor_of(i, parts) { split(titled(i), parts, " "); return parts[1] }

# A name as code, with a link to where it is described, unless that is item `from`.
function name_text(name, from, i) {
    if (name in place) {
        i = place[name]
        if (i == from) return "`" name "`"
        return "[`" name "`](" (header[i] == header[from] ? "" : page_of(header[i])) "#" \
            (name ~ /^(AD|NN)_/ ? anchor_of(i) : name) ")"
    }
    if (name in op_section) return "[`" name "`](../ops.md#" op_section[name] ")"
    return name ~ /^(ad|nn|AD|NN)_/ ? "`" name "`" : name
}

# Words as Markdown, without its special characters.
function prose(words, from, out, word) {
    out = ""
    while (match(words, /[A-Za-z_][A-Za-z0-9_]*/)) {
        out = out escaped(substr(words, 1, RSTART - 1))
        word = substr(words, RSTART, RLENGTH)
        words = substr(words, RSTART + RLENGTH)
        if (word ~ /^_|_$/) gsub(/_/, "\\_", word)
        out = out name_text(word, from)
    }
    return out escaped(words)
}
function escaped(marks) {
    gsub(/[\\]/, "\\\\&", marks)
    gsub(/[*]/, "\\*", marks)
    gsub(/</, "\\<", marks)
    gsub(/\]\(/, "] (", marks)
    return marks
}

# A comment's paragraphs, each on one line. Lines that stand further right are code.
function put_text(words, from, lines, n, i, line, paragraph, in_code) {
    n = split(words, lines, "\n")
    paragraph = ""
    for (i = 1; i <= n + 1; i++) {
        line = i > n ? "" : lines[i]
        if (line ~ /^   / && (in_code || paragraph == "")) {
            if (!in_code) print "```text" > file
            in_code = 1
            sub(/^    /, "", line)
            print line > file
            continue
        }
        if (in_code) {
            print "```\n" > file
            in_code = 0
        }
        sub(/^ +/, "", line)
        if (line != "") paragraph = paragraph (paragraph == "" ? "" : " ") line
        else if (paragraph != "") {
            print prose(paragraph, from) "\n" > file
            paragraph = ""
        }
    }
}

# What a group's heading names: its functions, else its types, else its macros and constants.
function titled(i, parts, n, k, types) {
    if (functions[i] != "") return functions[i]
    n = split(names[i], parts, " ")
    for (k = 1; k <= n; k++) if (parts[k] !~ /^(AD|NN)_/) types = types parts[k] " "
    return types == "" ? names[i] : types
}

function heading(i, parts, n, k, out) {
    n = split(titled(i), parts, " ")
    out = (parts[1] ~ /^(AD|NN)_/ && code[i] ~ /enum \{/ ? "Constants " : "") parts[1]
    for (k = 2; k <= n && k <= 4; k++) out = out (k == 4 && n > 4 ? " and " n - 3 " more" : ", " parts[k])
    return out
}

function put_group(i, parts, n, k, notes) {
    n = split(names[i], parts, " ")
    for (k = 1; k <= n; k++)
        if (parts[k] !~ /^(AD|NN)_/ || parts[k] == anchor_of(i)) printf "<a id=\"%s\"></a>", parts[k] > file
    printf "\n\n### %s\n\n```c\n%s```\n\n", heading(i), code[i] > file
    put_text(text[i], i)
    n = split(functions[i], parts, " ")
    for (k = 1; k <= n; k++) if (parts[k] in said) notes++
    for (k = 1; k <= n; k++) {
        if (!(parts[k] in said)) continue
        if (n == 1) print prose(sentence(said[parts[k]]), i) > file
        else print "- `" parts[k] "`: " prose(said[parts[k]], i) > file
    }
    if (notes > 0) printf "\n" > file
}

function put_head(i) {
    file = to "/" page_of(header[i])
    printf "# %s\n\n", header[i] > file
    put_text(sentence(text[i]), i)
    if (header[i] == "ops/ops.h") printf "The ops themselves are in [the reference of the ops](../ops.md).\n\n" > file
    printf "`make docs` writes this page from the comments of [%s](../../%s). [All headers](README.md).\n\n", \
        header[i], header[i] > file
}

# ---- the list of all -----------------------------------------------------------------------------------------------

function put_list(i, k, n, parts, path, before) {
    file = to "/README.md"
    printf "# Reference of the headers\n\nEvery function, type and macro of the public headers but the ops, " \
        "which have [a reference of their own](../ops.md).\n" \
        "`make docs` writes these pages from the headers' comments.\n" > file
    for (i = 1; i <= items; i++) {
        path = header[i]
        if (kind[i] == "file") {
            printf "\n## [%s](%s)\n\n", path, page_of(path) > file
            split(text[i], parts, "\n\n")
            put_text(sentence(parts[1]), i)
            before = "- "
        } else if (kind[i] == "section") {
            if (before == ", ") printf "\n" > file
            before = "- " escaped(sentence_case(title[i])) ": "
        } else if (kind[i] == "group") {
            n = split(names[i], parts, " ")
            for (k = 1; k <= n; k++) {
                if (parts[k] ~ /^(AD|NN)_/ && parts[k] != anchor_of(i)) continue
                printf "%s[%s](%s#%s)", before, parts[k], page_of(path), \
                    parts[k] ~ /^(AD|NN)_/ ? anchor_of(i) : parts[k] > file
                before = ", "
            }
        }
        if ((i == items || kind[i + 1] == "file") && before == ", ") printf "\n" > file
    }
}

# A function without words of its own stands under a comment, next to those that have it in common.
function put_undescribed(i, k, n, parts) {
    for (i = 1; i <= items; i++) {
        n = split(functions[i], parts, " ")
        for (k = 1; k <= n; k++)
            if (text[i] == "" && !(parts[k] in said)) print header[i] ": " parts[k] " has no comment"
    }
}

function put_names(i, k, n, parts) {
    for (i = 1; i <= items; i++) {
        n = split(functions[i], parts, " ")
        for (k = 1; k <= n; k++) print parts[k]
    }
}

END {
    if (check) put_undescribed()
    else if (list) put_names()
    else {
        for (i = 1; i <= items; i++) {
            if (kind[i] == "file") put_head(i)
            if (kind[i] == "section") printf "## %s\n\n", escaped(sentence_case(title[i])) > file
            if (kind[i] == "section" || kind[i] == "note") put_text(text[i], i)
            if (kind[i] == "group") put_group(i)
        }
        put_list()
    }
}
