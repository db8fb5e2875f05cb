// SPDX-License-Identifier: Apache-2.0
// Classifier files. The layout below is also suffice-tensor(5), in the same words.
//
// CLASSIFIER FILES have the encoding-type classifier, so that whoever wants a model refuses one by
// its name.
//   /params/NAME    one dataset a parameter, f32, mapped
//   /architecture   attribute yaml: the architecture of its blocks, as that of a model without
//                   classes; attribute resolution: frames, height, width of its clips
//   /classes        strings, the names of the classes
//   /accuracy       attributes draws and correct: how many held-out clips it was measured on and
//                   how many of them it gave their class; attribute population: in words, what
//                   they were drawn from
#pragma once

#include <memory>

#include "lib/model/model_file.h"
#include "lib/model/video_classifier.h"

namespace suffice {

// Checks everything but the weights' values. Throws kData.
ClassifierInfo ReadClassifierInfo(const TensorReader& reader);
std::unique_ptr<VideoClassifier> LoadClassifier(Context& context, const TensorReader& reader,
                                                const ClassifierInfo& info, DType compute);
void WriteClassifier(TensorWriter* writer, const ClassifierInfo& info,
                     const std::vector<NamedArray>& weights);

}  // namespace suffice
