# manual.awk: writes the man pages autodiff(3), autodiff-ops(3) and autodiff-nn(3) of the headers that headers.awk has
# read, and of docs/ops.md, in the folder `to`; `date` is the date that they show. The macros are those of mdoc(7).

# Text for troff: its special characters, and none at the beginning of a line that would make it a command.
function quoted(line) {
    gsub(/\\/, "\\e", line)
    return (line ~ /^[.']/ ? "\\\&" : "") line
}

# An empty line, unless a heading is above.
function begin_paragraph() {
    if (!fresh) print ".Pp" > file
    fresh = 0
}

# Prose: a line for each sentence, as mdoc(7) wants it.
function put_prose(words) {
    gsub(/`/, "", words)
    while (match(words, /[.?] +[A-Z"]/)) {
        put_line(substr(words, 1, RSTART))
        words = substr(words, RSTART + RLENGTH - 1)
    }
    put_line(words)
}

# A line of at most 78 characters, or several: a stop where one is broken ends no sentence.
function put_line(line, at) {
    while (length(line) > 78) {
        for (at = 78; at > 1 && substr(line, at, 1) != " "; at--);
        if (at == 1) break
        print quoted(substr(line, 1, at - 1)) (substr(line, at - 1, 1) ~ /[.?!]/ ? "\\&" : "") > file
        line = substr(line, at + 1)
    }
    print quoted(line) > file
}

function put_code(block, n, lines, i) {
    sub(/\n+$/, "", block)
    n = split(block, lines, "\n")
    print ".Bd -literal" > file
    fresh = 0
    for (i = 1; i <= n; i++) print quoted(lines[i]) > file
    print ".Ed" > file
}

# A comment: paragraphs and, where lines stand further right, code.
function put_text(words, n, lines, i, line, paragraph, block) {
    n = split(words, lines, "\n")
    paragraph = block = ""
    for (i = 1; i <= n + 1; i++) {
        line = i > n ? "" : lines[i]
        if (line ~ /^   / && paragraph == "") {
            sub(/^    /, "", line)
            block = block line "\n"
            continue
        }
        if (block != "") put_code(block)
        block = ""
        sub(/^ +/, "", line)
        if (line != "") paragraph = paragraph (paragraph == "" ? "" : " ") line
        else if (paragraph != "") {
            begin_paragraph()
            put_prose(paragraph)
            paragraph = ""
        }
    }
}

function put_group(i, n, k, parts) {
    put_code(code[i])
    put_text(text[i])
    n = split(functions[i], parts, " ")
    for (k = 1; k <= n; k++) {
        if (!(parts[k] in said)) continue
        begin_paragraph()
        put_prose(n > 1 ? parts[k] ": " said[parts[k]] : sentence(said[parts[k]]))
    }
}

# ---- pages -------------------------------------------------------------------------------------------------------

function begin_page(name, about, links, n, i, folders) {
    file = to "/" name ".3"
    printf ".\\\" %s.3: made from the comments of the headers by mk/reference/make.sh.\n", name > file
    printf ".Dd %s\n.Dt %s 3\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n.Sh LIBRARY\n", date, toupper(name), name, about > file
    print "cc FILE.c $(pkg-config --cflags --libs autodiff)\n.Sh SYNOPSIS" > file
    for (i = 1; i <= n_paths; i++) if (page_of(paths[i]) == name) print ".In " paths[i] > file
    if (name == "autodiff-nn") print ".In nn/nn.h" > file
    print ".Sh DESCRIPTION" > file
}

function page_of(path) {
    return path ~ /^nn\// ? "autodiff-nn" : path ~ /^ops\// ? "autodiff-ops" : path ~ /^autodiff\// ? "autodiff" : ""
}

# The items of a page's headers; each header is a section of its own.
function put_items(name, i) {
    for (i = 1; i <= items; i++) {
        if (page_of(header[i]) != name) continue
        if (kind[i] == "file") {
            print ".Ss " header[i] > file
            fresh = 1
            put_text(sentence(text[i]))
        } else if (kind[i] == "section") {
            print ".Ss " quoted(sentence_case(title[i])) > file
            fresh = 1
            put_text(text[i])
        } else if (kind[i] == "group") put_group(i)
        else put_text(text[i])
    }
}
function end_page(name, others) {
    print ".Sh SEE ALSO" > file
    print others > file
    close(file)
}

# ---- docs/ops.md: the ops, without tables and links -----------------------------------------------------------------

FILENAME ~ /ops\.md$/ {
    if (/^## / && $0 != "## Contents") in_ops = 1
    if (in_ops && !/^\|/ && !/^At special points/) op_lines[++n_op_lines] = $0
    next
}

function put_ops(i, line, block, in_block) {
    for (i = 1; i <= n_op_lines; i++) {
        line = op_lines[i]
        if (line ~ /^```/) {
            if (in_block) put_code(block)
            in_block = !in_block
            block = ""
        } else if (in_block) block = block line "\n"
        else if (line ~ /^### /) ; # the prototype has the name
        else if (line ~ /^## /) {
            print ".Ss " substr(line, 4) > file
            fresh = 1
        } else if (line != "" && line !~ /^Sources: /) {
            sub(/^- /, "", line)
            gsub(/\\[*]/, "*", line)
            gsub(/\\</, "<", line)
            gsub(/\]\([^)]*\)/, "]", line)
            begin_paragraph()
            put_prose(line)
        }
    }
}

END {
    begin_page("autodiff", "reverse-mode automatic differentiation")
    put_items("autodiff")
    end_page("autodiff", ".Xr autodiff-nn 3 ,\n.Xr autodiff-ops 3")
    begin_page("autodiff-ops", "operations on Vars, functional forms and compiled programs")
    put_items("autodiff-ops")
    put_ops()
    end_page("autodiff-ops", ".Xr autodiff 3 ,\n.Xr autodiff-nn 3")
    begin_page("autodiff-nn", "networks, losses, optimisers, data, training and files")
    put_items("autodiff-nn")
    end_page("autodiff-nn", ".Xr autodiff 3 ,\n.Xr autodiff-ops 3")
}
