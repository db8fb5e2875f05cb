// SPDX-License-Identifier: Apache-2.0
#include "lib/model/video_dit.h"

#include <cmath>

namespace suffice {
namespace {

int64_t MlpWidth(const VideoDitConfig& c) {
  return static_cast<int64_t>(std::lround(static_cast<double>(c.width) * c.mlp_ratio));
}

Grid RopeSplit(const VideoDitConfig& c) {
  if (c.rope_split.empty()) return DefaultRopeSplit(c.head_dim());
  return {c.rope_split[0], c.rope_split[1], c.rope_split[2]};  // parts may be zero
}

std::string BlockName(int64_t layer) { return fmt::format("blocks.{}.", layer); }

}  // namespace

void CheckConfig(const VideoDitConfig& c, const std::string& source) {
  const auto want = [&](bool holds, const char* what) {
    if (!holds) throw UsageError("{}: model: {}", source, what);
  };
  want(c.in_channels > 0 && c.width > 0 && c.depth > 0 && c.heads > 0,
       "in_channels, width, depth and heads must be positive");
  want(c.patch.size() == 3 && c.tile.size() == 3, "patch and tile want three numbers each");
  for (size_t axis = 0; axis < 3; ++axis) {
    want(c.patch[axis] > 0 && c.tile[axis] > 0, "patch and tile must be positive");
  }
  want(c.width % c.heads == 0, "width must be a multiple of heads");
  want(c.head_dim() % 2 == 0, "width / heads must be even");
  want(MlpWidth(c) > 0, "mlp_ratio is too small");
  want(c.classes >= 0 && c.context_dim >= 0, "classes and context_dim must not be negative");
  want(c.time_features > 0 && c.time_features % 2 == 0, "time_features must be positive and even");
  want(c.rope_theta > 1, "rope_theta must be above 1");
  want(c.token_order == "raster" || c.token_order == "tiles" || c.token_order == "hilbert",
       "token_order is raster, tiles or hilbert");
  if (c.rope_split.empty()) return;
  want(c.rope_split.size() == 3, "rope_split wants three numbers");
  int64_t sum = 0;
  for (const int64_t part : c.rope_split) {
    want(part >= 0 && part % 2 == 0, "rope_split wants even numbers");
    sum += part;
  }
  want(sum == c.head_dim(), "rope_split must sum to width / heads");
}

void CheckResolution(const std::vector<int64_t>& resolution, const VideoDitConfig& config) {
  constexpr const char* kNames[] = {"frames", "height", "width"};
  for (size_t axis = 0; axis < 3; ++axis) {
    if (resolution[axis] % config.patch[axis] != 0) {
      throw UsageError("{}: {} is not whole patches of {}", kNames[axis], resolution[axis],
                       config.patch[axis]);
    }
  }
}

VideoDit::VideoDit(Context& context, const VideoDitConfig& config, DType compute, int64_t outputs)
    : config_(config),
      outputs_(outputs > 0 ? outputs : config.patch_values()),
      parameters_(context, compute) {
  CheckConfig(config, "video_dit");
  AddParameters();
}

void VideoDit::AddParameters() {
  const VideoDitConfig& c = config_;
  const int64_t w = c.width, mlp = MlpWidth(c), d = c.head_dim();
  const auto linear = [&](const std::string& name, int64_t in, int64_t out, Init init) {
    parameters_.Add(name + ".weight", {out, in}, init);
    parameters_.Add(name + ".bias", {out}, Init::Zero());
  };
  const auto glorot = [&](const std::string& name, int64_t in, int64_t out) {
    linear(name, in, out, Init::Glorot(in, out));
  };
  glorot("patch_embed", c.patch_values(), w);
  linear("time_embed.0", c.time_features, w, Init::Normal(0.02f));
  linear("time_embed.2", w, w, Init::Normal(0.02f));
  if (c.classes > 0) parameters_.Add("class_embed.weight", {c.classes + 1, w}, Init::Normal(0.02f));
  if (c.context_dim > 0) {
    glorot("context_embed.0", c.context_dim, w);
    glorot("context_embed.2", w, w);
  }
  const auto qk_norms = [&](const std::string& attention) {
    if (!c.qk_norm) return;
    parameters_.Add(attention + "q_norm.weight", {d}, Init::One());
    parameters_.Add(attention + "k_norm.weight", {d}, Init::One());
  };
  for (int64_t layer = 0; layer < c.depth; ++layer) {
    const std::string block = BlockName(layer);
    linear(block + "modulation", w, 6 * w, Init::Zero());
    glorot(block + "attn.qkv", w, 3 * w);
    qk_norms(block + "attn.");
    glorot(block + "attn.out", w, w);
    if (c.context_dim > 0) {
      // scale is around 0: the norm multiplies by 1 + scale.
      parameters_.Add(block + "cross.norm.scale", {w}, Init::Zero());
      parameters_.Add(block + "cross.norm.shift", {w}, Init::Zero());
      glorot(block + "cross.q", w, w);
      glorot(block + "cross.kv", w, 2 * w);
      qk_norms(block + "cross.");
      linear(block + "cross.out", w, w, Init::Zero());
    }
    glorot(block + "mlp.0", w, mlp);
    glorot(block + "mlp.2", mlp, w);
  }
  linear("final.modulation", w, 2 * w, Init::Zero());
  linear("final", w, outputs_, Init::Zero());
}

const TokenGeometry& VideoDit::GeometryOf(const Shape& video) {
  const Grid patch = ToGrid(config_.patch);
  Grid grid;
  if (video.rank != 5 || video[1] != config_.in_channels) {
    throw UsageError("video: shape {}, the model wants (B, {}, F, Y, X)", ToString(video),
                     config_.in_channels);
  }
  for (int axis = 0; axis < 3; ++axis) {
    const auto i = static_cast<size_t>(axis);
    if (video[axis + 2] <= 0 || video[axis + 2] % patch[i] != 0) {
      throw UsageError("video: shape {}, the model wants whole patches of ({}, {}, {})",
                       ToString(video), patch[0], patch[1], patch[2]);
    }
    grid[i] = video[axis + 2] / patch[i];
  }
  const auto known = geometries_.find(grid);
  if (known != geometries_.end()) return known->second;

  const std::vector<int32_t> order = TokenOrder(grid, config_.token_order, ToGrid(config_.tile));
  const RopeTables tables = MakeRopeTables(grid, order, RopeSplit(config_), config_.rope_theta);
  const auto tokens = static_cast<int64_t>(order.size());
  const Shape angles = {tokens, config_.head_dim() / 2};
  TokenGeometry geometry{grid, tokens, Tensor(), Rope()};
  if (config_.token_order != "raster") {
    geometry.order = Tensor::FromHost(context(), HostArray::From<int32_t>({tokens}, order));
  }
  geometry.rope.cos = Tensor::FromHost(context(), HostArray::From<float>(angles, tables.cos));
  geometry.rope.sin = Tensor::FromHost(context(), HostArray::From<float>(angles, tables.sin));
  return geometries_.emplace(grid, std::move(geometry)).first->second;
}

Tensor VideoDit::ToTokens(const Tensor& video, DType dtype) {
  const TokenGeometry& geometry = GeometryOf(video.shape());
  const int64_t batch = video.shape()[0];
  const Tensor tokens(context(), dtype, {batch, geometry.tokens, config_.patch_values()});
  PatchifyParams params{.video = video, .tokens = tokens, .order = geometry.order};
  for (size_t axis = 0; axis < 3; ++axis)
    params.patch[axis] = static_cast<int>(config_.patch[axis]);
  context().Run(params);
  return tokens.Reshape({batch * geometry.tokens, config_.patch_values()});
}

Tensor VideoDit::ToVideo(const Tensor& tokens, const Shape& shape) {
  const TokenGeometry& geometry = GeometryOf(shape);
  const Tensor video(context(), DType::kF32, shape);
  PatchifyParams params{
      .video = video,
      .tokens = tokens.Reshape({shape[0], geometry.tokens, config_.patch_values()}),
      .order = geometry.order,
      .inverse = true};
  for (size_t axis = 0; axis < 3; ++axis)
    params.patch[axis] = static_cast<int>(config_.patch[axis]);
  context().Run(params);
  return video;
}

// silu(time MLP + class embedding) (B, width): what every modulation is a linear function of.
Var VideoDit::Condition(Tape& tape, const Conditioning& conditioning) const {
  const Tensor features(context(), compute_dtype(),
                        {conditioning.t.shape()[0], config_.time_features});
  context().Run(TimeFeaturesParams{.t = conditioning.t, .out = features});
  const Var hidden = Linear(tape, tape.Constant(features), Of(tape, "time_embed.0.weight"),
                            Of(tape, "time_embed.0.bias"), Activation::kSilu);
  Var c = Linear(tape, hidden, Of(tape, "time_embed.2.weight"), Of(tape, "time_embed.2.bias"));
  if (config_.classes > 0) {
    SUFFICE_CHECK(!conditioning.labels.empty());
    c = Add(tape, c, Embed(tape, Of(tape, "class_embed.weight"), conditioning.labels));
  }
  return Silu(tape, c);
}

Var VideoDit::CrossAttention(Tape& tape, const std::string& name, const Var& x,
                             const Var& context_tokens, int64_t batch) const {
  const int64_t w = config_.width;
  const auto of = [&](const char* parameter) { return Of(tape, name + parameter); };
  const auto norm = [&](const char* parameter) { return config_.qk_norm ? of(parameter) : Var(); };
  const Var h = NormModulate(tape, x, of("norm.scale"), of("norm.shift"));
  const Var q = Linear(tape, h, of("q.weight"), of("q.bias"));
  const Var kv = Linear(tape, context_tokens, of("kv.weight"), of("kv.bias"));
  const std::vector<Var> k_v = tape.Split(kv, {w, w});
  const AttentionSettings dense;
  const QkHeads heads = QkNormRope(tape, q, k_v[0], norm("q_norm.weight"), norm("k_norm.weight"),
                                   {}, batch, config_.head_dim(), dense);
  return LinearGateResidual(tape, Attention(tape, heads, k_v[1], dense), of("out.weight"),
                            of("out.bias"), {}, x);
}

Var VideoDit::Block(Tape& tape, int64_t layer, const Var& x, const Var& c,
                    const Var& context_tokens, const TokenGeometry& geometry, int64_t batch,
                    const ForwardOptions& options) const {
  const int64_t w = config_.width;
  const std::string name = BlockName(layer);
  const auto of = [&](const char* parameter) { return Of(tape, name + parameter); };
  const auto norm = [&](const char* parameter) { return config_.qk_norm ? of(parameter) : Var(); };
  AttentionSettings settings;
  if (options.plan != nullptr && !options.plan->layers.empty()) {
    settings = options.plan->layers[static_cast<size_t>(layer)];
  }
  AttentionObserver observer;
  if (options.observer) {
    observer = [&](const AttentionTrace& trace) { options.observer(layer, trace); };
  }

  // shift, scale, gate of attention; shift, scale, gate of the MLP.
  const Var modulation =
      tape.WithFp32Gradient(Linear(tape, c, of("modulation.weight"), of("modulation.bias")));
  const std::vector<Var> m = tape.Split(modulation, std::vector<int64_t>(6, w));

  const Var h = NormModulate(tape, x, m[1], m[0]);
  const std::vector<Var> qkv =
      tape.Split(Linear(tape, h, of("attn.qkv.weight"), of("attn.qkv.bias")), {w, w, w});
  const QkHeads heads =
      QkNormRope(tape, qkv[0], qkv[1], norm("attn.q_norm.weight"), norm("attn.k_norm.weight"),
                 geometry.rope, batch, config_.head_dim(), settings);
  const Var o = Attention(tape, heads, qkv[2], settings, observer);
  Var y = LinearGateResidual(tape, o, of("attn.out.weight"), of("attn.out.bias"), m[2], x);
  if (options.inspector) options.inspector(name + "attn", y.value());
  if (config_.context_dim > 0) {
    y = CrossAttention(tape, name + "cross.", y, context_tokens, batch);
    if (options.inspector) options.inspector(name + "cross", y.value());
  }

  const Var h2 = NormModulate(tape, y, m[4], m[3]);
  const Var hidden = Linear(tape, h2, of("mlp.0.weight"), of("mlp.0.bias"), Activation::kGeluTanh);
  const Var out = LinearGateResidual(tape, hidden, of("mlp.2.weight"), of("mlp.2.bias"), m[5], y);
  if (options.inspector) options.inspector(name + "mlp", out.value());
  return out;
}

Var VideoDit::Forward(Tape& tape, const Tensor& tokens, const TokenGeometry& geometry,
                      const Conditioning& conditioning, const ForwardOptions& options) const {
  const Var velocity = Output(tape, Hidden(tape, tokens, geometry, conditioning, options));
  if (options.inspector) options.inspector("final", velocity.value());
  return velocity;
}

Var VideoDit::Output(Tape& tape, const Var& hidden) const {
  return Linear(tape, hidden, Of(tape, "final.weight"), Of(tape, "final.bias"), Activation::kNone,
                DType::kF32);
}

Var VideoDit::Hidden(Tape& tape, const Tensor& tokens, const TokenGeometry& geometry,
                     const Conditioning& conditioning, const ForwardOptions& options) const {
  const int64_t batch = conditioning.t.shape()[0];
  SUFFICE_CHECK(tokens.shape()[0] == batch * geometry.tokens);
  SUFFICE_CHECK(options.plan == nullptr || options.plan->layers.empty() ||
                static_cast<int64_t>(options.plan->layers.size()) == config_.depth);
  Var context_tokens;
  if (config_.context_dim > 0) {
    SUFFICE_CHECK(!conditioning.context.empty());
    const Tensor& given = conditioning.context;
    const Var rows = tape.Constant(given.Reshape({batch * given.shape()[1], config_.context_dim}));
    const Var hidden = Linear(tape, rows, Of(tape, "context_embed.0.weight"),
                              Of(tape, "context_embed.0.bias"), Activation::kGeluTanh);
    context_tokens =
        Linear(tape, hidden, Of(tape, "context_embed.2.weight"), Of(tape, "context_embed.2.bias"));
  }
  const Var c = Condition(tape, conditioning);
  Var x = Linear(tape, tape.Constant(tokens), Of(tape, "patch_embed.weight"),
                 Of(tape, "patch_embed.bias"));
  if (options.inspector) {
    options.inspector("time and class embedding", c.value());
    options.inspector("patch_embed", x.value());
  }
  for (int64_t layer = 0; layer < config_.depth; ++layer) {
    if (options.checkpoint && tape.recording()) {
      // By value: the block runs again when these locals are gone.
      x = tape.Checkpoint(
          [this, layer, x, c, context_tokens, geometry, batch, options,
           plan = options.plan == nullptr ? AttentionPlan() : *options.plan](Tape& inner) {
            ForwardOptions own = options;
            own.plan = &plan;
            return Block(inner, layer, x, c, context_tokens, geometry, batch, own);
          });
    } else {
      x = Block(tape, layer, x, c, context_tokens, geometry, batch, options);
    }
  }
  const int64_t w = config_.width;
  const Var modulation = tape.WithFp32Gradient(
      Linear(tape, c, Of(tape, "final.modulation.weight"), Of(tape, "final.modulation.bias")));
  const std::vector<Var> m = tape.Split(modulation, {w, w});
  return NormModulate(tape, x, m[1], m[0]);
}

Tensor VideoDit::Velocity(const Tensor& video, const Conditioning& conditioning,
                          const ForwardOptions& options) {
  Tape tape(context(), Tape::Mode::kInfer);
  const Tensor tokens = ToTokens(video, compute_dtype());
  const Var velocity = Forward(tape, tokens, GeometryOf(video.shape()), conditioning, options);
  return ToVideo(velocity.value(), video.shape());
}

VideoDit::Flops VideoDit::ForwardFlops(const Shape& video) {
  const auto tokens = static_cast<double>(GeometryOf(video).tokens);
  const auto w = static_cast<double>(config_.width), depth = static_cast<double>(config_.depth);
  const double per_token =
      depth * (4.0 * w * w + 2.0 * w * static_cast<double>(MlpWidth(config_))) +
      2.0 * w * static_cast<double>(config_.patch_values());
  return {2.0 * tokens * per_token, 4.0 * depth * w * tokens * tokens};
}

}  // namespace suffice
