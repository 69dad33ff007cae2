# page.awk: completes the HTML of a page: headings get the anchors that GitHub gives them, links point at the site's
# pages, and each section goes to the index of the search.
#
# page: its path; url, page_title: its address and title; linked: the file to which the paths that it links to are
# added; search: the file of the index.

function plain(html) {
    gsub(/<[^>]*>/, "", html)
    gsub(/&lt;/, "<", html)
    gsub(/&gt;/, ">", html)
    gsub(/&quot;/, "\"", html)
    gsub(/&amp;/, "\\&", html)
    return html
}

function json(words) {
    gsub(/[\\]/, "\\\\&", words) # a backslash, and what was found
    gsub(/"/, "\\\"", words)
    gsub(/[\t\r\n ]+/, " ", words)
    return "\"" words "\""
}

function anchor_of(heading, anchor, n) {
    anchor = tolower(plain(heading))
    gsub(/[^a-z0-9_ \200-\377-]/, "", anchor)
    gsub(/ /, "-", anchor)
    n = times[anchor]++
    return n ? anchor "-" n : anchor
}

# Ends the section above in the index.
function end_section() {
    if (section != "" || words != "")
        printf "[%s,%s,%s,%s],\n", json(section), json(plain(page_title)), json(url (at == "" ? "" : "#" at)), \
            json(words) >> search
    words = ""
}

# "docs/x/../y.md" is "docs/y.md".
function resolved(path) {
    while (match(path, /[^\/.]+\/\.\.\//)) path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
    gsub(/(^|\/)\.\//, "/", path)
    sub(/^\//, "", path)
    return path
}

function site_link(link, folder, fragment, target) {
    if (link ~ /^([a-z]+:|#)/ || link == "") return link
    fragment = ""
    if (match(link, /#/)) {
        fragment = substr(link, RSTART)
        link = substr(link, 1, RSTART - 1)
    }
    folder = page
    sub(/[^\/]*$/, "", folder)
    target = resolved(folder link)
    if (link ~ /\.md$/) {
        sub(/README\.md$/, "index.md", link)
        sub(/\.md$/, ".html", link)
    } else {
        sub(/\/$/, "", link)
        sub(/\/$/, "", target)
        print target >> linked
        if (link !~ /\.(png|svg)$/) link = link ".html"
    }
    return link fragment
}

function with_links(line, out, start, link) {
    out = ""
    while (match(line, /(href|src)="[^"]*"/)) {
        start = index(substr(line, RSTART), "\"")
        out = out substr(line, 1, RSTART + start - 1)
        link = substr(line, RSTART + start, RLENGTH - start - 1)
        line = substr(line, RSTART + RLENGTH - 1)
        out = out site_link(link)
    }
    return out line
}

{
    line = with_links($0)
    rest = line
    while (match(rest, /<a id="[^"]*"/)) {
        given[substr(rest, RSTART + 7, RLENGTH - 8)] = 1
        rest = substr(rest, RSTART + RLENGTH)
    }
    if (match(line, /^<h[1-6]>/)) {
        end_section()
        section = plain(line)
        at = anchor_of(line)
        if (line ~ /^<h1>/) at = ""
        if (at != "" && !(at in given)) line = substr(line, 1, 3) " id=\"" at "\"" substr(line, 4)
    } else if (page != "docs/ops.md" || line !~ /<t[dh]/) words = words " " plain(line)
    if (line ~ /<table>/) line = "<div class=\"wide\">" line
    if (line ~ /<\/table>/) line = line "</div>"
    print line
}

END { end_section() }
