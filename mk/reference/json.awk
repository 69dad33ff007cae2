# json.awk: writes a description of the API as JSON: functions, types and constants, with what comments.awk says of them.
#
# usage: awk -v version=X -f json.awk COMMENTS DEFINES PREPROCESSED
#
# DEFINES are the lines "#define NAME NUMBER" of the headers, with the header behind. PREPROCESSED is what `cc -E` makes of them; its line
# markers tell which header a declaration is from, and what is of other headers is passed over.

BEGIN { split("functions types constants", kinds, " ") }

function trimmed(words) {
    gsub(/[ \t\n]+/, " ", words)
    gsub(/^ | $/, "", words)
    gsub(/_Bool/, "bool", words)
    return words
}

function string(words) { return "\"" words "\"" }
function said_of(name) { return name in said && said[name] != "" ? ", \"doc\": " string(said[name]) : "" }

# An entry of one of the three lists. A struct may follow its name, which alone says that it is opaque.
function put(list, name, rest) {
    if (((list, name) in known) && rest !~ /"kind": "struct"/) return
    if (!((list, name) in known)) known[list, name] = ++count[list]
    entries[list, known[list, name]] = "{\"name\": " string(name) ", \"header\": " string(header) rest said_of(name) "}"
}

# ---- declarators: "const int64_t *dim[3]" is the name dim of the type "const int64_t *[3]" --------------------------

# Sets the_name and the_type. Without a name, as in a prototype, the_name is "".
function split_declarator(words, array) {
    words = trimmed(words)
    array = ""
    while (match(words, / ?\[[^][]*\]$/)) {
        array = substr(words, RSTART) array
        words = substr(words, 1, RSTART - 1)
    }
    sub(/^ /, "", array)
    the_name = ""
    if (match(words, /[A-Za-z_][A-Za-z_0-9]*$/) && RSTART > 1 && words !~ /^(const |struct |enum )*[A-Za-z_0-9]+$/) {
        the_name = substr(words, RSTART)
        words = substr(words, 1, RSTART - 1)
    }
    the_type = trimmed(words) (array == "" ? "" : " " array)
    sub(/ $/, "", the_type)
}

# Splits at a mark outside of parentheses and braces.
function split_outside(words, mark, parts, n, i, c, depth) {
    n = 1
    parts[1] = ""
    depth = 0
    for (i = 1; i <= length(words); i++) {
        c = substr(words, i, 1)
        if (c ~ /[({[]/) depth++
        if (c ~ /[])}]/) depth--
        if (c == mark && depth == 0) parts[++n] = ""
        else parts[n] = parts[n] c
    }
    return n
}

# A pointer to a function, "int (*f)(void *)", keeps its whole text as its type.
function pair_of(words, pointer) {
    if (match(words, /\(\*[A-Za-z_0-9]*(\[[0-9]+\])?\)/)) {
        the_name = substr(words, RSTART + 2)
        match(the_name, /^[A-Za-z_0-9]*/)
        pointer = index(words, "(*") + 1
        the_name = substr(the_name, 1, RLENGTH)
        the_type = trimmed(substr(words, 1, pointer) substr(words, pointer + 1 + RLENGTH))
    } else split_declarator(words)
    return "{\"name\": " string(the_name) ", \"type\": " string(the_type) "}"
}

function parameters(words, parts, n, i, out) {
    words = trimmed(words)
    if (words == "void" || words == "") return "[]"
    n = split_outside(words, ",", parts)
    out = ""
    for (i = 1; i <= n; i++) out = out (i > 1 ? ", " : "") pair_of(parts[i])
    return "[" out "]"
}

# ---- types --------------------------------------------------------------------------------------------------------

# "int a, *b[2];" has two fields of one base type.
function fields(body, lines, n, i, parts, m, k, base, out) {
    n = split_outside(body, ";", lines)
    out = ""
    for (i = 1; i <= n; i++) {
        if (trimmed(lines[i]) == "") continue
        m = split_outside(trimmed(lines[i]), ",", parts)
        base = parts[1]
        if (index(base, "*")) base = substr(base, 1, index(base, "*") - 1)
        else sub(/ *[A-Za-z_][A-Za-z_0-9]*( ?\[[^][]*\])*$/, "", base)
        for (k = 1; k <= m; k++) out = out (out == "" ? "" : ", ") pair_of(k == 1 ? parts[1] : base " " parts[k])
    }
    return "[" out "]"
}

function value_of(words) {
    words = trimmed(words)
    if (match(words, /^1u? << [0-9]+$/)) return 2 ^ substr(words, index(words, "<<") + 3)
    return words in number ? number[words] : words + 0
}

