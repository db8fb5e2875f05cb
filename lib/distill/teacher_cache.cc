// SPDX-License-Identifier: Apache-2.0
#include "lib/distill/teacher_cache.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "lib/base/error.h"

namespace suffice::distill {
namespace {

constexpr int64_t kPartBytes = int64_t{64} << 20;
constexpr int64_t kMostSamples = 4096;

// The first line in which two recipes differ.
Error OtherRecipe(const std::string& path, const std::string& theirs, const std::string& ours) {
  std::istringstream a(theirs), b(ours);
  std::string x, y;
  while (std::getline(a, x) && std::getline(b, y) && x == y) continue;
  return UsageError("{}: made for '{}', this run wants '{}'; another folder is needed", path, x, y);
}

}  // namespace

// Rows [0, count) of samples [first, first + part_samples_) are there; `written` of them in a file.
struct CachedTeacher::Part {
  int64_t index = 0, count = 0, written = 0;
  HostArray velocity, t, labels;
};

CachedTeacher::CachedTeacher(std::string folder, TeacherRecipe recipe, FileHeader header,
                             std::unique_ptr<Teacher> teacher, Shape sample_shape)
    : folder_(std::move(folder)),
      header_(std::move(header)),
      teacher_(std::move(teacher)),
      sample_(sample_shape) {
  const auto bytes = static_cast<int64_t>(sizeof(float)) * sample_.elements();
  part_samples_ = std::clamp<int64_t>(kPartBytes / bytes, 1, kMostSamples);
  header_.encoding_type = EncodingType::kVelocities;
  recipe.emplace_back("samples of a file", fmt::format("{}", part_samples_));
  for (const auto& [key, value] : recipe) header_.config += fmt::format("{}: {}\n", key, value);
  Open(0);  // another recipe's files show at once
}

CachedTeacher::~CachedTeacher() = default;

std::string CachedTeacher::PathOf(int64_t part) const {
  return fmt::format("{}/velocities-{:06}.h5", folder_, part);
}

std::optional<TensorReader> CachedTeacher::Open(int64_t part) const {
  const std::string path = PathOf(part);
  if (!std::filesystem::exists(path)) return std::nullopt;
  TensorReader reader(path, EncodingType::kVelocities);
  const FileHeader& found = reader.header();
  if (found.config != header_.config) throw OtherRecipe(path, found.config, header_.config);
  const Shape& shape = reader.Require("/velocity", DType::kF32, {-1, sample_[0], sample_[1]}).shape;
  reader.Require("/t", DType::kF32, {shape[0]});
  if (reader.Has("/labels")) reader.Require("/labels", DType::kI32, {shape[0]});
  if (shape[0] < 1 || shape[0] > part_samples_ ||
      reader.IntAttribute("/", "first-sample") != part * part_samples_) {
    throw DataError("{}: not samples {} on", path, part * part_samples_);
  }
  return reader;
}

int64_t CachedTeacher::Known() const {
  for (int64_t part = 0;; ++part) {
    const std::optional<TensorReader> reader = Open(part);
    const int64_t rows = reader ? reader->Info("/velocity").shape[0] : 0;
    if (rows < part_samples_) return part * part_samples_ + rows;
  }
}

CachedTeacher::Part& CachedTeacher::PartOf(uint64_t sample) {
  const int64_t index = static_cast<int64_t>(sample) / part_samples_;
  if (part_ && part_->index == index) return *part_;
  Flush();
  part_ = std::make_unique<Part>();
  part_->index = index;
  part_->velocity = HostArray(DType::kF32, {part_samples_, sample_[0], sample_[1]});
  part_->t = HostArray(DType::kF32, {part_samples_});
  part_->labels = HostArray(DType::kI32, {part_samples_});
  if (const std::optional<TensorReader> reader = Open(index)) {
    const auto fill = [&](const char* name, HostArray* to) {
      const HostArray from = reader->Read(name);
      std::copy_n(from.data(), from.bytes(), to->data());
    };
    fill("/velocity", &part_->velocity);
    fill("/t", &part_->t);
    if (reader->Has("/labels")) fill("/labels", &part_->labels);
    part_->count = part_->written = reader->Info("/velocity").shape[0];
  }
  return *part_;
}

// A sample that does not follow the last one known is not kept: files have no gaps.
void CachedTeacher::Keep(uint64_t sample, const HostArray& velocity, int64_t row, float t,
                         int32_t label) {
  Part& part = PartOf(sample);
  const int64_t at = static_cast<int64_t>(sample) - part.index * part_samples_;
  if (at != part.count) return;
  const auto n = static_cast<size_t>(sample_.elements());
  std::copy_n(velocity.values<float>().data() + static_cast<size_t>(row) * n, n,
              part.velocity.values<float>().data() + static_cast<size_t>(at) * n);
  part.t.values<float>()[static_cast<size_t>(at)] = t;
  part.labels.values<int32_t>()[static_cast<size_t>(at)] = label;
  if (++part.count == part_samples_) Flush();
}

Tensor CachedTeacher::Velocity(uint64_t first_sample, const Tensor& tokens,
                               const TokenGeometry& geometry, const Conditioning& conditioning) {
  const int64_t count = conditioning.t.shape()[0];
  const auto n = static_cast<size_t>(sample_.elements());
  HostArray values(DType::kF32, {count * sample_[0], sample_[1]});
  bool all = true;
  for (int64_t b = 0; all && b < count; ++b) {
    const uint64_t sample = first_sample + static_cast<uint64_t>(b);
    const Part& part = PartOf(sample);
    const int64_t at = static_cast<int64_t>(sample) - part.index * part_samples_;
    all = at < part.count;
    if (!all) break;
    std::copy_n(part.velocity.values<float>().data() + static_cast<size_t>(at) * n, n,
                values.values<float>().data() + static_cast<size_t>(b) * n);
  }
  if (all) return Tensor::FromHost(tokens.context(), values);

  const Tensor velocity = teacher_->Velocity(first_sample, tokens, geometry, conditioning);
  values = velocity.ToHost();
  const HostArray t = conditioning.t.ToHost();
  labels_ = !conditioning.labels.empty();
  const HostArray labels = labels_ ? conditioning.labels.ToHost() : HostArray();
  for (int64_t b = 0; b < count; ++b) {
    const auto i = static_cast<size_t>(b);
    Keep(first_sample + i, values, b, t.values<float>()[i],
         labels_ ? labels.values<int32_t>()[i] : 0);
  }
  return velocity;
}

void CachedTeacher::Flush() {
  if (!part_ || part_->count == part_->written) return;
  // Another run may have come further in the meantime.
  const std::optional<TensorReader> there = Open(part_->index);
  if (!there || there->Info("/velocity").shape[0] < part_->count) {
    const int64_t n = part_->count;
    TensorWriter writer(PathOf(part_->index), header_, {.force = true});
    writer.Attribute("/", "first-sample", part_->index * part_samples_);
    writer.Dataset("/velocity", part_->velocity.view().slice(0, 0, n),
                   {.dims = {"sample", "token", "value"}});
    writer.Dataset("/t", part_->t.view().slice(0, 0, n));
    if (labels_) writer.Dataset("/labels", part_->labels.view().slice(0, 0, n));
    writer.Commit();
  }
  part_->written = part_->count;
}

}  // namespace suffice::distill
