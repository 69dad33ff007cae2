/* housing.c: house prices in California from a CSV file: regression with missing values and text columns. */
#include <unistd.h>

#include "demos/demo.h"
#include "nn/nn.h"

static const char *const PLACE[] = { "longitude", "latitude", "housing_median_age", "median_income" };
static const char *const COUNTS[] = { "total_rooms", "total_bedrooms", "population", "households" };

/* Fourier features of the location [n,2], with 2, 1, 1/2 and 1/4 periods per degree, because prices change within a few
   miles: [n,4 * 4]. */
static ad_var *waves(ad_var *location) {
    ad_var *w[8];
    for (int k = 0; k < 4; k++) {
        ad_var *angle = ad_muls(location, 12.566370614359172 / (1 << k));
        w[2 * k] = ad_sin(angle);
        w[2 * k + 1] = ad_cos(angle);
    }
    return ad_concat(8, w, 1);
}

/* x: location, age and income, the location's Fourier features, logarithms of counts and of counts per household, and a
   one-hot ocean_proximity; y: the price in dollars, [n,1]. */
static nn_dataset load(ad_graph *g, const char *path) {
    nn_table *t = nn_read_csv(g, path, (nn_csv_opts){ 0 });
    int64_t words;
    ad_var *place = nn_table_numbers(t, AD_F32, 4, PLACE), *counts = ad_log(nn_table_numbers(t, AD_F32, 4, COUNTS));
    ad_var *shore = nn_table_classes(t, AD_F32, "ocean_proximity", &words);
    ad_var *each = ad_sub(ad_narrow(counts, 1, 0, 3), ad_narrow(counts, 1, 3, 1));
    ad_var *x[] = { place, waves(ad_narrow(place, 1, 0, 2)), counts, each, ad_one_hot(shore, words) };
    ad_var *price = nn_table_numbers(t, AD_F32, 1, (const char *[]){ "median_house_value" });
    return (nn_dataset){ ad_concat(5, x, 1), price };
}

/* Fitted on the training rows only, like the network. */
typedef struct {
    ad_var *means;
    nn_scaler x, y;
} preparation;

static nn_dataset prepare(const preparation *p, nn_dataset d) {
    return (nn_dataset){ nn_scale(p->x, nn_fill_missing(d.x, p->means)), nn_scale(p->y, d.y) };
}

int main(int argc, char **argv) {
    const char *path = NULL;
    int64_t epochs = 40, batch = 64, hidden = 128, seed = 0;
    double lr = 0.002, dropout = 0.1;
    demo_parse(
        argc, argv,
        "Learns to predict house prices from the California housing table, and prints R2, the fraction of the\n"
        "variance of the prices that it explains, for a fifth of the rows, which are not used for training.",
        (demo_option[]){ { "data", "the CSV file; required", DEMO_TEXT, &path, 0, 0 },
                         { "epochs", "passes over the training rows", DEMO_WHOLE, &epochs, 1, 1e6 },
                         { "batch", "rows in a minibatch", DEMO_WHOLE, &batch, 1, 1e6 },
                         { "hidden", "width of the two hidden layers", DEMO_WHOLE, &hidden, 1, 1e6 },
                         { "lr", "learning rate of AdamW, decreasing by a cosine schedule", DEMO_REAL, &lr, 1e-9, 100 },
                         { "dropout", "fraction of hidden units dropped in training", DEMO_REAL, &dropout, 0, 0.9 },
                         DEMO_SEED(&seed),
                         { 0 } });
    if (path == NULL) demo_refuse(argv, "--data FILE", "is required");

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    nn_parts all = nn_split(load(g, path), (nn_split_opts){ .validation = 0.1, .test = 0.2, .seed = (uint64_t)seed });
    preparation p = { .means = nn_column_means(all.train.x) };
    p.x = nn_fit_standard(nn_fill_missing(all.train.x, p.means));
    p.y = nn_fit_standard(all.train.y);
    int64_t columns = ad_shape_of(all.train.x).dim[1];
    nn_module *net = nn_sequential(g, nn_linear(g, AD_F32, columns, hidden, true), nn_relu(g), nn_dropout(g, dropout),
                                   nn_linear(g, AD_F32, hidden, hidden, true), nn_relu(g), nn_dropout(g, dropout),
                                   nn_linear(g, AD_F32, hidden, 1, true));
    nn_optim *opt = nn_adamw(net, (nn_adam_opts){ .lr = lr });
    nn_fit(net, nn_mse, opt, prepare(&p, all.train),
           (nn_fit_opts){ .epochs = epochs,
                          .batch = batch,
                          .validation = prepare(&p, all.validation),
                          .metric = nn_r2,
                          .metric_name = "R2",
                          .restore_best = true,
                          .schedule = nn_cosine_lr(opt, epochs, 0),
                          .progress = stderr },
           NULL);
    ad_var *y = nn_predict(net, prepare(&p, all.test).x, 256);
    double r2 = nn_r2(nn_unscale(p.y, y), all.test.y);
    if (ad_ok(g)) printf("test R2 %.4f on %lld rows\n", r2, (long long)ad_numel(y));
    return demo_end(argv, g);
}
