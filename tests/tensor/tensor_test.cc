// SPDX-License-Identifier: Apache-2.0
#include "lib/tensor/tensor.h"

#include <gtest/gtest.h>

namespace suffice {
namespace {

TEST(HostArray, CastsByTheProjectsRounding) {
  const float values[] = {1.0f, 3.14159265f, 1e-40f, -2.5f};
  const HostArray wide = HostArray::From<float>({2, 2}, values);
  const HostArray narrow = wide.Cast(DType::kBF16);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(narrow.values<BFloat16>()[i].bits, ToBFloat16(values[i]).bits);
    EXPECT_EQ(narrow.Cast(DType::kF32).values<float>()[i], ToFloat(ToBFloat16(values[i])));
  }
}

TEST(Tensor, CopiesThroughTheBackendAndSharesViews) {
  Context context({.backend = "ref", .threads = 1});
  const float values[] = {0, 1, 2, 3, 4, 5};
  const Tensor tensor = Tensor::FromHost(context, HostArray::From<float>({2, 3}, values));
  const Tensor row = tensor.Slice(0, 1, 2);
  EXPECT_EQ(row.ToHost().values<float>()[2], 5.0f);
  const float changed[] = {7, 8, 9};
  Tensor alias = row;
  alias.CopyFromHost(HostArray::From<float>({1, 3}, changed));
  EXPECT_EQ(tensor.ToHost().values<float>()[4], 8.0f);
  EXPECT_EQ(Tensor::Zeros(context, DType::kI32, {4}).ToHost().values<int32_t>()[3], 0);
}

}  // namespace
}  // namespace suffice
