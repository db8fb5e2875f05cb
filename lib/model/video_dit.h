// SPDX-License-Identifier: Apache-2.0
// A video diffusion transformer that predicts the velocity of a rectified flow: patches of the
// video become tokens, blocks of adaptive LayerNorm, self-attention with RMS-normalised and rotated
// q and k, optional cross-attention to context tokens, and an MLP (DiT, arXiv 2212.09748,
// section 3.2, adaLN-Zero; q-k norm and 3-D rotary embedding as in Wan 2.1, arXiv 2503.20314).
//
//   c    = time MLP(t) + class embedding
//   x   += gate1 * Wo Attention(norm(x) (1 + scale1) + shift1)
//   x   += Wo Attention(norm(x), context)                            if there is context
//   x   += gate2 * MLP(norm(x) (1 + scale2) + shift2)
//   v    = W (norm(x) (1 + scale) + shift)
// with shift, scale, gate = a linear function of silu(c) for each block. Gates and the last layer
// start at zero.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/model/attention_plan.h"
#include "lib/model/rope.h"
#include "lib/nn/functions.h"

namespace suffice {

struct VideoDitConfig {
  int64_t in_channels = 3;
  std::vector<int64_t> patch = {1, 4, 4};  // frames, rows, columns of a patch
  int64_t width = 192;
  int64_t depth = 6;
  int64_t heads = 3;
  double mlp_ratio = 4.0;
  int64_t classes = 0;          // 0: no labels; else labels are 0 .. classes - 1, and `classes` is
                                // the null label of guidance
  int64_t context_dim = 0;      // 0: no cross-attention
  int64_t time_features = 256;  // even
  bool qk_norm = true;
  std::vector<int64_t> rope_split;  // head dimensions of frame, row, column; empty: as Wan splits
  double rope_theta = 10000.0;
  std::string token_order = "raster";     // raster, tiles, hilbert
  std::vector<int64_t> tile = {4, 4, 4};  // frames, rows, columns of a tile, in tokens

  int64_t head_dim() const { return width / heads; }
  int64_t patch_values() const { return patch[0] * patch[1] * patch[2] * in_channels; }
};
// Throws kUsage, naming `source` and the field, if the numbers do not fit together.
void CheckConfig(const VideoDitConfig& config, const std::string& source);

// Throws kUsage naming frames, height or width unless these are whole patches.
void CheckResolution(const std::vector<int64_t>& resolution, const VideoDitConfig& config);

// What the tokens of a video size are: made once for each size.
struct TokenGeometry {
  Grid grid;       // patches
  int64_t tokens;  // of one sample
  Tensor order;    // (N) i32; empty in raster order
  Rope rope;       // (N, head_dim / 2) each
};

// What velocity is asked for, sample by sample.
struct Conditioning {
  Tensor t;        // (B) fp32 in [0, 1]
  Tensor labels;   // (B) i32; required with classes
  Tensor context;  // (B, L, context_dim) of the compute dtype; required with context_dim
};

struct ForwardOptions {
  const AttentionPlan* plan = nullptr;  // null: dense
  bool checkpoint = false;              // run each block again in the backward pass
  // Sees the self-attention of each layer, once.
  std::function<void(int64_t layer, const AttentionTrace&)> observer;
  // Sees what each part of the model gives, in the order of the pass: "patch_embed",
  // "blocks.0.attn", "blocks.0.mlp", ..., "final".
  std::function<void(const std::string& part, const Tensor& value)> inspector;
};

class VideoDit {
 public:
  // Allocates the parameters (contents undefined until Initialize or Import). compute: bf16 or
  // fp32. outputs: numbers that the last layer makes of a token, 0 for a velocity's patch_values.
  VideoDit(Context& context, const VideoDitConfig& config, DType compute, int64_t outputs = 0);

  const VideoDitConfig& config() const { return config_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  Context& context() const { return parameters_.context(); }
  DType compute_dtype() const { return parameters_.compute_dtype(); }

  // Of videos (B, C, F, Y, X); throws kUsage if they are not whole patches. The reference stays
  // valid.
  const TokenGeometry& GeometryOf(const Shape& video);

  // video (B, C, F, Y, X) fp32 or bf16 -> (B * N, patch_values) of `dtype`, and back.
  Tensor ToTokens(const Tensor& video, DType dtype);
  Tensor ToVideo(const Tensor& tokens, const Shape& video);  // fp32

  // What the last layer is a linear function of, (B * N, width), of tokens of the compute dtype.
  Var Hidden(Tape& tape, const Tensor& tokens, const TokenGeometry& geometry,
             const Conditioning& conditioning, const ForwardOptions& options = {}) const;
  // That layer: (B * N, outputs) fp32, a velocity unless other outputs were asked for.
  Var Output(Tape& tape, const Var& hidden) const;
  Var Forward(Tape& tape, const Tensor& tokens, const TokenGeometry& geometry,
              const Conditioning& conditioning, const ForwardOptions& options = {}) const;

  // Forward without a tape, video (B, C, F, Y, X) to velocity of the same shape, fp32.
  Tensor Velocity(const Tensor& video, const Conditioning& conditioning,
                  const ForwardOptions& options = {});

  // Multiply-adds times two of one forward pass of a sample, dense attention: linears and
  // attention.
  struct Flops {
    double linear, attention;
  };
  Flops ForwardFlops(const Shape& video);

 private:
  void AddParameters();
  Var Condition(Tape& tape, const Conditioning& conditioning) const;
  Var Block(Tape& tape, int64_t layer, const Var& x, const Var& c, const Var& context_tokens,
            const TokenGeometry& geometry, int64_t batch, const ForwardOptions& options) const;
  Var CrossAttention(Tape& tape, const std::string& name, const Var& x, const Var& context_tokens,
                     int64_t batch) const;
  Var Of(Tape& tape, const std::string& name) const { return tape.Of(parameters_[name]); }

  VideoDitConfig config_;
  int64_t outputs_;
  ParameterSet parameters_;
  std::map<Grid, TokenGeometry> geometries_;
};

}  // namespace suffice
