// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/fake_device.h"

#include <gtest/gtest.h>

#include "tests/kernels/attention_cases.h"

namespace suffice::testing {
namespace {

float ReadOnTheHost(const Tensor& tensor) {
  return *static_cast<const volatile float*>(tensor.view().data);
}

TEST(FakeDevice, FaultsWhenTheHostReadsItsMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FakeDevice();
  Context context({.backend = "fake", .threads = 1});
  EXPECT_EQ(context.device().kind, DeviceKind::kFake);
  const float values[] = {1, 2, 3};
  const Tensor tensor = Tensor::FromHost(context, HostArray::From<float>({3}, values));
  EXPECT_EQ(tensor.ToHost().values<float>()[2], 3.0f);
  EXPECT_DEATH(ReadOnTheHost(tensor), "");
}

TEST(FakeDevice, RunsOperationsAndFaultsAgainAfterThem) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FakeDevice();
  Context context({.backend = "fake", .threads = 1});
  Context reference({.backend = "ref", .threads = 1});
  for (const AttentionCase& c : AttentionCases()) {
    SCOPED_TRACE(c.name);
    if (c.n_q * c.n_k * c.dim > 3'000'000)
      continue;  // the reference's arithmetic is not in question
    const AttentionProblem problem = MakeProblem(c, DType::kBF16);
    const AttentionResult expected = RunAttention(reference, problem, true);
    const AttentionResult result = RunAttention(context, problem, true);
    EXPECT_EQ(result.o, expected.o);
    EXPECT_EQ(result.dk, expected.dk);
  }
  const Tensor x = Tensor::Zeros(context, DType::kF32, {1, 1, 4, 8});
  const Tensor pooled(context, DType::kF32, {1, 1, 1, 8});
  context.Run(PoolParams{x, pooled, 4});
  EXPECT_EQ(pooled.ToHost().values<float>()[7], 0.0f);
  EXPECT_DEATH(ReadOnTheHost(pooled), "");
}

TEST(FakeDevice, RefusesTensorsOfAnotherDevice) {
  FakeDevice();
  Context context({.backend = "fake", .threads = 1});
  Context host({.backend = "ref", .threads = 1});
  const Tensor x = Tensor::Zeros(host, DType::kF32, {1, 1, 4, 8});
  const Tensor pooled(context, DType::kF32, {1, 1, 1, 8});
  EXPECT_FALSE(context.Supports(PoolParams{x, pooled, 4}));
}

}  // namespace
}  // namespace suffice::testing
