/* validation.c: polynomials chosen on validation data, folds of the training data, and what a test set is for. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { DEGREES = 12, TRAIN = 30, VALIDATION = 12, TEST = 12, FOLDS = 6, LARGE = 2000 };

typedef struct {
    int64_t repeats;
    double noise, peek;
} options;

/* n samples, each at a random place in its n-th part of -1 .. 1. */
static nn_dataset draw(ad_graph *g, int64_t n, double noise) {
    ad_var *part = ad_reshape(ad_arange(g, AD_F64, 0, (double)n, 1), AD_SHAPE(n, 1));
    ad_var *x = ad_adds(ad_muls(ad_add(part, ad_rand(g, AD_F64, AD_SHAPE(n, 1))), 2.0 / (double)n), -1);
    ad_var *y = ad_add(ad_sin(ad_muls(x, 3)), ad_muls(ad_randn(g, AD_F64, AD_SHAPE(n, 1)), noise));
    return (nn_dataset){ x, y };
}

/* The first d + 1 Chebyshev polynomials of x [n,1], side by side: a linear layer of them is any polynomial. */
static nn_dataset features(nn_dataset s, int d) {
    ad_var *columns[DEGREES + 1];
    for (int k = 0; k <= d; k++) columns[k] = ad_cos(ad_muls(ad_adds(s.x, 1), k * 1.5707963267948966));
    return (nn_dataset){ ad_detach(ad_concat(d + 1, columns, 1)), s.y };
}

typedef struct {
    nn_module *net;
    nn_dataset d;
} fit;
static ad_var *loss_of(void *data) {
    fit *f = data;
    return nn_mse(nn_apply(f->net, f->d.x), f->d.y);
}

/* The polynomial of degree d with the least squared error on s. */
static nn_module *learn(ad_graph *g, nn_dataset s, int d) {
    fit f = { nn_linear(g, AD_F64, d + 1, 1, false), features(s, d) };
    nn_init_constant(nn_find_parameter(f.net, "weight"), 0);
    nn_lbfgs_opts o = { .max_iter = 200, .max_eval = 400, .tolerance_grad = 1e-7, .tolerance_change = 1e-12 };
    nn_step_closure(nn_lbfgs(f.net, o), loss_of, &f, NULL);
    return f.net;
}

static double loss_on(nn_module *net, nn_dataset s, int d) {
    return nn_evaluate(net, nn_mse, NULL, features(s, d), LARGE).loss;
}
/* Losses of each degree. */
typedef struct {
    double train[DEGREES], validation[DEGREES], folds[DEGREES], spread[DEGREES];
} table;

/* The mean and the standard deviation of the losses on the k folds. */
static void cross_validate(ad_graph *g, nn_dataset s, int d, table *t) {
    double sum = 0, squares = 0;
    for (int k = 0; k < FOLDS; k++) {
        ad_mark m = ad_begin(g);
        nn_parts p = nn_kfold(s, FOLDS, k, (nn_split_opts){ 0 });
        double loss = loss_on(learn(g, p.train, d), p.validation, d);
        sum += loss / FOLDS, squares += loss * loss / FOLDS;
        ad_end(g, m);
    }
    t->folds[d - 1] = sum, t->spread[d - 1] = sqrt(squares - sum * sum);
}

static int least(const double *loss) {
    int best = 0;
    for (int d = 1; d < DEGREES; d++) best = loss[d] < loss[best] ? d : best;
    return best + 1;
}

/* One experiment: the loss of the chosen degree on the samples by which it was chosen, on test samples, and the truth:
   on very many. peek: chosen on the test samples. */
static void choose(ad_graph *g, const options *o, double to[3]) {
    ad_mark m = ad_begin(g);
    nn_dataset train = draw(g, TRAIN, o->noise), validation = draw(g, VALIDATION, o->noise), test = draw(g, TEST, o->noise);
    if (o->peek > 0) test = validation;
    nn_module *net[DEGREES];
    double loss[DEGREES];
    for (int d = 1; d <= DEGREES; d++) net[d - 1] = learn(g, train, d), loss[d - 1] = loss_on(net[d - 1], validation, d);
    int d = least(loss);
    to[0] = loss[d - 1], to[1] = loss_on(net[d - 1], test, d), to[2] = loss_on(net[d - 1], draw(g, LARGE, o->noise), d);
    ad_end(g, m);
}
int main(int argc, char **argv) {
    options o = { .repeats = 100, .noise = 0.3 };
    lecture *l = lecture_begin(
        argc, argv,
        "A","",
        (demo_option[]){ { "repeats", "", DEMO_WHOLE, &o.repeats, 1, 1e5 },
                         { "noise", "standard deviation of the noise on y", DEMO_REAL, &o.noise, 0, 10 },
                         { "peek", "", DEMO_REAL, &o.peek, 0, 10 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    double t0=lecture_seconds();
    nn_dataset train = draw(g, TRAIN, o.noise), validation = draw(g, VALIDATION, o.noise),large=draw(g,LARGE,o.noise);
    table t;
    for (int d = 1; d <= DEGREES; d++) {
        nn_module *net = learn(g, train, d);
        t.train[d-1]=loss_on(net,train,d); t.validation[d-1]=loss_on(net,validation,d); cross_validate(g,train,d,&t);
        printf("%2d %8.4f %8.4f   %8.4f +- %8.4f   %8.4f\n",d,t.train[d-1],t.validation[d-1],t.folds[d-1],t.spread[d-1],loss_on(net,large,d));
    }
    double s[3]={0},q[3]={0};
    for(int i=0;i<o.repeats;i++){ double to[3]; choose(g,&o,to); for(int k=0;k<3;k++) s[k]+=to[k]/o.repeats; for(int k=0;k<2;k++) q[k]+=(to[k]-to[2])*(to[k]-to[2])/o.repeats; }
    printf("%g %g %g   %g %g  %g s\n",s[0],s[1],s[2], sqrt(q[0]/o.repeats),sqrt(q[1]/o.repeats),lecture_seconds()-t0);
    return lecture_end(l, g);
}
