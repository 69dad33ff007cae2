/* common_serve.c: our side of the comparison with peers. */
#include "bench/common.h"
#include "bench/peers/serve.h"

enum { MOST = 16 };

int bench_main_peers(int argc, char **argv, int n, const bench_case *cases, int m, const bench_result *results) {
    served_case served[MOST];
    int count = 0;
    if (argc < 2 || strcmp(argv[1], "--serve") != 0) return bench_main(argc, argv, n, cases);
    for (int i = 0; i < n && count < MOST; i++)
        for (int j = 0; j < m; j++)
            if (strcmp(cases[i].name, results[j].name) == 0)
                served[count++] = (served_case){ cases[i].name, cases[i].unit, cases[i].items, cases[i].setup,
                                                 cases[i].ours, results[j].result, cases[i].teardown };
    return serve(count, served);
}
