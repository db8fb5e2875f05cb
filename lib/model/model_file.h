// SPDX-License-Identifier: Apache-2.0
// Model files: weights, architecture and, of a sparse model, its contract.
//
// Encoding type model:
//   /params/NAME        one dataset a parameter, f32 or bf16, mapped; NAME as lib/model names it
//   /architecture       attribute yaml: the architecture; resolution: frames, height, width of its
//   clips /contract           attribute yaml: what its attention was trained for
//   (lib/policy/setting.h); absent
//                       from a dense model
//   /classes            strings, the names of the class labels; absent without classes
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/io/tensor_file.h"
#include "lib/model/video_dit.h"
#include "lib/policy/setting.h"

namespace suffice {

struct ModelInfo {
  VideoDitConfig architecture;
  std::vector<int64_t> resolution;  // frames, height, width
  std::vector<std::string> classes;
  std::optional<Contract> contract;

  Shape ClipShape(int64_t batch) const {
    return {batch, architecture.in_channels, resolution[0], resolution[1], resolution[2]};
  }
  BlockSize block() const { return contract ? contract->block() : BlockSize{}; }
};

// Checks everything but the weights' values. Throws kData.
ModelInfo ReadModelInfo(const TensorReader& reader);

// What /architecture says, of a file of any kind: no classes, no contract. Throws kData.
ModelInfo ReadArchitecture(const TensorReader& reader);

// The model with its weights, for compute in bf16 or fp32.
std::unique_ptr<VideoDit> LoadModel(Context& context, const TensorReader& reader,
                                    const ModelInfo& info, DType compute);

// `weights` as fp32; stored as `stored` (bf16 by the project's rounding, or fp32).
void WriteModel(TensorWriter* writer, const ModelInfo& info, const std::vector<NamedArray>& weights,
                DType stored);
std::vector<NamedArray> ReadWeights(const TensorReader& reader);  // as stored

}  // namespace suffice
