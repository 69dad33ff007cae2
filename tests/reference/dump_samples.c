/* dump_samples.c: prints each sample of each op as a line of JSON, for reference.py. */
#include <stdlib.h>

#include "ops/ops.h"
#include "tests/reference/sample.h"

static void put_attrs(const ad_sample_case *c) {
    char text[256];
    const char *separator = "";
    printf("\"attrs\":{");
    for (const ad_attr *a = c->type->attrs; a != NULL && a->name != NULL; a++) {
        attr_json(a, c->attrs, text, sizeof text);
        printf("%s\"%s\":%s", separator, a->name, text);
        separator = ",";
    }
    printf("}");
}

static void put_operand(const ad_sample_case *c, int i) {
    char text[160];
    bool takes_gradient = !(c->type->flags & AD_OP_CONSTANT) && !(c->type->no_grad >> i & 1);
    printf("{\"shape\":%s,\"grad\":%s,\"values\":[", ad_shape_str(c->shapes[i]).text,
           takes_gradient ? "true" : "false");
    for (int64_t k = 0, n = ad_shape_numel(c->shapes[i]); k < n; k++) {
        number_json(c->values[i][k], text, sizeof text);
        printf("%s%s", k ? "," : "", text);
    }
    printf("]}");
}

static int put_sample(const ad_sample_case *c, void *data) {
    (void)data;
    printf("{\"op\":\"%s\",\"sample\":%d,\"check\":\"%08x\",", c->type->name, c->index, (unsigned)sample_checksum(c));
    printf("\"random\":%s,", c->type->flags & AD_OP_RANDOM ? "true" : "false");
    printf("\"elementwise\":%s,", c->type->shape == NULL ? "true" : "false");
    put_attrs(c);
    printf(",\"operands\":[");
    for (int i = 0; i < c->n; i++) {
        if (i > 0) printf(",");
        put_operand(c, i);
    }
    printf("]}\n");
    return 0;
}

int main(void) {
    ad_graph *g = ad_graph_new();
    int rc = g ? 0 : AD_ENOMEM;
    for (const ad_optype *const *t = ad_optypes(); *t && rc == 0; t++) rc = ad_each_sample(g, *t, put_sample, NULL);
    if (rc != 0) fprintf(stderr, "dump_samples: %s\n", g ? ad_error(g) : "out of memory");
    ad_graph_free(g);
    return rc != 0 || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
