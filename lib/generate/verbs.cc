// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/verbs.h"

namespace suffice::generate {

using enum ArgumentKind;

void Visit(Fields& f, MotionConfig& c) {
  f("frames", c.frames, "frames of a path; 0: no motion").Range(0, 4096);
  f("from", c.from, "x, y, width, height of the first window, in pixels").Range(0, 16384);
  f("to", c.to, "x, y, width, height of the last window, in pixels").Range(0, 16384);
  f("paths", c.paths, "random paths instead, each a source").Range(0, 10000);
  f("scale", c.scale, "of random windows: least and greatest part of the largest one that fits")
      .Range(0, 1);
  f("seed", c.seed, "of random paths, which differ from file to file").Range(0, 1e15);
}

void Visit(Fields& f, SourceConfig& c) {
  f("file", c.file, "which of the files given, by its last part");
  f("label", c.label, "class; none: the file's name up to its first dot");
  f("start_seconds", c.start_seconds, "what comes before is skipped").Range(0, 1e6).Unit("seconds");
  f("stride", c.stride, "every so many frames; 0: as for all").Range(0, 1000);
  f("max_frames", c.max_frames, "at most so many; 0: all").Range(0, 1e7);
  f("crop", c.crop, "x, y, width, height of the part that is used, in pixels").Range(0, 16384);
  f("split", c.split, "which splits it is for").OneOf({"both", "train", "held_out"});
  f.Group("motion", c.motion, "a window that moves over one photograph");
}

void Visit(Fields& f, ImportConfig& c) {
  f("clip_frames", c.clip_frames, "frames of a clip: the gap between the splits")
      .Range(1, 4096)
      .Flag("clip-frames");
  f("width", c.width, "columns of a frame").Range(1, 8192).Unit("pixels").Flag("width");
  f("height", c.height, "rows of a frame").Range(1, 8192).Unit("pixels").Flag("height");
  f("fps", c.fps, "resample to this rate; 0: every frame").Range(0, 1000);
  f("stride", c.stride, "every so many frames").Range(1, 1000).Flag("stride");
  f("held_out", c.held_out, "fraction at the end of each source that is held out").Range(0, 0.9);
  f("classes", c.classes,
    "names of the classes in the order of a model's; none: as the labels appear");
  f.List("sources", c.sources, "what differs for single files; each entry of a file is a source");
  f("as", c.tensors_as, "type of tensors from .safetensors and .npy files")
      .OneOf({"keep", "f32", "bf16"})
      .Flag("as");
  f("grid", c.grid, "their tokens in raster order: frames, rows, columns; none: not said")
      .Range(1, 1e6);
}

void Visit(Fields& f, CaptureConfig& c) {
  f("draws", c.draws, "held-out draws").Range(1, 1e6).Flag("draws");
  f("times", c.times, "times of the flow at which each draw is run; 1 is noise").Range(0, 1);
  f("layers", c.layers, "which layers; none: all").Range(0, 1e6);
  f("heads", c.heads, "which heads; none: all").Range(0, 1e6);
  f("setting", c.setting, "setting of the contract to run; none: its first").Flag("setting");
  f("compute", c.compute, "type of activations, and of q, k, v").OneOf({"bf16", "f32"});
}

void Visit(Fields& f, EvaluateConfig& c) {
  f("units", c.units, "held-out units").Range(1, 1e7).Flag("units");
  f("epsilon", c.epsilon, "error above which a unit counts as a failure")
      .Range(0, 1)
      .Flag("epsilon");
  f("compute", c.compute, "type of activations and weights").OneOf({"bf16", "f32"});
  f.List("settings", c.settings, "what is run; none: the settings of the model's contract");
}

void Visit(Fields& f, SampleConfig& c) {
  f("steps", c.steps, "steps from noise to data").Range(1, 100000).Flag("steps");
  f("solver", c.solver, "how to integrate; heun takes two passes a step")
      .OneOf({"euler", "heun"})
      .Flag("solver");
  f("shift", c.shift, "above 1 takes more of the steps near noise").Range(1e-3, 1e3);
  f("guidance", c.guidance, "scale of classifier-free guidance; other than 1: two passes")
      .Range(0, 100)
      .Flag("guidance");
  f("class", c.classes, "names or numbers of classes between commas, in turn; none: all")
      .Flag("class");
  f("count", c.count, "how many samples; 0: one of each class").Range(0, 1e6).Flag("count");
  f("batch", c.batch, "samples in memory at a time").Range(1, 65536).Flag("batch");
  f("setting", c.setting, "setting of the contract to run; none: its first").Flag("setting");
  f("frames", c.frames, "frames of a sample; 0: the model's").Range(0, 4096);
  f("height", c.height, "rows; 0: the model's").Range(0, 8192).Unit("pixels");
  f("width", c.width, "columns; 0: the model's").Range(0, 8192).Unit("pixels");
  f("fps", c.fps, "frames per second, for those who show them").Range(0.01, 1000);
  f("save_trajectory", c.save_trajectory, "keep x after every step").Flag("save-trajectory");
  f("compute", c.compute, "type of activations and weights").OneOf({"bf16", "f32"});
  f("stored", c.stored, "type of the output").OneOf({"bf16", "f32"});
}

void Visit(Fields& f, ExportConfig& c) {
  f("dataset", c.dataset, "path of the dataset that becomes an .npy").Flag("dataset");
  f("videos", c.videos, "which videos, by number from 0; none: all").Range(0, 1e6);
  f("columns", c.columns, "frames of each video on a contact sheet; 0: all")
      .Range(0, 4096)
      .Flag("columns");
  f("fps", c.fps, "frames per second; 0: what the file says").Range(0, 1000).Flag("fps");
  f("crf", c.crf, "rate factor of an mp4: 0 is lossless, 51 worst").Range(0, 51);
}

void Visit(Fields& f, CompareConfig& c) {
  f("draws", c.draws, "clips drawn from a reference dataset; 0: as many as the samples")
      .Range(0, 1e6)
      .Flag("draws");
  f("split", c.split, "which part of a reference dataset")
      .OneOf({"held_out", "train"})
      .Flag("split");
  f("flips", c.flips, "mirror half of a dataset's clips, as in training");
  f("directions", c.directions, "random directions of the sliced Wasserstein distances")
      .Range(1, 1e5);
  f("resamples", c.resamples, "of the bootstrap").Range(20, 1e6);
  f("batch", c.batch, "clips in memory at a time").Range(1, 65536);
  f("compute", c.compute, "type of the classifier's activations and weights")
      .OneOf({"bf16", "f32"});
}

namespace {

const Argument kData{"data", "--data", kInput, true, false, "dataset of generate import"};

VerbInfo ImportInfo() {
  VerbInfo info{.tool = "generate",
                .name = "import",
                .summary = "bring videos in as a dataset of clips, or tensors as a tensor file"};
  info.description =
      "Each file becomes one source with a class. Within a source the splits are by contiguous "
      "time, with a\n"
      "gap of one clip between them; split: train or held_out gives a whole source to one of them. "
      "Videos\n"
      "(also .gz) are read through ffmpeg; a folder of PNG files is a video without it. A "
      "photograph "
      "becomes clips\n"
      "by a window that moves over it (sources[].motion) and is held out as a whole or not at "
      "all.\n"
      "\n"
      ".safetensors and .npy files become one tensor file with every tensor under its name, so "
      "that "
      "sparsify reads\n"
      "/q, /k and /v of q.npy, k.npy and v.npy.";
  info.arguments = {
      {"sources", "", kInput, true, true, "videos, pictures, folders of pictures; or tensors"},
      {"output", "-o,--output", kOutput, true, false, "dataset or tensor file"}};
  info.examples = {
      {"generate import box.mp4 cup.mp4 tree.avi -c clips.yaml -o clips.h5",
       "three videos, three classes"},
      {"generate import q.npy k.npy v.npy --as bf16 -o qkv.h5", "tensors of another program"}};
  info.resumable = true;
  return info;
}

VerbInfo CaptureInfo() {
  VerbInfo info{.tool = "generate",
                .name = "capture",
                .summary = "q, k, v of a model at held-out clips, as its attention sees them"};
  info.description =
      "After normalisation and rotation, layer by layer; sparsify attend and sweep read the file. "
      "A dense\n"
      "model runs dense, a sparse one by a setting of its contract or the one that a selection "
      "names.";
  info.arguments = {{"model", "", kInput, true, false, "model file"},
                    kData,
                    {"selection", "--selection", kInput, false, false,
                     "take the setting that a selection names for this model"},
                    {"output", "-o,--output", kOutput, true, false, "capture file"}};
  info.examples = {
      {"generate capture dense.h5 --data clips.h5 -o qkv.h5", "two draws at three times"},
      {"generate capture dense.h5 --data clips.h5 --set layers=[0,5] --draws 8 -o qkv.h5",
       "the first and the last of six layers"}};
  info.resumable = info.uses_backend = info.uses_seed = info.shards = true;
  return info;
}

VerbInfo EvaluateInfo() {
  VerbInfo info{.tool = "generate",
                .name = "evaluate",
                .summary = "measure settings of a model against its dense reference"};
  info.description =
      "Every setting runs at the same held-out draws. Losses are error = min(1, |u - u_dense|^2 / "
      "|u_dense|^2)\n"
      "and failure = 1 where error exceeds epsilon. --grid is a config file like those of -c, read "
      "after them;\n"
      "its key settings lists what is run, any setting at all. Cost is GFLOP of the forward pass: "
      "linears and\n"
      "4 D x kept (query, key) pairs. Stops and resumes between units.";
  info.arguments = {{"model", "", kInput, true, false, "model file"},
                    {"reference", "--reference", kInput, true, false, "its dense model"},
                    kData,
                    {"grid", "--grid", kConfig, false, false, "config file with settings"},
                    {"output", "-o,--output", kOutput, true, false, "runs file"}};
  info.examples = {
      {"generate evaluate sparse.h5 --reference dense.h5 --data clips.h5 --grid grid.yaml -o "
       "runs.h5",
       "the settings of grid.yaml"},
      {"generate evaluate sparse.h5 --reference dense.h5 --data clips.h5 -o runs.h5",
       "the settings of its contract"}};
  info.resumable = info.uses_backend = info.uses_seed = info.shards = true;
  return info;
}

VerbInfo SampleInfo() {
  VerbInfo info{
      .tool = "generate",
      .name = "sample",
      .summary = "make clips with a model, by a setting that it was trained or selected for"};
  info.description =
      "With --selection the ladder's first rung is run: its file, by content digest, must be MODEL "
      "or one of\n"
      "--fallback. Without, the first setting of the model's contract, or --setting. What is "
      "outside the contract\n"
      "is refused. Stops and resumes between steps, bit-exactly.";
  info.arguments = {
      {"model", "", kInput, true, false, "model file"},
      {"fallback", "--fallback", kInput, false, true, "file of another rung; may be repeated"},
      {"selection", "--selection", kInput, false, false, "selection of calibrate select"},
      {"classes", "--classes-from", kInput, false, false,
       "text file with a class a line, by name or number: one sample each, in turn"},
      {"output", "-o,--output", kOutput, true, false, "samples file"}};
  info.examples = {
      {"generate sample sparse.h5 --fallback dense.h5 --selection selection.yaml --seed 7 -o "
       "sample.h5",
       "by the first rung of a selection, one clip of each class"},
      {"generate sample dense.h5 --class box,cup --count 8 --solver heun --steps 12 -o sample.h5",
       "four of each of two classes"},
      {"generate sample dense.h5 --classes-from classes.txt --shard 0/2 -o sample-0.h5",
       "the first half of a list of classes, as one task of a batch job"}};
  info.resumable = info.uses_backend = info.uses_seed = info.shards = true;
  return info;
}

VerbInfo MergeInfo() {
  VerbInfo info{.tool = "generate",
                .name = "merge",
                .summary = "the shards of a run of sample, evaluate or capture as one file"};
  info.description =
      "All shards, in any order, make the file of the run without --shard, with the same content "
      "digest; of\n"
      "runs the measured seconds differ. One that is missing, given twice or of another run is "
      "refused.";
  info.arguments = {{"shards", "", kInput, true, true, "samples, runs or captures of shards"},
                    {"output", "-o,--output", kOutput, true, false, "file of all of them"}};
  info.examples = {{"generate merge sample-0.h5 sample-1.h5 -o sample.h5",
                    "what two tasks of a batch job have made"}};
  info.has_config = false;
  return info;
}

VerbInfo CompareInfo() {
  VerbInfo info{.tool = "generate",
                .name = "compare",
                .summary = "how far samples are from a reference: distances, flicker, PSNR"};
  info.description =
      "The reference is another samples file or a dataset, of which clips are drawn. Reports, each "
      "with a 95 %\n"
      "interval over clips: Frechet distance and sliced Wasserstein distance in the features of a "
      "classifier\n"
      "(--features), the latter also in patches; the same between two sets of the reference, as a "
      "floor; how\n"
      "often the classifier gives a sample its own label; temporal flicker; against samples of the "
      "same seed and\n"
      "labels PSNR and relative L1. What cannot be reported says why. OUTPUT is .tsv, .json or - "
      "(TSV to stdout).";
  info.arguments = {
      {"samples", "", kInput, true, false, "samples file"},
      {"reference", "--reference", kInput, true, false, "samples file, or a dataset of clips"},
      {"features", "--features", kInput, false, false, "classifier of distill classify"},
      Streamed({"output", "-o,--output", kOutput, true, false, "table of scores"})};
  info.examples = {
      {"generate compare sample.h5 --reference clips.h5 --features classifier.h5 -o scores.json",
       "against real clips"},
      {"generate compare sample.h5 --reference dense-sample.h5 -o scores.tsv",
       "against the dense model's samples of the same seed"}};
  info.resumable = info.uses_backend = info.uses_seed = true;
  return info;
}

VerbInfo ExportInfo() {
  VerbInfo info{.tool = "generate",
                .name = "export",
                .summary = "take videos, weights or arrays out of a file"};
  info.description =
      "The ending of OUTPUT says as what. Of samples and datasets: .png a contact sheet with a row "
      "for each\n"
      "video; .mp4, .y4m, - (y4m to stdout) or a folder of PNG files, all videos at once in a "
      "grid. "
      "Of any file:\n"
      ".safetensors every tensor; .npy the one that --dataset names, bf16 as f32.";
  info.arguments = {{"file", "", kInput, true, false, "tensor file"},
                    Streamed({"output", "-o,--output", kOutput, true, false, "what is made"})};
  info.examples = {{"generate export sample.h5 -o sample.mp4", "a video"},
                   {"generate export sample.h5 -o - | ffplay -", "to a player"},
                   {"generate export dense.h5 -o dense.safetensors", "weights for other programs"},
                   {"generate export qkv.h5 --dataset /layers/0/q -o q.npy", "one array"}};
  return info;
}

VerbInfo InspectInfo() {
  VerbInfo info{.tool = "generate",
                .name = "inspect",
                .summary = "what a file says of itself, its tensors and their digests"};
  info.description =
      "Reads the whole file, a tensor file, .safetensors or .npy: every checksum is judged.";
  info.arguments = {{"file", "", kInput, true, false, "file"}};
  info.examples = {{"generate inspect sparse.h5", "a model with its contract"},
                   {"generate inspect qkv.h5 --json", "for scripts"}};
  info.has_config = false;
  return info;
}

}  // namespace

std::vector<Verb> Verbs() {
  return {MakeVerb(SampleInfo(), &Sample),   MakeVerb(EvaluateInfo(), &Evaluate),
          MakeVerb(CaptureInfo(), &Capture), MakeVerb(MergeInfo(), &Merge),
          MakeVerb(CompareInfo(), &Compare), MakeVerb(ImportInfo(), &Import),
          MakeVerb(ExportInfo(), &Export),   MakeVerb(InspectInfo(), &InspectFile)};
}

}  // namespace suffice::generate
