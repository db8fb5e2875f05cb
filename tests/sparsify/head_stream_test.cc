// SPDX-License-Identifier: Apache-2.0
// Heads on their way through a device whose memory the host cannot read, and in place on the host.
#include "lib/sparsify/head_stream.h"

#include <gtest/gtest.h>

#include "lib/base/philox.h"
#include "tests/io/io_testing.h"
#include "tests/kernels/fake_device.h"

namespace suffice::sparsify {
namespace {

constexpr int64_t kBatch = 2, kHeads = 4, kKeyHeads = 2, kQueries = 5, kKeys = 7, kDim = 3;

HostArray Normals(const Shape& shape, uint32_t stream) {
  HostArray array(DType::kF32, shape);
  uint64_t index = 0;
  for (float& x : array.values<float>()) x = NormalAt(5, stream, index++);
  return array;
}

// Rows [begin, end) of (b, h) of a (B, H, N, D) array.
std::vector<float> Heads(const HostArray& array, int64_t b, int64_t begin, int64_t end) {
  const int64_t head = array.shape()[2] * array.shape()[3];
  const auto first = array.values<float>().begin() + (b * array.shape()[1] + begin) * head;
  return {first, first + (end - begin) * head};
}

std::vector<float> Values(const Tensor& tensor) {
  const HostArray host = tensor.ToHost();
  return {host.values<float>().begin(), host.values<float>().end()};
}

TEST(HeadStream, BringsEveryGroupInAnyOrder) {
  testing::FakeDevice();
  const TempFolder folder;
  const HostArray q = Normals({kBatch, kHeads, kQueries, kDim}, 1);
  const HostArray k = Normals({kBatch, kKeyHeads, kKeys, kDim}, 2);
  const HostArray v = Normals({kBatch, kKeyHeads, kKeys, kDim}, 3);
  FileHeader header;
  header.encoding_type = EncodingType::kCapture;
  TensorWriter writer(folder / "q.h5", header);
  writer.Dataset("/q", q);
  writer.Dataset("/k", k);
  writer.Dataset("/v", v);
  writer.Commit();
  const TensorReader reader(folder / "q.h5");
  const std::vector<HeadGroup> groups = {{0, 0, 2}, {0, 2, 4}, {1, 0, 2}, {1, 2, 4}};
  for (const char* backend : {"fake", "ref"}) {
    const ContextOptions options{.backend = backend, .threads = 1};
    Context context(options);
    HeadStream stream(context, options, MapInputs(reader, "/"), groups);
    for (const size_t g : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, size_t{1}}) {
      const HeadGroup& group = groups[g];
      const LoadedInputs loaded = stream.Take(g);
      EXPECT_EQ(Values(loaded.q), Heads(q, group.batch, group.begin, group.end)) << backend << g;
      EXPECT_EQ(Values(loaded.k), Heads(k, group.batch, group.begin / 2, group.end / 2));
      EXPECT_EQ(Values(loaded.v), Heads(v, group.batch, group.begin / 2, group.end / 2));
      EXPECT_EQ(loaded.q.view().device, context.device());
    }
  }
}

TEST(HeadStream, GroupsHoldWholeKeyHeads) {
  const InputShapes shapes{{2, 6, 64 * 300, 8}, {2, 2, 64 * 300, 8}, DType::kF32};
  const std::vector<HeadGroup> groups = HeadGroups(shapes, {64, 64});
  ASSERT_EQ(groups.size(), 4u);  // more query blocks than a group wants, so one key head each
  EXPECT_EQ(groups[1].begin, 3);
  EXPECT_EQ(groups[1].end, 6);
  EXPECT_EQ(groups[2].batch, 1);
}

}  // namespace
}  // namespace suffice::sparsify
