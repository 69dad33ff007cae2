# misuse.awk: writes C code that calls every public function with chosen arguments: `cc -E -P` of the public headers in,
# the code that tests/test_misuse.c includes out.
#
# For each function there is a call, in which argument i is value k[i] of its type: a good one for -1, else a bad one.
# For each struct of options there is a function pick_NAME, whose bad values are the good struct with one bad field.

# The word for a type: "ad_var *" is ad_var_p, "const int *" is int_in, "ad_var *const []" is ad_var_p_in.
function word(type, constant) {
    constant = type ~ /^const |const *\[/
    gsub(/const /, "", type)
    gsub(/const/, "", type)
    gsub(/_Bool/, "bool", type)
    gsub(/\[[0-9]*\]/, constant ? "_in" : "_out", type)
    if (type ~ /^(int|int64_t|double|ad_shape|ad_range|void) \*/) sub(/ \*/, constant ? "_in" : "_out", type)
    if (type ~ /^char \*/ && !constant) return "char_out"
    gsub(/ *\*/, "_p", type)
    gsub(/ /, "", type)
    return type
}

# Splits "const char *path" into type and name.
function split_declaration(text) {
    gsub(/^ +| +$/, "", text)
    brackets = ""
    if (text ~ /\(\*/) { # a pointer to a function
        name = text
        sub(/^[^(]*\(\*/, "", name)
        sub(/\).*/, "", name)
        type = "function_p"
        return
    }
    if (match(text, /\[[^]]*\]$/)) {
        brackets = "[]"
        text = substr(text, 1, RSTART - 1)
    }
    match(text, /[A-Za-z_0-9]*$/)
    name = substr(text, RSTART)
    type = substr(text, 1, RSTART - 1)
    if (type ~ /^ *(const )?$/) { type = type name; name = "" }
    gsub(/^ +| +$/, "", type)
    if (brackets) type = type " " brackets
    type = word(type)
}

# An int or int64_t before an array is the number of its elements; a size after a text, that of its bytes.
function adjust(i, is_number) {
    is_number = types[i] == "int" || types[i] == "int64_t" || types[i] == "unsigned"
    if (is_number && i < count && types[i + 1] ~ /_in$|_out$|uint32_t_p$/ && names[i] ~ /^(n|m|ndim)$/)
        types[i] = "count_" types[i]
    if (types[i] == "int" && i < count && types[i + 1] == "ad_export_function_p") types[i] = "count_int"
    if (names[i] == "format") types[i] = "format"
    if (types[i] == "size_t" && i > 1 && types[i - 1] == "char_out") types[i] = "text_size"
}

function write_function(text, i, list, head, call, result, n) {
    gsub(/__attribute__ *\(\(cold\)\)/, "", text)
    sub(/__attribute__.*/, "", text)
    gsub(/^ +| +$/, "", text)
    i = index(text, "(")
    head = substr(text, 1, i - 1)
    list = substr(text, i + 1)
    sub(/\)[^)]*$/, "", list)
    match(head, /[A-Za-z_0-9]* *$/)
    n = substr(head, RSTART)
    gsub(/ /, "", n)
    result = word(substr(head, 1, RSTART - 1))
    if (n in skipped) return
    split_list(list)
    call = n "("
    for (i = 1; i <= count; i++) call = call (i > 1 ? ", " : "") "pick_" types[i] "(k[" i - 1 "], \"" names[i] "\")"
    if (varies) call = call ", 0" # what the format may print; it also keeps compilers from taking it for a text
    call = call ")"
    printf "static void call_%s(const int *k) {\n    (void)k;\n    %s;\n}\n", n,
        result == "void" ? call : result in checked ? "take_" result "(" call ")" : "(void)" call
    table = table "    { \"" n "\", call_" n ", " count ", { "
    for (i = 1; i <= count; i++) table = table (i > 1 ? ", " : "") "BAD_" types[i]
    table = table (count ? "" : "0") " } },\n"
    functions++
}