# The constants of an enum; also those of the list of constants.
function constants(body, type, parts, n, i, equals, name, next_value, out) {
    n = split_outside(body, ",", parts)
    next_value = 0
    out = ""
    for (i = 1; i <= n; i++) {
        if (trimmed(parts[i]) == "") continue
        equals = index(parts[i], "=")
        name = trimmed(equals ? substr(parts[i], 1, equals - 1) : parts[i])
        if (equals) next_value = value_of(substr(parts[i], equals + 1))
        number[name] = next_value
        put("constants", name, ", \"value\": " next_value (type == "" ? "" : ", \"type\": " string(type)))
        out = out (out == "" ? "" : ", ") "{\"name\": " string(name) ", \"value\": " next_value "}"
        next_value++
    }
    return "[" out "]"
}

function inside(words, from, to) {
    from = index(words, "{")
    for (to = length(words); substr(words, to, 1) != "}"; to--) continue
    return substr(words, from + 1, to - from - 1)
}

function read_type(words, name, body) {
    name = words
    sub(/.*[ *}]/, "", name)
    if (words ~ /^typedef enum/) put("types", name, ", \"kind\": \"enum\", \"values\": " constants(inside(words), name))
    else if (words ~ /^typedef struct[^{(]*\{/) put("types", name, ", \"kind\": \"struct\", \"fields\": " fields(inside(words)))
    else if (match(words, /\([^()]*(\([^()]*\)[^()]*)*\)$/)) {
        body = substr(words, RSTART + 1, RLENGTH - 2)
        split_declarator(substr(words, 9, RSTART - 9))
        put("types", the_name, ", \"kind\": \"function\", \"returns\": " string(the_type) ", \"parameters\": " parameters(body))
    } else if (words ~ /^typedef struct [a-z_0-9]+ [a-z_0-9]+$/) {
        put("types", name, ", \"kind\": \"opaque\"")
    } else {
        split_declarator(substr(words, 9))
        put("types", the_name, ", \"kind\": \"alias\", \"of\": " string(the_type))
    }
}

function read_function(words, at, name, head, inline) {
    inline = words ~ /^static inline/
    gsub(/static inline |extern /, "", words)
    at = index(words, "(")
    head = substr(words, 1, at - 1)
    split_declarator(head)
    name = the_name
    head = the_type
    sub(/\)$/, "", words)
    put("functions", name, ", \"returns\": " string(head) (inline ? ", \"inline\": true" : "") ", \"parameters\": " \
        parameters(substr(words, at + 1)))
}

# A whole declaration, without attributes and bodies.
function read_declaration(words, name) {
    gsub(/__attribute__ ?\(\((visibility|cold|format|const|pure|warn_unused_result)?[^()]*(\([^()]*\))?[^()]*\)\)/, "", words)
    words = trimmed(words)
    if (words ~ /^typedef/) read_type(words)
    else if (words ~ /^enum/) constants(inside(words), "")
    else if (words ~ /^struct [a-z_0-9]+ ?\{/) {
        name = words
        sub(/^struct /, "", name)
        sub(/ ?\{.*/, "", name)
        put("types", name, ", \"kind\": \"struct\", \"fields\": " fields(inside(words)))
    } else if (words ~ /\(/) read_function(words)
}

# ---- lines ----------------------------------------------------------------------------------------------------------

FILENAME == ARGV[1] { said[substr($0, 1, index($0, "\t") - 1)] = substr($0, index($0, "\t") + 1); next }
FILENAME == ARGV[2] { number[$2] = $3 + 0; header = $4; put("constants", $2, ", \"value\": " $3); next }
/^# [0-9]+ "/ {
    header = $3
    gsub(/"|^"?\.\//, "", header)
    ours = header ~ /^(autodiff|ops|nn)\//
    next
}
!ours || /^#/ { next }
{
    for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        if (c == "{") depth++
        if (c == "}") depth--
        is_body = pending ~ /^[ \n]*static inline/ && (depth > 0 || c == "}")
        if (!is_body && !(c == ";" && depth == 0)) pending = pending c
        if ((c == ";" && depth == 0) || (c == "}" && depth == 0 && is_body)) {
            if (pending !~ /^[ \n]*$/) read_declaration(pending)
            pending = ""
        }
    }
    pending = pending "\n"
}

END {
    print "{\"name\": \"autodiff\", \"version\": " string(version) ","
    for (k = 1; k <= 3; k++) {
        print "\"" kinds[k] "\": ["
        for (i = 1; i <= count[kinds[k]]; i++) print entries[kinds[k], i] (i < count[kinds[k]] ? "," : "")
        print "]" (k < 3 ? "," : "}")
    }
}
