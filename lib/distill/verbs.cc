// SPDX-License-Identifier: Apache-2.0
#include "lib/distill/verbs.h"

#include "lib/model/model_config.h"

namespace suffice::distill {

using enum ArgumentKind;

void Visit(Fields& f, PretrainConfig& c) {
  f("frames", c.frames, "frames of a clip").Range(1, 4096);
  f("height", c.height, "rows of a clip").Range(1, 8192).Unit("pixels");
  f("width", c.width, "columns of a clip").Range(1, 8192).Unit("pixels");
  f.Group("model", c.model, "the architecture; with --init that of the file");
  f.Group("train", c.train, "the training");
}

void Visit(Fields& f, SparseConfig& c) {
  f("loss", c.loss,
    "velocity: |u_student - u_teacher|^2 and nothing else; diffusion: flow matching on data")
      .OneOf({"velocity", "diffusion"})
      .Flag("loss");
  f("setting", c.setting, "setting of the contract to train for; none: its first").Flag("setting");
  f.Group("train", c.train, "the training");
}

void Visit(Fields& f, MergeConfig& c) {
  f("scale", c.scale, "of the difference").Range(-100, 100).Flag("scale");
  f("stored", c.stored, "type of the weights in the output").OneOf({"bf16", "f32"});
}

void Visit(Fields& f, ClassifierModelConfig& c) {
  f("patch", c.patch, "frames, rows and columns of a patch").Range(1, 64);
  f("width", c.width, "features of a token, and of a clip").Range(2, 16384);
  f("depth", c.depth, "blocks").Range(1, 256);
  f("heads", c.heads, "attention heads").Range(1, 256);
  f("mlp_ratio", c.mlp_ratio, "hidden features of the MLP over width").Range(0.25, 16);
}

void Visit(Fields& f, ClassifierTrainConfig& c) {
  f("steps", c.steps, "optimiser steps").Range(0, 1e9).Flag("steps");
  f("batch", c.batch, "clips a step").Range(1, 65536).Flag("batch");
  f("micro_batch", c.micro_batch, "clips in memory at a time; divides batch").Range(1, 65536);
  f("flips", c.flips, "mirror half of the clips");
  f("compute", c.compute, "type of activations and weights; masters are f32")
      .OneOf({"bf16", "f32"});
  f("held_out_draws", c.held_out_draws, "held-out clips that the accuracy is measured on")
      .Range(1, 1e6);
  f.Group("optimizer", c.optimizer, "AdamW");
}

void Visit(Fields& f, ClassifyConfig& c) {
  f("frames", c.frames, "frames of a clip").Range(1, 4096);
  f("height", c.height, "rows of a clip").Range(1, 8192).Unit("pixels");
  f("width", c.width, "columns of a clip").Range(1, 8192).Unit("pixels");
  f.Group("model", c.model, "the blocks");
  f.Group("train", c.train, "the training");
}

namespace {

const Argument kCurve =
    Streamed({"curve", "--curve", kOutput, false, false, "loss curve as TSV; - is stdout"});

VerbInfo ClassifyInfo() {
  VerbInfo info{.tool = "distill",
                .name = "classify",
                .summary = "train a classifier of clips, in whose features samples are compared"};
  info.description =
      "A small transformer; every token predicts the class of its clip by least squares, a clip's "
      "prediction is\n"
      "the mean over its tokens. Reports the accuracy on independent held-out draws with an exact "
      "95 % interval.\n"
      "generate compare --features reads the file.";
  info.arguments = {
      {"data", "--data", kInput, true, true, "dataset of generate import; may be repeated"},
      kCurve,
      {"output", "-o,--output", kOutput, true, false, "classifier file"}};
  info.examples = {
      {"distill classify -c classifier.yaml --data clips.h5 -o classifier.h5", "from one dataset"},
      {"distill classify -c classifier.yaml --data clips.h5 --steps 200 --curve curve.tsv -o "
       "classifier.h5",
       "shorter, with its loss curve"}};
  info.resumable = info.large_state = info.uses_backend = info.uses_seed = true;
  return info;
}

}  // namespace

std::vector<Verb> Verbs() {
  VerbInfo pretrain{.tool = "distill",
                    .name = "pretrain",
                    .summary = "train a dense model on clips by flow matching"};
  pretrain.description =
      "Rectified flow: x_t = (1 - t) x_0 + t noise, target noise - x_0. Reports the loss on "
      "held-out draws\n"
      "with a 95 % interval. SIGTERM and SIGUSR1 write OUTPUT.checkpoint; --resume goes on "
      "bit-exactly.";
  pretrain.arguments = {
      {"data", "--data", kInput, true, true,
       "dataset of generate import, or samples; FILE:W gives its weight", "train.mix.weights"},
      {"init", "--init", kInput, false, false, "go on from this dense model"},
      kCurve,
      {"output", "-o,--output", kOutput, true, false, "model file"}};
  pretrain.examples = {
      {"distill pretrain -c model.yaml --data clips.h5 -o dense.h5", "from scratch"},
      {"distill pretrain -c model.yaml --init shipped.h5 --data clips.h5 -o dense.h5",
       "go on from a model"},
      {"distill pretrain -c model.yaml --data clips.h5:0.8 --data samples.h5:0.2 -o dense.h5",
       "a fifth of the samples from a model's own"}};
  pretrain.resumable = pretrain.large_state = pretrain.uses_backend = pretrain.uses_seed = true;

  VerbInfo sparse{.tool = "distill",
                  .name = "sparse",
                  .summary = "train a sparse student to follow its dense teacher"};
  sparse.description =
      "Velocity distillation (SpargeAttention2, arXiv 2602.13515): the only loss is |u_sparse - "
      "u_dense|^2 at\n"
      "the same x_t, t and condition. Reports e = sum|u_s - u_d|^2 / sum|u_d|^2 on held-out draws "
      "before and\n"
      "after, and the paired gain, with 95 % intervals.";
  sparse.arguments = {
      {"model", "", kInput, true, false, "sparse model to train, with a contract"},
      {"teacher", "--teacher", kInput, true, false, "its dense teacher"},
      {"data", "--data", kInput, true, true,
       "dataset of generate import, or samples; FILE:W gives its weight", "train.mix.weights"},
      {"selection", "--selection", kInput, false, false,
       "take the setting that a selection names for this model"},
      {"cache-teacher", "--cache-teacher", kFolder, false, false,
       "folder of the teacher's velocities: made once, followed by many students"},
      kCurve,
      {"output", "-o,--output", kOutput, true, false, "model file"}};
  sparse.examples = {{"distill sparse sparse0.h5 --teacher dense.h5 --data clips.h5 -c sparse.yaml "
                      "-o sparse.h5",
                      "the contract's first setting"},
                     {"distill sparse sparse0.h5 --teacher dense.h5 --data clips.h5 -c sparse.yaml "
                      "--cache-teacher velocities -o sparse.h5",
                      "the teacher runs once for many students"}};
  sparse.resumable = sparse.large_state = sparse.uses_backend = sparse.uses_seed = true;

  VerbInfo merge{
      .tool = "distill", .name = "merge", .summary = "weights + scale (weights_b - weights_a)"};
  merge.description =
      "In fp32, rounded once. The architecture and the contract are those of the first model.";
  merge.arguments = {{"model", "", kInput, true, false, "weights to add to"},
                     {"from", "--from", kInput, true, false, "weights_a"},
                     {"to", "--to", kInput, true, false, "weights_b"},
                     {"output", "-o,--output", kOutput, true, false, "model file"}};
  merge.examples = {
      {"distill merge dense.h5 --from sparse0.h5 --to sparse.h5 --scale 0.5 -o half.h5",
       "half of what training changed"}};
  return {MakeVerb(std::move(pretrain), &Pretrain), MakeVerb(std::move(sparse), &Sparse),
          MakeVerb(std::move(merge), &Merge), MakeVerb(ClassifyInfo(), &Classify)};
}

}  // namespace suffice::distill
