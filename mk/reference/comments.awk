# comments.awk: a writer for headers.awk: a line for each name that the headers declare: the name, a tab, and what the
# comments say of it, as a JSON string without quotes.

function json(words) {
    gsub(/\\/, "\\\\", words)
    gsub(/"/, "\\\"", words)
    gsub(/\t/, " ", words)
    gsub(/\n/, "\\n", words)
    return words
}

# A comment at the end of its line comes first, then that above the group.
END {
    for (name in place) {
        words = text[place[name]]
        if (name in said) words = said[name] (words == "" ? "" : "\n\n" words)
        print name "\t" json(words)
    }
}
