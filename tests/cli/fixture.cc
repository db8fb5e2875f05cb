// SPDX-License-Identifier: Apache-2.0
// Makes the small tensor files that the command-line tests feed to the tools, good and bad ones:
//   fixture KIND FILE
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <string>

#include "lib/base/error.h"
#include "lib/base/philox.h"
#include "lib/io/tensor_file.h"
#include "lib/policy/runs.h"

namespace suffice {
namespace {

HostArray Normals(const Shape& shape, uint32_t stream) {
  HostArray array(DType::kF32, shape);
  uint64_t index = 0;
  for (float& x : array.values<float>()) x = NormalAt(5, stream, index++);
  return array;
}

FileHeader HeaderOf(EncodingType type) {
  FileHeader header;
  header.encoding_type = type;
  header.producer = "fixture";
  return header;
}

// q, k and v of 256 tokens, 2 heads of 32, with what `spoil` makes of them.
using Spoil = std::function<void(HostArray* q, HostArray* k, HostArray* v)>;
void WriteCapture(const std::string& path, const Spoil& spoil, bool with_v = true) {
  HostArray q = Normals({1, 2, 256, 32}, 1), k = Normals({1, 2, 256, 32}, 2),
            v = Normals({1, 2, 256, 32}, 3);
  if (spoil) spoil(&q, &k, &v);
  TensorWriter writer(path, HeaderOf(EncodingType::kCapture), {.force = true});
  writer.Attribute("/", "grid", std::vector<int64_t>{4, 8, 8});
  writer.Dataset("/layers/0/q", q);
  writer.Dataset("/layers/0/k", k);
  if (with_v) writer.Dataset("/layers/0/v", v);
  writer.Commit();
}

// Twelve sequences of 1024 tokens, which take long enough to be stopped on the way.
void WriteBatches(const std::string& path) {
  TensorWriter writer(path, HeaderOf(EncodingType::kCapture), {.force = true});
  const Shape shape{12, 2, 1024, 16};
  writer.Dataset("/q", Normals(shape, 1));
  writer.Dataset("/k", Normals(shape, 2));
  writer.Dataset("/v", Normals(shape, 3));
  writer.Commit();
}

// Settings a (safe), b (cheaper, still safe), c (cheapest, fails in `failures` of 10 units).
void WriteRunsFile(const std::string& path, int units, int failures) {
  Runs runs;
  runs.population = "draws of the fixture";
  runs.reference = std::string(64, 'd');
  for (int i = 0; i < units; ++i) {
    runs.units.push_back({static_cast<uint64_t>(i), 0, i, (i + 0.5) / units});
  }
  const std::map<std::string, std::pair<double, int>> settings = {
      {"a", {3, 0}}, {"b", {2, 0}}, {"c", {1, failures}}};
  for (const auto& [name, cost_and_failures] : settings) {
    RunsColumn column;
    column.model = std::string(64, 'e');
    column.setting.name = name;
    column.setting.k = {static_cast<int32_t>(cost_and_failures.first * 100'000)};
    column.density = cost_and_failures.first / 10;
    for (int i = 0; i < units; ++i) {
      column.losses["failure"].push_back(i % 10 < cost_and_failures.second ? 1 : 0);
      column.cost.push_back(cost_and_failures.first);
      column.seconds.push_back(cost_and_failures.first / 100);
    }
    runs.columns.push_back(std::move(column));
  }
  TensorWriter writer(path, HeaderOf(EncodingType::kRuns), {.force = true});
  WriteRuns(runs, &writer);
  writer.Commit();
}

// `count` videos of 4 frames of 16x16 without classes.
void WriteSamples(const std::string& path, int64_t count,
                  const std::function<void(HostArray*)>& spoil) {
  HostArray video = Normals({count, 3, 4, 16, 16}, 1);
  if (spoil) spoil(&video);
  HostArray labels(DType::kI32, {count});
  for (int32_t& label : labels.values<int32_t>()) label = -1;
  TensorWriter writer(path, HeaderOf(EncodingType::kSamples), {.force = true});
  writer.Dataset("/video", video);
  writer.Dataset("/labels", labels);
  writer.Commit();
}

int Main(const std::string& kind, const std::string& path) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::map<std::string, std::function<void()>> kinds = {
      {"capture", [&] { WriteCapture(path, nullptr); }},
      {"other-tokens",
       [&] {
         WriteCapture(path, [](HostArray* q, HostArray* k, HostArray* v) {
           *q = Normals({1, 2, 320, 32}, 1);
           *k = Normals({1, 2, 320, 32}, 2);
           *v = Normals({1, 2, 320, 32}, 3);
         });
       }},
      {"nan",
       [&] {
         WriteCapture(path,
                      [&](HostArray* q, HostArray*, HostArray*) { q->values<float>()[77] = nan; });
       }},
      {"no-v", [&] { WriteCapture(path, nullptr, false); }},
      {"shape",
       [&] {
         WriteCapture(path, [](HostArray*, HostArray*, HostArray* v) {
           *v = Normals({1, 2, 255, 32}, 3);
         });
       }},
      {"heads",
       [&] {
         WriteCapture(path, [](HostArray* q, HostArray*, HostArray*) {
           *q = Normals({1, 3, 256, 32}, 1);
         });
       }},
      {"no-heads",
       [&] {
         WriteCapture(path, [](HostArray*, HostArray* k, HostArray* v) {
           *k = HostArray(DType::kF32, {1, 0, 256, 32});
           *v = HostArray(DType::kF32, {1, 0, 256, 32});
         });
       }},
      {"no-tokens",
       [&] {
         WriteCapture(path, [](HostArray*, HostArray* k, HostArray* v) {
           *k = HostArray(DType::kF32, {1, 2, 0, 32});
           *v = HostArray(DType::kF32, {1, 2, 0, 32});
         });
       }},
      {"integers",
       [&] {
         WriteCapture(path, [](HostArray* q, HostArray*, HostArray*) {
           *q = HostArray(DType::kI32, {1, 2, 256, 32});
         });
       }},
      {"large",
       [&] {
         WriteCapture(path, [](HostArray* q, HostArray* k, HostArray* v) {
           *q = Normals({1, 2, 4096, 64}, 1);
           *k = Normals({1, 2, 4096, 64}, 2);
           *v = Normals({1, 2, 4096, 64}, 3);
         });
       }},
      {"batches", [&] { WriteBatches(path); }},
      {"samples-nan",
       [&] { WriteSamples(path, 2, [&](HostArray* video) { video->values<float>()[5] = nan; }); }},
      {"samples-none", [&] { WriteSamples(path, 0, nullptr); }},
      {"runs", [&] { WriteRunsFile(path, 400, 5); }},
      {"runs-few", [&] { WriteRunsFile(path, 20, 5); }},
  };
  const auto found = kinds.find(kind);
  if (found == kinds.end()) throw UsageError("fixture {}: unknown kind", kind);
  found->second();
  return 0;
}

}  // namespace
}  // namespace suffice

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    return suffice::Main(argv[1], argv[2]);
  } catch (const suffice::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
}
