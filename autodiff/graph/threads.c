/* threads.c: the number of threads of a graph. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>
#include <unistd.h>

#include "autodiff/graph/memory.h"

/* The number of processors that this process may use. */
static int processors(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > AD__MAX_THREADS ? AD__MAX_THREADS : (int)n;
}

int ad_threads(const ad_graph *g) { return g ? ad__team_size(g->team) : 1; }

int ad_set_threads(ad_graph *g, int n) {
    if (g == NULL) return AD_EVALUE;
    if (g->code != AD_OK) return g->code;
    if (n < 0 || n > AD__MAX_THREADS)
        return ad_fail(g, AD_EVALUE, "set_threads: %d threads requested; give 1 to %d, or 0 for one per processor", n,
                       AD__MAX_THREADS);
    if (n == 0) n = processors();
    ad_team *team = n > 1 ? ad__team_new(&g->memory, n) : NULL, *old = g->team;
    if (n > 1 && team == NULL)
        return ad_fail(g, AD_ENOMEM, "set_threads: the system cannot start %d threads; request fewer", n - 1);
    g->team = team;
    int rc = ad__scratch_share(g, ad__team_size(old));
    if (rc != AD_OK) g->team = old;
    ad__team_free(&g->memory, rc == AD_OK ? old : team);
    return rc;
}
