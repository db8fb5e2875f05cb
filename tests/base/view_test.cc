// SPDX-License-Identifier: Apache-2.0
#include "lib/base/view.h"

#include <gtest/gtest.h>

#include <vector>

namespace suffice {
namespace {

TEST(View, SlicesAndTransposesShareMemory) {
  std::vector<float> data(24);
  const View view = ContiguousView(data.data(), DType::kF32, {2, 3, 4});
  EXPECT_TRUE(view.contiguous());
  EXPECT_EQ(view.bytes(), 96u);
  EXPECT_EQ(view.ptr<float>({1, 2, 3}), data.data() + 23);
  const View middle = view.slice(1, 1, 2);
  EXPECT_EQ(middle.shape, (Shape{2, 1, 4}));
  EXPECT_FALSE(middle.contiguous());
  EXPECT_EQ(middle.ptr<float>({1, 0, 0}), data.data() + 16);
  const View turned = view.transpose(0, 2);
  EXPECT_EQ(turned.ptr<float>({3, 2, 1}), data.data() + 23);
  EXPECT_EQ(view.reshape({6, 4}).ptr<float>({5, 3}), data.data() + 23);
  EXPECT_EQ(ToString(turned.shape), "(4, 3, 2)");
}

}  // namespace
}  // namespace suffice
