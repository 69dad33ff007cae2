# page.awk: puts the files that a page names, "<!-- include NAME -->", into their places. Variable loader: the file of
# "<!-- include build: .. -->". The end of a script may not stand inside one.
function put(file,    line, n) {
    while ((getline line < file) > 0) {
        gsub(/<\/script/, "<\\/script", line)
        print line
        n++
    }
    close(file)
    if (n == 0) {
        print "page.awk: " file " cannot be read, or is empty" > "/dev/stderr"
        failed = 1
    }
}
FNR == 1 { first = $0; next } # a comment, which comes behind the doctype
FNR == 2 { print; print first; next }
/^<!-- include build: / { put(loader); next }
/^<!-- include / {
    folder = FILENAME
    sub(/[^\/]*$/, "", folder)
    put(folder $3)
    next
}
{ print }
END { exit failed }
