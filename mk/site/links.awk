# links.awk: prints what is wrong with the links of a site: pages and anchors that do not exist, anchors that a page has
# twice, and parts of pages that come from elsewhere. awk -f links.awk FILES, in the site's folder: all its files by
# their paths, of which only those that end in .html are read.

function resolved(path) {
    while (match(path, /[^\/.]+\/\.\.\//)) path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
    gsub(/(^|\/)\.\//, "/", path)
    sub(/^\//, "", path)
    return path
}

# The parts of a document that a browser loads by itself must belong to the site.
function note_link(link, kind, folder, at, fragment) {
    if (link ~ /^(https?:)?\/\//) {
        if (kind == "src" || tag ~ /^<link/) print FILENAME ": " link " is loaded from elsewhere"
        return
    }
    if (link ~ /^[a-z]+:/) return
    at = index(link, "#")
    fragment = at ? substr(link, at + 1) : ""
    if (at) link = substr(link, 1, at - 1)
    folder = FILENAME
    sub(/[^\/]*$/, "", folder)
    n++
    from[n] = FILENAME
    target[n] = link == "" ? FILENAME : resolved(folder link)
    anchor[n] = fragment
}

BEGIN {
    for (i = kept = 1; i < ARGC; i++) {
        exists[ARGV[i]] = 1
        if (ARGV[i] ~ /\.html$/) ARGV[kept++] = ARGV[i]
    }
    ARGC = kept
}

{
    rest = $0
    while (match(rest, /<[a-z][^>]*>/)) {
        tag = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (match(tag, / id="[^"]*"/)) {
            id = substr(tag, RSTART + 5, RLENGTH - 6)
            if ((FILENAME, id) in has) print FILENAME ": the anchor " id " is there twice"
            has[FILENAME, id] = 1
        }
        if (match(tag, / (href|src)="[^"]*"/)) {
            attribute = substr(tag, RSTART + 1, RLENGTH - 2)
            sub(/="/, " ", attribute)
            split(attribute, parts, " ")
            note_link(parts[2], parts[1])
        }
    }
}

END {
    for (i = 1; i <= n; i++) {
        if (!(target[i] in exists)) print from[i] ": there is no " target[i]
        else if (anchor[i] != "" && !((target[i], anchor[i]) in has))
            print from[i] ": " target[i] " has no anchor " anchor[i]
    }
}