function split_list(list, parts, n, i, depth, c, part) {
    count = varies = 0
    if (list ~ /^ *void *$/ || list ~ /^ *$/) return
    depth = 0
    part = ""
    for (i = 1; i <= length(list) + 1; i++) {
        c = i > length(list) ? "," : substr(list, i, 1)
        if (c == "(") depth++
        if (c == ")") depth--
        if (c == "," && depth == 0) {
            if (part ~ /\.\.\./) varies = 1
            else {
                split_declaration(part)
                types[++count] = type
                names[count] = name
            }
            part = ""
        } else part = part c
    }
    for (i = 1; i <= count; i++) adjust(i)
}

# The options that a struct has, one pick for each bad value of each field.
function write_struct(body, n, fields, m, i, j, base, list, k, f, bads) {
    m = split(body, fields, ";")
    printf "static %s pick_%s(int k, const char *name) {\n    %s s = { 0 };\n    (void)name;\n", n, n, n
    bads = "0"
    for (i = 1; i <= m; i++) {
        f = fields[i]
        gsub(/^ +| +$/, "", f)
        if (f == "") continue
        k = split(f, list, ",")
        base = list[1]
        sub(/[ *]*[A-Za-z_0-9]*(\[[^]]*\])?$/, "", base)
        for (j = 1; j <= k; j++) {
            gsub(/^ +| +$/, "", list[j])
            write_field(j == 1 ? list[j] : base " " list[j])
            bads = bads " + BAD_" type
        }
    }
    printf "    return s;\n}\nenum { BAD_%s = %s };\n", n, bads
}
function write_field(text, element, size, i) {
    element = text ~ /\]$/
    size = element && match(text, /[0-9]+\]$/) ? substr(text, RSTART) + 0 : 0
    sub(/\[[^]]*\]$/, "", text)
    split_declaration(text)
    if (name == "n_arrays") type = "count_int"
    printf "    s.%s%s = pick_%s(field_pick(&k, BAD_%s), \"%s\");\n", name, element ? "[0]" : "", type, type, name
    for (i = 1; i < size && type == "int64_t"; i++) printf "    s.%s[%d] = s.%s[0];\n", name, i, name
}

BEGIN {
    # These end what the test needs itself, give what must be given back (test_extend.c has their bad sizes), or take
    # what a program cannot give wrongly without breaking C's own rules.
    split("ad_graph_free ad_buffer_take ad_buffer_give ad_vfail ad_thread_start", list, " ")
    for (i in list) skipped[list[i]] = 1
    split("ad_graph_p ad_var_p int double nn_module_p nn_optim_p nn_schedule_p nn_loader_p nn_table_p " \
          "ad_objective_p ad_residuals_p ad_program_p ad_sparse_plan_p nn_average_p nn_rows_p", list, " ")
    for (i in list) checked[list[i]] = 1
    print "/* Written by tests/misuse.awk. */"
}

{ text = text " " $0 }

END {
    gsub(/[ \t]+/, " ", text)
    rest = text
    # The structs of options, in the order of the headers.
    kinds = "(opts|dataset|window|scaler|rnn_state|emit_array|metric|attention_masks)"
    while (match(rest, "typedef struct [{][^{}]*[}] (ad|nn)_[a-z0-9_]*" kinds " *;")) {
        found = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        n = found
        sub(/.*\} */, "", n)
        sub(/ *;$/, "", n)
        if (n == "ad_compile_opts" || n == "ad_check_opts") continue # tests/misuse.h has them
        sub(/typedef struct \{/, "", found)
        sub(/\}[^}]*$/, "", found)
        write_struct(found, n)
    }
    m = split(text, statements, ";")
    for (s = 1; s <= m; s++)
        if (match(statements[s], /__attribute__ *\(\(visibility\("default"\)\)\)/)) {
            statement = substr(statements[s], RSTART + RLENGTH)
            if (statement !~ /^ *extern /) write_function(statement)
        }
    printf "static const function functions[] = {\n%s};\n", table
}
