/* nn.h: networks, losses, optimisers, data, metrics, training and files; for programs. */
#ifndef NN_NN_H
#define NN_NN_H

#include "nn/data.h"
#include "nn/file.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "nn/metric.h"
#include "nn/module.h"
#include "nn/optim.h"
#include "nn/table.h"
#include "nn/ranks.h"
#include "nn/train.h"
#include "ops/ops.h"

#endif
