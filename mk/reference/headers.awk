# headers.awk: reads public headers: what they declare, with the comments. A writer, pages.awk or manual.awk, stands
# before it: awk -f pages.awk -f headers.awk HEADER...
#
# A header is a list of items. A section is a comment "---- title ----", a note is a comment before an empty line. A
# group is what stands between empty lines and comments: declarations under one comment, or under none. Comments at the
# end of a function's line belong to the function. tests/api.sh fails for a public function without either.
#
#   kind[i], header[i]      "file", "section", "note" or "group", and the path of its header
#   text[i], title[i]       the comment, paragraphs apart by empty lines; the title of a section
#   code[i]                 a group's declarations as they stand in the header
#   names[i], functions[i]  all that a group declares, and its functions; separated by blanks
#   said[name]              the comment at the end of a function's line
#   place[name]             the item that declares a name

function new_item(type, words) {
    items++
    kind[items] = type
    header[items] = FILENAME
    text[items] = words
    if (!(FILENAME in known)) {
        known[FILENAME] = 1
        paths[++n_paths] = FILENAME
    }
}

# A name that a group declares, listed once.
function declare(name) {
    if (name in place) return
    place[name] = items
    names[items] = names[items] (names[items] == "" ? "" : " ") name
}

function declare_function(name) {
    if (!(name in place)) functions[items] = functions[items] (functions[items] == "" ? "" : " ") name
    declare(name)
}

# ---- comments ----------------------------------------------------------------------------------------------------

# The words of a comment without its marks. Lines that stand further right than the text keep their place.
function words_of(comment) {
    sub(/^\/\* ?/, "", comment)
    sub(/ *\*\/ *$/, "", comment)
    gsub(/\n   /, "\n", comment)
    return comment
}

function end_comment(words, rule) {
    words = words_of(pending)
    pending = ""
    if (!(FILENAME in known)) {
        sub(/^[a-z_.]*: /, "", words)
        new_item("file", words)
    } else if (words ~ /^---- /) {
        new_item("section", "")
        rule = index(words, "\n") ? substr(words, 1, index(words, "\n") - 1) : words
        text[items] = substr(words, length(rule) + 2)
        sub(/^\n*/, "", text[items])
        gsub(/^-+ | -+$/, "", rule)
        title[items] = rule
    } else comment_above = words
}

# A comment that nothing follows is a note.
function end_group() {
    if (comment_above != "") new_item("note", comment_above)
    comment_above = ""
    in_group = 0
}

# ---- for writers: words as sentences -------------------------------------------------------------------------------

# A capital, unless the first word is a name, a letter or a formula.
function sentence_case(words) {
    return words ~ /^[a-z][a-z]+([ ,;.:]|$)/ ? toupper(substr(words, 1, 1)) substr(words, 2) : words
}
function sentence(words) {
    words = sentence_case(words)
    return words (words ~ /[.?!]$/ ? "" : ".")
}

# ---- declarations ------------------------------------------------------------------------------------------------

# The line without comments; within_comment is kept from line to line. What a comment says is in `spoken`.
function without_comments(line, at, out) {
    out = ""
    while (line != "") {
        if (within_comment) {
            at = index(line, "*/")
            spoken = spoken (spoken == "" ? "" : " ") (at ? substr(line, 1, at - 1) : line)
            line = at ? substr(line, at + 2) : ""
            if (at) within_comment = 0
        } else {
            at = index(line, "/*")
            out = out (at ? substr(line, 1, at - 1) : line)
            line = at ? substr(line, at + 2) : ""
            if (at) { within_comment = 1; spoken = "" }
        }
    }
    return out
}

function count_of(text, what) { return gsub(what, "", text) }

function begin_declaration() {
    if (!in_group) {
        new_item("group", comment_above)
        comment_above = ""
        in_group = 1
    }
    plain = shown = ""
    braces = 0
    within_comment = 0
    spoken = ""
    declaring = 1
}

