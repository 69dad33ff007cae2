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

/* Images [n,height,width] with values in 0 .. 1, and classes [n]: the training set in of[0], the test set in of[1]. */
static inline void mnist_sets(ad_graph *g, const char *dir, nn_dataset of[2]) {
    of[0].x = mnist_array(g, dir, "train-images-idx3-ubyte", 1.0 / 255);
    of[0].y = mnist_array(g, dir, "train-labels-idx1-ubyte", 1);
    of[1].x = mnist_array(g, dir, "t10k-images-idx3-ubyte", 1.0 / 255);
    of[1].y = mnist_array(g, dir, "t10k-labels-idx1-ubyte", 1);
}

#endif
