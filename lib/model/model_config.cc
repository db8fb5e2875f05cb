// SPDX-License-Identifier: Apache-2.0
#include "lib/model/model_config.h"

namespace suffice {

void Visit(Fields& f, VideoDitConfig& c) {
  f("in_channels", c.in_channels, "channels of the video").Range(1, 4096);
  f("patch", c.patch, "frames, rows and columns of a patch").Range(1, 64);
  f("width", c.width, "features of a token").Range(2, 16384);
  f("depth", c.depth, "blocks").Range(1, 256);
  f("heads", c.heads, "attention heads").Range(1, 256);
  f("mlp_ratio", c.mlp_ratio, "hidden features of the MLP over width").Range(0.25, 16);
  f("classes", c.classes, "class labels; 0: none").Range(0, 1e6);
  f("context_dim", c.context_dim, "features of context tokens; 0: no cross-attention")
      .Range(0, 16384);
  f("time_features", c.time_features, "sinusoidal features of the time, even").Range(2, 4096);
  f("qk_norm", c.qk_norm, "RMS normalisation of q and k, head by head");
  f("rope_split", c.rope_split, "head dimensions of frame, row and column; none: by thirds")
      .Range(0, 256);
  f("rope_theta", c.rope_theta, "base of the rotary frequencies").Range(1, 1e9);
  f("token_order", c.token_order, "how tokens are laid out").OneOf({"raster", "tiles", "hilbert"});
  f("tile", c.tile, "frames, rows and columns of a tile, in tokens").Range(1, 1024);
}

void Visit(Fields& f, AdamWConfig& c) {
  f("lr", c.lr, "learning rate after warm-up").Range(0, 10).Flag("lr");
  f("beta1", c.beta1, "decay of the first moment").Range(0, 0.99999);
  f("beta2", c.beta2, "decay of the second moment").Range(0, 0.99999);
  f("eps", c.eps, "added to the root of the second moment").Range(1e-16, 1);
  f("weight_decay", c.weight_decay, "of matrices").Range(0, 10);
  f("clip_norm", c.clip_norm, "largest global norm of the gradient; 0: any").Range(0, 1e6);
  f("warmup_steps", c.warmup_steps, "linear warm-up").Range(0, 1e9);
  f("decay_steps", c.decay_steps, "cosine decay ends at this step; 0: none").Range(0, 1e9);
  f("final_lr", c.final_lr, "learning rate at the end of the decay, as a fraction").Range(0, 1);
  f("ema_decay", c.ema_decay, "of the moving average that is written out; 0: the last weights")
      .Range(0, 0.999999);
}

void Visit(Fields& f, TimeLaw& c) {
  f("law", c.law, "of t in training").OneOf({"uniform", "logit_normal"});
  f("mean", c.mean, "of the logit").Range(-10, 10);
  f("deviation", c.deviation, "of the logit").Range(0, 10);
  f("shift", c.shift, "above 1 favours noise").Range(0.01, 100);
}

}  // namespace suffice
