// SPDX-License-Identifier: Apache-2.0
#include "lib/tensor/replay.h"

#include <gtest/gtest.h>

#include "lib/tensor/tensor.h"
#include "tests/kernels/fake_device.h"

namespace suffice {
namespace {

// Backends that record, and one that does not.
class ReplayTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    testing::FakeDevice();
    try {
      context_ = std::make_unique<Context>(ContextOptions{.backend = GetParam()});
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
  }
  Tensor Number(float value) {
    return Tensor::FromHost(*context_, HostArray::From<float>({1}, {{value}}));
  }
  static float Value(const Tensor& tensor) { return tensor.ToHost().values<float>()[0]; }
  // out += 2 x, by way of memory of its own.
  void Add(const Tensor& x, const Tensor& out) {
    const Tensor twice(*context_, DType::kF32, {1});
    context_->Run(AxpbyParams{.x = x, .out = twice, .alpha = 2.0f});
    context_->Run(AxpbyParams{.x = out, .y = twice, .out = out, .beta = 1.0f});
  }
  bool Records() const { return context_->backend().begin_recording != nullptr; }

  std::unique_ptr<Context> context_;
};

TEST_P(ReplayTest, DoesTheWorkOncePerRunWithWhatTheInputsHoldThen) {
  Tensor x = Number(1), out = Number(0);
  Replay replay(*context_);
  int calls = 0;
  float wanted = 0;
  for (int n = 0; n < 5; ++n) {
    const float value = static_cast<float>(n) + 1;
    x.CopyFromHost(HostArray::From<float>({1}, {{value}}));
    replay.Run([&] {
      ++calls;
      Add(x, out);
    });
    wanted += 2 * value;
    EXPECT_EQ(Value(out), wanted) << n;
  }
  EXPECT_EQ(calls, Records() ? 2 : 5);  // once as it is, once to record
}

TEST_P(ReplayTest, RecordsAgainWhenTheWorkspaceHasMoved) {
  Tensor x = Number(1), out = Number(0);
  Replay replay(*context_);
  int calls = 0;
  const auto run = [&] {
    replay.Run([&] {
      ++calls;
      Add(x, out);
    });
  };
  run();
  run();
  run();
  context_->Workspace(size_t{64} << 20);
  run();
  run();
  EXPECT_EQ(Value(out), 10);
  EXPECT_EQ(calls, Records() ? 3 : 5);
}

TEST_P(ReplayTest, AnErrorWhileRecordingIsThrownAndLeavesNothingBehind) {
  Tensor x = Number(1), out = Number(0);
  Replay replay(*context_);
  for (int n = 0; n < 2; ++n) {
    const bool fails = n == 1;
    const auto work = [&] {
      Add(x, out);
      if (fails) throw RunError("midway");
    };
    if (fails) {
      EXPECT_THROW(replay.Run(work), Error);
    } else {
      replay.Run(work);
    }
  }
  const float before = Value(out);  // the stream is usable
  replay.Run([&] { Add(x, out); });
  EXPECT_EQ(Value(out), before + 2);
}

INSTANTIATE_TEST_SUITE_P(Backends, ReplayTest, ::testing::Values("fake", "cuda", "ref"),
                         [](const auto& p) { return std::string(p.param); });

}  // namespace
}  // namespace suffice
