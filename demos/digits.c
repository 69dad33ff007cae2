/* digits.c: images of digits, 8 x 8, from CSV files: cross-validation, and the confusion matrix of a test set. */
#include <unistd.h>

#include "demos/demo.h"
#include "nn/nn.h"

/* Images [n,64] with values in 0 .. 1, and classes [n], which are the last column of the file. */
static nn_dataset load(ad_graph *g, const char *dir, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ad_var *all = nn_table_range(nn_read_csv(g, path, (nn_csv_opts){ 0 }), AD_F32, 0, 65);
    return (nn_dataset){ ad_muls(ad_narrow(all, 1, 0, 64), 1.0 / 16), ad_select(all, 1, 64) };
}

static nn_module *train(ad_graph *g, nn_dataset train_set, nn_dataset validation, int64_t epochs, double lr) {
    nn_module *net = nn_mlp(g, AD_F32, 3, (int64_t[]){ 64, 64, 10 }, ad_relu);
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = lr });
    nn_fit(net, nn_cross_entropy, opt, train_set,
           (nn_fit_opts){ .epochs = epochs, .validation = validation, .patience = 10, .progress = NULL }, NULL);
    return net;
}

/* The mean over k folds of the accuracy on one fold of a network trained on the others. */
static double cross_validate(ad_graph *g, nn_dataset d, int64_t k, int64_t epochs, double lr) {
    double sum = 0;
    for (int64_t fold = 0; fold < k && ad_ok(g); fold++) {
        ad_mark m = ad_begin(g);
        nn_parts p = nn_kfold(d, k, fold, (nn_split_opts){ .stratify = true });
        nn_module *net = train(g, p.train, p.validation, epochs, lr);
        double accuracy = nn_evaluate(net, NULL, nn_accuracy, p.validation, 256).metric;
        if (ad_ok(g)) printf("fold %lld: accuracy %.2f %%\n", (long long)fold + 1, 100 * accuracy);
        sum += accuracy;
        ad_end(g, m);
    }
    return sum / (double)k;
}

static void report(ad_graph *g, nn_module *net, nn_dataset test) {
    ad_var *y = nn_predict(net, test.x, 256), *confusion = nn_confusion(y, test.y);
    if (!ad_ok(g)) return;
    printf("\n     predicted\nis   0   1   2   3   4   5   6   7   8   9   precision  recall\n");
    for (int i = 0; i < 10; i++) {
        nn_class_scores s = nn_scores_of_class(confusion, i);
        printf("%d ", i);
        for (int j = 0; j < 10; j++) printf("%4.0f", ad_at(confusion, 10 * i + j));
        printf("  %9.3f  %6.3f\n", s.precision, s.recall);
    }
    printf("test accuracy %.2f %%, top-2 accuracy %.2f %%, mean F1 %.4f\n", 100 * nn_accuracy(y, test.y),
           100 * nn_top_k(y, test.y, 2), nn_macro_scores(confusion).f1);
}

int main(int argc, char **argv) {
    const char *dir = NULL;
    int64_t epochs = 60, folds = 5, seed = 0;
    double lr = 0.003;
    demo_parse(argc, argv,
               "Classifies digits of 8 x 8 pixels: cross-validation on the training file, then accuracy and confusion\n"
               "matrix of the test file. DIR holds optdigits.tra and optdigits.tes.",
               (demo_option[]){ { "data", "the folder DIR of the two files; required", DEMO_TEXT, &dir, 0, 0 },
                                { "epochs", "maximum passes over the training rows", DEMO_WHOLE, &epochs, 1, 1e6 },
                                { "folds", "folds of the cross-validation", DEMO_WHOLE, &folds, 2, 1000 },
                                { "lr", "learning rate of Adam", DEMO_REAL, &lr, 1e-9, 100 },
                                DEMO_SEED(&seed),
                                { 0 } });
    if (dir == NULL) demo_refuse(argv, "--data DIR", "is required");

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    nn_dataset all = load(g, dir, "optdigits.tra"), test = load(g, dir, "optdigits.tes");
    double mean = cross_validate(g, all, folds, epochs, lr);
    if (ad_ok(g)) printf("mean of %lld folds: %.2f %%\n", (long long)folds, 100 * mean);
    nn_parts p = nn_split(all, (nn_split_opts){ .validation = 0.1, .stratify = true });
    report(g, train(g, p.train, p.validation, epochs, lr), test);
    return demo_end(argv, g);
}
