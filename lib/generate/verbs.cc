// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/verbs.h"

namespace suffice::generate {

using enum ArgumentKind;

void Visit(Fields& f, SourceConfig& c) {
  f("file", c.file, "which of the files given, by its last part");
  f("label", c.label, "class; none: the file's name up to its first dot");
  f("start_seconds", c.start_seconds, "what comes before is skipped").Range(0, 1e6).Unit("seconds");
  f("stride", c.stride, "every so many frames; 0: as for all").Range(0, 1000);
  f("max_frames", c.max_frames, "at most so many; 0: all").Range(0, 1e7);
  f("crop", c.crop, "x, y, width, height of the part that is used, in pixels").Range(0, 16384);
  f("split", c.split, "which splits it is for").OneOf({"both", "train", "held_out"});
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
  f.List("sources", c.sources, "what differs for single files");
}

std::vector<Verb> Verbs() {
  VerbInfo import{.tool = "generate",
                  .name = "import",
                  .summary = "bring videos or pictures in as a dataset of clips"};
  import.description =
      "Each file becomes one source with a class. Within a source the splits are by contiguous "
      "time, with a\n"
      "gap of one clip between them; split: train or held_out gives a whole source to one of them. "
      "Videos\n"
      "(also .gz) are read through ffmpeg; a folder of PNG files is a video without it.";
  import.arguments = {
      {"sources", "", kInput, true, true, "videos, pictures or folders of pictures"},
      { "output",
        "-o,--output",
        kOutput,
        true,
        false,
        "dataset file" }};
  import.examples = {
      { "generate import box.mp4 cup.mp4 tree.avi -c clips.yaml -o clips.h5",
        "three videos, three classes" }};
  return {MakeVerb(std::move(import), &Import)};
}

}  // namespace suffice::generate
