/* nn.h: networks, losses, optimisers, data, training and files, composed of the ops. */
#ifndef NN_NN_H
#define NN_NN_H

#include "nn/data.h"
#include "nn/file.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "nn/module.h"
#include "nn/optim.h"
#include "nn/train.h"

#endif
