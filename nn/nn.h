/* nn.h: networks, losses, optimisers and data, composed of the ops. */
#ifndef NN_NN_H
#define NN_NN_H

#include "nn/data.h"
#include "nn/file.h"
#include "nn/module.h"
#include "nn/optim.h"
#include "nn/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- losses: means over all elements (cross-entropy: over rows) -----------------------------------

   y and target have one shape: losses do not broadcast. All are finite for finite logits. */
AD_API ad_var *nn_mse(ad_var *y, ad_var *target);
AD_API ad_var *nn_bce_logits(ad_var *logits, ad_var *target);           /* target in [0, 1] */
AD_API ad_var *nn_cross_entropy(ad_var *logits, ad_var *classes);       /* [n, c], class numbers [n] */

#ifdef __cplusplus
}
#endif
#endif
