/* lecture_graphviz.c: expression graphs drawn by Graphviz. */
#include "demos/lectures/lecture_private.h"

/* Copies one graph into another's text, as a part with a title: all but the lines that begin a graph of its own. */
static bool write_part(FILE *to, const ad_var *y, const char *title, int number) {
    FILE *from = tmpfile();
    char line[1024];
    if (from == NULL || ad_dump_dot(y, from) != AD_OK) return false;
    fprintf(to, "subgraph cluster_%d {\nlabel=\"%s\";\nfontname=\"sans-serif\";\ncolor=\"#888888\";\n", number, title);
    rewind(from);
    while (fgets(line, sizeof line, from) != NULL)
        if (strncmp(line, "digraph", 7) != 0 && strncmp(line, "  rankdir", 9) != 0) fputs(line, to);
    return fclose(from) == 0;
}

void plot_graphs(lecture *l, int n, ad_var *const ys[], const char *const titles[]) {
    char command[128];
    if (l->file == NULL) return;
    bool found = system("command -v dot >/dev/null 2>&1") == 0, written = true;
    snprintf(command, sizeof command, "dot -T%s -Gdpi=68 -o \"$AD_LECTURE_FILE\" 2>/dev/null",
             strrchr(l->file, '.') + 1);
    setenv("AD_LECTURE_FILE", l->file, 1); /* no quoting is needed then */
    fflush(stdout);
    FILE *to = popen(found ? command : "cat >\"$AD_LECTURE_FILE.dot\" 2>/dev/null", "w");
    if (to != NULL)
        fprintf(to, "digraph all {\n  rankdir=LR;\n  nodesep=0.12;\n  ranksep=0.35;\n"
                    "  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for (int i = 0; i < n && to != NULL; i++) written = write_part(to, ys[i], titles[i], i) && written;
    if (to != NULL) fprintf(to, "}\n");
    l->undrawn = to == NULL || pclose(to) != 0 || !written;
    if (l->undrawn) fprintf(stderr, "%s: dot could not write %s\n", demo_program(l->argv), l->file);
    else if (!found)
        fprintf(stderr, "%s: Graphviz is not found, so the graphs are not drawn; %s.dot has their text\n",
                demo_program(l->argv), l->file);
}