# The constants of an enum: the names before a comma, a brace or an equals sign.
function declare_constants(body, parts, n, i) {
    sub(/^[^{]*\{/, "", body)
    sub(/\}.*/, "", body)
    n = split(body, parts, ",")
    for (i = 1; i <= n; i++) if (match(parts[i], /(AD|NN)_[A-Z0-9_]+/)) declare(substr(parts[i], RSTART, RLENGTH))
}

function last_name(declaration) {
    match(declaration, /[A-Za-z_0-9]+[^A-Za-z_0-9]*$/)
    declaration = substr(declaration, RSTART)
    sub(/[^A-Za-z_0-9]*$/, "", declaration)
    return declaration
}

# Declares the names of the declaration in `plain`, and adds it to the group's code.
function end_declaration(name) {
    declaring = 0
    gsub(/[ \n]+/, " ", plain)
    if (plain ~ /^(AD_API|static inline)/) {
        match(plain, /(ad|nn)_[a-z0-9_]+\(/)
        name = substr(plain, RSTART, RLENGTH - 1)
        declare_function(name)
        if (plain ~ /^AD_API/ && spoken != "") {
            gsub(/^ +| +$/, "", spoken)
            gsub(/  +/, " ", spoken)
            said[name] = spoken
            sub(/ *\/\*.*/, "\n", shown)
        }
        if (plain ~ /^static inline/) sub(/ *\{.*/, ";\n", shown)
        sub(/ AD_PRINTF\([^)]*\)/, "", shown)
        gsub(/AD_API |AD_COLD |static inline /, "", shown)
        gsub(/\n       /, "\n", shown)
    } else if (match(plain, /^typedef [^{}]*[A-Za-z_0-9]+\(/)) declare(last_name(substr(plain, 1, RLENGTH - 1)))
    else if (match(plain, /^struct [a-z_]+ /)) declare(last_name(substr(plain, 1, RLENGTH)))
    else if (plain ~ /^typedef/) declare(last_name(plain))
    if (plain ~ /^(typedef )?enum/) declare_constants(plain)
    code[items] = code[items] shown
}

function read_declaration(line, bare) {
    bare = without_comments(line)
    plain = plain bare "\n"
    shown = shown line "\n"
    braces += count_of(bare, "[{]") - count_of(bare, "[}]")
    sub(/ +$/, "", bare)
    if (braces == 0 && !within_comment && bare ~ /[;}]$/) end_declaration()
}

# A macro of the user's: its name and parameters; the value too if it stands on one line.
function read_macro(line, name) {
    match(line, /(AD|NN|nn|ad)_[A-Za-z0-9_]+/)
    name = substr(line, RSTART, RLENGTH)
    if (name ~ /^AD_(API|PRINTF|COLD|OP|FN)$/) comment_above = ""
    if (name ~ /^AD_(API|PRINTF|COLD|OP|FN)$/ || name in place) return
    begin_declaration()
    declaring = 0
    if (name ~ /^nn_/) declare_function(name)
    else declare(name)
    if (line ~ /\\$/) sub(/\).*/, ")", line)
    code[items] = code[items] line "\n"
}

# ---- lines -------------------------------------------------------------------------------------------------------

FNR == 1 { hidden = depth = in_group = declaring = in_macro = 0; comment_above = pending = "" }

# The entries of the table of ops: their section in docs/ops.md.
FILENAME ~ /\.def$/ {
    if (match($0, /^AD_(OP|FN)\([a-z0-9_]+/)) {
        name = substr($0, 7, RLENGTH - 6)
        if ($0 ~ /^AD_OP/) op = name
        op_section["ad_" name] = op
    }
    next
}

in_macro { if (!/\\$/) in_macro = 0; next }
pending != "" { pending = pending "\n" $0; if (/\*\//) end_comment(); next }
declaring { read_declaration($0); next }

# What is only for C++ is left out.
/^#if/ {
    depth++
    if (!hidden && /__cplusplus/ && !/!defined __cplusplus|ifndef/) hidden = depth
    next
}
/^#elif/ { if (hidden == depth) hidden = 0; next }
/^#endif/ { if (hidden == depth) hidden = 0; depth--; next }
hidden { next }
/^#define.*_H$/ { next }
/^#define/ { read_macro($0); if (/\\$/) in_macro = 1; next }
/^#/ { next }
/^\/\*/ { end_group(); pending = $0; if (/\*\/ *$/) end_comment(); next }
/^[A-Za-z]/ { begin_declaration(); read_declaration($0); next }
/^ *$/ { end_group() }
