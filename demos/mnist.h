/* mnist.h: files of MNIST, and of other sets in its format, for the demos that read them. */
#ifndef DEMOS_MNIST_H
#define DEMOS_MNIST_H

#include <stdio.h>
#include <unistd.h>

#include "nn/nn.h"

/* The array of DIR/NAME or, if that does not exist, DIR/NAME.gz, with its elements multiplied by scale. */
static inline ad_var *mnist_array(ad_graph *g, const char *dir, const char *name, double scale) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (access(path, F_OK) != 0) snprintf(path, sizeof path, "%s/%s.gz", dir, name);
    return nn_load_idx(g, AD_F32, path, scale);
}

/* Images [n,height,width] with values in 0 .. 1, and classes [n]. */
static inline nn_dataset mnist_set(ad_graph *g, const char *dir, const char *images, const char *labels) {
    ad_var *x = mnist_array(g, dir, images, 1.0 / 255);
    return (nn_dataset){ x, mnist_array(g, dir, labels, 1) };
}

#endif
