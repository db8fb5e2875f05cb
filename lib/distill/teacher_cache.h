// SPDX-License-Identifier: Apache-2.0
// A teacher's velocities in a folder, made once and followed by many students. The folder holds
// files velocities-NNNNNN.h5 of encoding type velocities:
//   /velocity   (S, N, V) f32: of samples first-sample, first-sample + 1, ... of a run; N tokens in
//               the student's order, V values of a patch
//   /t          (S) f32
//   /labels     (S) i32, the null label where it was drawn; absent without classes
//   attribute of "/": first-sample
// What x_t, t and label of a sample are follows from the seed and the numbers that the file's
// config states: the recipe. A run with another recipe is refused; a student that differs in its
// rule, settings, loss weights, learning rate or length follows the same files, and gets the bits
// that the teacher itself would give it.
//
// Files appear whole, and a longer one replaces a shorter one, so that runs that are killed,
// resumed or run at the same time only ever add.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/io/tensor_file.h"
#include "lib/model/teacher.h"

namespace suffice::distill {

// Everything that decides a sample's x_t, t, condition and velocity, as key and value.
using TeacherRecipe = std::vector<std::pair<std::string, std::string>>;

class CachedTeacher : public Teacher {
 public:
  // Reads from `folder` what is there and asks `teacher` for the rest. `header` has inputs, seed
  // and backend of the run. Throws kUsage if the folder holds another recipe's files, kData for
  // damage.
  CachedTeacher(std::string folder, TeacherRecipe recipe, FileHeader header,
                std::unique_ptr<Teacher> teacher, Shape sample_shape);
  ~CachedTeacher() override;

  Tensor Velocity(uint64_t first_sample, const Tensor& tokens, const TokenGeometry& geometry,
                  const Conditioning& conditioning) override;

  // Samples from 0 on that are there without a gap.
  int64_t Known() const;
  // Writes what has been added since the last time: before a checkpoint, and at the end.
  void Flush();

 private:
  struct Part;
  std::string PathOf(int64_t part) const;
  std::optional<TensorReader> Open(int64_t part) const;
  Part& PartOf(uint64_t sample);
  void Keep(uint64_t sample, const HostArray& velocity, int64_t row, float t, int32_t label);

  std::string folder_;
  FileHeader header_;
  std::unique_ptr<Teacher> teacher_;
  Shape sample_;          // (N, V)
  int64_t part_samples_;  // of a whole file
  bool labels_ = false;
  std::unique_ptr<Part> part_;  // the one in use
};

}  // namespace suffice::distill
