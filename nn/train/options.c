/* options.c: checks of those options of nn_fit that say where minibatches, losses and metrics come from. */
#include "nn/train/options.h"

#include <math.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/optim/state.h"

nn__any_metric nn__metric_at(const nn_fit_opts *o, int i) {
    if (i == 0) return (nn__any_metric){ o->metric, o->metric_with, o->metric_data };
    const nn_data_metric *with = &o->more_metrics_with[i - 1];
    return (nn__any_metric){ o->more_metrics[i - 1].of, with->of, with->data };
}

int nn__check_functions(ad_graph *g, nn_loss_fn *loss, const nn_fit_opts *o) {
    if (loss == NULL && o->loss_with == NULL) return ad_fail(g, AD_EVALUE, "fit: the loss or the optimiser is NULL");
    if (loss != NULL && o->loss_with != NULL)
        return ad_fail(g, AD_EVALUE, "fit: loss and loss_with are two losses; one of them is NULL");
    for (int i = 0; i <= NN_MORE_METRICS; i++) {
        const nn__any_metric m = nn__metric_at(o, i);
        if (m.of != NULL && m.with != NULL)
            return ad_fail(g, AD_EVALUE, "fit: metric %d is given twice, with data and without", i);
    }
    return AD_OK;
}

int nn__check_sources(ad_graph *g, nn_dataset data, const nn_optim *opt, const nn_fit_opts *o) {
    bool has_data = data.x != NULL || data.y != NULL;
    bool has_loader_opts = o->in_order || o->drop_last || o->transform || o->prefetch || o->draw_weights || o->draws ||
                           o->draw_once;
    if (o->stream != NULL && (has_data || has_loader_opts || o->weights))
        return ad_fail(g, AD_EVALUE,
                       "fit: a stream goes without data, in_order, drop_last, transform, prefetch, draw_weights, "
                       "draws, draw_once and weights");
    if (o->accumulate < 1) return ad_fail(g, AD_EVALUE, "fit: accumulate %lld: at least 1", (long long)o->accumulate);
    if ((o->accumulate > 1 || o->weights != NULL) && opt->method->minimise != NULL)
        return ad_fail(g, AD_EVALUE, "fit: %s takes neither accumulate nor weights", opt->method->name);
    if (o->weights != NULL && o->mix != NULL)
        return ad_fail(g, AD_EVALUE, "fit: mix has no rows to which weights could belong");
    if (o->average == NULL && (o->average_from != 0 || o->average_epochs))
        return ad_fail(g, AD_EVALUE, "fit: average_from and average_epochs need an average");
    return o->average_from < 0 ? ad_fail(g, AD_EVALUE, "fit: average_from is 0 or more") : AD_OK;
}

int nn__check_weights(ad_graph *g, nn_dataset data, const ad_var *w) {
    int64_t n = ad_is_nil(data.x) || ad_shape_of(data.x).ndim < 1 ? -1 : ad_shape_of(data.x).dim[0];
    if (w == NULL || n < 0) return AD_OK; /* the loader has the sentence for the data */
    if (ad_is_nil(w)) return ad_fail(g, AD_EVALUE, "fit: weights is nil");
    if (!ad_shape_equal(ad_shape_of(w), AD_SHAPE(n)))
        return ad_fail(g, AD_ESHAPE, "fit: weights is %s; it must be [%lld], one for each row of data",
                       ad_shape_str(ad_shape_of(w)).text, (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (!(ad_at(w, i) >= 0 && isfinite(ad_at(w, i))))
            return ad_fail(g, AD_EVALUE, "fit: weight %lld is %g: it must be finite, 0 or more", (long long)i,
                           ad_at(w, i));
    return AD_OK;
}
